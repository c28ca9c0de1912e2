//! What a compiled step is: slots in place of names, numbers in place of labels.

use std::cmp::Ordering;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use unmasq_dialect::Template;
use unmasq_entry::{Slot, Value};

use super::literal::Literal;
use super::networks::Networks;
use crate::client::Subset;
use crate::counters::CategoryId;
use crate::enforce::{Element, SetName, around};
use crate::journal_log::Level;
use crate::report::{self, Details};

/// Number of a step in its program, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StepId(pub(crate) u32);

impl StepId {
    /// From 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a step leads: to a step, or to one of two places that have no step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next(u32);

impl Next {
    /// The entry's way ends.
    pub(crate) const STOP: Self = Self(u32::MAX);
    /// To the chain after the top-level chain that the entry is in.
    pub(crate) const MAIN: Self = Self(u32::MAX - 1);

    pub(crate) fn step(index: usize) -> Self {
        Self(index as u32)
    }

    /// The step, if it is one.
    pub(crate) fn index(self) -> Option<usize> {
        (self.0 < Self::MAIN.0).then_some(self.0 as usize)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STOP => f.write_str("stop"),
            Self::MAIN => f.write_str("main"),
            Self(index) => write!(f, "{index}"),
        }
    }
}

/// A step, ready to run.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) work: Work,
    /// After a filter that passed, or an action that worked.
    pub(crate) then: Next,
    /// After a filter that did not pass.
    pub(crate) otherwise: Next,
}

#[derive(Debug)]
pub(crate) enum Work {
    Filter(Filter),
    Action(Action),
}

#[derive(Debug)]
pub(crate) enum Filter {
    /// By far the commonest case of `Equals`.
    EqualsText {
        field: Slot,
        text: Box<str>,
    },
    Equals {
        field: Slot,
        literal: Literal,
    },
    AtMost {
        field: Slot,
        literal: Literal,
    },
    AtLeast {
        field: Slot,
        literal: Literal,
    },
    In {
        field: Slot,
        values: Box<Choices>,
    },
    /// `filter_in` with a text in place of a list.
    PartOf {
        field: Slot,
        text: Box<str>,
    },
    InNetworks {
        field: Slot,
        networks: Box<Networks>,
    },
    Pcre {
        field: Slot,
        search: Search,
    },
    PcreAny {
        field: Slot,
        searches: Box<[Search]>,
    },
    UserExists {
        field: Slot,
    },
}

/// The values of a `filter_in`.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    /// Sorted by length, then by bytes.
    pub(crate) texts: Box<[Box<str>]>,
    pub(crate) others: Box<[Literal]>,
    /// Is null among them? Then a missing field passes.
    pub(crate) null: bool,
}

impl Choices {
    /// From the values of a list.
    pub(crate) fn new(values: Vec<Literal>) -> Self {
        let mut choices = Self::default();
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for value in values {
            match value {
                Literal::Text(text) => texts.push(text),
                Literal::Null => choices.null = true,
                other => others.push(other),
            }
        }
        texts.sort_unstable_by(|a, b| by_length(a, b));
        texts.dedup();
        choices.texts = texts.into();
        choices.others = others.into();
        choices
    }

    /// Python's `value in values`.
    pub(crate) fn hold(&self, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.texts.binary_search_by(|choice| by_length(choice, text)).is_ok(),
            Value::Null => self.null,
            other => self.others.iter().any(|choice| choice.equals(other)),
        }
    }
}

/// Most texts differ in length, which costs less to compare than bytes.
fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// A pattern and where its groups go.
#[derive(Debug)]
pub(crate) struct Search {
    /// Place in [`super::Program`]'s patterns.
    pub(crate) pattern: usize,
    /// Field and number of the group. No field stands twice; the field that is searched comes last, because the groups
    /// are parts of its text.
    pub(crate) saves: Box<[(Slot, usize)]>,
}

#[derive(Debug)]
pub(crate) enum Action {
    Noop,
    Raise { category: CategoryId, key: Slot, keep: Option<Duration>, save: Option<Slot> },
    Reset { category: CategoryId, key: Slot, grace: Option<Duration>, save: Option<Slot> },
    Capture(Box<CaptureStep>),
    Replace(Box<ReplaceStep>),
    Email { subject: Box<str>, message: Template },
    Log { level: Level, message: Template },
    Report { level: report::Level, details: Details, message: Template },
    Ban(Box<BanStep>),
}

/// A field, and what stands in for it where the entry does not have it.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) field: Option<Slot>,
    pub(crate) constant: Option<Literal>,
}

#[derive(Debug)]
pub(crate) struct CaptureStep {
    pub(crate) saddr: Slot,
    pub(crate) sport: Option<Slot>,
    /// addr, port, daddr, dport.
    pub(crate) masked: [Source; 4],
    pub(crate) keep: Duration,
    /// Pyruse's retention by powers of two.
    pub(crate) compat: bool,
    /// How long the connection lasted, in milliseconds, as HAProxy's `%Tt` has it.
    pub(crate) lasted: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct ReplaceStep {
    /// addr, port, daddr, dport.
    pub(crate) asked: [Option<Slot>; 4],
    pub(crate) subset: Subset,
    pub(crate) saddr_into: Option<Slot>,
    pub(crate) sport_into: Option<Slot>,
    pub(crate) wait: Option<Duration>,
    pub(crate) on_timeout: OnTimeout,
}

/// What becomes of an entry whose translation did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// It goes on as it is.
    Pass,
    /// Its way ends.
    Skip,
}

#[derive(Debug)]
pub(crate) struct BanStep {
    pub(crate) field: Slot,
    pub(crate) sets: SetPair,
    /// For a shared address: sets of addresses with a port.
    pub(crate) port_sets: Option<SetPair>,
    pub(crate) port: Option<Slot>,
    pub(crate) duration: Option<Duration>,
    pub(crate) if_shared: IfShared,
    pub(crate) escalate: bool,
    pub(crate) prefix: Prefix,
}

impl BanStep {
    /// An element for each of its sets. The addresses are those of documentation (RFC 5737, RFC 3849).
    pub(crate) fn samples(&self) -> impl Iterator<Item = Element> {
        let addresses =
            [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()];
        let of = |sets: &SetPair, port| {
            addresses.map(|address| {
                let target = around(address, self.prefix.ipv4, self.prefix.ipv6);
                Element { set: sets.of(&target).clone(), target, port, timeout: self.duration }
            })
        };
        let with_ports = self.port_sets.as_ref().map(|sets| of(sets, Some(1)));
        of(&self.sets, None).into_iter().chain(with_ports.into_iter().flatten())
    }
}

/// The two sets of a ban.
#[derive(Debug)]
pub(crate) struct SetPair {
    pub(crate) ipv4: SetName,
    pub(crate) ipv6: SetName,
}

impl SetPair {
    /// The one for the target's family.
    pub(crate) fn of(&self, target: &IpNet) -> &SetName {
        match target {
            IpNet::V4(_) => &self.ipv4,
            IpNet::V6(_) => &self.ipv6,
        }
    }
}

/// What a ban does when others stand behind its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfShared {
    /// Nothing; the refusal is logged and counted.
    #[default]
    Refuse,
    /// It bans address and port.
    Port,
    /// It bans the client, where that is known.
    Client,
}

/// How much of an address a ban covers, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// 0 to 32.
    pub ipv4: u8,
    /// 0 to 128.
    pub ipv6: u8,
}

impl Default for Prefix {
    /// One IPv4 address; the /64 that an IPv6 client is free to move in.
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}
