//! What a set is like: its type, its flags, its limits.

use std::fmt;
use std::time::Duration;

use super::Member;
use super::kernel::{NFGENMSG, key_type, set};
use crate::conntrack::ParseError;
use crate::wire::{Attributes, Message};

/// The type of a set's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// `ipv4_addr`.
    Ipv4,
    /// `ipv6_addr`.
    Ipv6,
    /// `ipv4_addr . inet_service`.
    Ipv4Port,
    /// `ipv6_addr . inet_service`.
    Ipv6Port,
    /// Something else.
    Other {
        /// nft's number for it.
        number: u32,
        /// Its length in bytes.
        length: u32,
    },
}

impl KeyType {
    fn new(number: u32, length: u32) -> Self {
        const fn with_port(address: u32) -> u32 {
            address << key_type::BITS | key_type::INET_SERVICE
        }
        match (number, length) {
            (key_type::IPV4_ADDR, 4) => Self::Ipv4,
            (key_type::IPV6_ADDR, 16) => Self::Ipv6,
            // Each part takes whole words of 32 bits.
            (number, 8) if number == with_port(key_type::IPV4_ADDR) => Self::Ipv4Port,
            (number, 20) if number == with_port(key_type::IPV6_ADDR) => Self::Ipv6Port,
            _ => Self::Other { number, length },
        }
    }

    /// The type that a set needs to hold the member.
    pub const fn of(member: &Member) -> Self {
        match (member.first().is_ipv4(), member.ports()) {
            (true, None) => Self::Ipv4,
            (true, Some(_)) => Self::Ipv4Port,
            (false, None) => Self::Ipv6,
            (false, Some(_)) => Self::Ipv6Port,
        }
    }

    /// As nft writes it; of other types the most usual have their name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Ipv4Port => "ipv4_addr . inet_service",
            Self::Ipv6Port => "ipv6_addr . inet_service",
            Self::Other { number, .. } => match number {
                9 => "ether_addr",
                12 => "inet_proto",
                13 => "inet_service",
                19 => "mark",
                41 => "ifname",
                _ => "keys of another type",
            },
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is called a set in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A set.
    Set,
    /// A set with `flags constant`: it cannot be changed.
    ConstantSet,
    /// A map, or a map of objects.
    Map,
}

/// What a set is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// The type of its keys.
    pub key: KeyType,
    /// `flags timeout`: elements can end by themselves.
    pub has_timeout: bool,
    /// `flags interval`: it can hold networks and ranges.
    pub is_interval: bool,
    /// A set, or something like one.
    pub form: Form,
    /// Most elements; `None` for no limit of its own.
    pub size: Option<u32>,
    /// For how long an element stays that says nothing of its own; `None` for ever.
    pub default_timeout: Option<Duration>,
}

/// Reads the body of a `NFT_MSG_NEWSET`.
pub(super) fn parse(message: &Message<'_>) -> Result<SetInfo, ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    let attributes = message.body.get(NFGENMSG..).ok_or(short)?;
    let (mut flags, mut number, mut length, mut size, mut timeout) = (0, None, None, None, 0);
    for attribute in Attributes(attributes) {
        let attribute = attribute?;
        match attribute.kind {
            set::FLAGS => flags = attribute.be32("NFTA_SET_FLAGS")?,
            set::KEY_TYPE => number = Some(attribute.be32("NFTA_SET_KEY_TYPE")?),
            set::KEY_LENGTH => length = Some(attribute.be32("NFTA_SET_KEY_LEN")?),
            set::TIMEOUT => timeout = attribute.be64("NFTA_SET_TIMEOUT")?,
            set::DESCRIPTION => {
                for inner in attribute.nested() {
                    let inner = inner?;
                    if inner.kind == set::DESCRIPTION_SIZE {
                        size = Some(inner.be32("NFTA_SET_DESC_SIZE")?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(SetInfo {
        key: KeyType::new(
            // A set that was not made by nft may have no number.
            number.unwrap_or(0),
            length.ok_or(ParseError::Missing("NFTA_SET_KEY_LEN"))?,
        ),
        has_timeout: flags & set::FLAG_TIMEOUT != 0,
        is_interval: flags & set::FLAG_INTERVAL != 0,
        form: if flags & (set::FLAG_MAP | set::FLAG_OBJECT) != 0 {
            Form::Map
        } else if flags & set::FLAG_CONSTANT != 0 {
            Form::ConstantSet
        } else {
            Form::Set
        },
        size: size.filter(|size| *size > 0),
        default_timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
    })
}
