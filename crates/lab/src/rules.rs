//! What a gateway of the lab translates, as values; printed as nftables rules.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use unmasq_flow::Protocol;

/// One thing that a gateway does to flows.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Flows that leave by this interface take the gateway's own address there, both families.
    Masquerade {
        /// The interface toward the world.
        out: String,
        /// The ports to choose from; the kernel's choice if `None`.
        ports: Option<RangeInclusive<u16>>,
    },
    /// Flows from a network or address take this address.
    Snat {
        /// `192.168.101.0/24`, `192.168.101.2`, `fd00::/8`.
        from: String,
        /// The public address.
        to: IpAddr,
        /// The ports to choose from. One port forces clients to share it toward different servers.
        ports: Option<RangeInclusive<u16>>,
    },
    /// Flows toward a public endpoint go to an inner one.
    Dnat {
        /// TCP or UDP.
        protocol: Protocol,
        /// What the client asks for.
        from: SocketAddr,
        /// Who answers.
        to: SocketAddr,
    },
    /// Flows that came from a network and were redirected back into it take the gateway's own address,
    /// or the answer would not pass the gateway.
    Hairpin {
        /// The network, as for [`Rule::Snat`].
        network: String,
    },
    /// Flows that come in by this interface belong to a conntrack zone in their original direction, and are
    /// marked with its number: networks with the same addresses are told apart. Replies get the mark back,
    /// for a route of their own.
    Zone {
        /// The interface toward that network.
        input: String,
        /// The zone, not 0.
        zone: u16,
    },
}

/// A ruleset that replaces that of an earlier call, with a counter `begun` of flows (a nat chain sees the
/// first packet of each).
pub(crate) fn ruleset(rules: &[Rule]) -> String {
    let (mut raw, mut pre, mut post) = (String::new(), String::new(), String::new());
    for rule in rules {
        let line = match rule {
            Rule::Masquerade { out, ports: None } => writeln!(post, "oifname \"{out}\" masquerade"),
            Rule::Masquerade { out, ports: Some(ports) } => {
                let ports = range(ports);
                writeln!(post, "oifname \"{out}\" meta l4proto {{ tcp, udp }} masquerade to :{ports}")
                    .and_then(|()| writeln!(post, "oifname \"{out}\" masquerade"))
            }
            Rule::Snat { from, to, ports } => {
                let family = family(to);
                match ports {
                    None => writeln!(post, "{family} saddr {from} snat {family} to {to}"),
                    Some(ports) => {
                        let to = if to.is_ipv6() { format!("[{to}]") } else { to.to_string() };
                        writeln!(
                            post,
                            "{family} saddr {from} meta l4proto {{ tcp, udp }} snat {family} to {to}:{}",
                            range(ports)
                        )
                    }
                }
            }
            Rule::Dnat { protocol, from, to } => {
                let family = family(&from.ip());
                writeln!(
                    pre,
                    "{family} daddr {} {protocol} dport {} dnat {family} to {to}",
                    from.ip(),
                    from.port()
                )
            }
            Rule::Hairpin { network } => {
                let family = if network.contains(':') { "ip6" } else { "ip" };
                writeln!(post, "{family} saddr {network} {family} daddr {network} ct status dnat masquerade")
            }
            Rule::Zone { input, zone } => {
                writeln!(raw, "iifname \"{input}\" ct original zone set {zone} meta mark set {zone}")
            }
        };
        line.expect("writing to a string cannot fail");
    }
    let zones = if raw.is_empty() {
        String::new()
    } else {
        format!(
            "chain raw {{ type filter hook prerouting priority raw; {raw} }}
             chain keep {{ type filter hook prerouting priority mangle;
               ct direction original meta mark != 0 ct mark set meta mark
               ct direction reply meta mark set ct mark
             }}"
        )
    };
    format!(
        "table inet lab
         delete table inet lab
         table inet lab {{
           counter begun {{ }}
           {zones}
           chain pre {{ type nat hook prerouting priority dstnat; {pre} }}
           chain post {{ type nat hook postrouting priority srcnat; counter name begun
             {post} }}
         }}"
    )
}

fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv6() { "ip6" } else { "ip" }
}

fn range(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}
