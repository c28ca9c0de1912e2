//! A firing range for [`Blast`]: thousands of clients that exist only as source addresses, a masquerading
//! gateway, and a void that drops what arrives before its own stack sees it.

use std::time::Duration;

use crate::rules::Rule;
use crate::{Blast, Lab, LabError, Node};

const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY_INSIDE: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Source, gateway and void, in namespaces of their own.
#[derive(Clone, Debug)]
pub struct Range {
    /// Where a blast begins: interface `lan`.
    pub source: Node,
    /// Masquerades 100.64.0.0/10 behind 203.0.113.254.
    pub gateway: Node,
    /// Where it ends. 198.18.0.0/15 is routed here.
    pub void: Node,
}

impl Range {
    /// Builds it in a lab.
    pub fn build(lab: &Lab) -> Result<Self, LabError> {
        let range =
            Self { source: lab.node("source")?, gateway: lab.node("gateway")?, void: lab.node("void")? };
        let Self { source, gateway, void } = &range;
        source.link("lan", &[], (gateway, "lan", &["100.64.255.254/10"]))?;
        gateway.link("wan", &["203.0.113.254/24"], (void, "gw", &[]))?;
        source.ip(&["link set lan address 02:00:00:00:00:01"])?;
        void.ip(&["link set gw address 02:00:00:00:00:04"])?;
        gateway.ip(&[
            "link set lan address 02:00:00:00:00:02",
            "link set wan address 02:00:00:00:00:03",
            "route add 198.18.0.0/15 via 203.0.113.253 dev wan",
            "neigh add 203.0.113.253 lladdr 02:00:00:00:00:04 dev wan",
        ])?;
        for (setting, value) in [
            ("net.ipv4.ip_forward", "1"),
            // Sources are checked against routes else, for each packet.
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.lan.rp_filter", "0"),
            ("net.netfilter.nf_conntrack_timestamp", "1"),
        ] {
            gateway.set(setting, value)?;
        }
        void.nft(
            "table netdev void {
               chain in { type filter hook ingress device gw priority 0; policy drop
               }
             }",
        )?;
        gateway.translate(&[Rule::Masquerade { out: "wan".into(), ports: None }])?;
        Ok(range)
    }

    /// A blast that fits the range: Zipf clients and servers, 50,000 alive at a time, for one second.
    pub fn blast() -> Blast {
        Blast {
            link: (GATEWAY_INSIDE, SOURCE),
            clients: ([100, 64, 0, 1].into(), 4_096),
            servers: ([198, 18, 0, 1].into(), 131_000),
            zipf: true,
            rate: None,
            duration: Some(Duration::from_secs(1)),
            count: None,
            window: Some(50_000),
            seed: 1,
        }
    }

    /// Sends a blast through it.
    pub fn fire(&self, blast: &Blast) -> Result<crate::Sent, LabError> {
        blast.run(&self.source, "lan")
    }
}
