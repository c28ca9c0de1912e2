//! What may be named in place of addresses and ports: an interface, the kernel's own settings.

use std::fmt;
use std::str::FromStr;

use unmasq_plan::{NotPorts, NotPublic, PortRange, PublicRange};

/// Public addresses, or the interface that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicChoice {
    /// These.
    Range(PublicRange),
    /// The first address of this interface.
    Interface(String),
}

impl FromStr for PublicChoice {
    type Err = NotPublic;

    fn from_str(text: &str) -> Result<Self, NotPublic> {
        text.parse().map(Self::Range).or_else(|refused| {
            // Nothing that looks like a misspelt address.
            let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
            text.parse()
                .ok()
                .filter(|_| begins_well)
                .map_or(Err(refused), |InterfaceName(name)| Ok(Self::Interface(name)))
        })
    }
}

/// The name of a network interface, as it can stand in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceName(pub(crate) String);

/// A text that is no name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of an interface: up to 15 letters, digits, '-', '_', '.' and '@', not beginning with '-' or '.' \
     (a pattern is none)"
)]
pub(crate) struct NotInterface(String);

impl FromStr for InterfaceName {
    type Err = NotInterface;

    fn from_str(text: &str) -> Result<Self, NotInterface> {
        // Of what dev_valid_name() of net/core/dev.c allows, what neither nft nor iptables takes for more than itself: both
        // have patterns (`wan*`, `wan+`), and one has quotes.
        let is_name = (1..16).contains(&text.len())
            && !text.starts_with(['-', '.'])
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotInterface(text.chars().take(64).collect())) }
    }
}

/// Ports to keep out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// These.
    Range(PortRange),
    /// Those that the gateway's kernel takes for its own connections, and those that it was told to leave alone.
    Kernel,
    /// None at all.
    None,
}

impl FromStr for Exclusion {
    type Err = NotPorts;

    fn from_str(text: &str) -> Result<Self, NotPorts> {
        match text {
            "kernel" => Ok(Self::Kernel),
            "none" => Ok(Self::None),
            other => other.parse().map(Self::Range),
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Kernel => f.write_str("kernel"),
            Self::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_address_is_no_interface() {
        assert_eq!("wg0".parse(), Ok(PublicChoice::Interface("wg0".to_owned())));
        assert!(matches!("203.0.113.1".parse(), Ok(PublicChoice::Range(_))));
        for text in ["203.0.113", "203.0.113.256", "2001:db8::1", "", "a-name-that-is-too-long"] {
            assert!(text.parse::<PublicChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_more_than_a_name_in_a_rule_is_none() {
        for text in ["wan", "eth0.100", "0", "fifteen-letters"] {
            assert_eq!(text.parse(), Ok(InterfaceName(text.to_owned())), "{text}");
        }
        for text in ["", "wan*", "wan+", "a\"b", "a b", "-o", "..", "a/b", "a;b", "sixteen-letters-", "wän"]
        {
            assert!(text.parse::<InterfaceName>().is_err(), "{text}");
        }
    }
}
