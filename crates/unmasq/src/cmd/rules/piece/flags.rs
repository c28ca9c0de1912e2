//! What can be chosen of each piece. Defaults are those of the blog where it has any.

use std::net::Ipv4Addr;

use clap::{ArgAction, ValueEnum};
use ipnet::{IpNet, Ipv4Net};
use unmasq_rules::nflog::Nflog;
use unmasq_rules::piece::{self, ABOUT, About, Piece};
use unmasq_rules::value::{
    Destination, Honeypot, Interface, Mark, Network, Ports, Prefix, Queues, Rate, SetName, Transport,
};
use unmasq_rules::zones::Routing;

use super::super::print::PrintArgs;
use crate::cmd::plan;

/// The help of a piece: what it needs, how to see that it works, and an example.
fn help(name: &str, example: &str) -> String {
    let About { needs, look, .. } = about(name);
    format!(
        "It needs {needs}.\n\nTo see that it works: {look}.\n\nExit status: 0 printed; 2 wrong usage.\n\nExample:\n  {example}"
    )
}

fn about(name: &str) -> &'static About {
    ABOUT.into_iter().find(|about| about.name == name).expect("each piece of the command line is one of them")
}

fn sentence(name: &str) -> &'static str {
    about(name).sentence
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("log-dnat"),
    after_long_help = help("log-dnat", "unmasq rules piece log-dnat --to 10.0.0.2 --port 22 --in wan")
)]
pub(super) struct LogDnat {
    /// Where the connections go: 10.0.0.2, 10.0.0.2:2222, `[fd00::2]:22`
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    to: Destination,
    /// The ports that clients ask for
    #[arg(long, value_name = "PORTS", default_value = "22")]
    port: Ports,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_name = "PROTOCOL")]
    proto: Transport,
    /// By which interface they come [default: any]
    #[arg(long = "in", value_name = "INTERFACE")]
    inside: Option<Interface>,
    /// What each entry begins with
    #[arg(long, default_value = "DNAT/ssh: ")]
    prefix: Prefix,
    /// Log to this netlink group [default: to the kernel's log]
    #[arg(long)]
    group: Option<u16>,
    /// The inner host sees this host's address, so that its answers come back this way
    #[arg(long)]
    masquerade: bool,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("log-nflog"),
    after_long_help = help("log-nflog", "unmasq rules piece log-nflog --group 5 --prefix 'new: ' --snaplen 128 --queue-threshold 10")
)]
pub(super) struct LogNflog {
    /// The netlink group
    #[arg(long, default_value_t = 1)]
    group: u16,
    /// What each entry begins with
    #[arg(long, default_value = "new: ")]
    prefix: Prefix,
    /// So many bytes of each packet [default: all]
    #[arg(long, value_name = "BYTES")]
    snaplen: Option<u32>,
    /// At most so many packets wait in the kernel before they are handed over together [default: as the reader says]
    #[arg(long, value_name = "PACKETS")]
    queue_threshold: Option<u16>,
    /// Where packets are seen
    #[arg(long, value_enum, num_args = 1.., action = ArgAction::Append, default_values = ["input", "forward"])]
    hook: Vec<HookArg>,
    /// By which interface they come [default: any]
    #[arg(long = "in", value_name = "INTERFACE")]
    inside: Option<Interface>,
    /// At most so many: 10/second, 30/minute [default: all]
    #[arg(long)]
    rate: Option<Rate>,
    /// Each packet, and not the first of each connection alone
    #[arg(long)]
    every_packet: bool,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("log-ssh-banner"),
    after_long_help = help("log-ssh-banner", "unmasq rules piece log-ssh-banner --group 5 --in wan")
)]
pub(super) struct LogSshBanner {
    /// The netlink group
    #[arg(long, default_value_t = 5)]
    group: u16,
    /// The servers' ports, as the servers have them: behind a destination NAT
    #[arg(long, value_name = "PORTS", default_value = "22")]
    port: Ports,
    /// So many packets of each direction
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(3..))]
    packets: u16,
    /// So many bytes of each packet
    #[arg(long, value_name = "BYTES", default_value_t = 2048)]
    snaplen: u32,
    /// What each entry begins with
    #[arg(long, default_value = "ssh: ")]
    prefix: Prefix,
    /// By which interface clients come [default: any]
    #[arg(long = "in", value_name = "INTERFACE")]
    inside: Option<Interface>,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HookArg {
    Input,
    Forward,
    Output,
}

