//! The name of an ipset.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: `IPSET_MAXNAMELEN` of linux/netfilter/ipset/ip_set.h, less its NUL.
const LONGEST: usize = 31;

/// Names an ipset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

/// A text that names no ipset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of an ipset: that is 1 to 31 printable ASCII characters without spaces")]
pub struct NameError(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.into())) } else { Err(NameError(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_printable_and_one_word() {
        assert_eq!("f2b-sshd:4".parse::<Name>().unwrap().as_str(), "f2b-sshd:4");
        for text in ["", "a b", "a\n", "\u{e9}", "a\0b", &"x".repeat(32)] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}
