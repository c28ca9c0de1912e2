//! The name of a set of either kind.

use std::fmt;

use serde::{Deserialize, Serialize};
use unmasq_netfilter::ipset;
use unmasq_netfilter::sets::{SetId, SetIdError};

/// Which of the kernel's two kinds of set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetKind {
    /// A set of nftables.
    Nft,
    /// An ipset, as iptables uses them.
    Ipset,
}

impl SetKind {
    /// `nft` or `ipset`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Ipset => "ipset",
        }
    }
}

/// Names a set that elements are put into. Its text in saved state is the kind, a space and the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SetName {
    /// A set of nftables: family, table and name.
    Nft(SetId),
    /// An ipset.
    Ipset(ipset::Name),
}

/// A text that names no set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetNameError {
    /// As a set of nftables.
    #[error(transparent)]
    Nft(#[from] SetIdError),
    /// As an ipset.
    #[error(transparent)]
    Ipset(#[from] ipset::NameError),
    /// In saved state, without its kind.
    #[error("{0:?} begins neither with \"nft \" nor with \"ipset \"")]
    Kind(String),
}

impl SetName {
    /// Reads a name of that kind: `inet filter bans` or `filter bans` for nftables, `bans` for an ipset.
    pub fn parse(kind: SetKind, text: &str) -> Result<Self, SetNameError> {
        Ok(match kind {
            SetKind::Nft => Self::Nft(text.parse()?),
            SetKind::Ipset => Self::Ipset(text.parse()?),
        })
    }

    /// Which kind it is.
    pub const fn kind(&self) -> SetKind {
        match self {
            Self::Nft(_) => SetKind::Nft,
            Self::Ipset(_) => SetKind::Ipset,
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nft(id) => id.fmt(f),
            Self::Ipset(name) => name.fmt(f),
        }
    }
}

impl TryFrom<String> for SetName {
    type Error = SetNameError;

    fn try_from(text: String) -> Result<Self, SetNameError> {
        match text.split_once(' ') {
            Some(("nft", name)) => Self::parse(SetKind::Nft, name),
            Some(("ipset", name)) => Self::parse(SetKind::Ipset, name),
            _ => Err(SetNameError::Kind(text.chars().take(80).collect())),
        }
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> Self {
        format!("{} {name}", name.kind().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_saved_state_is_read_as_it_was() {
        let nft = SetName::parse(SetKind::Nft, "filter bans").unwrap();
        let ipset = SetName::parse(SetKind::Ipset, "bans").unwrap();
        for (name, text) in [(nft, "\"nft ip filter bans\""), (ipset, "\"ipset bans\"")] {
            assert_eq!(serde_json::to_string(&name).unwrap(), text);
            assert_eq!(serde_json::from_str::<SetName>(text).unwrap(), name);
        }
        for text in ["\"bans\"", "\"nft bans\"", "\"ipset a b\"", "\"set a b\""] {
            assert!(serde_json::from_str::<SetName>(text).is_err(), "{text}");
        }
    }
}
