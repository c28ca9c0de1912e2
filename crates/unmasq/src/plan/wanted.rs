//! What is wanted, by flags and configuration; and what that means on this gateway now.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use ipnet::Ipv4Net;
use unmasq_eduvpn::{Authorities, NodeConfig, Portal, node};
use unmasq_flow::Protocol;
use unmasq_netfilter::interfaces;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::settings;
use unmasq_plan::history::Format;
use unmasq_plan::{
    ClientNetwork, EDUVPN_PORTS, EVEN_PORTS, Layout, Plan, PortRange, ProtocolSet, PublicRange, Spec,
};

use super::choice::{Exclusion, PublicChoice};
use super::kernel::Kernel;
use crate::config;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(pub(crate) config::Plan);

impl Wanted {
    /// How its rules are to be loaded.
    pub(crate) fn kernel(&self) -> Kernel {
        Kernel { format: self.0.format, out_interface: self.0.out_interface.clone() }
    }

    /// What that means here: portals are asked, files and interfaces read. Gives warnings to show.
    pub(crate) fn resolve(&self) -> anyhow::Result<(Spec, Vec<String>)> {
        let plan = &self.0;
        if !plan.is_configured() {
            bail!(
                "no client network is given: name one with --network 192.168.101.0/24 (or --from-interface, --server-files, \
                 --portal), or under [plan] in the configuration file"
            );
        }
        let mut warnings = Vec::new();
        let networks = self.networks(&mut warnings)?;
        let is_outside =
            |net: &&Ipv4Net| !networks.iter().any(|of| of.net().contains(*net) || net.contains(&of.net()));
        warnings.extend(
            plan.leave_out
                .iter()
                .filter(is_outside)
                .map(|net| format!("{net}, which is to be left out, is in none of the client networks")),
        );
        if plan.overflow.is_some() && plan.format == Format::Iptables {
            bail!("an overflow needs nft: iptables cannot count a client's flows toward one server");
        }
        let is_script = plan.layout == Layout::Eduvpn;
        let exclude = if is_script { self.script_exclusions() } else { self.exclusions()? };
        let spec = Spec {
            layout: plan.layout,
            networks,
            leave_out: plan.leave_out.clone(),
            public: self.public()?,
            ports: plan.ports.unwrap_or(if is_script { EDUVPN_PORTS } else { EVEN_PORTS }),
            exclude,
            ports_per_client: plan.ports_per_client.map(u32::from),
            growth: plan.growth,
            overflow: plan.overflow,
        };
        Ok((spec, warnings))
    }

    /// The plan, for the protocols that its format can give ports for.
    pub(crate) fn make(&self, spec: &Spec, former: Option<&Plan>) -> anyhow::Result<Plan> {
        let plan = spec.make(former)?;
        Ok(match self.0.format {
            Format::Nft => plan.with_protocols(translated()),
            Format::Iptables => plan.with_protocols(ProtocolSet::TCP_UDP),
        })
    }

    fn networks(&self, warnings: &mut Vec<String>) -> anyhow::Result<Vec<ClientNetwork>> {
        let plan = &self.0;
        let mut networks = plan.networks.clone();
        if let Some(name) = &plan.from_interface {
            let addresses = interfaces::ipv4_of(&Namespace::current(), name)?;
            if addresses.is_empty() {
                bail!("the interface {name} has no IPv4 address, so no client network");
            }
            for (address, length) in addresses {
                let net = Ipv4Net::new(address, length).context("a prefix length above 32")?;
                networks.push(ClientNetwork::new(net.trunc()).with_gateway(address));
            }
        }
        if !plan.server_files.is_empty() {
            let found = node::read(&plan.server_files)?;
            warnings.extend(found.warnings.iter().map(|w| format!("{}: {}", w.file.display(), w.message)));
            for network in found.networks {
                networks.push(ClientNetwork::new(network.network).with_gateway(network.gateway));
            }
        }
        if let Some(file) = &plan.portal {
            let portal = Portal::new(NodeConfig::read(file)?, &Authorities::System, Portal::TIMEOUT)?;
            let found = portal.networks()?;
            warnings.extend(
                found
                    .unknown
                    .iter()
                    .map(|id| format!("profileList names {id:?}, which the portal does not have")),
            );
            warnings.extend(
                found
                    .ipv6
                    .iter()
                    .map(|id| format!("the range of profile {id:?} is IPv6, which gets no ports")),
            );
            networks.extend(found.networks.iter().map(|n| ClientNetwork::with_text(&n.text, n.net)));
        }
        Ok(networks)
    }

    fn public(&self) -> anyhow::Result<Vec<PublicRange>> {
        if self.0.public.is_empty() {
            let name = interfaces::default_route_interface(&Namespace::current())?.context(
                "no public address is given, and there is no default route whose interface would have one; name one with \
                 --public 203.0.113.1",
            )?;
            return Ok(vec![first_address(&name)?.into()]);
        }
        let resolve = |choice: &PublicChoice| match choice {
            PublicChoice::Range(range) => Ok(*range),
            PublicChoice::Interface(name) => first_address(name).map(PublicRange::from),
        };
        self.0.public.iter().map(resolve).collect()
    }

    fn exclusions(&self) -> anyhow::Result<Vec<PortRange>> {
        let mut ranges = Vec::new();
        for exclusion in &self.0.exclude {
            match exclusion {
                Exclusion::Range(range) => ranges.push(*range),
                Exclusion::None => {}
                Exclusion::Kernel => {
                    let local = settings::local_ports()?;
                    let reserved = settings::reserved_ports()?;
                    let all = std::iter::once(local).chain(reserved);
                    ranges.extend(all.filter_map(|r| PortRange::new(*r.start(), *r.end())));
                }
            }
        }
        Ok(ranges)
    }

    /// What was kept out by hand; the kernel's own ports, which are kept out by default, are given out by the script.
    fn script_exclusions(&self) -> Vec<PortRange> {
        let by_hand = |exclusion: &Exclusion| match exclusion {
            Exclusion::Range(range) => Some(*range),
            Exclusion::Kernel | Exclusion::None => None,
        };
        self.0.exclude.iter().filter_map(by_hand).collect()
    }
}

/// Protocols to which nft gives ranges here. Of one that the kernel does not track, as DCCP since Linux 6.17, only the address is
/// translated: its ports say nothing.
fn translated() -> ProtocolSet {
    let Ok(settings) = fs::read_dir(CONNTRACK_SETTINGS) else { return ProtocolSet::ALL };
    let names: Vec<_> = settings.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let is_tracked = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    [(Protocol::DCCP, "nf_conntrack_dccp_"), (Protocol::SCTP, "nf_conntrack_sctp_")]
        .into_iter()
        .filter(|(_, prefix)| !is_tracked(prefix))
        .fold(ProtocolSet::ALL, |all, (protocol, _)| all.without(ProtocolSet::only(protocol)))
}

/// Has timeouts of each protocol that the kernel tracks, UDP-Lite aside.
const CONNTRACK_SETTINGS: &str = "/proc/sys/net/netfilter";

fn first_address(interface: &str) -> anyhow::Result<Ipv4Addr> {
    let addresses = interfaces::ipv4_of(&Namespace::current(), interface)?;
    let first = addresses.first().map(|(address, _)| *address);
    first.with_context(|| format!("the interface {interface} has no IPv4 address to be the public one"))
}
