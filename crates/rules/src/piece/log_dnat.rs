//! `log-dnat`: destination NAT with a log entry that a watch on the inner host's log needs (`action_dnatCapture` of Pyruse).

use super::PieceError;
use super::text::{Chain, Target, restore, table};
use crate::nflog::Nflog;
use crate::value::{Destination, Interface, Ports, Prefix, Transport};

/// What iptables' LOG takes, in characters: 30 with its NUL (linux/netfilter/xt_LOG.h).
const LOG_PREFIX: usize = 29;

/// Connections to ports of this host go to an inner host, and are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDnat {
    /// TCP or UDP.
    pub transport: Transport,
    /// The ports that clients ask for.
    pub ports: Ports,
    /// Where they are sent.
    pub to: Destination,
    /// By which interface they come; any if `None`.
    pub inside: Option<Interface>,
    /// What the entries begin with.
    pub prefix: Prefix,
    /// To a netlink group; to the kernel's log if `None`.
    pub nflog: Option<Nflog>,
    /// Does the inner host see this host's address, so that its answers come back whatever its default route is?
    pub is_masqueraded: bool,
}

impl LogDnat {
    pub(super) fn nft(&self) -> String {
        let (family, version) = if self.to.address.is_ipv6() { ("ip6", "ipv6") } else { ("ip", "ipv4") };
        let inside =
            self.inside.as_ref().map_or_else(String::new, |name| format!("iifname {} ", name.quoted()));
        let log = self.nflog.map_or_else(
            || format!("log prefix \"{}\"", self.prefix),
            |log| log.nft(&self.prefix.to_string()),
        );
        let rule = format!(
            "{inside}meta nfproto {version} {} dport {} fib daddr type local counter {log} dnat {family} to {}",
            self.transport,
            self.ports.nft(),
            self.to
        );
        let mut chains = vec![Chain {
            name: "prerouting",
            hook: "nat hook prerouting priority dstnat; policy accept;".into(),
            rules: vec![rule],
        }];
        if self.is_masqueraded {
            chains.push(Chain {
                name: "postrouting",
                hook: "nat hook postrouting priority srcnat; policy accept;".into(),
                rules: vec![format!("{family} daddr {} ct status dnat counter masquerade", self.to.address)],
            });
        }
        table("unmasq_log_dnat", &chains)
    }

    pub(super) fn iptables(&self, is_v6: bool) -> Result<String, PieceError> {
        if self.to.address.is_ipv6() != is_v6 {
            return Err(PieceError::other_family(&self.to.address, is_v6));
        }
        let log = match self.nflog {
            Some(nflog) => nflog.iptables(&self.prefix.to_string()),
            None if self.prefix.length() > LOG_PREFIX => {
                return Err(PieceError::LongPrefix(self.prefix.to_string()));
            }
            None => format!("-j LOG --log-prefix \"{}\"", self.prefix),
        };
        let inside = self.inside.as_ref().map_or_else(String::new, |name| format!("-i {name} "));
        let mut rules = Vec::new();
        for ports in self.ports.iptables() {
            let of = format!("{inside}-p {0} -m {0} {ports} -m addrtype --dst-type LOCAL", self.transport);
            rules.push(format!("{of} {log}"));
            rules.push(format!("{of} -j DNAT --to-destination {}", self.to));
        }
        let mut chains = vec![Target { name: "UNMASQ-LOG-DNAT", from: vec!["PREROUTING"], rules }];
        if self.is_masqueraded {
            let rule = format!("-d {} -m conntrack --ctstate DNAT -j MASQUERADE", self.to.address);
            chains.push(Target {
                name: "UNMASQ-LOG-DNAT-BACK",
                from: vec!["POSTROUTING"],
                rules: vec![rule],
            });
        }
        Ok(restore("nat", &chains))
    }
}
