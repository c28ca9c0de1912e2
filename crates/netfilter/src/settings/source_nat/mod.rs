//! The rules that translate the source of IPv4 packets, in the order in which the kernel asks them.
//!
//! ```text
//!  nft -j ────────► chains ─┐
//!  iptables-nft-save ───────┤ walk: from each base chain `nat hook postrouting` through its jumps ─► SourceNat, …
//!  iptables-legacy-save ────┘
//! ```
//!
//! The first rule that translates a flow decides for all its life. Base chains are asked by priority, lowest first; what
//! a chain jumps to is asked where the jump is, and only for packets that the jump is about. Rules that end the walk
//! without translating (`accept`, `return`) are not looked at: what is listed *may* translate.

mod chain;
mod iptables;
mod nft;
mod restriction;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fs;
use std::io;

use ipnet::Ipv4Net;
use unmasq_flow::Protocol;

use super::{Framework, Reading, SettingError, program};
use crate::Result;
use crate::netns::Namespace;

/// Names the legacy framework's tables that are there.
const LEGACY_NAMES: &str = "/proc/thread-self/net/ip_tables_names";

/// A rule that may translate the source of IPv4 packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNat {
    /// Where it is.
    pub framework: Framework,
    /// `ip` or `inet`.
    pub family: String,
    /// Its table.
    pub table: String,
    /// The chain that it is in.
    pub chain: String,
    /// The priority of the base chain that leads to it: lower ones are asked first. 100 in the legacy framework.
    pub priority: i32,
    /// The way to it: a rule of the base chain, if that jumps a rule of the chain it jumps to, and so on to the rule
    /// itself. Not empty.
    pub path: Vec<Step>,
    /// The rule in its framework's words, in one line.
    pub text: String,
    /// The networks that it and the jumps to it are restricted to; empty for any source. What a rule demands besides, or
    /// by negation, makes it be about less than is said here, never about more.
    pub sources: Vec<Ipv4Net>,
    /// The interfaces by which a packet must leave; empty for any. One that ends in `*` means all that begin so.
    pub outputs: Vec<String>,
    /// The protocols that it is restricted to; empty for any.
    pub protocols: Vec<Protocol>,
}

/// A rule on the way from a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The chain.
    pub chain: String,
    /// The place of the rule in the chain, from 0.
    pub rule: usize,
}

impl SourceNat {
    /// Which of the two the kernel asks first. `None` where it is not known: two base chains of one priority are asked in
    /// the order in which they were registered, which cannot be listed.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        if self.priority != other.priority {
            return Some(self.priority.cmp(&other.priority));
        }
        if self.base() != other.base() {
            return None;
        }
        let rules = |rule: &Self| rule.path.iter().map(|step| step.rule).collect::<Vec<_>>();
        Some(rules(self).cmp(&rules(other)))
    }

    /// Can it be about a packet of this source, out of this interface, of this protocol?
    pub fn concerns(&self, source: Ipv4Net, output: &str, protocol: Protocol) -> bool {
        let meets = |net: &Ipv4Net| net.contains(&source) || source.contains(net);
        (self.sources.is_empty() || self.sources.iter().any(meets))
            && (self.outputs.is_empty() || self.outputs.iter().any(|o| restriction::covers(o, output)))
            && (self.protocols.is_empty() || self.protocols.contains(&protocol))
    }

    /// What tells its base chain from others.
    fn base(&self) -> (Framework, &str, &str, Option<&str>) {
        (self.framework, &self.family, &self.table, self.path.first().map(|step| step.chain.as_str()))
    }
}

/// Reads them in the calling thread's namespace, in the kernel's order as far as that is known; see
/// [`SourceNat::order`].
pub fn read() -> Reading<Vec<SourceNat>> {
    let mut found = read_nft()?;
    found.extend(read_legacy()?);
    found.sort_by_key(|rule| rule.priority);
    Ok(found)
}

/// Reads them in a namespace; see [`read`].
pub fn read_in(namespace: &Namespace) -> Result<Reading<Vec<SourceNat>>> {
    namespace.run(read)
}

fn read_nft() -> Reading<Vec<SourceNat>> {
    let objects =
        super::nft::objects(&program::output("nft", "nftables", &["-j", "-t", "list", "ruleset"])?)?;
    if !nft::translates(&objects) {
        return Ok(Vec::new());
    }
    // Handles and no counters. Without it the rules have their handles for a text.
    let texts =
        program::output("nft", "nftables", &["-a", "-s", "-t", "list", "ruleset"]).unwrap_or_default();
    // Elements are asked for only where a rule that matters needs them: a set may have a million.
    let mut elements = |kind: &str, [family, table, name]: [&str; 3]| {
        let words = ["-j", "list", kind, family, table, name];
        let objects = super::nft::objects(&program::output("nft", "nftables", &words).ok()?).ok()?;
        objects.iter().find_map(|object| object.get(kind)?.get("elem").cloned())
    };
    let mut chains = nft::chains(&objects, &nft::texts(&texts), &mut elements);
    if nft::is_of_iptables(&objects) {
        // A table that iptables-nft cannot read stays as nft has shown it.
        let saved = program::output("iptables-nft-save", "iptables", &["-t", "nat"]).unwrap_or_default();
        iptables::refine(&mut chains, &saved);
    }
    chain::walk(&chains, Framework::Nft)
}

fn read_legacy() -> Reading<Vec<SourceNat>> {
    let tables = match fs::read_to_string(LEGACY_NAMES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| SettingError::file(LEGACY_NAMES, error))?,
    };
    // Only if it is there: to name it would make iptables load its module.
    if !tables.lines().any(|line| line == "nat") {
        return Ok(Vec::new());
    }
    let saved = program::output("iptables-legacy-save", "iptables", &["-t", "nat"])?;
    chain::walk(&iptables::chains(&saved), Framework::Legacy)
}
