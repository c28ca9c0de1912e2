//! Are the kernel's parts there: loaded as a module, built in, or only on disk?

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use unmasq_flow::{Endpoint, Protocol};

use super::Sysctl;
use crate::Error;
use crate::conntrack::{Direction, Dumper, Tuple};
use crate::netns::Namespace;

/// Where a part of the kernel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A module, and loaded.
    Loaded,
    /// Built into the kernel.
    BuiltIn,
    /// A module on disk that is not loaded.
    Loadable,
    /// Neither loaded nor on disk.
    Missing,
    /// Could not be found out without privileges.
    Unknown,
}

impl Presence {
    /// Can it be used now?
    pub const fn is_there(self) -> bool {
        matches!(self, Self::Loaded | Self::BuiltIn)
    }
}

pub(super) fn conntrack() -> Presence {
    listed("nf_conntrack")
        .unwrap_or_else(|| if Sysctl::Events.read().is_ok() { Presence::BuiltIn } else { Presence::Missing })
}

/// Asks the kernel only where no list tells, because asking makes it load the module.
pub(super) fn conntrack_netlink() -> Presence {
    listed("nf_conntrack_netlink").unwrap_or_else(|| match answers() {
        Ok(()) => Presence::BuiltIn,
        Err(Error::NotPermitted { .. }) => Presence::Unknown,
        Err(_) => Presence::Missing,
    })
}

/// What the lists of modules say; `None` where the kernel has none of them, as in a virtual machine with
/// everything built in, or in a container.
fn listed(module: &str) -> Option<Presence> {
    if fs::read_to_string("/proc/modules").is_ok_and(|list| is_loaded(&list, module)) {
        return Some(Presence::Loaded);
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let directory = format!("/lib/modules/{}", release.trim());
    let built_in = fs::read_to_string(format!("{directory}/modules.builtin")).ok()?;
    let on_disk = fs::read_to_string(format!("{directory}/modules.dep")).ok()?;
    Some(if names(&built_in, module) {
        Presence::BuiltIn
    } else if names(&on_disk, module) {
        Presence::Loadable
    } else {
        Presence::Missing
    })
}

/// `/proc/modules`: the name is the first word of a line.
fn is_loaded(list: &str, module: &str) -> bool {
    list.lines().any(|line| line.split(' ').next() == Some(module))
}

/// `modules.builtin` and `modules.dep`: a line begins with a path, `kernel/net/netfilter/nf_conntrack.ko.xz`.
fn names(list: &str, module: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or(line);
        let file = path.rsplit('/').next().unwrap_or(path);
        // Files may be named with '-' where the module's name has '_'.
        file.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == module)
    })
}

/// Does the kernel answer a question about the table? The tuple is one that no flow has.
fn answers() -> crate::Result<()> {
    let nobody = Endpoint::with_port(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let tuple = Tuple { protocol: Protocol::UDP, source: nobody, destination: nobody, zone: 0 };
    Dumper::open(&Namespace::current())?.find(Direction::Original, &tuple).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_by_its_whole_name() {
        let loaded = "nf_conntrack_netlink 61440 0 - Live 0x0\n\
            nf_conntrack 229376 2 nf_conntrack_netlink,nf_nat, Live 0x0\n";
        assert!(is_loaded(loaded, "nf_conntrack"));
        assert!(is_loaded(loaded, "nf_conntrack_netlink"));
        assert!(!is_loaded(loaded, "nf_nat"));
        let on_disk = "kernel/net/netfilter/nf_conntrack_netlink.ko: kernel/net/netfilter/nf_conntrack.ko\n\
            kernel/net/netfilter/nf-nat.ko.xz:\n";
        assert!(names(on_disk, "nf_conntrack_netlink"));
        assert!(!names(on_disk, "nf_conntrack"));
        assert!(names(on_disk, "nf_nat"));
    }

    #[test]
    fn this_kernel_has_conntrack() {
        assert!(conntrack().is_there());
        assert!(conntrack_netlink().is_there());
        assert!(answers().is_ok());
    }
}
