//! Asking the portal, as a node of eduVPN 2 asks it: `GET apiUri/profile_list` with basic authentication.
//!
//! Redirects are not followed, and no proxy is used, whatever `http_proxy` says: both would show the node's password to
//! someone that its configuration does not name. (PHP's curl does use such a proxy.)

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::answer::{self, AnswerError, Profile};
use crate::config::NodeConfig;
use crate::error::EduvpnError;
use crate::file;
use crate::networks::{PortalNetworks, networks};
use crate::text::{cut, quoted};

/// The largest answer that is read. A profile takes about 1 kB.
const LIMIT: u64 = 4 << 20;

/// Who must have signed the certificate of a portal that is asked over https.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Whom the system trusts: `/etc/ssl/certs`, or what `SSL_CERT_FILE` names.
    #[default]
    System,
    /// Those of a PEM file, and nobody else.
    File(PathBuf),
}

/// A portal that can be asked.
#[derive(Debug)]
pub struct Portal {
    agent: Agent,
    node: NodeConfig,
    timeout: Duration,
}

impl Portal {
    /// How long eduVPN's own node waits for a whole answer.
    pub const TIMEOUT: Duration = Duration::from_secs(15);

    /// The portal of a node. Nothing is sent yet; the authorities are read if it is asked over https. `timeout` is for
    /// looking its name up, connecting and the whole answer together.
    pub fn new(node: NodeConfig, authorities: &Authorities, timeout: Duration) -> Result<Self, EduvpnError> {
        let roots = if node.uri.is_https() { certificates(authorities)? } else { Vec::new() };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .user_agent(concat!("unmasq/", env!("CARGO_PKG_VERSION")))
            // Without it the portal answers errors as a page for people.
            .accept("application/json")
            .build()
            .new_agent();
        Ok(Self { agent, node, timeout })
    }

    /// The client networks of this node.
    pub fn networks(&self) -> Result<PortalNetworks, EduvpnError> {
        networks(&self.profiles()?, &self.node.profiles)
    }

    /// All profiles of the portal, in its order.
    pub fn profiles(&self) -> Result<Vec<Profile>, EduvpnError> {
        let url = self.node.uri.of(answer::LIST);
        let (status, body) = self.get(&url).map_err(|error| self.failure(&url, error))?;
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&body);
            let said = self.said(&answer::complaint(&body).unwrap_or_else(|| text.into_owned()));
            return Err(if status == 401 {
                EduvpnError::Unauthorized { url, user: cut(&self.node.user), said }
            } else {
                EduvpnError::Status { url, status, said }
            });
        }
        answer::profiles(&body).map_err(|error| match error {
            AnswerError::Empty => EduvpnError::Empty { url },
            AnswerError::NotJson(reason) => {
                EduvpnError::NotJson { url, reason, begins: self.said(&String::from_utf8_lossy(&body)) }
            }
            AnswerError::Shape { key, wanted, found } => {
                let key = cut(&key).escape_debug().to_string();
                EduvpnError::Shape { url, key, wanted, found }
            }
            AnswerError::Failed(said) => EduvpnError::Failed { url, said: self.said(&said) },
            AnswerError::NoRange(profile) => EduvpnError::NoRange { profile: cut(&profile) },
        })
    }

    fn get(&self, url: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let authorization = format!("Basic {}", self.credentials());
        let mut answer = self.agent.get(url).header("Authorization", authorization).call()?;
        let body = answer.body_mut().with_config().limit(LIMIT).read_to_vec()?;
        Ok((answer.status().as_u16(), body))
    }

    fn credentials(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.node.user, self.node.password.reveal()))
    }

    /// The portal's words for a message. A page for debugging may repeat what it was sent.
    fn said(&self, text: &str) -> String {
        let mut text = text.replace(&self.credentials(), "(hidden)");
        if !self.node.password.reveal().is_empty() {
            text = text.replace(self.node.password.reveal(), "(hidden)");
        }
        quoted(&text)
    }

    fn failure(&self, url: &str, error: ureq::Error) -> EduvpnError {
        let url = url.to_owned();
        match error {
            ureq::Error::HostNotFound => {
                EduvpnError::NoSuchHost { url, reason: "it is not known".to_owned() }
            }
            ureq::Error::Timeout(_) => EduvpnError::TimedOut { url, after: self.timeout },
            ureq::Error::BodyExceedsLimit(_) => EduvpnError::TooLarge { url, limit: LIMIT },
            ureq::Error::Rustls(reason) => EduvpnError::Tls { url, reason: reason.to_string() },
            ureq::Error::Tls(reason) => EduvpnError::Tls { url, reason: reason.to_owned() },
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => EduvpnError::Refused { url },
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    EduvpnError::TimedOut { url, after: self.timeout }
                }
                _ if error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some() => {
                    EduvpnError::Tls { url, reason: error.to_string() }
                }
                // The standard library has no kind for it. A test holds these words.
                _ if error.to_string().starts_with("failed to lookup address information") => {
                    EduvpnError::NoSuchHost { url, reason: error.to_string() }
                }
                _ => EduvpnError::Transport { url, reason: error.to_string() },
            },
            // What the library says of an answer that is no HTTP may quote it.
            other => EduvpnError::Transport { url, reason: self.said(&other.to_string()) },
        }
    }
}

fn certificates(authorities: &Authorities) -> Result<Vec<Certificate<'static>>, EduvpnError> {
    let (from, found, reason) = match authorities {
        Authorities::System => {
            let loaded = rustls_native_certs::load_native_certs();
            // One file of the store that cannot be read is no reason to do without the others.
            let reason = loaded.errors.first().map(ToString::to_string);
            ("the system's store".to_owned(), loaded.certs, reason)
        }
        Authorities::File(path) => {
            let from = path.display().to_string();
            let pem = file::read(path)?;
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let found = read.map_err(|error| EduvpnError::Authorities {
                from: from.clone(),
                reason: error.to_string(),
            })?;
            (from, found, None)
        }
    };
    if found.is_empty() {
        let reason = reason.unwrap_or_else(|| "there is none".to_owned());
        return Err(EduvpnError::Authorities { from, reason });
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
