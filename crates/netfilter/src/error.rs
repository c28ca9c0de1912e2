//! What can go wrong between us and the kernel.

use std::io;

use crate::conntrack::ParseError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a system call, a refusal by the kernel, or an answer that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such namespace.
    #[error("no network namespace {name:?} in /run/netns; `ip netns list` shows those there are")]
    NoSuchNamespace {
        /// The name asked for.
        name: String,
    },
    /// The namespace exists but could not be entered.
    #[error("cannot enter network namespace {name:?}: {source} (needs CAP_SYS_ADMIN)")]
    EnterNamespace {
        /// Its name; empty for the process's own.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No namespace could be made.
    #[error("cannot make a network namespace: {source} (needs CAP_SYS_ADMIN)")]
    MakeNamespace {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The list of namespaces could not be read.
    #[error("cannot list /run/netns: {0}")]
    ListNamespaces(#[source] io::Error),
    /// A capability is missing.
    #[error("{doing}: not permitted; run as root or with {capability}")]
    NotPermitted {
        /// What was being done.
        doing: &'static str,
        /// What it needs.
        capability: &'static str,
    },
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel answered a request with an error.
    #[error("{doing}: the kernel refused: {source}")]
    Refused {
        /// What was asked.
        doing: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel's answer could not be read.
    #[error("{doing}: {source}")]
    Parse {
        /// What was being read.
        doing: &'static str,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The kernel's answer was longer than the buffer for it, which no known kernel does.
    #[error("{doing}: an answer was cut off at {capacity} bytes")]
    Truncated {
        /// What was being read.
        doing: &'static str,
        /// The size of the buffer, in bytes.
        capacity: usize,
    },
    /// What is called so in nftables does not map clients to addresses.
    #[error("{map} is no map of type `ipv4_addr : interval ipv4_addr . inet_service`, nor one like it")]
    MapType {
        /// Family, table and name.
        map: String,
    },
    /// No network interface has that name in the namespace.
    #[error("no network interface {name:?} in this namespace; there are {}", there.join(", "))]
    NoSuchInterface {
        /// The name asked for.
        name: String,
        /// The names of those there are.
        there: Vec<String>,
    },
    /// Another program reads the packets of a group already.
    #[error(
        "the log group {group} has a reader already (/proc/net/netfilter/nfnetlink_log); choose another group for the rule and here"
    )]
    GroupTaken {
        /// The group.
        group: u16,
    },
    /// The frames of an interface begin with a header that is not known.
    #[error(
        "{name} has frames of hardware kind {kind}; only Ethernet and tunnels of IP are read: log its packets to a group"
    )]
    InterfaceKind {
        /// The interface.
        name: String,
        /// `ARPHRD_…` of linux/if_arp.h.
        kind: u16,
    },
}

impl Error {
    /// The kernel's error number, where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::EnterNamespace { source, .. }
            | Self::MakeNamespace { source }
            | Self::System { source, .. }
            | Self::Refused { source, .. }
            | Self::ListNamespaces(source) => source.raw_os_error(),
            Self::NotPermitted { .. } | Self::GroupTaken { .. } => Some(libc::EPERM),
            Self::NoSuchNamespace { .. }
            | Self::Parse { .. }
            | Self::Truncated { .. }
            | Self::MapType { .. }
            | Self::InterfaceKind { .. }
            | Self::NoSuchInterface { .. } => None,
        }
    }
}

/// For `map_err`: a failed system call, or the capability that it lacked.
pub(crate) fn system<E: Into<io::Error>>(
    doing: &'static str,
    capability: &'static str,
) -> impl FnOnce(E) -> Error {
    move |error| {
        let source = error.into();
        match source.raw_os_error() {
            Some(libc::EPERM) => Error::NotPermitted { doing, capability },
            _ => Error::System { doing, source },
        }
    }
}