/// Whom to divert.
#[derive(Debug, clap::Args)]
struct Diverted {
    /// The ports of the real server, as clients ask for them
    #[arg(long, value_name = "PORTS", default_value = "22")]
    port: Ports,
    /// The set of addresses; with iptables an ipset, whose name for IPv6 has a 6 behind it
    #[arg(long, value_name = "NAME", default_value = "libssh")]
    set: SetName,
    /// The table that has the set, with nft
    #[arg(long, value_name = "NAME", default_value = "nat")]
    table: SetName,
    /// By which interface they come [default: any]
    #[arg(long = "in", value_name = "INTERFACE")]
    inside: Option<Interface>,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("divert-ssh"),
    after_long_help = help("divert-ssh", "unmasq rules piece divert-ssh --to 192.168.1.1:2200")
)]
pub(super) struct DivertSsh {
    /// The honeypot: 192.168.1.1:2200, or 2200 on this host, for both families
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    to: Honeypot,
    #[command(flatten)]
    diverted: Diverted,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("ips"),
    after_long_help = help("ips", "unmasq rules piece ips --queues 0-3 --fanout")
)]
pub(super) struct Ips {
    /// The queues: 0, or 0-3
    #[arg(long, value_name = "QUEUES", default_value = "0")]
    queues: Queues,
    /// Choose the queue by the CPU, and not by the connection; for several queues
    #[arg(long)]
    fanout: bool,
    /// Drop packets while nobody reads the queues
    #[arg(long)]
    no_bypass: bool,
    /// Packets with these bits have been judged: for Suricata's mode repeat
    #[arg(long, value_name = "MARK")]
    repeat_mark: Option<Mark>,
    /// Where packets are taken
    #[arg(long, value_enum, num_args = 1.., action = ArgAction::Append, default_values = ["forward"])]
    hook: Vec<HookArg>,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("masquerade"),
    after_long_help = help("masquerade", "unmasq rules piece masquerade --out wan --network 192.168.0.0/24")
)]
pub(super) struct Masquerade {
    /// The interface by which they leave
    #[arg(long, value_name = "INTERFACE")]
    out: Interface,
    /// Of these sources alone [default: all of IPv4]
    #[arg(long, value_name = "NET", num_args = 1.., action = ArgAction::Append)]
    network: Vec<Network>,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("traceable"),
    after_long_help = help("traceable", "unmasq rules piece traceable --network 192.168.101.0/24 --public 203.0.113.1")
)]
pub(super) struct Traceable {
    #[command(flatten)]
    pub(super) rules: plan::RulesArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    about = sentence("tproxy"),
    after_long_help = help("tproxy", "unmasq rules piece tproxy --in lan0 --out wan --port 21,80 --listen 3129")
)]
pub(super) struct Tproxy {
    /// The interfaces by which clients come
    #[arg(long = "in", value_name = "INTERFACE", required = true, num_args = 1.., action = ArgAction::Append)]
    inside: Vec<Interface>,
    /// Those by which servers answer a proxy that takes its clients' addresses
    #[arg(long, value_name = "INTERFACE", num_args = 1.., action = ArgAction::Append)]
    out: Vec<Interface>,
    /// The networks that clients mean, such as a dark one that nobody uses [default: all]
    #[arg(long, value_name = "NETWORK", num_args = 1.., action = ArgAction::Append)]
    to: Vec<Network>,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_name = "PROTOCOL")]
    proto: Transport,
    /// The ports that clients mean
    #[arg(long, value_name = "PORTS")]
    port: Ports,
    /// The proxy's port at 127.0.0.1 and ::1
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen: u16,
    /// What packets for the proxy get
    #[arg(long, default_value_t = Mark::ONE)]
    mark: Mark,
    /// The routing table that delivers them
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..253))]
    table: u32,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

