//! A relay, asked by SMTP. The stages are told apart: only what it says to a letter itself concerns that letter.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;

use super::MailError;
use super::letter::Letter;
use super::transport::{Delivery, Unreachable};

/// How long the relay may take for each answer (RFC 5321 allows minutes; nothing waits for us but more mail).
const PATIENCE: Duration = Duration::from_secs(60);

/// A relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name, which its certificate must bear, or its address.
    pub host: String,
    /// Its port: usually 587 with STARTTLS, 465 with implicit TLS, 25 without.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// As whom to log in.
    pub login: Option<Login>,
    /// A PEM file with the only authorities to be trusted; without it, those of the system.
    pub authority: Option<PathBuf>,
    /// What we call ourselves: a name, such as [`host_name`](super::host_name) gives.
    pub hello: String,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Begun in the clear, then STARTTLS; a relay that does not offer it is not given mail.
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all: for a relay on this host.
    None,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A relay and the connection to it, if there is one.
pub(super) struct Connection {
    smtp: Smtp,
    hello: ClientId,
    tls: Option<TlsParameters>,
    open: Option<SmtpConnection>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("smtp", &self.smtp).finish_non_exhaustive()
    }
}

/// What became of one step of a delivery.
enum Refusal {
    /// The relay said no to this: for good, or for now.
    Said { for_good: bool, reason: String },
    /// The connection is of no more use.
    Broken(String),
}

impl Connection {
    pub(super) fn new(smtp: &Smtp) -> Result<Self, MailError> {
        let setting = |what: String| MailError::Setting(what);
        if smtp.tls == Tls::None && smtp.login.is_some() && !is_loopback(&smtp.host) {
            return Err(setting(format!(
                "a password would go to {} in the clear; use tls = \"starttls\" or \"implicit\"",
                smtp.host
            )));
        }
        let tls = match smtp.tls {
            Tls::None => None,
            Tls::Starttls | Tls::Implicit => Some(parameters(smtp)?),
        };
        let hello = match smtp.hello.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) if Address::new("root", &smtp.hello).is_ok() => ClientId::Domain(smtp.hello.clone()),
            Err(_) => return Err(setting(format!("{:?} is no name of a host (helo)", smtp.hello))),
        };
        Ok(Self { smtp: smtp.clone(), hello, tls, open: None })
    }

    pub(super) fn close(&mut self) {
        if let Some(mut connection) = self.open.take() {
            // Politeness; nothing depends on the answer.
            let _ = connection.quit();
        }
    }

    pub(super) fn deliver(&mut self, letter: &Letter) -> Result<Delivery, Unreachable> {
        let had_connection = self.open.is_some();
        match self.try_to_deliver(letter) {
            // A relay may close a connection that was idle.
            Err(_) if had_connection => self.try_to_deliver(letter),
            outcome => outcome,
        }
    }

    fn try_to_deliver(&mut self, letter: &Letter) -> Result<Delivery, Unreachable> {
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let delivery = converse(&mut connection, letter).map_err(|broken| {
            connection.abort();
            Unreachable(format!("{}: {broken}", self.smtp.host))
        })?;
        self.open = Some(connection);
        Ok(delivery)
    }

    /// Whatever goes wrong here concerns the relay or our settings, never one letter.
    fn connect(&self) -> Result<SmtpConnection, Unreachable> {
        let Smtp { host, port, tls, login, .. } = &self.smtp;
        let failed =
            |what: &str, error: &Error| Unreachable(format!("{host}:{port}: {what}: {}", told(error)));
        let implicit = self.tls.as_ref().filter(|_| *tls == Tls::Implicit);
        let mut connection =
            SmtpConnection::connect((host.as_str(), *port), Some(PATIENCE), &self.hello, implicit, None)
                .map_err(|e| failed("connecting", &e))?;
        if let Some(parameters) = self.tls.as_ref().filter(|_| *tls == Tls::Starttls) {
            connection.starttls(parameters, &self.hello).map_err(|e| failed("STARTTLS", &e))?;
        }
        if let Some(Login { user, password }) = login {
            let credentials = Credentials::new(user.clone(), password.clone());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .map_err(|e| failed("logging in", &e))?;
        }
        Ok(connection)
    }
}

