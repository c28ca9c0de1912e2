//! The path of a set: family, table, name, by the rules of nft's own grammar.

use std::fmt;
use std::str::FromStr;

/// Longest name of a table or a set, in bytes: `NFT_NAME_MAXLEN` of linux/netfilter/nf_tables.h, less its NUL.
const LONGEST: usize = 255;

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 packets.
    Ip,
    /// IPv6 packets.
    Ip6,
    /// Both.
    Inet,
    /// ARP packets.
    Arp,
    /// What crosses a bridge.
    Bridge,
    /// What comes into a device.
    Netdev,
}

impl Family {
    const ALL: [Self; 6] = [Self::Ip, Self::Ip6, Self::Inet, Self::Arp, Self::Bridge, Self::Netdev];

    /// As nft writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }

    /// `NFPROTO_…` of linux/netfilter.h.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.number() == number)
    }
}

/// Names a set of nftables: `inet filter bans`. Without a family it is `ip`, as for nft.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId {
    family: Family,
    table: Box<str>,
    set: Box<str>,
}

/// A text that names no set of nftables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetIdError {
    /// Not two or three words.
    #[error("{0:?} is not \"family table set\", such as \"inet filter bans\"")]
    Words(String),
    /// The first of three words is no family.
    #[error("{0:?} is not a family of tables: it is one of ip, ip6, inet, arp, bridge, netdev")]
    Family(String),
    /// nft could not have made a table or set of that name.
    #[error(
        "{0:?} cannot be a name in nftables: a letter, `_` or `.` comes first, then up to 254 letters, digits or \
         `_ . - /`"
    )]
    Name(String),
}

impl SetId {
    /// From its parts; the names are checked.
    pub fn new(family: Family, table: &str, set: &str) -> Result<Self, SetIdError> {
        for name in [table, set] {
            if !is_name(name) {
                return Err(SetIdError::Name(cut(name)));
            }
        }
        Ok(Self { family, table: table.into(), set: set.into() })
    }

    /// The family of its table.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The name of its table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Its own name.
    pub fn set(&self) -> &str {
        &self.set
    }
}

/// `string` of nft's scanner.l.
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.');
    let is_next = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    bytes.len() <= LONGEST && bytes.first().is_some_and(is_first) && bytes.iter().all(is_next)
}

/// As much of a wrong text as a message needs.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for SetId {
    type Err = SetIdError;

    fn from_str(text: &str) -> Result<Self, SetIdError> {
        let words: Vec<&str> = text.split_ascii_whitespace().take(4).collect();
        let (family, table, set) = match words[..] {
            [table, set] => (Family::Ip, table, set),
            [word, table, set] => {
                let family = Family::ALL.into_iter().find(|family| family.as_str() == word);
                (family.ok_or_else(|| SetIdError::Family(cut(word)))?, table, set)
            }
            _ => return Err(SetIdError::Words(cut(text))),
        };
        Self::new(family, table, set)
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family.as_str(), self.table, self.set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_is_named_by_family_table_and_name() {
        let id: SetId = "inet filter bans".parse().unwrap();
        assert_eq!((id.family(), id.table(), id.set()), (Family::Inet, "filter", "bans"));
        assert_eq!("filter bans".parse::<SetId>().unwrap(), "ip  filter\tbans".parse().unwrap());
        assert!("ip _t.1 a-b/c".parse::<SetId>().is_ok());
    }

    #[test]
    fn what_nft_could_not_have_made_is_no_name() {
        assert!(matches!("bans".parse::<SetId>(), Err(SetIdError::Words(_))));
        assert!(matches!("ip a b c".parse::<SetId>(), Err(SetIdError::Words(_))));
        assert!(matches!("ipv4 filter bans".parse::<SetId>(), Err(SetIdError::Family(_))));
        let long = format!("ip filter {}", "x".repeat(256));
        for text in
            ["ip filter 4bans", "ip filter ban;s", "ip {a} b", "ip fil\u{e9} b", "ip a b\0", long.as_str()]
        {
            assert!(matches!(text.parse::<SetId>(), Err(SetIdError::Name(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(text in "\\PC{0,40}|(ip6? |inet )?[a-z]{1,3} [a-z_.][a-z0-9/_.-]{0,4}") {
            if let Ok(id) = text.parse::<SetId>() {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
    }
}
