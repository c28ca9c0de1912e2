//! What may be named in place of addresses and ports: an interface, the kernel's own settings.

use std::fmt;
use std::str::FromStr;

use unmasq_plan::{NotPorts, NotPublic, PortRange, PublicRange};
use unmasq_rules::value::Interface;

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
            text.parse::<Interface>()
                .ok()
                .filter(|_| begins_well)
                .map_or(Err(refused), |name| Ok(Self::Interface(name.to_string())))
        })
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
}
