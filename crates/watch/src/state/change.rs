//! One transaction: what changed, in order.
//!
//! ```text
//! transaction := sequence(varint) synced(varint) clock(zigzag) change*        postcard
//! ```
//!
//! `sequence` counts transactions over all logs. `synced` says how many bytes of this log were known to be on the disk
//! when the transaction was written: damage before that point is damage, behind it can be a power cut. `clock` is the
//! engine's time, moved on by `Change::Clock`.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

use crate::bans::{Ban, Offence, SetKind};
use crate::client::Capture;
use crate::counters::{CategoryId, Key};
use crate::report::Event;

/// Bytes that postcard copies at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Bytes<'a>(#[serde(borrow)] pub(super) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A network as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Net {
    address: std::net::IpAddr,
    bits: u8,
}

impl From<IpNet> for Net {
    fn from(net: IpNet) -> Self {
        Self { address: net.network(), bits: net.prefix_len() }
    }
}

impl Net {
    pub(super) fn net(self) -> Option<IpNet> {
        IpNet::new(self.address, self.bits).ok()
    }
}

/// A ban as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BanRecord<'a> {
    kind: SetKind,
    set: &'a str,
    target: Net,
    port: Option<u16>,
    since: Timestamp,
    until: Option<Timestamp>,
    by: &'a str,
}

impl<'a> BanRecord<'a> {
    pub(super) fn of(ban: &'a Ban) -> Self {
        Self {
            kind: ban.kind,
            set: &ban.set,
            target: ban.target.into(),
            port: ban.port,
            since: ban.since,
            until: ban.until,
            by: &ban.by,
        }
    }

    pub(super) fn ban(&self) -> Option<Ban> {
        Some(Ban {
            kind: self.kind,
            set: self.set.into(),
            target: self.target.net()?,
            port: self.port,
            since: self.since,
            until: self.until,
            by: self.by.into(),
        })
    }
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change<'a> {
    /// The engine's time moved on by so many nanoseconds.
    Clock(i64),
    /// The first change of all: the state's random name.
    Instance([u8; 16]),
    /// A counter was raised.
    Raise { category: CategoryId, key: Key, keep: Option<Duration> },
    /// A counter was reset.
    Reset { category: CategoryId, key: Key, grace: Option<Duration> },
    /// The next category's name.
    Category(&'a str),
    /// The report has one more event.
    #[serde(borrow)]
    Event(Event<'a>),
    /// The report up to here was sent, and a new one begins.
    ReportSent(Timestamp),
    /// The first report begins; what was told before belongs to it.
    ReportBegins(Timestamp),
    /// A ban was placed or extended.
    #[serde(borrow)]
    Ban(BanRecord<'a>),
    /// A ban was lifted.
    Unban { kind: SetKind, set: &'a str, target: Net, port: Option<u16> },
    /// Somebody was banned so often.
    Offence(Net, Offence),
    /// A log line told of a translation.
    Capture(Capture),
    /// An entry waits.
    WaitAdded(u64, Bytes<'a>),
    /// An entry waits no more.
    WaitEnded(u64),
    /// A mail got the next number.
    Mail,
    /// A source was read up to here.
    Position(&'a str, Bytes<'a>),
}

/// Appends a value; memory takes all there is to write.
pub(super) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    match postcard::to_extend(value, std::mem::take(out)) {
        Ok(longer) => *out = longer,
        // Only values that cannot be said in postcard at all end here, of which there is none among ours.
        Err(error) => unreachable!("a change is always written: {error}"),
    }
}

/// A transaction that was read.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    pub(super) sequence: u64,
    pub(super) synced: u64,
    pub(super) clock: Timestamp,
    rest: &'a [u8],
}

impl<'a> Transaction<'a> {
    pub(super) fn read(payload: &'a [u8]) -> postcard::Result<Self> {
        let ((sequence, synced, clock), rest) = postcard::take_from_bytes(payload)?;
        Ok(Self { sequence, synced, clock, rest })
    }

    /// The changes in order; the first error ends them.
    pub(super) fn changes(&self) -> impl Iterator<Item = postcard::Result<Change<'a>>> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let taken = postcard::take_from_bytes(rest);
            rest = taken.as_ref().map_or(&[], |(_, rest)| rest);
            Some(taken.map(|(change, _)| change))
        })
    }
}
