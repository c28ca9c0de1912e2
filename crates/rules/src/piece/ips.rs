//! `ips`: an intrusion prevention system behind the firewall.

use super::PieceError;
use super::log_nflog::Hook;
use super::text::{Chain, Target, restore, table};
use crate::value::{Mark, Queues};

/// Packets that the firewall has accepted go to a program's queues.
///
/// The verdict of a queue is final for its chain: rules behind it never run, and an accept before it blinds the program. So
/// the chain is one of its own behind the firewall's: what is dropped never gets there, and what is accepted all does
/// (home.regit.org, "Suricata and Nftables", 2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ips {
    /// The queues.
    pub queues: Queues,
    /// Is the queue chosen by the CPU, and not by the flow? Of several queues only.
    pub is_fanned_out: bool,
    /// Do packets pass while nobody reads?
    pub is_bypassed: bool,
    /// A packet with these bits has been judged: for a program that answers "again" (Suricata's mode repeat).
    pub repeat_mark: Option<Mark>,
    /// Where; at least one.
    pub hooks: Vec<Hook>,
}

impl Ips {
    pub(super) fn check(&self) -> Result<(), PieceError> {
        if self.is_fanned_out && !self.queues.are_several() { Err(PieceError::LoneQueue) } else { Ok(()) }
    }

    pub(super) fn nft(&self) -> String {
        let judged =
            self.repeat_mark.map_or_else(String::new, |mark| format!("meta mark and {mark} != {mark} "));
        let flags: Vec<_> = [("bypass", self.is_bypassed), ("fanout", self.is_fanned_out)]
            .iter()
            .filter(|f| f.1)
            .map(|f| f.0)
            .collect();
        let flags = if flags.is_empty() { String::new() } else { format!("flags {} ", flags.join(",")) };
        let rule = format!("{judged}counter queue {flags}to {}", self.queues.nft());
        let chains: Vec<_> = self
            .hooks
            .iter()
            .map(|hook| Chain {
                name: hook.word(),
                hook: format!("filter hook {} priority filter + 10; policy accept;", hook.word()),
                rules: vec![rule.clone()],
            })
            .collect();
        table("unmasq_ips", &chains)
    }

    /// In the table security, whose chains come behind those of filter; no other table's do.
    pub(super) fn iptables(&self) -> String {
        let judged =
            self.repeat_mark.map_or_else(String::new, |mark| format!("-m mark ! --mark {} ", mark.masked()));
        let mut rule = format!("{judged}-j NFQUEUE {}", self.queues.iptables());
        if self.is_bypassed {
            rule.push_str(" --queue-bypass");
        }
        if self.is_fanned_out {
            rule.push_str(" --queue-cpu-fanout");
        }
        let from: Vec<_> = self.hooks.iter().map(|hook| hook.chain()).collect();
        restore("security", &[Target { name: "UNMASQ-IPS", from, rules: vec![rule] }])
    }

    /// What Suricata is told.
    pub(super) fn notes(&self) -> Vec<String> {
        let mode = self.repeat_mark.map_or_else(
            || "mode: accept".to_owned(),
            |mark| format!("mode: repeat, repeat-mark: {mark}, repeat-mask: {mark}"),
        );
        vec![format!(
            "Suricata reads it with: suricata {} (in suricata.yaml, under nfq: {mode})",
            self.queues.suricata()
        )]
    }
}
