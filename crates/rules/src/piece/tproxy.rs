//! `tproxy`: a transparent proxy, closed while it is down.

use super::PieceError;
use super::text::{Chain, End, Target, ends, ends_of, restore, table};
use crate::value::{Interface, Network, Ports, Transport, one_or_set};
use crate::zones::Routing;

/// Connections that come by some interfaces go to a proxy on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tproxy {
    /// The interfaces by which clients come; at least one.
    pub inside: Vec<Interface>,
    /// Those by which servers' answers to a proxy come that takes its clients' addresses.
    pub outside: Vec<Interface>,
    /// The networks that clients mean, such as a dark one. Empty: all.
    pub to: Vec<Network>,
    /// TCP or UDP.
    pub transport: Transport,
    /// The ports that clients mean.
    pub ports: Ports,
    /// The proxy's port at 127.0.0.1 and ::1.
    pub listen: u16,
    /// How packets get to it.
    pub routing: Routing,
}

impl Tproxy {
    pub(super) fn nft(&self) -> String {
        let names: Vec<_> = self.inside.iter().map(Interface::quoted).collect();
        let of = format!("iifname {} ", one_or_set(&names));
        let (mark, listen) = (self.routing.nft(), self.listen);
        let ports = format!("{} dport {} ", self.transport, self.ports.nft());
        let meant = ends(End::Destination, &self.to);
        let mut rules = vec![
            // First what belongs to an open connection of the proxy's, on either side.
            format!("meta l4proto {{ tcp, udp }} socket transparent 1 {mark} accept"),
            format!("{of}fib daddr type {{ local, broadcast, multicast }} accept"),
        ];
        for to in &meant {
            // Without networks, both families are meant.
            if !to.starts_with("ip6 ") {
                let family = if to.is_empty() { "meta nfproto ipv4 " } else { "" };
                rules.push(format!("{of}{family}{to}{ports}tproxy ip to 127.0.0.1:{listen} {mark} accept"));
            }
            if !to.starts_with("ip ") {
                let family = if to.is_empty() { "meta nfproto ipv6 " } else { "" };
                rules.push(format!("{of}{family}{to}{ports}tproxy ip6 to [::1]:{listen} {mark} accept"));
            }
        }
        // Without a listener nft's tproxy ends the rule and not the packet, which would be routed past the proxy.
        rules.extend(meant.iter().map(|to| format!("{of}{to}{ports}counter drop")));
        let hook = "filter hook prerouting priority mangle; policy accept;".into();
        table("unmasq_tproxy", &[Chain { name: "prerouting", hook, rules }])
    }

    pub(super) fn iptables(&self, is_v6: bool) -> Result<String, PieceError> {
        let meant = ends_of(End::Destination, &self.to, is_v6);
        if let (Some(first), true) = (self.to.first(), meant.is_empty()) {
            return Err(PieceError::other_family(first, is_v6));
        }
        let (mark, listener) = (self.routing.mark.masked(), if is_v6 { "::1" } else { "127.0.0.1" });
        let mut rules = vec![
            format!("-m socket --transparent -j MARK --set-xmark {mark}"),
            "-m socket --transparent -j ACCEPT".to_owned(),
            "-m addrtype --dst-type LOCAL -j RETURN".to_owned(),
            "-m addrtype --dst-type MULTICAST -j RETURN".to_owned(),
        ];
        if !is_v6 {
            rules.push("-m addrtype --dst-type BROADCAST -j RETURN".into());
        }
        for name in &self.inside {
            for (to, ports) in
                meant.iter().flat_map(|to| self.ports.iptables().into_iter().map(move |ports| (to, ports)))
            {
                // xt_TPROXY drops what no listener takes.
                rules.push(format!(
                    "-i {name} {to}-p {0} -m {0} {ports} -j TPROXY --on-port {1} --on-ip {listener} --tproxy-mark {mark}",
                    self.transport, self.listen
                ));
            }
        }
        Ok(restore("mangle", &[Target { name: "UNMASQ-TPROXY", from: vec!["PREROUTING"], rules }]))
    }

    /// The policy routing.
    pub(super) fn notes(&self) -> Vec<String> {
        let interfaces: Vec<_> = self.inside.iter().chain(&self.outside).collect();
        let mut notes = vec!["Policy routing:".to_owned()];
        notes.extend(self.routing.commands(&interfaces).into_iter().map(|line| format!("  {line}")));
        notes
    }
}
