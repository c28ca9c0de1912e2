//! One record of the index: 192 bytes, little-endian.
//!
//! ```text
//!   0 crc32 of the rest      4 kind   5 flags   6 layout   7 format   8 revision u64
//!  16 wall clock i64 ns     24 boot clock u64 ns            32 boot id (16)
//!  48 until i64 ns (drift) or seconds that old flows may live (a revision)
//!  56 clients u32           60 ports of a client u32        64 protocols u8, reason u8, name's number u16, 4 zeros
//!  72 name's time i64 s     80 16 zeros
//!  96 SHA-256 of the rows  128 SHA-256 of the rules file   160 SHA-256 of the chain so far and bytes 4 to 160
//! ```

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use unmasq_flow::Timestamp;

use crate::plan::{Layout, ProtocolSet};

/// The time in a name is that of the second in which the file was written; the rules were loaded right after.
pub(super) const LOADED_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of a record.
pub(super) const LENGTH: usize = 192;

/// A SHA-256.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The clocks when something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Since boot, suspend included.
    pub boot: Duration,
    /// Which boot (`/proc/sys/kernel/random/boot_id`); zeros if that is not known.
    pub boot_id: [u8; 16],
}

impl Moment {
    /// A time of which nothing else is known.
    pub const fn wall_only(wall: Timestamp) -> Self {
        Self { wall, boot: Duration::ZERO, boot_id: [0; 16] }
    }

    /// Is the boot known?
    pub(super) fn is_known(self) -> bool {
        self.boot_id != [0; 16]
    }

    /// How long it was until a later moment of the same boot. `None` if that cannot be told.
    pub fn until(self, later: Self) -> Option<Duration> {
        (self.is_known() && self.boot_id == later.boot_id)
            .then(|| later.boot.checked_sub(self.boot))
            .flatten()
    }
}

/// In which form the rules were loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `rules.v4.<unix time>`.
    Iptables,
    /// `rules.nft.<unix time>`.
    Nft,
}

impl Format {
    /// The name of the newest rules file, which the others' begin with.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Iptables => "rules.v4",
            Self::Nft => "rules.nft",
        }
    }

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nft => "nft",
        }
    }
}

/// What became of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In force from then on.
    Applied(Moment),
    /// The kernel took it not: it never was in force.
    Refused,
    /// Nobody wrote what became of it: the program ended between loading it and saying so.
    Unknown,
}

/// A plan that was applied, without its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one flag of the record")]
pub struct Revision {
    /// From 1, without a gap.
    pub number: u64,
    /// When loading it began.
    pub begun: Moment,
    /// What became of it.
    pub outcome: Outcome,
    /// How its ports were given out.
    pub layout: Layout,
    /// In which form.
    pub format: Format,
    /// Clients with ports.
    pub clients: u32,
    /// Ports of each; 0 if they differ.
    pub ports_per_client: u32,
    /// The protocols that anyone has ports for.
    pub protocols: ProtocolSet,
    /// Were flows left alone that leave by ports which their client has no more?
    pub keeps_flows: bool,
    /// How long such flows may live on without a packet: the longest of conntrack's timeouts.
    pub longest_timeout: Duration,
    /// When such flows were seen to have ended.
    pub settled: Option<Timestamp>,
    /// Read from a file of somebody else, whose name gave the time.
    pub is_adopted: bool,
    /// The file could not be read: who had what then is not known.
    pub is_unreadable: bool,
    /// The file has other rules that translate sources.
    pub has_other_rules: bool,
    /// The time in the name of its rules file, in seconds, and a number if there are several of one second.
    pub name: (i64, u16),
    /// Of who had what.
    pub rows: Digest,
    /// Of the rules file.
    pub rules: Digest,
}

impl Revision {
    /// One that is known by a rules file alone, whose name has the time.
    pub(super) fn of_file(number: u64, name: (i64, u16)) -> Self {
        Self {
            number,
            begun: Moment::wall_only(Timestamp::from_seconds(name.0)),
            outcome: Outcome::Unknown,
            layout: Layout::Foreign,
            format: Format::Iptables,
            clients: 0,
            ports_per_client: 0,
            protocols: ProtocolSet::NONE,
            keeps_flows: false,
            longest_timeout: Duration::ZERO,
            settled: None,
            is_adopted: true,
            is_unreadable: false,
            has_other_rules: false,
            name,
            rows: Digest::default(),
            rules: Digest::default(),
        }
    }

