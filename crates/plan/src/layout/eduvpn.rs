//! The layout of eduVPN's `vpn-generate-natfw`: exactly its result for the same input.
//!
//! From the highest port down, each client of each private network in order gets the largest power of two below the
//! quotient of ports and clients. *Below*: a quotient that is a power of two itself gives half of it. The lowest port is
//! only used to compute the quotient, whose dividend is one short of the ports that there are.
//!
//! One thing is not repeated: vpn-server-node's `LC\Node\IP`, which the script takes addresses from, gives 0.0.0.0 in
//! place of the only client of a /30 whose address ends in a hexadecimal c. Here that client gets its ports.

use std::net::Ipv4Addr;

use crate::clients::ClientNetwork;
use crate::plan::{Allocation, Block, Layout, Plan, ProtocolSet};
use crate::spec::{Misfit, Spec, SpecError};
use crate::{PortRange, PublicRange};

pub(crate) fn eduvpn(spec: &Spec) -> Result<Plan, SpecError> {
    let public = spec.public_addresses()?;
    let [address] = public[..] else { return Err(SpecError::NotInScript("knows one public address")) };
    if !spec.exclude.is_empty() {
        return Err(SpecError::NotInScript("keeps no ports out; give the lowest and highest port instead"));
    }
    if !spec.leave_out.is_empty() {
        return Err(SpecError::NotInScript(
            "leaves out the gateway's address only, the first of each network",
        ));
    }
    if spec.ports_per_client.is_some() {
        return Err(SpecError::NotInScript("computes the ports of a client itself"));
    }
    if spec.overflow.is_some() {
        return Err(SpecError::NotInScript("has no overflow"));
    }
    if spec.networks.is_empty() {
        return Err(SpecError::NoNetwork);
    }
    // The script sees networks as they come out of splitting them, which clears host bits.
    let is_used = |network: &&ClientNetwork| is_private(&network.net().to_string());
    let networks: Vec<&ClientNetwork> = spec.networks.iter().filter(is_used).collect();
    if networks.is_empty() {
        let all: Vec<String> = spec.networks.iter().map(|network| network.net().to_string()).collect();
        return Err(SpecError::NoPrivate(all.join(", ")));
    }
    if networks.iter().any(|network| network.net().prefix_len() > 30) {
        return Err(SpecError::NotInScript("needs networks of at least four addresses (a /30)"));
    }
    // All hosts without the first: those are two less than the network's addresses, and one for the gateway.
    let clients: u64 = networks.iter().map(|n| (1_u64 << (32 - n.net().prefix_len())) - 3).sum();
    let quotient = u64::from(spec.ports.last() - spec.ports.first()) / clients;
    let ports_per_client = power_below(quotient);
    if ports_per_client == 0 {
        return Err(misfit(spec.ports, clients).into());
    }
    let mut allocations = Vec::with_capacity(clients as usize);
    let mut next = u32::from(spec.ports.last()) + 1;
    for network in networks {
        let first = u32::from(network.net().network()) + 2;
        let last = u32::from(network.net().broadcast()) - 1;
        for client in (first..=last).map(Ipv4Addr::from) {
            // Clients times ports is less than the ports there are, so it stays above the lowest.
            let ports = PortRange::new((next - ports_per_client) as u16, (next - 1) as u16);
            next -= ports_per_client;
            allocations.extend(ports.map(|ports| Allocation {
                client,
                block: Block { address, ports },
                protocols: ProtocolSet::TCP_UDP,
            }));
        }
    }
    Ok(Plan { layout: Layout::Eduvpn, ports_per_client, allocations, overflow: None })
}

/// The largest power of two below a number; 0 below 2.
fn power_below(quotient: u64) -> u32 {
    let mut candidate = 1_u64;
    while quotient > candidate {
        candidate <<= 1;
    }
    // A quotient is below 65,536.
    (candidate >> 1) as u32
}

fn misfit(ports: PortRange, clients: u64) -> Misfit {
    let dividend = u64::from(ports.last() - ports.first());
    Misfit {
        layout: Layout::Eduvpn,
        needed: clients,
        clients,
        ports_per_client: 1,
        // Quotients below two give nothing.
        blocks: dividend / 2,
        public: 1,
        public_needed: clients.div_ceil((dividend / 2).max(1)),
        fitting_ports: 0,
        fitting_clients: dividend / 2,
    }
}

/// The script's test, on the text of a network: 10/8, 172.16/12, 192.168/16 and most of 100.64/10, and what else begins
/// with these characters: 100.7.0.0/16, for one, counts as private. 100.120/16 to 100.127/16 do not: the script compares
/// the first seven characters with the eight of "100.120.".
fn is_private(network: &str) -> bool {
    let octet = |prefix: &str| {
        network.strip_prefix(prefix).and_then(|rest| rest.split_once('.')).map(|(octet, _)| octet)
    };
    let is_between = |octet: &str, low: u8, high: u8| {
        octet.parse::<u8>().is_ok_and(|n| (low..=high).contains(&n) && n.to_string() == octet)
    };
    network.starts_with("10.")
        || octet("172.").is_some_and(|second| is_between(second, 16, 31))
        || network.starts_with("192.168.")
        || octet("100.").is_some_and(|second| is_between(second, 64, 69))
        || ["100.7", "100.8", "100.9"].iter().any(|prefix| network.starts_with(prefix))
        || ["100.10", "100.11"]
            .iter()
            .any(|prefix| network.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with('.')))
}

impl Spec {
    /// What eduVPN's script computes with: these networks, its own public address and its ports.
    pub fn of_script(networks: Vec<ClientNetwork>, public: Ipv4Addr) -> Self {
        Self {
            layout: Layout::Eduvpn,
            networks,
            leave_out: Vec::new(),
            public: vec![PublicRange::from(public)],
            ports: crate::EDUVPN_PORTS,
            exclude: Vec::new(),
            ports_per_client: None,
            growth: 0,
            overflow: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_of_two_gives_half_of_it() {
        let powers: Vec<u32> = [0, 1, 2, 3, 4, 5, 255, 256, 257].into_iter().map(power_below).collect();
        assert_eq!(powers, [0, 0, 1, 2, 2, 4, 128, 128, 256]);
    }

    #[test]
    fn private_is_what_begins_like_it() {
        for network in ["10.0.0.0/8", "172.16.0.0/24", "172.31.9.0/24", "192.168.1.0/24", "100.64.0.0/24"] {
            assert!(is_private(network), "{network}");
        }
        for network in ["100.7.0.0/24", "100.99.0.0/24", "100.100.0.0/24", "100.119.1.0/24"] {
            assert!(is_private(network), "{network}");
        }
        for network in ["172.15.0.0/24", "172.32.0.0/24", "100.63.0.0/24", "100.10.0.0/24", "100.11.0.0/24"] {
            assert!(!is_private(network), "{network}");
        }
        for network in [
            "100.120.0.0/16",
            "100.127.255.0/24",
            "100.128.0.0/24",
            "192.169.0.0/24",
            "11.0.0.0/8",
            "172.016.0.0/24",
        ] {
            assert!(!is_private(network), "{network}");
        }
    }
}
