//! What of the kernel's settings a record of translations depends on, as it is in one network namespace.
//!
//! ```text
//!  /proc/sys/net ─► Sysctl ──┐
//!  /proc, /lib/modules ─► modules ──┤
//!  nft -j, iptables-save ─► rules ──┼─► Settings     (judged by `unmasq doctor`, not here)
//!  adjtimex, capget ─► Clock, Capabilities ──┘
//! ```
//!
//! `/proc/sys/net` shows the namespace of the thread that opens it, and `/proc/net` that of the process's
//! first thread: so everything is read on a thread inside the namespace, and the latter through
//! `/proc/thread-self`. A setting that cannot be read is an error of its own and does not keep the others
//! from being read. What a plan of ports needs
//! besides is asked by itself: [`source_nat`], [`local_ports`], [`reserved_ports`], [`longest_timeout`], [`refusals`].
//!
//! ```no_run
//! use unmasq_netfilter::netns::Namespace;
//! use unmasq_netfilter::settings::Settings;
//!
//! let settings = Settings::read(&Namespace::current())?;
//! if settings.events.is_ok_and(|events| events != 1) {
//!     println!("some flows will send no DESTROY");
//! }
//! # Ok::<(), unmasq_netfilter::Error>(())
//! ```

mod clock;
mod error;
mod iptables;
mod modules;
mod nft;
mod ports;
mod program;
mod rules;
pub mod source_nat;
mod sysctl;
mod table;
mod timeouts;

pub use clock::Clock;
pub use error::SettingError;
pub use modules::Presence;
pub use ports::{local_ports, reserved_ports};
pub use rules::{Flowtable, Framework, NatPlace, Rules, Untracked};
pub use source_nat::SourceNat;
pub use sysctl::Sysctl;
pub use table::{Pressure, Refusals, refusals};
pub use timeouts::longest_timeout;

use crate::Result;
use crate::netns::Namespace;

/// One setting as it was read, or why it could not be.
pub type Reading<T> = std::result::Result<T, SettingError>;

/// Everything that was read in one namespace.
#[derive(Debug)]
pub struct Settings {
    /// Can host-wide settings be written here? True in the host's own network namespace only.
    pub is_initial: bool,
    /// The module `nf_conntrack`: the table itself.
    pub conntrack: Presence,
    /// The module `nf_conntrack_netlink`: events and dumps.
    pub conntrack_netlink: Presence,
    /// [`Sysctl::Events`]: 0 off, 1 on, 2 only for flows that are born while somebody listens.
    pub events: Reading<u64>,
    /// [`Sysctl::Timestamp`]: 0 or 1.
    pub timestamp: Reading<u64>,
    /// [`Sysctl::Accounting`]: 0 or 1.
    pub accounting: Reading<u64>,
    /// [`Sysctl::Max`]: entries that the table may hold.
    pub max: Reading<u64>,
    /// [`Sysctl::Count`]: entries that it holds.
    pub count: Reading<u64>,
    /// [`Sysctl::Buckets`]: size of its hash table, shared by all namespaces.
    pub buckets: Reading<u64>,
    /// What happened because the table was full.
    pub pressure: Reading<Pressure>,
    /// [`Sysctl::ReceiveMax`]: the largest receive buffer for a program without `CAP_NET_ADMIN`, in bytes.
    pub receive_max: Reading<u64>,
    /// [`Sysctl::Forward4`]: 0 or 1.
    pub forward4: Reading<u64>,
    /// [`Sysctl::Forward6`]: 0 or 1.
    pub forward6: Reading<u64>,
    /// What the firewall does that matters here.
    pub rules: Rules,
    /// The system clock.
    pub clock: Reading<Clock>,
    /// What the calling thread may do.
    pub capabilities: Capabilities,
}

/// The effective capabilities of the caller that matter here (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `CAP_NET_ADMIN`: listen to conntrack, dump it, force a large receive buffer.
    pub net_admin: bool,
    /// `CAP_SYS_ADMIN`: enter another network namespace.
    pub sys_admin: bool,
}

impl Settings {
    /// Reads everything, inside the namespace.
    pub fn read(namespace: &Namespace) -> Result<Self> {
        namespace.run(Self::read_here)
    }

    fn read_here() -> Self {
        Self {
            is_initial: Sysctl::is_host_writable(),
            conntrack: modules::conntrack(),
            conntrack_netlink: modules::conntrack_netlink(),
            events: Sysctl::Events.read(),
            timestamp: Sysctl::Timestamp.read(),
            accounting: Sysctl::Accounting.read(),
            max: Sysctl::Max.read(),
            count: Sysctl::Count.read(),
            buckets: Sysctl::Buckets.read(),
            pressure: table::pressure(),
            receive_max: Sysctl::ReceiveMax.read(),
            forward4: Sysctl::Forward4.read(),
            forward6: Sysctl::Forward6.read(),
            rules: Rules::read(),
            clock: Clock::read(),
            capabilities: Capabilities::read(),
        }
    }
}

impl Capabilities {
    /// Those of the calling thread.
    pub fn read() -> Self {
        use rustix::thread::{CapabilitySet, capabilities};
        // capget(2) of oneself fails for a wrong version or address only; then nothing is claimed.
        let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        Self {
            net_admin: effective.contains(CapabilitySet::NET_ADMIN),
            sys_admin: effective.contains(CapabilitySet::SYS_ADMIN),
        }
    }
}

#[cfg(test)]
mod tests;
