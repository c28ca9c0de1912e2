//! Certificates for tests: an authority, and what it signs, as PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::LabError;
use crate::error::Doing;

/// An authority that signs certificates, in a folder.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Signed {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority; its own certificate is at [`Authority::certificate`]. `name` is also that of its files.
    pub fn new(folder: &Path, name: &str) -> Result<Self, LabError> {
        let issuer = || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        };
        let issuer = made(issuer(), name)?;
        let authority = Self { issuer, folder: folder.to_owned(), name: name.to_owned() };
        write(&authority.certificate(), &authority.issuer.pem())?;
        Ok(authority)
    }

    /// PEM file of the authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Signs a certificate for these names or addresses; the first is that of its files.
    pub fn sign(&self, names: &[&str]) -> Result<Signed, LabError> {
        let sign = || {
            let key = KeyPair::generate()?;
            let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = made(sign(), &self.name)?;
        let file = format!("{}-{}", self.name, names.first().unwrap_or(&"nobody"));
        let signed = Signed {
            certificate: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&signed.certificate, &certificate)?;
        write(&signed.key, &key)?;
        Ok(signed)
    }
}

fn made<T>(result: Result<T, rcgen::Error>, name: &str) -> Result<T, LabError> {
    result.map_err(io::Error::other).doing(|| format!("making a certificate of {name}"))
}

fn write(path: &Path, pem: &str) -> Result<(), LabError> {
    fs::write(path, pem).doing(|| format!("writing {}", path.display()))
}
