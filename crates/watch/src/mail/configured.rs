//! The transport that a configuration asks for.

use std::fs;

use super::{Login, MailError, Sendmail, Smtp, Tls, Transport, host_name};
use crate::config;

impl Transport {
    /// From the section `email` of a configuration. Reads the file with the password, if there is one.
    pub fn configured(transport: &config::Transport) -> Result<Self, MailError> {
        let relay = match transport {
            config::Transport::Sendmail(argv) => return Ok(Self::Sendmail(Sendmail::new(argv.clone()))),
            config::Transport::Smtp(relay) => relay,
        };
        let password = match &relay.password {
            None => None,
            Some(config::Password::Given(password)) => Some(password.clone()),
            Some(config::Password::File(path)) => {
                let text = fs::read_to_string(path).map_err(|source| MailError::File {
                    doing: "reading the password in",
                    path: path.clone(),
                    source,
                })?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        Ok(Self::Smtp(Smtp {
            host: relay.host.clone(),
            port: relay.port,
            tls: match relay.tls {
                config::Tls::Starttls => Tls::Starttls,
                config::Tls::Implicit => Tls::Implicit,
                config::Tls::None => Tls::None,
            },
            login: relay.user.clone().map(|user| Login { user, password: password.unwrap_or_default() }),
            authority: relay.ca_file.clone(),
            hello: relay.helo.clone().unwrap_or_else(host_name),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_taken_from_the_configuration_and_its_password_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "secret\nand more\n").unwrap();
        let relay = config::Smtp {
            host: "mail.example.org".to_owned(),
            port: 587,
            tls: config::Tls::Starttls,
            user: Some("u".to_owned()),
            password: Some(config::Password::File(file.clone())),
            ca_file: None,
            helo: None,
        };
        let Transport::Smtp(smtp) = Transport::configured(&config::Transport::Smtp(relay.clone())).unwrap()
        else {
            panic!("a relay was asked for")
        };
        let login = Some(Login { user: "u".to_owned(), password: "secret".to_owned() });
        assert_eq!((smtp.login, smtp.tls, smtp.hello), (login, Tls::Starttls, host_name()));
        fs::remove_file(file).unwrap();
        let missing = Transport::configured(&config::Transport::Smtp(relay)).unwrap_err();
        assert!(missing.to_string().contains("password"), "{missing}");
    }
}
