//! The network of the demo: three servers behind a gateway that forwards and masquerades, and whoever knocks.
//!
//! ```text
//!  attacker 198.51.100.66 ─┐                                        ┌─ server1 192.168.101.2
//!  user     198.51.100.23 ─┼─ world ── wan 203.0.113.1  gateway ────┼─ server2 192.168.102.2
//!  office   198.51.100.77 ─┘           203.0.113.11-13              └─ server3 192.168.103.2
//! ```

use std::net::Ipv4Addr;

use unmasq_lab::{Lab, LabError, Node};

/// How many servers there are.
pub(crate) const SERVERS: u8 = 3;
/// Who tries passwords.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
/// Who has a key.
pub(crate) const USER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 23);
/// A NAT gateway that many people share.
pub(crate) const OFFICE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// The namespaces.
pub(crate) struct Town {
    pub(crate) gateway: Node,
    pub(crate) attacker: Node,
    pub(crate) user: Node,
    pub(crate) office: Node,
    pub(crate) servers: Vec<Node>,
}

/// The public address of a server, from 1.
pub(crate) fn public(server: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 10 + server)
}

/// What a server has for its own address.
fn inner(server: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 100 + server, 2)
}

/// The gateway's address toward a server: who each server thinks that its clients are.
pub(crate) fn inside(server: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 100 + server, 1)
}

impl Town {
    pub(crate) fn build(lab: &Lab) -> Result<Self, LabError> {
        let (gateway, world) = (lab.node("gateway")?, lab.node("world")?);
        for node in [&gateway, &world] {
            node.set("net.ipv4.ip_forward", "1")?;
        }
        // The rule that logs banners looks only at a connection's first packets.
        gateway.set("net.netfilter.nf_conntrack_acct", "1")?;
        gateway.link("wan", &["203.0.113.1/24"], (&world, "gw", &["203.0.113.254/24"]))?;
        gateway.ip(&["route add default via 203.0.113.254"])?;
        world.ip(&["route add 203.0.113.8/29 via 203.0.113.1"])?;
        let outside = |name: &str, address: Ipv4Addr| {
            let node = lab.node(name)?;
            node.link("eth0", &[&format!("{address}/32")], (&world, name, &[]))?;
            node.ip(&["route add 203.0.113.254 dev eth0", "route add default via 203.0.113.254"])?;
            world.ip(&[format!("route add {address} dev {name}")])?;
            Ok::<Node, LabError>(node)
        };
        let (attacker, user) = (outside("attacker", ATTACKER)?, outside("user", USER)?);
        let office = outside("office", OFFICE)?;
        let mut servers = Vec::new();
        let mut forwarded = Vec::new();
        for server in 1..=SERVERS {
            let node = lab.node(&format!("server{server}"))?;
            let (own, gateways) = (format!("{}/24", inner(server)), format!("{}/24", inside(server)));
            node.link("eth0", &[&own], (&gateway, &format!("lan{server}"), &[&gateways]))?;
            node.ip(&[format!("route add default via {}", inside(server))])?;
            forwarded.push(format!("ip daddr {} tcp dport 22 dnat to {}", public(server), inner(server)));
            servers.push(node);
        }
        gateway.nft(&format!(
            "table ip forwarding {{
               chain in {{ type nat hook prerouting priority dstnat
                 {}
               }}
               chain out {{ type nat hook postrouting priority srcnat
                 oifname \"lan*\" masquerade
               }}
             }}",
            forwarded.join("\n")
        ))?;
        Ok(Self { gateway, attacker, user, office, servers })
    }
}
