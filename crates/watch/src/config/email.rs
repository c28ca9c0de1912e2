//! `email`: Pyruse's section, and the relay that Pyruse does not have.

use std::path::PathBuf;

use unmasq_diagnostic::Problem;

use super::form;
use super::section::Section;

/// Mail that actions send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Sender: `name@domain`, `Text <name@domain>`, or a bare name of this host.
    pub from: String,
    /// Recipients, likewise; at least one.
    pub to: Vec<String>,
    /// Subject of the daily report.
    pub subject: String,
    /// How it is sent.
    pub transport: Transport,
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A program and its arguments, run once a message without a shell; never empty.
    Sendmail(Vec<String>),
    /// A relay.
    Smtp(Smtp),
}

/// A relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// As whom to log in.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<Password>,
    /// A PEM file with the only authorities to be trusted; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// What we call ourselves; `None` for the host's name.
    pub helo: Option<String>,
}

/// How a connection to a relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Begun in the clear, then STARTTLS, without which nothing is sent.
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// Where a password is.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// In the configuration.
    Given(String),
    /// In a file, whose first line it is.
    File(PathBuf),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Email {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child("email", "Mail: who sends it, who gets it, how.");
        let texts = |value: &super::Node| form::list(value, "a list of texts", form::text);
        let from = keys.value(
            "from",
            r#""unmasq""#,
            "Sender. A name without a domain is one of this host.",
            form::text,
        );
        let to = keys.value("to", r#"["root"]"#, "Recipients, likewise.", |value| {
            texts(value)
                .and_then(|list| if list.is_empty() { Err("there is no recipient".into()) } else { Ok(list) })
        });
        let subject = keys.value("subject", r#""Daily report""#, "Subject of the daily report.", form::text);
        let sendmail = keys.value(
            "sendmail",
            r#"["/usr/sbin/sendmail", "-t"]"#,
            "Program that sends a mail, which it reads from its standard input, and its arguments. No shell \
             is involved.",
            |value| {
                texts(value).and_then(|list| {
                    if list.is_empty() { Err("there is no program".into()) } else { Ok(list) }
                })
            },
        );
        let smtp = Smtp::read(&mut keys);
        keys.close();
        Self { from, to, subject, transport: smtp.map_or(Transport::Sendmail(sendmail), Transport::Smtp) }
    }
}

impl Smtp {
    fn read(email: &mut Section<'_, '_>) -> Option<Self> {
        let mut keys = email.child("smtp", "A relay that takes the mail, in place of \"sendmail\".");
        let host = keys.optional("host", r#""mail.example.org""#, "Its name or address.", form::text);
        let tls = keys.value(
            "tls",
            r#""starttls""#,
            "How the connection is protected: \"starttls\" (nothing is sent where it is not offered), \
             \"implicit\", or \"none\".",
            form::choice(&[("starttls", Tls::Starttls), ("implicit", Tls::Implicit), ("none", Tls::None)]),
        );
        let port = keys.optional(
            "port",
            "587",
            "Its port. Without it: 587 with \"starttls\", 465 with \"implicit\", 25 with \"none\".",
            form::integer(1..=u16::MAX),
        );
        let user =
            keys.optional("user", r#""unmasq""#, "As whom to log in. Without it: not at all.", form::text);
        let password = keys.optional("password", r#""secret""#, "The password.", form::text);
        let file = keys.optional(
            "password_file",
            r#""/etc/unmasq/smtp-password""#,
            "A file whose first line is the password, which then need not stand here.",
            form::path,
        );
        let ca_file = keys.optional(
            "ca_file",
            r#""/etc/unmasq/relay-ca.pem""#,
            "PEM file with the only authorities that the relay's certificate may come from. Without it: the \
             system's.",
            form::path,
        );
        let helo = keys.optional(
            "helo",
            r#""gw1.example.org""#,
            "What we call ourselves. Without it: the host's name.",
            form::text,
        );
        if let Some(place) = keys.place("password_file").filter(|_| password.is_some()) {
            keys.report(Problem::error(
                place,
                "password_file: there is a \"password\" too; give one of the two",
            ));
        }
        if let Some(place) = keys.place("user").filter(|_| password.is_none() && file.is_none()) {
            keys.report(Problem::error(place, "user: needs a \"password\" or a \"password_file\""));
        }
        let is_given = keys.is_given();
        keys.close();
        if !is_given {
            return None;
        }
        let Some(host) = host else {
            if let Some(place) = email.place_of_child("smtp").filter(|_| email.lacks("smtp", "host")) {
                email.report(Problem::error(place, "email.smtp needs a \"host\""));
            }
            return None;
        };
        let port = port.unwrap_or(match tls {
            Tls::Starttls => 587,
            Tls::Implicit => 465,
            Tls::None => 25,
        });
        let password = password.map(Password::Given).or(file.map(Password::File));
        Some(Self { host, port, tls, user, password, ca_file, helo })
    }
}
