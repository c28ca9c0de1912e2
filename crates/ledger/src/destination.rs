//! Destinations as 16 keyed bits: enough to check a given one, useless to browse.
//!
//! The key is the stream's own, random, in a file that only its owner can read. Without it the bits say nothing; with
//! it a stated server can be compared, and one in 65,536 others matches by chance.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use siphasher::sip::SipHasher24;
use unmasq_flow::{Destination, DestinationPolicy, Endpoint, Flow, Selector};

use crate::{LedgerError, layout};

/// The key of a stream's destination hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DestinationKey([u8; 16]);

impl std::fmt::Debug for DestinationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DestinationKey(…)")
    }
}

impl DestinationKey {
    /// The stream's key, made if there is none.
    pub(crate) fn create(stream: &Path) -> Result<Self, LedgerError> {
        if let Some(key) = Self::read(stream)? {
            return Ok(key);
        }
        let mut key = [0; 16];
        let random = Path::new("/dev/urandom");
        File::open(random)
            .and_then(|mut file| file.read_exact(&mut key))
            .map_err(LedgerError::io("read", random))?;
        let path = stream.join(layout::SECRET);
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(LedgerError::io("create", &path))?;
        File::open(stream)
            .and_then(|directory| directory.sync_all())
            .map_err(LedgerError::io("sync", stream))?;
        Ok(Self(key))
    }

    /// The stream's key, if it has one.
    pub(crate) fn read(stream: &Path) -> Result<Option<Self>, LedgerError> {
        let path = stream.join(layout::SECRET);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LedgerError::io("read", &path)(error)),
        };
        u128::from_str_radix(text.trim(), 16).ok().filter(|_| text.trim().len() == 32).map_or_else(
            || {
                Err(LedgerError::Damaged {
                    path,
                    what: "it must hold 32 hex digits; restore it from a backup".to_owned(),
                })
            },
            |key| Ok(Some(Self(key.to_be_bytes()))),
        )
    }

    /// The 16 bits of an endpoint.
    pub fn hash(self, endpoint: Endpoint) -> u16 {
        let kind = match endpoint.selector {
            Selector::None => 0,
            Selector::Port(_) => 1,
            Selector::Id(_) => 2,
        };
        let [high, low] = endpoint.selector.number().unwrap_or(0).to_be_bytes();
        // The bytes are spelt out: how std hashes a value may change, and what was stored must stay comparable.
        let mut bytes = vec![kind, high, low];
        match endpoint.address {
            IpAddr::V4(v4) => bytes.extend(v4.octets()),
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
        SipHasher24::new_with_key(&self.0).hash(&bytes) as u16
    }

    /// Can the destination be this endpoint? `None` if nothing of it was kept.
    pub fn can_be(self, destination: Destination, endpoint: Endpoint) -> Option<bool> {
        match destination {
            Destination::Kept(kept) => Some(endpoint.covers(kept)),
            Destination::Hashed(bits) => Some(self.hash(endpoint) == bits),
            Destination::Omitted => None,
        }
    }
}

/// What a writer does with destinations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keeper {
    Keep,
    Hash(DestinationKey),
    Drop,
}

impl Keeper {
    pub(crate) fn new(policy: DestinationPolicy, stream: &Path) -> Result<Self, LedgerError> {
        Ok(match policy {
            DestinationPolicy::Keep => Self::Keep,
            DestinationPolicy::Hash => Self::Hash(DestinationKey::create(stream)?),
            DestinationPolicy::Drop => Self::Drop,
        })
    }

    /// The flow as it may be stored, if that differs from what it is.
    pub(crate) fn reduce(self, flow: &Flow) -> Option<Flow> {
        let reduce = |destination: Destination| match (self, destination) {
            (Self::Keep, _) => destination,
            (Self::Hash(key), Destination::Kept(endpoint)) => Destination::Hashed(key.hash(endpoint)),
            (Self::Hash(_), already) => already,
            (Self::Drop, _) => Destination::Omitted,
        };
        if matches!(self, Self::Keep) {
            return None;
        }
        Some(Flow { target: reduce(flow.target), server: reduce(flow.server), ..flow.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_the_owners_alone_and_stays() {
        let stream = tempfile::tempdir().unwrap();
        let key = DestinationKey::create(stream.path()).unwrap();
        assert_eq!(DestinationKey::create(stream.path()).unwrap(), key);
        let mode = fs::metadata(stream.path().join(layout::SECRET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(DestinationKey::create(tempfile::tempdir().unwrap().path()).unwrap(), key);
    }

    #[test]
    fn a_given_destination_can_be_checked() {
        let key = DestinationKey([7; 16]);
        let server = Endpoint::v4([198, 51, 100, 7], 443);
        let hashed = Destination::Hashed(key.hash(server));
        assert_eq!(key.can_be(hashed, server), Some(true));
        assert_eq!(key.can_be(hashed, Endpoint::v4([198, 51, 100, 7], 80)), Some(false));
        assert_eq!(key.can_be(Destination::Omitted, server), None);
        let others =
            (0..65_535u16).filter(|port| key.hash(Endpoint::v4([10, 0, 0, 1], *port)) == key.hash(server));
        assert!(others.count() < 12, "16 bits match one in 65,536");
        // Fixed, or what was stored yesterday could not be compared today.
        assert_eq!(key.hash(server), 0x31e8);
    }
}
