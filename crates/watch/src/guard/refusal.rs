//! Why a target is not to be touched.

use std::fmt;

/// The kind of a refusal, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    /// An address of this machine.
    Local,
    /// 127.0.0.0/8 or ::1.
    Loopback,
    /// 0.0.0.0/8 or ::.
    Unspecified,
    /// Multicast, or IPv4's broadcast.
    Multicast,
    /// A network of IPv6 around the IPv4-mapped addresses, which are IPv4.
    Mapped,
    /// On the allow list.
    Allowed,
    /// Stands for other clients: a proxy, a NAT gateway, a pool of CGNAT.
    Masking,
    /// The burst brake has tripped.
    Brake,
}

impl RefusalKind {
    /// Every kind, for metrics that begin at 0.
    pub const ALL: [Self; 8] = [
        Self::Local,
        Self::Loopback,
        Self::Unspecified,
        Self::Multicast,
        Self::Mapped,
        Self::Allowed,
        Self::Masking,
        Self::Brake,
    ];

    /// One word, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Mapped => "mapped",
            Self::Allowed => "allowed",
            Self::Masking => "masking",
            Self::Brake => "brake",
        }
    }
}

/// A target that is not to be banned or diverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Of what kind.
    pub kind: RefusalKind,
    /// In words: what the target is and what says so.
    pub reason: String,
    /// Is it to be logged? The brake says so once, when it trips, and not at each refusal after that.
    pub is_news: bool,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, reason: impl fmt::Display) -> Self {
        Self { kind, reason: reason.to_string(), is_news: true }
    }
}
