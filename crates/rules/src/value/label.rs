//! Names of sets, tables and zones, and what a log entry begins with.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, cut};
use crate::macros::keywords::is_of_nft;

/// A letter, then letters, digits, `_` and `-`: what nft and iptables both take for a name.
fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:path, $is_good:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let is_good: fn(&str) -> bool = $is_good;
                if is_good(text) { Ok(Self(text.into())) } else { Err($error(cut(text))) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a service.
    Label,
    ValueError::Label,
    |text| is_word(text, 30)
);

name!(
    /// The name of a set or a table: none of nft's own words, and at most 30 characters, so that with one more it is an ipset's
    /// too.
    SetName,
    ValueError::SetName,
    |text| is_word(text, 30) && !is_of_nft(text)
);

name!(
    /// The name of a zone. With two letters before it, it is a chain's, which iptables limits to 28 characters.
    ZoneName,
    ValueError::ZoneName,
    |text| is_word(text, 26)
);

name!(
    /// What a log entry begins with.
    Prefix,
    ValueError::Prefix,
    |text| (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-.,:;/()[]=#@+".contains(&byte))
);

impl Prefix {
    /// One and a space and more words, cut where iptables would refuse them.
    pub(crate) fn with(&self, words: &str) -> String {
        format!("{self} {words}").chars().take(63).collect()
    }

    /// How many characters.
    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zones_name_fits_into_a_chain_of_iptables() {
        let longest = "abcdefghijklmnopqrstuvwxyz";
        assert_eq!(format!("LO{}", longest.parse::<ZoneName>().unwrap()).len(), 28);
        for bad in ["", "0a", "-a", "a b", "a;", "abcdefghijklmnopqrstuvwxyz0", "zöne"] {
            assert!(bad.parse::<ZoneName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sets_name_is_no_word_of_nft() {
        assert!("libssh".parse::<SetName>().is_ok() && "nat".parse::<SetName>().is_ok());
        for bad in ["set", "table", "ip", "inet", "tcp", "fwd", "1a", "a.b"] {
            assert!(bad.parse::<SetName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_has_nothing_that_ends_a_string() {
        assert!("DNAT/ssh: ".parse::<Prefix>().is_ok());
        for bad in ["", "a\"b", "a\\", "a\nb", "$x", "`", &"x".repeat(64)] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?}");
        }
    }
}
