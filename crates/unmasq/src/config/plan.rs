//! `[plan]`: which client gets which ports.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use toml::de::DeValue;
use unmasq_plan::history::Format;
use unmasq_plan::{ClientNetwork, DEFAULT_GROWTH, Layout, PortRange};
use unmasq_rules::value::Interface;

use super::form;
use super::section::{Refused, Section};
use crate::plan::choice::{Exclusion, PublicChoice};

/// Where the history of plans is unless told otherwise.
pub(crate) const DEFAULT_HISTORY: &str = "/var/lib/unmasq/plan";

/// `[plan]`: the port plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Client networks, in the order in which they get their ports.
    pub(crate) networks: Vec<ClientNetwork>,
    /// An interface whose networks are client networks.
    pub(crate) from_interface: Option<String>,
    /// WireGuard and OpenVPN server files (or folders of them), as on an eduVPN 3 node.
    pub(crate) server_files: Vec<PathBuf>,
    /// The configuration of an eduVPN 2 node, which names its portal.
    pub(crate) portal: Option<PathBuf>,
    /// Addresses in the networks that are no clients'.
    pub(crate) leave_out: Vec<Ipv4Net>,
    /// Public addresses; those of the default route's interface if empty.
    pub(crate) public: Vec<PublicChoice>,
    /// The ports to give out; those of the layout if `None`.
    pub(crate) ports: Option<PortRange>,
    /// Ports that are kept out.
    pub(crate) exclude: Vec<Exclusion>,
    /// Ports of each client; computed if `None`.
    pub(crate) ports_per_client: Option<u16>,
    /// Room for more clients, in percent.
    pub(crate) growth: u32,
    /// How ports are given out.
    pub(crate) layout: Layout,
    /// In which form rules are loaded.
    pub(crate) format: Format,
    /// The interface that flows leave by; any if `None`.
    pub(crate) out_interface: Option<String>,
    /// Ports of the first public address for flows that do not fit; none if `None`.
    pub(crate) overflow: Option<u16>,
    /// Folder of the history.
    pub(crate) history: PathBuf,
    /// Are flows left alone that leave by ports which their client has no more?
    pub(crate) keep_flows: bool,
    /// How often the kernel's rules are looked at.
    pub(crate) check_every: Duration,
}

impl Plan {
    pub(super) fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            networks: keys.value(
                "networks",
                "[]",
                "Client networks (IPv4), in the order in which they get their ports: add new ones at the\n\
                 end, and nobody moves. The first host of each is the gateway's. With none here and in\n\
                 the four keys below, there is no plan.",
                |value| form::list(value, "a list of networks", form::parsed::<ClientNetwork>),
            ),
            from_interface: keys.optional(
                "from_interface",
                r#""wg0""#,
                "An interface whose IPv4 networks are client networks; its own addresses are left out.",
                interface,
            ),
            server_files: keys.value(
                "server_files",
                "[]",
                "Server files of an eduVPN 3 node, or their folders, such as [\"/etc/wireguard\",\n\
                 \"/etc/openvpn/server\"]: the networks that they serve are client networks.",
                |value| form::list(value, "a list of paths", form::path),
            ),
            portal: keys.optional(
                "portal",
                r#""/usr/share/vpn-server-node/config/config.php""#,
                "Configuration of an eduVPN 2 node: its portal is asked for the profiles' ranges.",
                form::path,
            ),
            leave_out: keys.value(
                "leave_out",
                "[]",
                "Addresses or networks inside these that are no clients' and get no ports.",
                |value| form::list(value, "a list of addresses and networks", net),
            ),
            public: keys.value(
                "public",
                "[]",
                "Public addresses: \"203.0.113.1\", \"203.0.113.1-203.0.113.16\", \"203.0.113.0/28\" (all\n\
                 sixteen), or the name of an interface for its first address. Without any: that of the\n\
                 default route's interface.",
                |value| form::list(value, "a list of addresses", form::parsed::<PublicChoice>),
            ),
            ports: keys.optional(
                "ports",
                r#""1024-65535""#,
                "The ports to give out at each public address. Without it: 1024-65535, and 1280-65535\n\
                 with the layout eduvpn.",
                form::parsed::<PortRange>,
            ),
            exclude: keys.value(
                "exclude",
                r#"["kernel"]"#,
                "Ports that are kept out of these: ranges, and \"kernel\" for those that the gateway itself\n\
                 uses (net.ipv4.ip_local_port_range and ip_local_reserved_ports). The layout eduvpn\n\
                 keeps none out.",
                |value| form::list(value, "a list of ranges", form::parsed::<Exclusion>),
            ),
            ports_per_client: keys.optional(
                "ports_per_client",
                "1024",
                "Ports of each client, 1 to 65535. Without it: as many as there are.",
                |value| form::integer(value, 1..=65_535).map(|n| n as u16),
            ),
            growth: keys.value(
                "growth",
                "25",
                "For how many more clients room is kept, in percent of those there are, 0 to 1000. While it\n\
                 lasts, new clients and networks at the end move nobody.",
                form::number(0..=1000),
            ),
            layout: keys.value(
                "layout",
                r#""even""#,
                "\"even\": as many ports for each client as there are, and nobody moves while the reserve\n\
                 lasts. \"eduvpn\": exactly as eduVPN's vpn-generate-natfw does it.",
                form::choice(&[Layout::Even, Layout::Eduvpn].map(|layout| (layout.word(), layout))),
            ),
            format: keys.value(
                "format",
                r#""nft""#,
                "How rules are loaded: \"nft\" (a map: every client costs the same) or \"iptables\".",
                form::choice(&[Format::Nft, Format::Iptables].map(|format| (format.word(), format))),
            ),
            out_interface: keys.optional(
                "out_interface",
                r#""eth0""#,
                "The interface by which clients' flows leave. Without it: any.",
                interface,
            ),
            overflow: keys.optional(
                "overflow",
                "2048",
                "So many ports of the first public address are for flows that do not fit into their\n\
                 client's own (RFC 7422). They are shared, so each such flow is logged by the kernel and\n\
                 must be recorded. Without it: the kernel refuses such flows. nft only.",
                |value| form::integer(value, 1..=32_768).map(|n| n as u16),
            ),
            history: keys.value(
                "history",
                r#""/var/lib/unmasq/plan""#,
                "Folder in which every plan that was applied is kept. It is made if it is not there.",
                form::path,
            ),
            keep_flows: keys.value(
                "keep_flows",
                "false",
                "When a client's ports change: are its live connections left alone (true), or flushed so\n\
                 that they cannot leave by ports which are another's by now (false)?",
                form::boolean,
            ),
            check_every: keys.value(
                "check_every",
                r#""10s""#,
                "How often the daemon looks whether the kernel's rules are still those of the plan.",
                form::duration(Duration::from_secs(1)..=Duration::from_secs(3600)),
            ),
        }
    }

    /// Is there a source of client networks?
    pub(crate) fn is_configured(&self) -> bool {
        !self.networks.is_empty()
            || !self.server_files.is_empty()
            || self.from_interface.is_some()
            || self.portal.is_some()
    }
}

fn interface(value: &DeValue<'_>) -> Result<String, Refused> {
    form::parsed::<Interface>(value).map(|name| name.to_string())
}

fn net(value: &DeValue<'_>) -> Result<Ipv4Net, Refused> {
    form::parsed::<ClientNetwork>(value).map(|network| network.net())
}

const _: () = assert!(DEFAULT_GROWTH == 25, "the default above is this one");
