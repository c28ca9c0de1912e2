//! What a ruleset is made of, as types that cannot be wrong: whoever has one may print it into a ruleset.
//!
//! Nothing that a file or a flag says gets into a ruleset as it stands. It is read into one of these first, and these take
//! no character that nft or iptables-restore could read as anything but itself.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Visitor;

mod destination;
mod interface;
mod label;
mod mark;
mod network;
mod ports;
mod rate;
mod transport;

pub use destination::{Destination, Honeypot};
pub use interface::Interface;
pub use label::{Label, Prefix, SetName, ZoneName};
pub use mark::{Mark, Queues};
pub use network::{Network, by_family};
pub use ports::Ports;
pub use rate::Rate;
pub use transport::Transport;

/// A text that is no such value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// No interface has, or should have, such a name.
    #[error(
        "{0:?} is not an interface: 1 to 15 letters, digits, '.', '_' and '-', such as \"lan0\" or \"eth0.100\"; an interface \
         that comes later is named all the same"
    )]
    Interface(String),
    /// No service can have such a name.
    #[error("{0:?} is not a name: a letter, then up to 29 letters, digits, '_' and '-'")]
    Label(String),
    /// No set or table can have such a name everywhere.
    #[error(
        "{0:?} is not a name for a set or a table: a letter, then up to 29 letters, digits, '_' and '-', and no word that nft \
         understands itself, such as \"set\" or \"tcp\""
    )]
    SetName(String),
    /// No zone can have such a name: `LO` and the name must fit into a chain of iptables.
    #[error("{0:?} is not a zone's name: a letter, then up to 25 letters, digits, '_' and '-'")]
    ZoneName(String),
    /// Not what a packet can be logged with.
    #[error(
        "{0:?} is not a prefix for log entries: 1 to 63 letters, digits, spaces and any of _-.,:;/()[]=#@+ (iptables takes no \
         more)"
    )]
    Prefix(String),
    /// No port or range of ports.
    #[error("{0:?} is not a port or a range of ports from 1 to 65535, such as 22 or \"8000-8010\"")]
    Ports(String),
    /// No network.
    #[error("{0:?} is not an address or a network, such as \"192.168.1.0/24\" or \"fd00:1::/64\"")]
    Network(String),
    /// An address with a length that is not its own.
    #[error("{text:?} has bits set beyond its length; the network is {meant:?}")]
    HostBits {
        /// What was written.
        text: String,
        /// The network that the address is in.
        meant: String,
    },
    /// Nowhere that a connection can be sent.
    #[error(
        "{0:?} is not an address, or an address and a port, such as \"10.0.0.2\", \"10.0.0.2:22\" or \"[fd00::2]:22\""
    )]
    Destination(String),
    /// No place of a honeypot.
    #[error(
        "{0:?} is not an address and a port, or a port of this host, such as \"192.168.1.1:2200\", \"[fd00::2]:2200\" or 2200"
    )]
    Honeypot(String),
    /// No such transport.
    #[error("{0:?} is neither tcp nor udp")]
    Transport(String),
    /// No mark.
    #[error("{0:?} is not a mark: bits of a number of 32 bits, at least one, such as 1 or 0x100")]
    Mark(String),
    /// No range of queues.
    #[error(
        "{0:?} is not a queue or a range of queues from 0 to 65535, at most 65535 of them, such as 0 or 0-3"
    )]
    Queues(String),
    /// No rate.
    #[error("{0:?} is not a rate: a number from 1 to 10000 per second or minute, such as \"10/second\"")]
    Rate(String),
}

/// As much of a wrong text as a message needs.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

/// One as it is, several as an nft set: `22`, `{ 22, 80 }`.
pub fn one_or_set<T: ToString>(items: &[T]) -> String {
    match items {
        [one] => one.to_string(),
        _ => format!("{{ {} }}", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Reads a value by its `FromStr`, within the reading of the text: so an error is marked where the text is, in a list too.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = ValueError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! read_from_text {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Text(PhantomData))
            }
        }
    )+};
}
read_from_text!(Interface, Label, Prefix, ZoneName, Network, Rate);
