//! Why a set does not take an element, and what to do about it.

use unmasq_netfilter::{ipset, sets};

use super::{SetKind, SetName};

/// Why an element, or any element, is not put into a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no such set.
    #[error("{} {set} does not exist; create it with `{}`", of_kind(set), creation(set))]
    NoSuchSet {
        /// The set.
        set: SetName,
    },
    /// The set's elements do not end by themselves.
    #[error("{} {set} holds no timeouts; create it with {}", of_kind(set), timeout_flag(set))]
    NoTimeouts {
        /// The set.
        set: SetName,
    },
    /// The set holds something else.
    #[error("{} {set} holds {holds}, not {wanted}", of_kind(set))]
    WrongType {
        /// The set.
        set: SetName,
        /// What its elements are, as its owner wrote it.
        holds: String,
        /// What the element is.
        wanted: &'static str,
    },
    /// The set holds as many elements as it may.
    #[error("{} {set} is full; create it with a larger {}", of_kind(set), size_word(set))]
    Full {
        /// The set.
        set: SetName,
    },
    /// A part of the network is in the set already, by another's hand.
    #[error(
        "{} {set} holds {other}, which overlaps it; remove that, or leave it to whoever put it there",
        of_kind(set)
    )]
    Overlaps {
        /// The set.
        set: SetName,
        /// The other element.
        other: String,
    },
    /// A wider element covers it, so that it stays banned.
    #[error("{} {set} holds {other}, which covers it: it stays banned until that is removed", of_kind(set))]
    Covered {
        /// The set.
        set: SetName,
        /// The other element.
        other: String,
    },
    /// The process may not.
    #[error("changing {} {set} is not permitted: run as root or with CAP_NET_ADMIN", of_kind(set))]
    NotPermitted {
        /// The set.
        set: SetName,
    },
    /// Something else that the kernel says.
    #[error("{} {set}: {reason}", of_kind(set))]
    Kernel {
        /// The set.
        set: SetName,
        /// The kernel's words.
        reason: String,
    },
    /// There is no connection to the kernel.
    #[error("no connection to the kernel's {}: {reason}", kind.as_str())]
    Connection {
        /// Which of them.
        kind: SetKind,
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// A word for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchSet { .. } => "no_such_set",
            Self::NoTimeouts { .. } => "no_timeouts",
            Self::WrongType { .. } => "wrong_type",
            Self::Full { .. } => "full",
            Self::Overlaps { .. } => "overlaps",
            Self::Covered { .. } => "covered",
            Self::NotPermitted { .. } => "not_permitted",
            Self::Kernel { .. } => "kernel",
            Self::Connection { .. } => "connection",
        }
    }
}

const fn of_kind(set: &SetName) -> &'static str {
    match set {
        SetName::Nft(_) => "set",
        SetName::Ipset(_) => "ipset",
    }
}

fn creation(set: &SetName) -> String {
    match set {
        SetName::Nft(id) => nft_creation(id),
        SetName::Ipset(name) => ipset_creation(name),
    }
}

/// IPv6 where the family or the name says so.
fn nft_creation(id: &sets::SetId) -> String {
    let is_v6 = id.family() == sets::Family::Ip6 || id.set().contains('6');
    let key = if is_v6 { "ipv6_addr" } else { "ipv4_addr" };
    // For a shell; adding a table that is there changes nothing.
    let (family, table) = (id.family().as_str(), id.table());
    format!("nft 'add table {family} {table}; add set {id} {{ type {key}; flags interval,timeout; }}'")
}

fn ipset_creation(name: &ipset::Name) -> String {
    let family = if name.as_str().contains('6') { "inet6" } else { "inet" };
    format!("ipset create {name} hash:net family {family} timeout 0")
}

const fn timeout_flag(set: &SetName) -> &'static str {
    match set {
        SetName::Nft(_) => "`flags timeout`",
        SetName::Ipset(_) => "`timeout 0`",
    }
}

const fn size_word(set: &SetName) -> &'static str {
    match set {
        SetName::Nft(_) => "`size`",
        SetName::Ipset(_) => "`maxelem`",
    }
}
