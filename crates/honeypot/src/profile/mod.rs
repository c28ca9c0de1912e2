//! What a server looks like from outside: captured from a real one, kept as TOML.
//!
//! ```toml
//! # The line that it begins with.
//! identification = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10"
//! # The host keys that it has: rsa-BITS, ecdsa-p256, ed25519.
//! host_keys = ["rsa-3072", "ecdsa-p256", "ed25519"]
//!
//! # Ten lists, in their order and with the markers that are among them. What cannot be spoken is refused.
//! [kexinit]
//! kex = ["curve25519-sha256", "kex-strict-s-v00@openssh.com"]
//! host_key = ["rsa-sha2-512", "ssh-ed25519"]
//! cipher_to_server = ["aes128-ctr"]
//! cipher_to_client = ["aes128-ctr"]
//! mac_to_server = ["hmac-sha2-256"]
//! mac_to_client = ["hmac-sha2-256"]
//! compression_to_server = ["none", "zlib@openssh.com"]
//! compression_to_client = ["none", "zlib@openssh.com"]
//! # languages_to_server and languages_to_client: empty if left out.
//!
//! # What EXT_INFO says to a client that has `ext-info-c` in its list; any number, none if it sends no EXT_INFO.
//! [[extension]]
//! name = "server-sig-algs"
//! value = "ssh-ed25519,rsa-sha2-256,rsa-sha2-512"
//!
//! [authentication]
//! # As they stand in USERAUTH_FAILURE.
//! methods = ["publickey", "password"]
//! # Failures until it disconnects.
//! attempts = 6
//! # Of keyboard-interactive; `{user}` stands for the user name. `Password: ` if left out.
//! prompt = "({user}@gateway) Password: "
//! # The text of USERAUTH_BANNER; none if left out.
//! banner = "Authorised use only\n"
//! # A slash in a user name begins a role, which is no part of the name: patched into sshd by Debian, Ubuntu and
//! # Red Hat for SELinux. `false` if left out.
//! roles = true
//!
//! # With their line ends.
//! [text]
//! bad_identification = "Invalid SSH identification string.\r\n"
//! other_protocol = "Protocol major versions differ.\r\n"
//! # Of the DISCONNECT.
//! too_many_attempts = "Too many authentication failures"
//!
//! # How long an answer to a failure takes, in milliseconds: measured values in ascending order, between which it is drawn.
//! [delay]
//! # Where a password is tried.
//! password = [1510.0, 1874.0, 2013.0, 2496.0]
//! # Where nothing is: `none`, keys, methods that it has not.
//! other = [0.5, 2.1]
//! # sshd has a unit for each user name, drawn from here, and makes the answer wait until that unit, doubled as often as
//! # needed, is over (`ensure_minimum_time_since` of auth2.c). No such rounding if left out.
//! unit = [5.0, 9.2]
//! # From connection to identification: sshd starts a process for each. At once if left out.
//! greeting = [7.1, 9.8]
//! ```

mod delay;
mod file;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use unmasq_diagnostic::{ConfigError, Invalid};
use unmasq_ssh::{Hassh, Identification, KexInit, List};

use crate::hostkey::{HostKeys, KeyKind};
pub use crate::kex::moduli::{BadModuli, Moduli};
use crate::random::{self, NoRandomness};
pub use delay::Delays;
pub(crate) use delay::Failure;

/// What a server looks like. Every algorithm in it can be spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) identification: Identification,
    pub(crate) host_keys: Vec<KeyKind>,
    pub(crate) kexinit: KexInit,
    pub(crate) hassh: Arc<Hassh>,
    pub(crate) extensions: Vec<(String, String)>,
    pub(crate) authentication: Authentication,
    pub(crate) text: Texts,
    pub(crate) delay: Delays,
    pub(crate) moduli: Arc<Moduli>,
}

/// How it authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// As they stand in USERAUTH_FAILURE.
    pub methods: Vec<String>,
    /// Failures until it disconnects, from 1 (MaxAuthTries of sshd).
    pub attempts: u32,
    /// Of keyboard-interactive; `{user}` stands for the user name.
    pub prompt: String,
    /// The text of USERAUTH_BANNER, sent before the answer to the first request.
    pub banner: Option<String>,
    /// A slash in a user name begins a role, which is no part of the name.
    pub has_roles: bool,
}