    /// When a file whose name gave the time was surely loaded.
    pub(super) fn loaded_by(&self) -> Moment {
        Moment::wall_only(self.begun.wall + LOADED_WITHIN)
    }

    /// The name of its rules file.
    pub fn file_name(&self) -> String {
        let base = self.format.file_name();
        match self.name {
            (time, 0) => format!("{base}.{time}"),
            (time, number) => format!("{base}.{time}.{number}"),
        }
    }

    /// Can it have been in force?
    pub const fn was_in_force(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused)
    }

    /// From when on.
    pub const fn since(&self) -> Moment {
        match self.outcome {
            Outcome::Applied(moment) => moment,
            Outcome::Refused | Outcome::Unknown => self.begun,
        }
    }
}

/// Why the kernel's rules were not those of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftReason {
    /// Ours were not there.
    RulesMissing,
    /// They were not those that were loaded.
    RulesChanged,
    /// Another source NAT came before them.
    Shadowed,
    /// Flows left by ports that are not their client's.
    FlowsOutside,
    /// They could not be looked at.
    NotChecked,
}

impl DriftReason {
    const ALL: [Self; 5] =
        [Self::RulesMissing, Self::RulesChanged, Self::Shadowed, Self::FlowsOutside, Self::NotChecked];

    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RulesMissing => "rules-missing",
            Self::RulesChanged => "rules-changed",
            Self::Shadowed => "shadowed",
            Self::FlowsOutside => "flows-outside",
            Self::NotChecked => "not-checked",
        }
    }
}

impl fmt::Display for DriftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RulesMissing => "the plan's rules were not in the kernel",
            Self::RulesChanged => "the rules in the kernel were not those of the plan",
            Self::Shadowed => "another source NAT came before the plan's rules",
            Self::FlowsOutside => "flows left by ports that are not their client's",
            Self::NotChecked => "the rules in the kernel could not be looked at",
        })
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A revision is about to be loaded; its outcome and settling are in later records.
    Begun(Box<Revision>),
    /// A revision was in force from then on.
    Applied(u64, Moment),
    /// The kernel did not take it.
    Refused(u64, Moment),
    /// The flows that this revision left alone are over.
    Settled(u64, Moment),
    /// Between the two times, the kernel's rules were not the plan's.
    Drift(DriftReason, Moment, Timestamp),
    /// Revisions below this number were removed.
    Pruned(u64, Moment),
}

mod kind {
    pub(super) const BEGUN: u8 = 1;
    pub(super) const APPLIED: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const SETTLED: u8 = 4;
    pub(super) const DRIFT: u8 = 5;
    pub(super) const PRUNED: u8 = 6;
}

mod flag {
    pub(super) const KEEPS_FLOWS: u8 = 1;
    pub(super) const ADOPTED: u8 = 2;
    pub(super) const UNREADABLE: u8 = 4;
    pub(super) const OTHER_RULES: u8 = 8;
}

type Bytes = [u8; LENGTH];