/// What is not given is as in the blog.
#[derive(Debug, clap::Args)]
#[command(
    about = sentence("box"),
    after_long_help = help("box", "unmasq rules piece box --honeypot 2200 --lan 192.168.0.0/24 --address 203.0.113.1 --trusted 192.168.1.0/24")
)]
pub(super) struct Box {
    /// The honeypot: 192.168.1.1:2200, or 2200 on this host
    #[arg(long, value_name = "[ADDRESS:]PORT", default_value = "192.168.1.1:2200")]
    honeypot: Honeypot,
    #[command(flatten)]
    diverted: Diverted,
    /// The network behind the box
    #[arg(long, value_name = "NET", default_value = "192.168.0.0/24", value_parser = ipv4_network)]
    lan: Ipv4Net,
    /// The address that its hosts have outside
    #[arg(long, default_value = "192.168.1.1")]
    address: Ipv4Addr,
    /// TCP ports of the box that the network may reach
    #[arg(long, value_name = "PORTS", default_value = "9300,3142")]
    lan_ports: Ports,
    /// Networks that may reach the whole box
    #[arg(long, value_name = "NET", num_args = 1.., action = ArgAction::Append, default_value = "192.168.1.0/24")]
    trusted: Vec<Network>,
    /// The interface by which multicast of --multicast is let in
    #[arg(long, value_name = "INTERFACE", default_value = "br0")]
    multicast_in: Interface,
    /// The group that is let in
    #[arg(long, value_name = "GROUP", default_value = "224.2.2.4", value_parser = multicast)]
    multicast: Ipv4Addr,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

fn ipv4_network(text: &str) -> Result<Ipv4Net, String> {
    match text.parse::<Network>() {
        Ok(Network(IpNet::V4(network))) => Ok(network),
        Ok(Network(IpNet::V6(_))) => Err(format!(
            "{text:?} is of IPv6, and source NAT is for IPv4: give a network such as \"192.168.0.0/24\""
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn multicast(text: &str) -> Result<Ipv4Addr, String> {
    let group = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
    group.ok_or_else(|| format!("{text:?} is not a multicast group, such as 224.2.2.4"))
}

impl LogDnat {
    pub(super) fn piece(&self) -> Piece {
        Piece::LogDnat(piece::LogDnat {
            transport: self.proto,
            ports: self.port.clone(),
            to: self.to,
            inside: self.inside.clone(),
            prefix: self.prefix.clone(),
            nflog: self.group.map(|group| Nflog { group, snaplen: None, queue_threshold: None }),
            is_masqueraded: self.masquerade,
        })
    }
}

impl LogNflog {
    pub(super) fn piece(&self) -> Piece {
        Piece::LogNflog(piece::LogNflog {
            nflog: Nflog { group: self.group, snaplen: self.snaplen, queue_threshold: self.queue_threshold },
            prefix: self.prefix.clone(),
            hooks: hooks(&self.hook),
            inside: self.inside.clone(),
            rate: self.rate,
            is_of_every_packet: self.every_packet,
        })
    }
}

impl LogSshBanner {
    pub(super) fn piece(&self) -> Piece {
        Piece::LogSshBanner(piece::LogSshBanner {
            // Each at once: who reads them is to act before the connection goes on.
            nflog: Nflog { group: self.group, snaplen: Some(self.snaplen), queue_threshold: Some(1) },
            prefix: self.prefix.clone(),
            ports: self.port.clone(),
            packets: self.packets,
            inside: self.inside.clone(),
        })
    }
}

impl Diverted {
    fn to(&self, to: Honeypot) -> piece::DivertSsh {
        piece::DivertSsh {
            to,
            ports: self.port.clone(),
            set: self.set.clone(),
            table: self.table.clone(),
            inside: self.inside.clone(),
        }
    }
}

impl DivertSsh {
    pub(super) fn piece(&self) -> Piece {
        Piece::DivertSsh(self.diverted.to(self.to))
    }
}

impl Ips {
    pub(super) fn piece(&self) -> Piece {
        Piece::Ips(piece::Ips {
            queues: self.queues,
            is_fanned_out: self.fanout,
            is_bypassed: !self.no_bypass,
            repeat_mark: self.repeat_mark,
            hooks: hooks(&self.hook),
        })
    }
}

impl Masquerade {
    pub(super) fn piece(&self) -> Piece {
        Piece::Masquerade(piece::Masquerade { out: self.out.clone(), networks: self.network.clone() })
    }
}

impl Tproxy {
    pub(super) fn piece(&self) -> Piece {
        Piece::Tproxy(piece::Tproxy {
            inside: once(&self.inside),
            outside: once(&self.out),
            to: self.to.clone(),
            transport: self.proto,
            ports: self.port.clone(),
            listen: self.listen,
            routing: Routing { mark: self.mark, table: self.table },
        })
    }
}

impl Box {
    pub(super) fn piece(&self) -> Piece {
        Piece::Box(piece::HoneypotBox {
            divert: self.diverted.to(self.honeypot),
            lan: self.lan,
            address: self.address,
            lan_ports: self.lan_ports.clone(),
            trusted: self.trusted.clone(),
            multicast: Some((self.multicast_in.clone(), self.multicast)),
        })
    }
}

/// Each once, however often it is named: with iptables, the second would be a rule that nothing reaches.
fn once(named: &[Interface]) -> Vec<Interface> {
    let mut each: Vec<Interface> = Vec::new();
    for interface in named {
        if !each.contains(interface) {
            each.push(interface.clone());
        }
    }
    each
}

/// Each once, however often it is named.
fn hooks(named: &[HookArg]) -> Vec<piece::Hook> {
    [
        (HookArg::Input, piece::Hook::Input),
        (HookArg::Forward, piece::Hook::Forward),
        (HookArg::Output, piece::Hook::Output),
    ]
    .into_iter()
    .filter(|(word, _)| named.contains(word))
    .map(|(_, hook)| hook)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_named_twice_is_one() {
        let named = ["lan0", "wan", "lan0"].map(|name| name.parse::<Interface>().expect("an interface"));
        assert_eq!(once(&named), named[..2]);
    }

    #[test]
    fn the_boxs_network_is_one_of_ipv4() {
        assert!(ipv4_network("10.0.0.0/24").is_ok());
        for (bad, why) in
            [("fd00::/64", "is of IPv6"), ("10.0.0.1/24", "10.0.0.0/24"), ("lan", "not an address")]
        {
            let error = ipv4_network(bad).expect_err(bad);
            assert!(error.contains(why), "{error}");
        }
    }
}
