//! `box`: the complete box of the blog (Éric Leblond, "DOM and SSH honeypot", 2014).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::DivertSsh;
use super::text::{Chain, Target, restore, sources, sources_of, table};
use crate::ipv6;
use crate::nflog::Nflog;
use crate::value::{Interface, Network, Ports};

/// A firewall that logs, a honeypot for those in a set, and source NAT for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoneypotBox {
    /// Who is diverted, and where to.
    pub divert: DivertSsh,
    /// The network behind the box; its hosts take the box's address outside.
    pub lan: Ipv4Net,
    /// That address.
    pub address: Ipv4Addr,
    /// TCP ports of the box that the network may reach.
    pub lan_ports: Ports,
    /// Networks that may reach the whole box.
    pub trusted: Vec<Network>,
    /// An interface and a group of which multicast is let in.
    pub multicast: Option<(Interface, Ipv4Addr)>,
}

/// Where SSH attempts are logged, and where drops are.
const ATTEMPTS: Nflog = Nflog { group: 1, snaplen: None, queue_threshold: None };
const DROPS: Nflog = Nflog { group: 2, snaplen: None, queue_threshold: None };
const ATTEMPT: &str = "SSH attempt";
const DROP: &str = "Input Default DROP";

impl HoneypotBox {
    pub(super) fn nft(&self) -> String {
        let mut input =
            vec!["ct state established,related accept".to_owned(), "iifname \"lo\" accept".to_owned()];
        // Not in the blog, where nothing of IPv6 is reachable.
        input.extend(ipv6::NFT.map(str::to_owned));
        input.push(format!(
            "ct state new tcp dport {} tcp flags & (fin | syn | rst | ack) == syn counter {} accept",
            self.ssh_ports().nft(),
            ATTEMPTS.nft(ATTEMPT)
        ));
        if let Some((interface, group)) = &self.multicast {
            input.push(format!("iifname {} ip daddr {group} counter accept", interface.quoted()));
        }
        input.push(format!("ip saddr {} tcp dport {} counter accept", self.lan, self.lan_ports.nft()));
        if !self.trusted.is_empty() {
            input.extend(sources(&self.trusted).iter().map(|of| format!("{of}counter accept")));
        }
        input.push(format!("counter {} drop", DROPS.nft(DROP)));
        let postrouting = vec![format!("ip saddr {} counter snat ip to {}", self.lan, self.address)];
        let chains = [
            Chain {
                name: "input",
                hook: "filter hook input priority filter; policy accept;".into(),
                rules: input,
            },
            Chain {
                name: "postrouting",
                hook: "nat hook postrouting priority srcnat; policy accept;".into(),
                rules: postrouting,
            },
        ];
        format!("{}\n{}", table("unmasq_box", &chains), self.divert.nft())
    }

    pub(super) fn iptables(&self, is_v6: bool) -> String {
        let mut rules = vec![
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned(),
            "-i lo -j ACCEPT".to_owned(),
        ];
        if is_v6 {
            rules.extend(ipv6::ip6tables());
        }
        for ports in self.ssh_ports().iptables() {
            let of = format!("-p tcp -m tcp --syn {ports} -m conntrack --ctstate NEW");
            rules.push(format!("{of} {}", ATTEMPTS.iptables(ATTEMPT)));
            rules.push(format!("{of} -j ACCEPT"));
        }
        if !is_v6 {
            if let Some((interface, group)) = &self.multicast {
                rules.push(format!("-i {interface} -d {group} -j ACCEPT"));
            }
            for ports in self.lan_ports.iptables() {
                rules.push(format!("-s {} -p tcp -m tcp {ports} -j ACCEPT", self.lan));
            }
        }
        if !self.trusted.is_empty() {
            rules.extend(sources_of(&self.trusted, is_v6).iter().map(|of| format!("{of}-j ACCEPT")));
        }
        rules.push(DROPS.iptables(DROP));
        rules.push("-j DROP".to_owned());
        let mut nat = Vec::new();
        if self.divert.to.is_of(is_v6) {
            nat.push(self.divert.chain(is_v6));
        }
        if !is_v6 {
            let rule = format!("-s {} -j SNAT --to-source {}", self.lan, self.address);
            nat.push(Target { name: "UNMASQ-BOX-SNAT", from: vec!["POSTROUTING"], rules: vec![rule] });
        }
        let mut text = restore("filter", &[Target { name: "UNMASQ-BOX", from: vec!["INPUT"], rules }]);
        if !nat.is_empty() {
            text.push_str(&restore("nat", &nat));
        }
        text
    }

    /// Those of the real server and of the honeypot: diverted connections have the honeypot's when they come in.
    fn ssh_ports(&self) -> Ports {
        self.divert.ports.with(self.divert.to.port())
    }
}
