//! The network that most tests want: clients behind a translating gateway, servers beyond it.
//!
//! ```text
//!  client0 192.168.101.2 ──lan0 192.168.101.1─┐         ┌─ 203.0.113.254 servers
//!  client1 192.168.102.2 ──lan1 192.168.102.1─┤ gateway │  198.51.100.7
//!          fd00:65::2, fd00:66::2, …          └──wan────┘  198.51.100.8, …
//!                                       203.0.113.1          2001:db8:5::7, 2001:db8:5::8, …
//!                                       2001:db8::1
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::rules::Rule;
use crate::{Lab, LabError, Node};

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many clients, each in a namespace and a network of its own; at most 100. No two choose the same port by
    /// themselves: a test in which two share a masked port binds them to it.
    pub clients: u8,
    /// How many server addresses of each family; at most 100.
    pub servers: u8,
    /// What the gateway translates. Its interfaces are `wan`, `lan0`, `lan1`, …
    pub rules: Vec<Rule>,
    /// All clients have 192.168.101.2 and fd00:65::2, told apart by zones 1, 2, …
    pub overlapping: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            clients: 2,
            servers: 2,
            rules: vec![Rule::Masquerade { out: "wan".into(), ports: None }],
            overlapping: false,
        }
    }
}

/// Clients, gateway and servers, in namespaces of their own.
#[derive(Clone, Debug)]
pub struct Network {
    /// The clients.
    pub clients: Vec<Node>,
    /// The gateway.
    pub gateway: Node,
    /// Where all the servers' addresses are.
    pub servers: Node,
    plan: Plan,
}

impl Network {
    /// The gateway's public address.
    pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    /// The gateway's public IPv6 address.
    pub const PUBLIC_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    /// Builds it in a lab.
    ///
    /// # Panics
    ///
    /// If the plan has more than 100 clients or servers.
    pub fn build(lab: &Lab, plan: Plan) -> Result<Self, LabError> {
        assert!(plan.clients <= 100 && plan.servers <= 100, "at most 100 clients and 100 servers: {plan:?}");
        let gateway = lab.node("gateway")?;
        let servers = lab.node("servers")?;
        for setting in
            ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.netfilter.nf_conntrack_timestamp"]
        {
            gateway.set(setting, "1")?;
        }
        gateway.link(
            "wan",
            &["203.0.113.1/24", "2001:db8::1/64"],
            (&servers, "gw", &["203.0.113.254/24", "2001:db8::fe/64"]),
        )?;
        gateway.ip(&["route add default via 203.0.113.254", "-6 route add default via 2001:db8::fe"])?;
        let addresses: Vec<String> = (0..plan.servers)
            .flat_map(|n| {
                let (v4, v6) = (server_v4(n), server_v6(n));
                [format!("address add {v4}/32 dev lo"), format!("address add {v6}/128 dev lo nodad")]
            })
            .collect();
        servers.ip(&addresses)?;

        let mut network = Self { clients: Vec::new(), gateway, servers, plan };
        for n in 0..network.plan.clients {
            let client = lab.node(&format!("client{n}"))?;
            network.attach(&client, n)?;
            network.clients.push(client);
        }
        let mut rules = network.plan.rules.clone();
        if network.plan.overlapping {
            rules.extend(
                (0..network.plan.clients)
                    .map(|n| Rule::Zone { input: format!("lan{n}"), zone: u16::from(n) + 1 }),
            );
        }
        network.gateway.translate(&rules)?;
        Ok(network)
    }

    fn attach(&self, client: &Node, n: u8) -> Result<(), LabError> {
        let net = self.net(n);
        client.link(
            "wan",
            &[&format!("192.168.{net}.2/24"), &format!("fd00:{net:x}::2/64")],
            (
                &self.gateway,
                &format!("lan{n}"),
                &[&format!("192.168.{net}.1/24"), &format!("fd00:{net:x}::1/64")],
            ),
        )?;
        // Two clients that happen to take the same port toward different servers would share a masked endpoint, about
        // once in three hundred runs of a test with a hundred connections.
        let (low, high) = self.ephemeral_ports(n);
        client.set("net.ipv4.ip_local_port_range", &format!("{low} {high}"))?;
        client.ip(&[
            format!("route add default via 192.168.{net}.1"),
            format!("-6 route add default via fd00:{net:x}::1"),
        ])?;
        if self.plan.overlapping {
            // Replies carry the mark of their zone and have a table of their own.
            let (mark, table) = (u16::from(n) + 1, 100 + u16::from(n));
            self.gateway.ip(&[
                format!("rule add fwmark {mark} iif wan lookup {table}"),
                format!("-6 rule add fwmark {mark} iif wan lookup {table}"),
                format!("route add 192.168.{net}.0/24 dev lan{n} table {table}"),
                format!("-6 route add fd00:{net:x}::/64 dev lan{n} table {table}"),
            ])?;
        }
        Ok(())
    }

    fn net(&self, n: u8) -> u8 {
        if self.plan.overlapping { 101 } else { 101 + n }
    }

    /// The first and last port that client `n` chooses by itself: its share of the kernel's default, 32768 to 60999.
    fn ephemeral_ports(&self, n: u8) -> (u16, u16) {
        const ALL: (u16, u16) = (32_768, 60_999);
        let share = (ALL.1 - ALL.0 + 1) / u16::from(self.plan.clients);
        let low = ALL.0 + share * u16::from(n);
        (low, low + share - 1)
    }

    /// The address of client `n`.
    pub fn client(&self, n: u8) -> IpAddr {
        Ipv4Addr::new(192, 168, self.net(n), 2).into()
    }

    /// The IPv6 address of client `n`.
    pub fn client_v6(&self, n: u8) -> IpAddr {
        Ipv6Addr::new(0xfd00, u16::from(self.net(n)), 0, 0, 0, 0, 0, 2).into()
    }

    /// A port of server `n`.
    pub fn server(&self, n: u8, port: u16) -> SocketAddr {
        (server_v4(n), port).into()
    }

    /// A port of server `n`, over IPv6.
    pub fn server_v6(&self, n: u8, port: u16) -> SocketAddr {
        (server_v6(n), port).into()
    }
}

fn server_v4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 7 + n)
}

fn server_v6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 7 + u16::from(n))
}
