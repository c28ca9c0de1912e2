//! From a note to the line of JSON and to a message.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use unmasq_flow::Timestamp;
use unmasq_honeypot::hostkey;
use unmasq_honeypot::record::{EventKind, Record, text_of};
use unmasq_honeypot::server::{Attempt, Method};

use crate::honeypot::note::{News, Note, Software};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// All that happened.
    Own,
    /// As pshitt does: only what has a user name and a password, and times without a zone.
    Pshitt,
}

/// Who the client is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::honeypot) struct Client {
    /// Its own address and port.
    pub(in crate::honeypot) endpoint: SocketAddr,
    /// How it is known, if not from the connection.
    pub(in crate::honeypot) from: Option<&'static str>,
}

impl Client {
    pub(in crate::honeypot) fn address(&self) -> IpAddr {
        self.endpoint.ip()
    }
}

/// A note with what is needed to tell of it.
#[derive(Clone, Copy)]
pub(in crate::honeypot) struct Origin<'n> {
    pub(in crate::honeypot) note: &'n Note,
    pub(in crate::honeypot) client: &'n Client,
    pub(in crate::honeypot) secret: Option<&'n ring::hmac::Key>,
}

impl Origin<'_> {
    /// The line of JSON without its end, if this note has one in this style.
    pub(super) fn record(&self, style: Style) -> Option<Vec<u8>> {
        let mut record = self.common();
        match &self.note.news {
            News::Attempt { software, attempt, passwords } => {
                describe(&mut record, software);
                self.tell(&mut record, attempt);
                if style == Style::Pshitt {
                    record.number = Some(*passwords);
                }
            }
            News::Ended { software, lasted, attempts, reason } => {
                describe(&mut record, software);
                record.event = EventKind::Connection;
                record.duration = Some(format!("{:.6}", lasted.as_secs_f64()).into());
                record.attempts = Some(*attempts);
                record.reason = Some(reason.as_str().into());
                // Long, and the same for each attempt of a connection.
                record.hassh_string = software.hassh.as_ref().map(|hassh| hassh.string.as_str().into());
                if let Some(kexinit) = &software.kexinit {
                    record.lists = kexinit.lists.iter().map(|list| list.as_str().into()).collect();
                }
            }
            News::Accepted | News::Negotiated(_) => return None,
        }
        if style == Style::Pshitt {
            if record.password.is_none() && record.password_hash.is_none() {
                return None;
            }
            record.timestamp = record.timestamp.trim_end_matches('Z').to_owned().into();
        }
        // Strings and numbers in a structure: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&record).ok()
    }

    /// A message for the log, if somebody tried something.
    pub(super) fn message(&self) -> Option<String> {
        let News::Attempt { software, attempt, .. } = &self.note.news else { return None };
        let user = String::from_utf8_lossy(&attempt.username);
        let what = match &attempt.method {
            Method::None => "none".to_owned(),
            Method::Password { .. } | Method::KeyboardInteractive { .. } => {
                let mut record = Record::default();
                self.tell(&mut record, attempt);
                match (record.password, record.password_hash) {
                    (_, Some(hash)) => format!("password {hash}"),
                    (Some(password), None) => format!("password {password:?}"),
                    (None, None) => "keyboard-interactive".to_owned(),
                }
            }
            Method::PublicKey { key, .. } => format!("key {}", hostkey::fingerprint(key)),
            Method::Other { name, .. } => format!("method {:?}", String::from_utf8_lossy(name)),
        };
        let version = software.identification.as_ref().map_or("unknown software", |line| line.software());
        Some(format!(
            "SSH attempt for {user:?} with {what} from {} port {} ({version})",
            self.client.endpoint.ip(),
            self.client.endpoint.port(),
        ))
    }

    /// What every line has.
    pub(super) fn common<'r>(&self) -> Record<'r> {
        let opened = &self.note.opened;
        let client = self.client.endpoint;
        Record {
            src_ip: client.ip().to_string().into(),
            src_port: client.port(),
            timestamp: stamp(self.note.at).into(),
            session: Some(format!("{:016x}", opened.session).into()),
            dest_ip: Some(opened.destination.ip().to_string().into()),
            dest_port: Some(opened.destination.port()),
            via: (client.ip() != opened.peer.ip()).then(|| opened.peer.ip().to_string().into()),
            client_from: self.client.from.map(Cow::Borrowed),
            ..Record::default()
        }
    }

    /// What somebody tried.
    pub(super) fn tell<'r>(&self, record: &mut Record<'r>, attempt: &'r Attempt) {
        let (username, raw) = text_of(&attempt.username);
        record.username = Some(username);
        record.username_raw = raw.map(Cow::Owned);
        // The first question which methods there are is none.
        record.number = Some(attempt.number).filter(|number| *number > 0);
        match &attempt.method {
            Method::None => record.event = EventKind::None,
            Method::Password { password, new } => {
                record.event = EventKind::Password;
                self.keep_password(record, password);
                record.new_password = new.as_deref().map(|new| self.secret_text(new));
            }
            Method::KeyboardInteractive { answers } => {
                record.event = EventKind::KeyboardInteractive;
                if let Some((first, rest)) = answers.split_first() {
                    self.keep_password(record, first);
                    record.answers = rest.iter().map(|answer| self.secret_text(answer)).collect();
                }
            }
            Method::PublicKey { algorithm, key, signature } => {
                record.event = EventKind::Publickey;
                record.key = Some(hostkey::public_line(key).into());
                record.key_fingerprint = Some(hostkey::fingerprint(key).into());
                record.key_algorithm = Some(String::from_utf8_lossy(algorithm.as_ref()));
                record.signature = Some(*signature);
            }
            Method::Other { name, .. } => {
                record.event = EventKind::Other;
                record.method = Some(String::from_utf8_lossy(name));
            }
        }
    }

    fn keep_password<'r>(&self, record: &mut Record<'r>, password: &'r [u8]) {
        if self.secret.is_some() {
            record.password_hash = Some(self.secret_text(password));
            return;
        }
        let (password, raw) = text_of(password);
        record.password = Some(password);
        record.password_raw = raw.map(Cow::Owned);
    }

    /// A secret as text, or its keyed hash.
    fn secret_text<'r>(&self, secret: &'r [u8]) -> Cow<'r, str> {
        match self.secret {
            None => String::from_utf8_lossy(secret),
            Some(key) => {
                let tag = ring::hmac::sign(key, secret);
                hex::encode(&tag.as_ref()[..16]).into()
            }
        }
    }
}

