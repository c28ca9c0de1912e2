mod eduvpn;
mod even;
mod misfit;

use std::net::Ipv4Addr;

use proptest::prelude::*;

use crate::{ClientNetwork, PortRange, Spec};

fn networks(texts: &[&str]) -> Vec<ClientNetwork> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn range(text: &str) -> PortRange {
    text.parse().unwrap()
}

/// The layout even, with one public address and the usual ports and reserve.
fn spec_of(networks: Vec<ClientNetwork>) -> Spec {
    Spec {
        layout: crate::Layout::Even,
        networks,
        leave_out: Vec::new(),
        public: vec![Ipv4Addr::new(203, 0, 113, 1).into()],
        ports: crate::EVEN_PORTS,
        exclude: Vec::new(),
        ports_per_client: None,
        growth: crate::DEFAULT_GROWTH,
        overflow: None,
    }
}

/// Private networks that do not overlap: each in a /16 of its own.
fn private_networks(prefixes: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Vec<ClientNetwork>> {
    let network = (prefixes, any::<u8>(), any::<u8>());
    proptest::collection::vec(network, 1..5).prop_map(|all| {
        let text = |(n, (length, third, fourth)): (usize, (u8, u8, u8))| {
            let net: ipnet::Ipv4Net = format!("10.{n}.{third}.{fourth}/{length}").parse().unwrap();
            ClientNetwork::new(net)
        };
        all.into_iter().enumerate().map(text).collect()
    })
}
