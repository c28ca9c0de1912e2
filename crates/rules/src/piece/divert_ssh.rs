//! `divert-ssh`: a set of attackers, and a honeypot for them.

use std::fmt::Write;

use super::PieceError;
use super::text::{Target, restore};
use crate::Form;
use crate::value::{Honeypot, Interface, Ports, SetName};

/// SSH connections of addresses in a set go to a honeypot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivertSsh {
    /// Where the honeypot is.
    pub to: Honeypot,
    /// The ports of the real server, as clients ask for them.
    pub ports: Ports,
    /// The set; of iptables, an ipset.
    pub set: SetName,
    /// The table that has the set; of nft alone.
    pub table: SetName,
    /// By which interface they come; any if `None`.
    pub inside: Option<Interface>,
}

impl DivertSsh {
    /// The set is declared before the chain is emptied and filled again, and never deleted: its elements stay.
    ///
    /// Of the priority -150, as in the blog: before iptables' own destination NAT, which would decide first otherwise.
    pub(super) fn nft(&self) -> String {
        let inside =
            self.inside.as_ref().map_or_else(String::new, |name| format!("iifname {} ", name.quoted()));
        let (set, table, ports) = (&self.set, &self.table, self.ports.nft());
        let action = match self.to {
            Honeypot::At(endpoint) => format!("dnat to {endpoint}"),
            Honeypot::Here(port) => format!("redirect to :{port}"),
        };
        let mut text = String::new();
        for (family, kind, is_v6) in [("ip", "ipv4_addr", false), ("ip6", "ipv6_addr", true)] {
            if !self.to.is_of(is_v6) {
                continue;
            }
            let _ = write!(
                text,
                "table {family} {table} {{\n\tset {set} {{\n\t\ttype {kind}\n\t\tflags timeout\n\t}}\n\n\tchain divert_ssh {{\n\
                 \t\ttype nat hook prerouting priority -150; policy accept;\n\t}}\n}}\n\
                 flush chain {family} {table} divert_ssh\n\
                 table {family} {table} {{\n\tchain divert_ssh {{\n\
                 \t\t{inside}{family} saddr @{set} tcp dport {ports} counter {action}\n\t}}\n}}\n"
            );
        }
        text
    }

    pub(super) fn iptables(&self, is_v6: bool) -> Result<String, PieceError> {
        match self.to {
            Honeypot::At(endpoint) if endpoint.is_ipv6() != is_v6 => {
                Err(PieceError::other_family(&endpoint, is_v6))
            }
            Honeypot::At(_) | Honeypot::Here(_) => Ok(restore("nat", &[self.chain(is_v6)])),
        }
    }

    /// The chain of iptables, in the table nat.
    pub(super) fn chain(&self, is_v6: bool) -> Target {
        let inside = self.inside.as_ref().map_or_else(String::new, |name| format!("-i {name} "));
        let action = match self.to {
            Honeypot::At(endpoint) => format!("DNAT --to-destination {endpoint}"),
            Honeypot::Here(port) => format!("REDIRECT --to-ports {port}"),
        };
        let set = self.ipset(is_v6);
        let matches = self.ports.iptables();
        let rules = matches
            .iter()
            .map(|ports| format!("{inside}-p tcp -m tcp {ports} -m set --match-set {set} src -j {action}"))
            .collect();
        Target { name: "UNMASQ-DIVERT-SSH", from: vec!["PREROUTING"], rules }
    }

    /// The ipset's name. An ipset has addresses of one family, so those of IPv6 have one of their own.
    fn ipset(&self, is_v6: bool) -> String {
        format!("{}{}", self.set, if is_v6 { "6" } else { "" })
    }

    /// How the set is made and filled.
    pub(super) fn notes(&self, form: Form) -> Vec<String> {
        let (set, table) = (&self.set, &self.table);
        match form {
            Form::Nft => {
                let (family, sample) =
                    if self.to.is_of(false) { ("ip", "192.0.2.7") } else { ("ip6", "2001:db8::7") };
                vec![format!(
                    "An address is added by: nft add element {family} {table} {set} '{{ {sample} timeout 1d }}'"
                )]
            }
            Form::Iptables | Form::Ip6tables => {
                let is_v6 = form == Form::Ip6tables;
                let (family, sample) =
                    if is_v6 { (" family inet6", "2001:db8::7") } else { ("", "192.0.2.7") };
                let name = self.ipset(is_v6);
                vec![
                    format!("The set must be there first: ipset create {name} hash:ip{family} timeout 0"),
                    format!("An address is added by: ipset add {name} {sample} timeout 86400"),
                ]
            }
        }
    }
}