/// One letter: MAIL, a RCPT for each recipient, DATA for those that were taken.
fn converse(connection: &mut SmtpConnection, letter: &Letter) -> Result<Delivery, String> {
    let mut delivery = Delivery::default();
    let everyone = |for_good: bool, reason: &str| {
        let all = letter.envelope.to.iter().map(|to| (to.clone(), reason.to_owned())).collect();
        if for_good {
            Delivery { refused: all, later: Vec::new() }
        } else {
            Delivery { refused: Vec::new(), later: all }
        }
    };
    let sender = match letter.envelope.from.parse::<Address>() {
        Ok(sender) => sender,
        Err(error) => return Ok(everyone(true, &format!("{:?}: {error}", letter.envelope.from))),
    };
    match outcome(connection.command(Mail::new(Some(sender), Vec::new())).map(drop)) {
        Ok(()) => {}
        Err(Refusal::Said { for_good, reason }) => {
            reset(connection)?;
            return Ok(everyone(for_good, &reason));
        }
        Err(Refusal::Broken(reason)) => return Err(reason),
    }
    let mut taken = Vec::new();
    for to in &letter.envelope.to {
        let address = match to.parse::<Address>() {
            Ok(address) => address,
            Err(error) => {
                delivery.refused.push((to.clone(), error.to_string()));
                continue;
            }
        };
        match outcome(connection.command(Rcpt::new(address, Vec::new())).map(drop)) {
            Ok(()) => taken.push(to),
            Err(Refusal::Said { for_good: true, reason }) => delivery.refused.push((to.clone(), reason)),
            Err(Refusal::Said { for_good: false, reason }) => delivery.later.push((to.clone(), reason)),
            Err(Refusal::Broken(reason)) => return Err(reason),
        }
    }
    if taken.is_empty() {
        reset(connection)?;
        return Ok(delivery);
    }
    let sent = match outcome(connection.command(Data).map(drop)) {
        // The library adds the line break before the final dot.
        Ok(()) => {
            let body = letter.body.strip_suffix(b"\r\n").unwrap_or(&letter.body);
            outcome(connection.message(body).map(drop))
        }
        refused => refused,
    };
    match sent {
        Ok(()) => {}
        Err(Refusal::Said { for_good, reason }) => {
            let those = taken.into_iter().map(|to| (to.clone(), reason.clone()));
            let list = if for_good { &mut delivery.refused } else { &mut delivery.later };
            list.extend(those);
            reset(connection)?;
        }
        Err(Refusal::Broken(reason)) => return Err(reason),
    }
    Ok(delivery)
}

fn reset(connection: &mut SmtpConnection) -> Result<(), String> {
    connection.command(Rset).map(drop).map_err(|error| told(&error))
}

fn outcome(result: Result<(), Error>) -> Result<(), Refusal> {
    result.map_err(|error| {
        // 421 announces that the relay closes the connection (RFC 5321, section 3.8).
        let is_closing = error.status().is_some_and(|code| u16::from(code) == 421);
        if error.status().is_some() && !is_closing {
            Refusal::Said { for_good: error.is_permanent(), reason: told(&error) }
        } else {
            Refusal::Broken(told(&error))
        }
    })
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, MailError> {
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(path) = &smtp.authority {
        let failed = |source| MailError::File { doing: "reading", path: path.clone(), source };
        let pem = std::fs::read(path).map_err(failed)?;
        let certificates = Certificate::from_pem(&pem)
            .map_err(|error| MailError::Setting(format!("{}: {}", path.display(), told(&error))))?;
        // With none in the file, every relay is refused, which the first attempt tells.
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build_rustls().map_err(|error| MailError::Setting(format!("TLS: {}", told(&error))))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, which the library's own display leaves out in part.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
