//! TLS for this language: version 1.3, both sides with a certificate, each verified by the authority that the other
//! side's operator names. No public authority is trusted: who may ask a gateway who its users are is for its operator
//! to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What one side shows and trusts: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authority (or several) that must have signed the other side's certificate.
    pub authority: PathBuf,
}

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file without what it should have.
    #[error("{path}: no {wanted} in it: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What was found.
        reason: String,
    },
    /// Certificate, key and authority that do not go together.
    #[error("{path} cannot be used: {reason}")]
    Unusable {
        /// The file it is about.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Identity {
    /// For the side that asks.
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unusable(&error))?;
        let config = builder
            .with_root_certificates(self.authorities()?)
            .with_client_auth_cert(self.certificates()?, self.private_key()?)
            .map_err(|error| self.unusable(&error))?;
        Ok(Arc::new(config))
    }

    /// For the side that answers. Whoever shows no certificate, or one of another authority, is turned away.
    pub fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.authorities()?), Arc::clone(&provider))
                .build()
                .map_err(|error| TlsError::Unusable {
                    path: self.authority.clone(),
                    reason: error.to_string(),
                })?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.certificates()?, self.private_key()?)
            .map_err(|error| self.unusable(&error))?;
        Ok(Arc::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            store.add(certificate).map_err(|error| TlsError::Unusable {
                path: self.authority.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(store)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let reason = |error: rustls::pki_types::pem::Error| error.to_string();
        PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| content(&self.key, "private key", reason(error)))
    }

    fn unusable(&self, error: &rustls::Error) -> TlsError {
        TlsError::Unusable { path: self.certificate.clone(), reason: error.to_string() }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(path, "certificate", error.to_string()))?;
    if found.is_empty() {
        return Err(content(path, "certificate", "PEM files have BEGIN CERTIFICATE".to_owned()));
    }
    Ok(found)
}

fn content(path: &Path, wanted: &'static str, reason: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), wanted, reason }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
