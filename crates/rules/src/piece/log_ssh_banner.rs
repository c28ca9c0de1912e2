//! `log-ssh-banner`: the first packets of SSH connections to a netlink group.

use super::log_nflog::Hook;
use super::text::{Chain, Target, restore, table};
use crate::nflog::Nflog;
use crate::value::{Interface, Ports, Prefix};

/// The first packets of both directions are logged to a netlink group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSshBanner {
    /// Where to, and how much of each.
    pub nflog: Nflog,
    /// What the entries begin with.
    pub prefix: Prefix,
    /// The servers' ports, as the servers have them: behind a destination NAT.
    pub ports: Ports,
    /// So many packets of each direction.
    pub packets: u16,
    /// By which interface clients come; any if `None`.
    pub inside: Option<Interface>,
}

/// Which direction a rule is for.
#[derive(Clone, Copy)]
enum Way {
    Original,
    Reply,
}

impl LogSshBanner {
    /// What is forwarded passes one chain in both directions; what is for this host comes by one and is answered by another. There,
    /// both directions have the server's own address and the client's.
    pub(super) fn nft(&self) -> String {
        let chains: Vec<_> = [
            (Hook::Forward, &[Way::Original, Way::Reply][..]),
            (Hook::Input, &[Way::Original]),
            (Hook::Output, &[Way::Reply]),
        ]
        .into_iter()
        .map(|(hook, ways)| Chain {
            name: hook.word(),
            hook: format!("filter hook {} priority filter - 10; policy accept;", hook.word()),
            rules: ways.iter().map(|way| self.nft_rule(*way)).collect(),
        })
        .collect();
        table("unmasq_log_ssh_banner", &chains)
    }

    fn nft_rule(&self, way: Way) -> String {
        let (direction, interface, port) = match way {
            Way::Original => ("original", "iifname", "dport"),
            Way::Reply => ("reply", "oifname", "sport"),
        };
        let inside =
            self.inside.as_ref().map_or_else(String::new, |name| format!("{interface} {} ", name.quoted()));
        let (ports, packets) = (self.ports.nft(), self.packets);
        let log = self.nflog.nft(&self.prefix.to_string());
        // The packet itself is counted already when a rule sees it.
        format!(
            "{inside}tcp {port} {ports} ct direction {direction} ct {direction} packets <= {packets} counter {log}"
        )
    }

    /// In the table mangle, whose chains come before those of filter.
    pub(super) fn iptables(&self) -> String {
        let rules =
            [Way::Original, Way::Reply].into_iter().flat_map(|way| self.iptables_rules(way)).collect();
        let from = [Hook::Forward, Hook::Input, Hook::Output].map(Hook::chain).to_vec();
        restore("mangle", &[Target { name: "UNMASQ-LOG-SSH", from, rules }])
    }

    fn iptables_rules(&self, way: Way) -> Vec<String> {
        let (direction, word, flag) = match way {
            Way::Original => ("original", "ORIGINAL", "-i"),
            Way::Reply => ("reply", "REPLY", "-o"),
        };
        let inside = self.inside.as_ref().map_or_else(String::new, |name| format!("{flag} {name} "));
        let (packets, log) = (self.packets, self.nflog.iptables(&self.prefix.to_string()));
        let matches = self.ports.iptables().into_iter().map(|ports| match way {
            Way::Original => ports,
            Way::Reply => ports.replace("--dport", "--sport"),
        });
        matches
            .map(|ports| {
                format!(
                    "{inside}-p tcp -m tcp {ports} -m conntrack --ctdir {word} -m connbytes --connbytes 0:{packets} \
                     --connbytes-dir {direction} --connbytes-mode packets {log}"
                )
            })
            .collect()
    }

    /// What the kernel must count.
    pub(super) fn notes() -> Vec<String> {
        vec![
            "Packets of a connection are counted only with net.netfilter.nf_conntrack_acct=1, for connections that begin after it is set: \
             sysctl -w net.netfilter.nf_conntrack_acct=1"
                .to_owned(),
        ]
    }
}
