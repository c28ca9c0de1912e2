//! The kernel settings in `/proc/sys`, by name, read and written as numbers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Reading, SettingError};

/// A kernel setting that is a number. Documentation/networking/nf_conntrack-sysctl.rst of Linux describes
/// most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sysctl {
    /// Are conntrack events made: 0, 1, or 2 (since Linux 5.19, and the default): for flows born while
    /// somebody listens.
    Events,
    /// Does an entry keep its start and stop time: 0 or 1.
    Timestamp,
    /// Does an entry count packets and bytes: 0 or 1.
    Accounting,
    /// Entries that the table may hold; one number for the host, to which each namespace's count is held.
    Max,
    /// Buckets of the hash table that all namespaces share.
    Buckets,
    /// Entries of this namespace.
    Count,
    /// Largest receive buffer that a program without `CAP_NET_ADMIN` can ask for, in bytes.
    ReceiveMax,
    /// Are IPv4 packets forwarded: 0 or 1.
    Forward4,
    /// Are IPv6 packets forwarded, on all interfaces: 0 or 1.
    Forward6,
}

impl Sysctl {
    /// Its name, as sysctl(8) and sysctl.d(5) write it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Events => "net.netfilter.nf_conntrack_events",
            Self::Timestamp => "net.netfilter.nf_conntrack_timestamp",
            Self::Accounting => "net.netfilter.nf_conntrack_acct",
            Self::Max => "net.netfilter.nf_conntrack_max",
            Self::Buckets => "net.netfilter.nf_conntrack_buckets",
            Self::Count => "net.netfilter.nf_conntrack_count",
            Self::ReceiveMax => "net.core.rmem_max",
            Self::Forward4 => "net.ipv4.ip_forward",
            Self::Forward6 => "net.ipv6.conf.all.forwarding",
        }
    }

    /// Is there one for the whole host, which only its own namespace can write?
    pub const fn is_host_wide(self) -> bool {
        matches!(self, Self::Max | Self::Buckets | Self::ReceiveMax)
    }

    /// Reads it in the calling thread's namespace.
    pub fn read(self) -> Reading<u64> {
        let file = self.file();
        let text = fs::read_to_string(&file).map_err(|error| SettingError::file(&file, error))?;
        text.trim().parse().map_err(|_| SettingError::value(&file, text.trim(), "a number"))
    }

    /// Writes it in the calling thread's namespace, and reads it back: the kernel rounds or clamps some.
    pub fn write(self, value: u64) -> Reading<()> {
        let file = self.file();
        fs::write(&file, format!("{value}\n")).map_err(|error| SettingError::file(&file, error))?;
        match self.read()? {
            // nf_conntrack_buckets is rounded up to whole pages of buckets (nf_ct_alloc_hashtable).
            got if got == value || (self == Self::Buckets && got > value) => Ok(()),
            got => Err(SettingError::value(&file, &got.to_string(), "the number that was written")),
        }
    }

    /// Is the calling thread in the host's own network namespace, as far as the kernel tells? In any other it
    /// makes the host-wide settings read-only (`nf_conntrack_standalone_init_sysctl`).
    pub(super) fn is_host_writable() -> bool {
        let is_writable =
            |setting: Self| fs::metadata(setting.file()).ok().map(|m| m.permissions().mode() & 0o200 != 0);
        match is_writable(Self::Max) {
            Some(is_writable) => is_writable,
            // No conntrack yet. Another namespace does not show this one at all, or read-only.
            None => is_writable(Self::ReceiveMax).unwrap_or(false),
        }
    }

    fn file(self) -> String {
        format!("/proc/sys/{}", self.key().replace('.', "/"))
    }
}
