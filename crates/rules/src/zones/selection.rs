//! Which packets a rule is for, as matches of nft and of iptables.

use super::{Local, Protocol, Service, Traffic, Zones};
use crate::value::{Interface, Network, Ports, by_family, one_or_set};

/// Which packets a rule is for. Empty lists match all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'z> {
    pub(super) out: &'z [Interface],
    pub(super) source: &'z [Network],
    pub(super) destination: &'z [Network],
    pub(super) protocol: Protocol,
    pub(super) ports: Option<&'z Ports>,
}

impl<'z> Selection<'z> {
    fn of(traffic: &'z Traffic) -> Self {
        Self {
            out: &[],
            source: &[],
            destination: &[],
            protocol: traffic.protocol,
            ports: traffic.ports.as_ref(),
        }
    }

    pub(super) fn local(local: &'z Local) -> Self {
        Self { source: &local.from, ..Self::of(&local.traffic) }
    }

    pub(super) fn forward(forward: &'z super::Forward, zones: &'z Zones) -> Self {
        Self {
            out: zones.interfaces_of(&forward.to),
            source: &forward.source,
            destination: &forward.destination,
            ..Self::of(&forward.traffic)
        }
    }

    /// What the clients of a service send: to its ports.
    pub(super) fn service(service: &'z Service) -> Self {
        Self {
            out: &[],
            source: &[],
            destination: &[],
            protocol: service.transport.into(),
            ports: Some(&service.ports),
        }
    }

    /// The matches of each rule that it takes in an `inet` table.
    pub(super) fn nft(&self) -> Vec<String> {
        let mut head = String::new();
        if !self.out.is_empty() {
            let names: Vec<_> = self.out.iter().map(Interface::quoted).collect();
            head = format!("oifname {} ", one_or_set(&names));
        }
        let (source, destination) = (by_family(self.source), by_family(self.destination));
        let is_of_both = self.source.is_empty() && self.destination.is_empty();
        if is_of_both && self.protocol != Protocol::Ping {
            return vec![format!("{head}{}", self.nft_protocol(false))];
        }
        // A family is left out where a list names networks of the other alone.
        let has = |list: &[Network], is_empty: bool| list.is_empty() || !is_empty;
        let mut rules = Vec::new();
        let addresses = |keyword: &str, nets: &[String]| {
            if nets.is_empty() { String::new() } else { format!("{keyword} {} ", one_or_set(nets)) }
        };
        if has(self.source, source.0.is_empty()) && has(self.destination, destination.0.is_empty()) {
            let from = addresses("ip saddr", &texts(&source.0));
            let to = addresses("ip daddr", &texts(&destination.0));
            rules.push(format!("{head}{from}{to}{}", self.nft_protocol(false)));
        }
        if has(self.source, source.1.is_empty()) && has(self.destination, destination.1.is_empty()) {
            let from = addresses("ip6 saddr", &texts(&source.1));
            let to = addresses("ip6 daddr", &texts(&destination.1));
            rules.push(format!("{head}{from}{to}{}", self.nft_protocol(true)));
        }
        rules
    }

    /// With a space behind it, if there is anything to match.
    fn nft_protocol(&self, is_v6: bool) -> String {
        match (self.protocol, self.ports) {
            (Protocol::Any, _) => String::new(),
            (Protocol::Ping, _) if is_v6 => "icmpv6 type echo-request ".into(),
            (Protocol::Ping, _) => "icmp type echo-request ".into(),
            (protocol, ports) => match (word(protocol), ports) {
                (Some(word), Some(ports)) => format!("{word} dport {} ", ports.nft()),
                _ => format!("meta l4proto {} ", number(protocol)),
            },
        }
    }

    /// The matches of each rule that it takes in the tables of one family.
    pub(super) fn iptables(&self, is_v6: bool) -> Vec<String> {
        let addresses = |flag: &str, networks: &[Network]| -> Vec<String> {
            let (v4, v6) = by_family(networks);
            let nets = if is_v6 { texts(&v6) } else { texts(&v4) };
            if networks.is_empty() {
                vec![String::new()]
            } else {
                nets.iter().map(|net| format!("{flag} {net} ")).collect()
            }
        };
        let out = match self.out {
            [] => vec![String::new()],
            names => names.iter().map(|name| format!("-o {name} ")).collect(),
        };
        let (source, destination) = (addresses("-s", self.source), addresses("-d", self.destination));
        let protocol = self.iptables_protocol(is_v6);
        let mut rules = Vec::new();
        for out in &out {
            for source in &source {
                for destination in &destination {
                    rules.extend(protocol.iter().map(|words| format!("{out}{source}{destination}{words}")));
                }
            }
        }
        rules
    }

    fn iptables_protocol(&self, is_v6: bool) -> Vec<String> {
        match (self.protocol, self.ports) {
            (Protocol::Any, _) => vec![String::new()],
            (Protocol::Ping, _) if is_v6 => vec!["-p ipv6-icmp -m icmp6 --icmpv6-type echo-request ".into()],
            (Protocol::Ping, _) => vec!["-p icmp -m icmp --icmp-type echo-request ".into()],
            (protocol, ports) => match (word(protocol), ports) {
                (Some(word), Some(ports)) => {
                    ports.iptables().iter().map(|ports| format!("-p {word} -m {word} {ports} ")).collect()
                }
                _ => vec![format!("-p {} ", number(protocol))],
            },
        }
    }
}

pub(super) fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// What nft and iptables call it, if it has ports.
fn word(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Tcp => Some("tcp"),
        Protocol::Udp => Some("udp"),
        Protocol::Sctp => Some("sctp"),
        Protocol::Any
        | Protocol::Ping
        | Protocol::Gre
        | Protocol::Esp
        | Protocol::Ah
        | Protocol::Ospf
        | Protocol::Vrrp => None,
    }
}

/// Its number (IANA, "Protocol Numbers"): not every system has a word for each in /etc/protocols.
fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Any => 0,
        Protocol::Ping => 1,
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Gre => 47,
        Protocol::Esp => 50,
        Protocol::Ah => 51,
        Protocol::Ospf => 89,
        Protocol::Vrrp => 112,
        Protocol::Sctp => 132,
    }
}
