//! Rules for nftables: one map from client to block, so that the first packet of a flow costs the same whoever sends it.

use unmasq_flow::Protocol;

use std::fmt::Write;

use super::text::{push_address, push_block};
use crate::plan::{Allocation, Plan};

/// Our table, of the family `ip`.
pub const TABLE: &str = "unmasq-plan";
/// The map in it: client → public address . ports.
pub const MAP: &str = "clients";
/// The chain in it.
pub const CHAIN: &str = "postrouting";
/// Of the chain: before `srcnat` (100), where NetworkManager, Docker, libvirt and iptables translate. The first chain
/// that translates a flow decides.
pub const PRIORITY: i32 = 95;
/// The rule for ICMP, whose ids stand in for ports.
pub const ICMP_RULE: &str = "meta l4proto icmp";

/// The protocols with ports, as the rules group them.
const RULES: [(&str, &[Protocol]); 4] = [
    ("meta l4proto tcp", &[Protocol::TCP]),
    ("meta l4proto udp", &[Protocol::UDP]),
    ("meta l4proto { sctp, dccp, udplite }", &[Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE]),
    (ICMP_RULE, &[Protocol::ICMP]),
];

/// Prints a plan for nftables.
#[derive(Clone, Copy, Debug)]
pub struct Nft<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The interface that flows leave by; any if `None`.
    pub out_interface: Option<&'a str>,
}

impl Nft<'_> {
    /// The whole table, for `nft -f`. Loading it replaces ours in one transaction and leaves all others alone.
    pub fn file(&self, comment: &str) -> String {
        let mut out = String::with_capacity(self.plan.allocations.len() * 48 + 1024);
        for line in comment.lines() {
            out.push_str("# ");
            out.push_str(line);
            out.push('\n');
        }
        // "add" first, so that "delete" finds a table also the first time.
        let _ = write!(out, "table ip {TABLE}\ndelete table ip {TABLE}\n");
        let _ = writeln!(out, "table ip {TABLE} {{");
        let _ = write!(out, "\tmap {MAP} {{\n\t\ttype ipv4_addr : interval ipv4_addr . inet_service\n");
        self.elements(&mut out);
        out.push_str("\t}\n");
        if self.plan.overflow.is_some() {
            for protocol in ["tcp", "udp"] {
                let _ = write!(
                    out,
                    "\tset full-{protocol} {{\n\t\ttype ipv4_addr . ipv4_addr . inet_service\n\t\tsize 65535\n\t\tflags dynamic\n\t}}\n"
                );
            }
        }
        let _ = write!(
            out,
            "\tchain {CHAIN} {{\n\t\ttype nat hook postrouting priority {PRIORITY}; policy accept;\n"
        );
        for rule in self.rules() {
            out.push_str("\t\t");
            out.push_str(&rule);
            out.push('\n');
        }
        out.push_str("\t}\n}\n");
        out
    }

    /// The rules of our chain.
    fn rules(&self) -> Vec<String> {
        let out = self.out_interface.map_or_else(String::new, |name| format!("oifname \"{name}\" "));
        let protocols = self.plan.protocols();
        let mut rules = Vec::new();
        for (head, of) in RULES {
            if !of.iter().any(|protocol| protocols.has(*protocol)) {
                continue;
            }
            if let (Some(to), [protocol @ (Protocol::TCP | Protocol::UDP)]) = (self.plan.overflow, of) {
                let name = protocol.name().unwrap_or_default();
                // So many to one server endpoint fill the block: the kernel gives a port again toward another. The flow that
                // is just beginning is counted with them.
                let most = self.plan.allocations.iter().map(|a| a.block.ports.count()).min().unwrap_or(0);
                rules.push(format!(
                    "{out}{head} ip saddr @{MAP} add @full-{name} {{ ip saddr . ip daddr . {name} dport ct count over {most} }} \
                     counter log prefix \"unmasq overflow: \" snat ip to {}:{}-{}",
                    to.address,
                    to.ports.first(),
                    to.ports.last()
                ));
            }
            rules.push(format!("{out}{head} counter snat ip to ip saddr map @{MAP}"));
        }
        rules
    }

    fn elements(&self, out: &mut String) {
        if self.plan.allocations.is_empty() {
            return;
        }
        out.push_str("\t\telements = {\n");
        for allocation in &self.plan.allocations {
            push_element(out, allocation);
            out.push_str(",\n");
        }
        out.push_str("\t\t}\n");
    }
}

/// A change of some elements of the map, as one transaction for `nft -f`. All others stay as they are.
pub fn change(removed: &[Allocation], added: &[Allocation]) -> String {
    let mut out = String::new();
    if !removed.is_empty() {
        let _ = write!(out, "delete element ip {TABLE} {MAP} {{ ");
        for allocation in removed {
            push_address(&mut out, allocation.client);
            out.push_str(", ");
        }
        out.push_str("}\n");
    }
    if !added.is_empty() {
        let _ = write!(out, "add element ip {TABLE} {MAP} {{ ");
        for allocation in added {
            push_element(&mut out, allocation);
            out.push_str(", ");
        }
        out.push_str("}\n");
    }
    out
}

/// `100.64.0.1 : 203.0.113.1 . 1024-2047`. A range of a single port is no range to nft.
fn push_element(out: &mut String, allocation: &Allocation) {
    push_address(out, allocation.client);
    out.push_str(" : ");
    push_block(out, allocation.block, " . ");
}