impl Entry {
    /// The record, and the chain with it at its end.
    pub(super) fn encode(&self, chain: Digest) -> (Bytes, Digest) {
        let mut bytes = [0; LENGTH];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let (kind, number, moment) = match self {
            Self::Begun(revision) => (kind::BEGUN, revision.number, revision.begun),
            Self::Applied(number, moment) => (kind::APPLIED, *number, *moment),
            Self::Refused(number, moment) => (kind::REFUSED, *number, *moment),
            Self::Settled(number, moment) => (kind::SETTLED, *number, *moment),
            Self::Drift(_, moment, _) => (kind::DRIFT, 0, *moment),
            Self::Pruned(number, moment) => (kind::PRUNED, *number, *moment),
        };
        put(4, &[kind]);
        put(8, &number.to_le_bytes());
        put(16, &moment.wall.as_nanos().to_le_bytes());
        put(24, &(moment.boot.as_nanos() as u64).to_le_bytes());
        put(32, &moment.boot_id);
        match self {
            Self::Begun(revision) => {
                let flags = [
                    (revision.keeps_flows, flag::KEEPS_FLOWS),
                    (revision.is_adopted, flag::ADOPTED),
                    (revision.is_unreadable, flag::UNREADABLE),
                    (revision.has_other_rules, flag::OTHER_RULES),
                ];
                let flags =
                    flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, bit)| all | bit);
                put(5, &[flags, layout_number(revision.layout), format_number(revision.format)]);
                // Rounded up: rather a second too long than too short.
                let timeout = revision.longest_timeout.saturating_add(Duration::from_nanos(999_999_999));
                put(48, &timeout.as_secs().to_le_bytes());
                put(56, &revision.clients.to_le_bytes());
                put(60, &revision.ports_per_client.to_le_bytes());
                put(64, &[revision.protocols.bits()]);
                put(66, &revision.name.1.to_le_bytes());
                put(72, &revision.name.0.to_le_bytes());
                put(96, &revision.rows.0);
                put(128, &revision.rules.0);
            }
            Self::Drift(reason, _, until) => {
                put(48, &until.as_nanos().to_le_bytes());
                let number = DriftReason::ALL.iter().position(|known| known == reason).unwrap_or(0);
                put(65, &[number as u8]);
            }
            Self::Applied(..) | Self::Refused(..) | Self::Settled(..) | Self::Pruned(..) => {}
        }
        let chain = link(chain, &bytes);
        bytes[160..].copy_from_slice(&chain.0);
        let crc = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        (bytes, chain)
    }

    /// Reads a record, without regard to the chain.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, String> {
        if u32::from_le_bytes(part(bytes, 0)) != crc32fast::hash(&bytes[4..]) {
            return Err("the checksum of a record is wrong".to_owned());
        }
        let number = u64::from_le_bytes(part(bytes, 8));
        let moment = Moment {
            wall: Timestamp::from_nanos(i64::from_le_bytes(part(bytes, 16))),
            boot: Duration::from_nanos(u64::from_le_bytes(part(bytes, 24))),
            boot_id: part(bytes, 32),
        };
        Ok(match bytes[4] {
            kind::BEGUN => {
                let flags = bytes[5];
                Self::Begun(Box::new(Revision {
                    number,
                    begun: moment,
                    outcome: Outcome::Unknown,
                    layout: match bytes[6] {
                        0 => Layout::Eduvpn,
                        1 => Layout::Even,
                        2 => Layout::Foreign,
                        other => return Err(format!("a layout of number {other}, which is unknown")),
                    },
                    format: match bytes[7] {
                        0 => Format::Iptables,
                        1 => Format::Nft,
                        other => return Err(format!("a format of number {other}, which is unknown")),
                    },
                    clients: u32::from_le_bytes(part(bytes, 56)),
                    ports_per_client: u32::from_le_bytes(part(bytes, 60)),
                    protocols: ProtocolSet::from_bits(bytes[64]),
                    keeps_flows: flags & flag::KEEPS_FLOWS != 0,
                    longest_timeout: Duration::from_secs(u64::from_le_bytes(part(bytes, 48))),
                    settled: None,
                    is_adopted: flags & flag::ADOPTED != 0,
                    is_unreadable: flags & flag::UNREADABLE != 0,
                    has_other_rules: flags & flag::OTHER_RULES != 0,
                    name: (i64::from_le_bytes(part(bytes, 72)), u16::from_le_bytes(part(bytes, 66))),
                    rows: Digest(part(bytes, 96)),
                    rules: Digest(part(bytes, 128)),
                }))
            }
            kind::APPLIED => Self::Applied(number, moment),
            kind::REFUSED => Self::Refused(number, moment),
            kind::SETTLED => Self::Settled(number, moment),
            kind::DRIFT => {
                let reason = DriftReason::ALL.get(usize::from(bytes[65]));
                let reason = *reason.ok_or("a drift for a reason that is unknown")?;
                Self::Drift(reason, moment, Timestamp::from_nanos(i64::from_le_bytes(part(bytes, 48))))
            }
            kind::PRUNED => Self::Pruned(number, moment),
            other => return Err(format!("a record of kind {other}, which is unknown")),
        })
    }
}

/// The chain with this record at its end.
pub(super) fn link(chain: Digest, record: &Bytes) -> Digest {
    Digest(Sha256::new().chain_update(chain.0).chain_update(&record[4..160]).finalize().into())
}

/// The chain as a record has it.
pub(super) fn chain_of(record: &Bytes) -> Digest {
    Digest(part(record, 160))
}

const fn layout_number(layout: Layout) -> u8 {
    match layout {
        Layout::Eduvpn => 0,
        Layout::Even => 1,
        Layout::Foreign => 2,
    }
}

const fn format_number(format: Format) -> u8 {
    match format {
        Format::Iptables => 0,
        Format::Nft => 1,
    }
}

/// A part of fixed length, which the record has.
fn part<const N: usize>(bytes: &Bytes, at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}
