//! What the firewall does that a record of translations must know: where it translates, what it leaves
//! untracked, what it takes past the stack.

use std::fs;
use std::io;

use super::{Reading, SettingError, iptables, nft, program};

/// Which of the kernel's two frameworks a rule is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framework {
    /// The old tables: `iptables-legacy`, or `iptables` of an older system.
    Legacy,
    /// nf_tables: `nft`, and the `iptables` of today.
    Nft,
}

/// A chain with rules that translate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatPlace {
    /// Where it is.
    pub framework: Framework,
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// How many of its rules translate; at least 1.
    pub rules: usize,
}

/// A rule that takes packets out of connection tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untracked {
    /// Where it is, in the words of its framework: `inet filter prerouting`, `ip raw PREROUTING`.
    pub place: String,
    /// The command that removes it.
    pub removal: String,
}

/// A flow table: flows in it go past the stack, and past most of conntrack's bookkeeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The interfaces it is bound to.
    pub devices: Vec<String>,
    /// The commands that remove the rules which fill it, and then itself.
    pub removal: Vec<String>,
}

/// The rules of one namespace, as far as they matter.
#[derive(Debug, Default)]
pub struct Rules {
    /// Chains that translate.
    pub nat: Vec<NatPlace>,
    /// Rules that take packets out of tracking.
    pub untracked: Vec<Untracked>,
    /// Flow tables.
    pub flowtables: Vec<Flowtable>,
    /// What could not be read; the lists above are then incomplete.
    pub unread: Vec<SettingError>,
}

impl Rules {
    /// Reads them in the calling thread's namespace.
    pub(super) fn read() -> Self {
        let mut rules = Self::default();
        if let Err(error) = rules.read_nft() {
            rules.unread.push(error);
        }
        for (names, save, edit) in [
            ("/proc/thread-self/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy"),
            ("/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy"),
        ] {
            if let Err(error) = rules.read_legacy(names, save, edit) {
                rules.unread.push(error);
            }
        }
        rules
    }

    /// Does either framework translate?
    pub fn translate(&self) -> bool {
        !self.nat.is_empty()
    }

    /// Do both frameworks translate, so that which of them decides depends on the order of their
    /// registration?
    pub fn translate_twice(&self) -> bool {
        [Framework::Legacy, Framework::Nft].iter().all(|f| self.nat.iter().any(|place| place.framework == *f))
    }

    fn read_nft(&mut self) -> Reading<()> {
        // Terse: a set may have a million elements, none of which matters here.
        let listing = nft::parse(&program::output("nft", "nftables", &["-j", "-t", "list", "ruleset"])?)?;
        self.nat.extend(listing.nat);
        self.untracked.extend(listing.untracked);
        self.flowtables.extend(listing.flowtables);
        // Rules made by iptables-nft show the target CT without saying whether it is --notrack: ask their own
        // program.
        for (is_used, save, edit) in [
            (listing.has_opaque_ct.ip, "iptables-nft-save", "iptables-nft"),
            (listing.has_opaque_ct.ip6, "ip6tables-nft-save", "ip6tables-nft"),
        ] {
            if is_used {
                let saved = program::output(save, "iptables", &["-t", "raw"])?;
                self.untracked.extend(iptables::parse(&saved, edit, Framework::Nft).untracked);
            }
        }
        Ok(())
    }

    fn read_legacy(&mut self, names: &str, save: &'static str, edit: &'static str) -> Reading<()> {
        let tables = match fs::read_to_string(names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| SettingError::file(names, error))?,
        };
        for table in ["nat", "raw"] {
            // Only a table that is there: to name another would make iptables load its module.
            if tables.lines().any(|line| line == table) {
                let saved = program::output(save, "iptables", &["-t", table])?;
                let saved = iptables::parse(&saved, edit, Framework::Legacy);
                self.nat.extend(saved.nat);
                self.untracked.extend(saved.untracked);
            }
        }
        Ok(())
    }
}
