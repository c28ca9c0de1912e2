//! A small relay: enough of SMTP for a client to be tested against, with STARTTLS and implicit TLS.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use unmasq_lab::Signed;

use crate::mail::Tls;

/// A mail as the relay got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// Dots undone, CRLF kept.
    pub(super) data: String,
    pub(super) user: Option<String>,
    pub(super) was_encrypted: bool,
}

type Rule = dyn Fn(&str) -> Option<&'static str> + Send + Sync;

/// A relay on loopback; it ends with the test's process.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

struct Manner {
    tls: Tls,
    config: Option<Arc<ServerConfig>>,
    /// What is answered to a line in place of "yes".
    rule: Box<Rule>,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Relay {
    /// Starts one. `rule` may answer any command, and `DATA-END` for the mail itself, in its own way.
    pub(super) fn start(
        tls: Tls,
        signed: Option<&Signed>,
        rule: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, tls, signed, rule)
    }

    pub(super) fn on(
        listener: TcpListener,
        tls: Tls,
        signed: Option<&Signed>,
        rule: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let config = signed.map(server_config);
        let manner = Arc::new(Manner { tls, config, rule: Box::new(rule), taken: Arc::clone(&taken) });
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let manner = Arc::clone(&manner);
                // A client that breaks off is what some tests are about.
                thread::spawn(move || drop(serve(stream, &manner)));
            }
        });
        Self { address, taken }
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().clone()
    }
}

fn server_config(signed: &Signed) -> Arc<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(&signed.certificate).unwrap().collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_file(&signed.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(certificates.unwrap(), key).unwrap())
}

fn serve(stream: TcpStream, manner: &Manner) -> io::Result<()> {
    let encrypt = |stream: TcpStream| {
        let config = Arc::clone(manner.config.as_ref().expect("a relay with TLS has a certificate"));
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok::<_, io::Error>(StreamOwned::new(session, stream))
    };
    if manner.tls == Tls::Implicit {
        return talk(encrypt(stream)?, manner, true, true).map(drop);
    }
    // The session goes on under TLS after STARTTLS, without another greeting.
    match talk(stream.try_clone()?, manner, false, true)? {
        Next::Upgrade => talk(encrypt(stream)?, manner, true, false).map(drop),
        Next::End => Ok(()),
    }
}

enum Next {
    Upgrade,
    End,
}

fn talk<S: Read + Write>(stream: S, manner: &Manner, is_encrypted: bool, greets: bool) -> io::Result<Next> {
    let mut reader = BufReader::new(stream);
    let mut mail = (String::new(), Vec::new());
    let mut user = None;
    let answer = |reader: &mut BufReader<S>, text: &str| {
        reader.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
        reader.get_mut().flush()
    };
    if greets {
        let greeting = (manner.rule)("CONNECT").unwrap_or("220 relay ESMTP");
        answer(&mut reader, greeting)?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(Next::End);
        }
        let command = line.trim_end().to_owned();
        if let Some(own) = (manner.rule)(&command) {
            answer(&mut reader, own)?;
            continue;
        }
        let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" if manner.tls == Tls::Starttls && !is_encrypted => {
                answer(&mut reader, "250-relay\r\n250 STARTTLS")?;
            }
            "EHLO" => answer(&mut reader, "250-relay\r\n250 AUTH PLAIN")?,
            "STARTTLS" => {
                answer(&mut reader, "220 go on")?;
                return Ok(Next::Upgrade);
            }
            "AUTH" => {
                user = Some(command.clone());
                answer(&mut reader, "235 welcome")?;
            }
            "MAIL" => {
                mail = (command.clone(), Vec::new());
                answer(&mut reader, "250 yes")?;
            }
            "RCPT" => {
                mail.1.push(command.clone());
                answer(&mut reader, "250 yes")?;
            }
            "DATA" => {
                answer(&mut reader, "354 go on")?;
                let data = data(&mut reader)?;
                if let Some(own) = (manner.rule)("DATA-END") {
                    answer(&mut reader, own)?;
                    continue;
                }
                let (from, to) = mail.clone();
                manner.taken.lock().push(Taken {
                    from,
                    to,
                    data,
                    user: user.clone(),
                    was_encrypted: is_encrypted,
                });
                answer(&mut reader, "250 taken")?;
            }
            "QUIT" => {
                answer(&mut reader, "221 bye")?;
                return Ok(Next::End);
            }
            _ => answer(&mut reader, "250 yes")?,
        }
    }
}

fn data(reader: &mut impl BufRead) -> io::Result<String> {
    let (mut data, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