/// What is known of the client's software.
pub(super) fn describe<'r>(record: &mut Record<'r>, software: &'r Software) {
    let Software { identification, hassh, hassh_server, negotiated, .. } = software;
    if let Some(identification) = identification {
        record.client_version = Some(identification.line().into());
        record.software_version = Some(short(identification.line()).into());
    }
    if let Some(hassh) = hassh {
        record.hassh = Some(hassh.hash.as_str().into());
    }
    record.hassh_server = hassh_server.as_ref().map(|hassh| hassh.hash.as_str().into());
    if let Some(negotiated) = negotiated {
        let to_server = &negotiated.to_server;
        record.cipher = Some(to_server.cipher.as_str().into());
        record.mac = Some(to_server.mac.as_ref().unwrap_or(&to_server.cipher).as_str().into());
        record.kex = Some(negotiated.kex.as_str().into());
        record.host_key = Some(negotiated.host_key.as_str().into());
    }
}

/// The third part of an identification between dashes, as pshitt has it: `OpenSSH_9.2p1 Debian` of
/// `SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10`; all of it if there is none.
fn short(line: &str) -> &str {
    line.split('-').nth(2).unwrap_or(line)
}

/// `2026-11-21T08:57:28.173456Z`.
fn stamp(at: Timestamp) -> String {
    at.to_micros_text().map(|text| format!("{text}Z")).unwrap_or_default()
}
