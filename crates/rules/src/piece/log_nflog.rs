//! `log-nflog`: new connections to a netlink group.

use super::text::{Chain, Target, restore, table};
use crate::nflog::Nflog;
use crate::value::{Interface, Prefix, Rate};

/// Where packets are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Those for this host.
    Input,
    /// Those that pass it.
    Forward,
    /// Those that it sends.
    Output,
}

impl Hook {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }

    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
        }
    }
}

/// New connections are logged to a netlink group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogNflog {
    /// Where to, and how much of each.
    pub nflog: Nflog,
    /// What the entries begin with.
    pub prefix: Prefix,
    /// Where they are seen; at least one.
    pub hooks: Vec<Hook>,
    /// By which interface they come; any if `None`. What this host sends comes by none.
    pub inside: Option<Interface>,
    /// So many at most.
    pub rate: Option<Rate>,
    /// Is each packet logged, and not the first of each connection alone?
    pub is_of_every_packet: bool,
}

impl LogNflog {
    pub(super) fn nft(&self) -> String {
        let inside =
            self.inside.as_ref().map_or_else(String::new, |name| format!("iifname {} ", name.quoted()));
        let state = if self.is_of_every_packet { "" } else { "ct state new " };
        let limit = self.rate.map_or_else(String::new, |rate| format!("limit rate {rate} "));
        let rule = format!("{inside}{state}{limit}counter {}", self.nflog.nft(&self.prefix.to_string()));
        let chains: Vec<_> = self
            .hooks
            .iter()
            .map(|hook| Chain {
                name: hook.word(),
                hook: format!("filter hook {} priority filter - 10; policy accept;", hook.word()),
                rules: vec![rule.clone()],
            })
            .collect();
        table("unmasq_log_nflog", &chains)
    }

    /// In the table mangle, whose chains come before those of filter.
    pub(super) fn iptables(&self) -> String {
        let inside = self.inside.as_ref().map_or_else(String::new, |name| format!("-i {name} "));
        let state = if self.is_of_every_packet { "" } else { "-m conntrack --ctstate NEW " };
        let limit = self.rate.map_or_else(String::new, |rate| format!("-m limit --limit {rate} "));
        let rule = format!("{inside}{state}{limit}{}", self.nflog.iptables(&self.prefix.to_string()));
        let from: Vec<_> = self.hooks.iter().map(|hook| hook.chain()).collect();
        restore("mangle", &[Target { name: "UNMASQ-LOG-NFLOG", from, rules: vec![rule] }])
    }
}