/// What it says when it ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// To something that is no identification; with its line end.
    pub bad_identification: String,
    /// To an identification of another protocol version; with its line end.
    pub other_protocol: String,
    /// In the DISCONNECT after too many failures.
    pub too_many_attempts: String,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ProfileError(#[from] ConfigError);

/// A line that no server of protocol 2.0 begins with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(String);

impl Profile {
    /// Debian 12's sshd with Debian's configuration, as captured.
    pub fn debian_12() -> Self {
        static DEBIAN: std::sync::LazyLock<Profile> = std::sync::LazyLock::new(|| {
            let text = include_str!("../../profiles/openssh-9.2p1-debian-12.toml");
            Profile::parse(text, Path::new("openssh-9.2p1-debian-12.toml"))
                .expect("the profile is part of the program and read in its tests")
        });
        DEBIAN.clone()
    }

    /// From a file.
    ///
    /// # Errors
    /// If it cannot be read, or says what a profile cannot: where and why.
    pub fn load(file: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(file)
            .map_err(|reason| ConfigError::Read { file: file.to_owned(), reason })?;
        Self::parse(&text, file)
    }

    /// From a file's text; `file` is named in errors.
    ///
    /// # Errors
    /// If it says what a profile cannot: where and why.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ProfileError> {
        file::parse(text).map_err(|problems| ConfigError::Invalid(Invalid::new(file, text, problems)).into())
    }

    /// The line that it begins with.
    pub fn identification(&self) -> &Identification {
        &self.identification
    }

    /// The kinds of host keys that it has.
    pub fn host_keys(&self) -> &[KeyKind] {
        &self.host_keys
    }

    /// Its KEXINIT, with a cookie of zeros. Host key algorithms that no key is there for are not sent.
    pub fn kexinit(&self) -> &KexInit {
        &self.kexinit
    }

    /// Its hasshServer.
    pub fn hassh(&self) -> &Arc<Hassh> {
        &self.hassh
    }

    /// What its EXT_INFO says: names and values.
    pub fn extensions(&self) -> &[(String, String)] {
        &self.extensions
    }

    /// How it authenticates.
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// What it says when it ends a connection.
    pub fn text(&self) -> &Texts {
        &self.text
    }

    /// How long an answer to a failure takes.
    pub fn delay(&self) -> &Delays {
        &self.delay
    }

    /// The primes of group exchanges. They are no part of the file.
    pub fn moduli(&self) -> &Moduli {
        &self.moduli
    }

    /// With another identification; lists and all else stay.
    ///
    /// # Errors
    /// If the line is none of protocol 2.0.
    pub fn with_identification(self, line: &str) -> Result<Self, BadLine> {
        let identification = file::identification(line).map_err(BadLine)?;
        Ok(Self { identification, ..self })
    }

    /// With other methods, texts and limits of authentication. Names of methods are printable ASCII without comma.
    #[must_use]
    pub fn with_authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// With the primes of a moduli file: sshd has one, so a server that is to be taken for sshd should, too.
    #[must_use]
    pub fn with_moduli(self, moduli: Moduli) -> Self {
        Self { moduli: Arc::new(moduli), ..self }
    }

    /// The KEXINIT of a server with these keys, with a new cookie.
    pub(crate) fn kexinit_with(&self, keys: &HostKeys) -> Result<KexInit, NoRandomness> {
        let mut kexinit = self.kexinit.clone();
        let spoken: Vec<&str> =
            self.kexinit.names(List::HostKey).filter(|name| keys.for_algorithm(name).is_some()).collect();
        kexinit.lists[List::HostKey as usize] = spoken.join(",");
        kexinit.cookie = random::bytes()?;
        Ok(kexinit)
    }
}

/// The file's text: what [`Profile::parse`] reads as the same.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        file::write(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_profile_has_the_fingerprint_of_the_real_one() {
        assert_eq!(Profile::debian_12().hassh().hash, "425d29fe50d8e4f5e37efb6e24bcf660");
    }

    #[test]
    fn a_profile_may_have_another_identification() {
        let profile = Profile::debian_12().with_identification("SSH-2.0-OpenSSH_6.6.1p1 Debian-5").unwrap();
        assert_eq!(profile.identification().software(), "OpenSSH_6.6.1p1 Debian-5");
        assert_eq!(profile.hassh(), Profile::debian_12().hassh());
        for line in ["SSH-1.5-x", "x", "SSH-2.0-x\r\n", ""] {
            assert!(Profile::debian_12().with_identification(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_written_profile_is_read_as_the_same() {
        let profile = Profile::debian_12();
        assert_eq!(Profile::parse(&profile.to_string(), Path::new("x")).unwrap(), profile);
    }
}
