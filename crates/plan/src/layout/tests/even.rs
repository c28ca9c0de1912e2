//! What holds of every plan of the layout even.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::{Block, Layout, Plan, ProtocolSet, SpecError};

/// Who has what.
fn blocks(plan: &Plan) -> HashMap<Ipv4Addr, Block> {
    plan.allocations.iter().map(|a| (a.client, a.block)).collect()
}

/// All that must hold of a plan, whatever came before it.
fn check(spec: &Spec, plan: &Plan) -> Result<(), TestCaseError> {
    let clients: Vec<Ipv4Addr> = plan.allocations.iter().map(|a| a.client).collect();
    prop_assert_eq!(clients, spec.clients().unwrap(), "each client once, in order");
    let (public, space) = (spec.public_addresses().unwrap(), spec.space());
    let mut sorted: Vec<Block> = plan.allocations.iter().map(|a| a.block).collect();
    sorted.sort_unstable();
    prop_assert!(sorted.windows(2).all(|pair| !pair[0].overlaps(pair[1])));
    for block in sorted {
        prop_assert!(public.contains(&block.address) && space.covers(block.ports), "{}", block);
        prop_assert_eq!(block.ports.count(), plan.ports_per_client);
    }
    Ok(())
}

fn specs() -> impl Strategy<Value = Spec> {
    let port = 1_u16..=65_535;
    (
        private_networks(24..=32),
        proptest::collection::vec((port.clone(), 0_u16..3000), 0..4),
        (port, 2000_u16..=65_535),
        (1_u8..5, prop_oneof![Just(0), Just(25), 0_u32..300]),
        proptest::option::of(1_u32..3000),
        proptest::option::of(1_u16..500),
    )
        .prop_map(|(networks, holes, (first, count), (public, growth), ports_per_client, overflow)| {
            Spec {
                public: vec![format!("203.0.113.1-203.0.113.{public}").parse().unwrap()],
                ports: PortRange::new(first, first.saturating_add(count)).unwrap(),
                exclude: holes
                    .into_iter()
                    .map(|(at, length)| PortRange::new(at, at.saturating_add(length)).unwrap())
                    .collect(),
                ports_per_client,
                growth,
                overflow,
                ..spec_of(networks)
            }
        })
}

proptest! {
    #[test]
    fn blocks_do_not_overlap_and_are_as_large_as_can_be(spec in specs()) {
        let Ok(plan) = spec.make(None) else { return Ok(()) };
        check(&spec, &plan)?;
        let count = plan.allocations.len() as u64;
        let needed = count + (count * u64::from(spec.growth)).div_ceil(100);
        let fitting = |size| u64::from(spec.space().blocks(size)) * spec.public_addresses().unwrap().len() as u64;
        if let Some(asked) = spec.ports_per_client {
            prop_assert_eq!(plan.ports_per_client, asked);
        } else {
            prop_assert!(fitting(plan.ports_per_client) >= needed);
            prop_assert!(fitting(plan.ports_per_client + 1) < needed, "one port more each would fit");
        }
        if let Some(overflow) = plan.overflow {
            prop_assert_eq!(Some(overflow.ports.count()), spec.overflow.map(u32::from));
            prop_assert!(plan.allocations.iter().all(|a| !a.block.overlaps(overflow)));
        } else {
            prop_assert_eq!(spec.overflow, None);
        }
    }

    #[test]
    fn nobody_moves_while_the_reserve_lasts(spec in specs(), more in 1_u32..400) {
        let Ok(plan) = spec.make(None) else { return Ok(()) };
        let reserve = if spec.ports_per_client.is_some() {
            0
        } else {
            (plan.allocations.len() as u64 * u64::from(spec.growth)).div_ceil(100)
        };
        // So many clients more, at the end: in networks of one address each.
        let more = u64::from(more).min(reserve) as u32;
        let mut grown = spec.clone();
        let newcomer = |n: u32| ClientNetwork::new(Ipv4Addr::from(0x0ac8_0000 + n).into());
        grown.networks.extend((0..more).map(newcomer));
        let new = grown.make(Some(&plan)).unwrap();
        check(&grown, &new)?;
        let changes = plan.changes_to(&new);
        prop_assert_eq!(changes.disturbed().count(), 0);
        prop_assert_eq!(changes.added.len() as u32, more);
        prop_assert_eq!(new.ports_per_client, plan.ports_per_client);
    }

    #[test]
    fn whoever_stays_keeps_the_block_whatever_leaves_and_comes(
        networks in private_networks(26..=32),
        steps in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 5), 1..5),
    ) {
        // A sixth network is always there, so that there is somebody.
        let mut all = networks;
        all.push("10.9.9.0/27".parse().unwrap());
        let first = spec_of(all.clone());
        let mut plan = first.make(None).unwrap();
        let size = plan.ports_per_client;
        for chosen in steps {
            let is_in = |n: &usize| *n + 1 == all.len() || chosen.get(*n).copied().unwrap_or(true);
            let networks = (0..all.len()).filter(is_in).map(|n| all[n].clone()).collect();
            let spec = spec_of(networks);
            let new = spec.make(Some(&plan)).unwrap();
            check(&spec, &new)?;
            // There was room for all of them together, so there is for some.
            prop_assert_eq!(new.ports_per_client, size);
            prop_assert_eq!(plan.changes_to(&new).moved.len(), 0);
            plan = new;
        }
    }

    #[test]
    fn a_plan_of_the_script_stays_when_its_blocks_are_still_to_be_given(networks in private_networks(26..=30)) {
        let former = Spec::of_script(networks.clone(), Ipv4Addr::new(203, 0, 113, 1)).make(None).unwrap();
        let spec = spec_of(networks);
        let plan = spec.make(Some(&former)).unwrap();
        check(&spec, &plan)?;
        prop_assert_eq!(plan.layout, Layout::Even);
        prop_assert!(plan.allocations.iter().all(|a| a.protocols == ProtocolSet::ALL));
        prop_assert_eq!(blocks(&plan), blocks(&former));
    }
}

#[test]
fn what_the_scripts_rounding_wastes_is_used() {
    let networks = networks(&["10.8.0.0/24"]);
    let plan = Spec { growth: 0, ..spec_of(networks) }.make(None).unwrap();
    // The script gives 128 of 1280-65535 to each of the 253.
    assert_eq!((plan.allocations.len(), plan.ports_per_client), (253, 64_512 / 253));
}

#[test]
fn blocks_are_spread_over_all_addresses_alike() {
    let public = vec!["203.0.113.1-203.0.113.3".parse().unwrap(), "198.51.100.9".parse().unwrap()];
    let plan = Spec { public, ..spec_of(networks(&["10.8.0.0/24"])) }.make(None).unwrap();
    let mut counts: HashMap<Ipv4Addr, usize> = HashMap::new();
    for allocation in &plan.allocations {
        *counts.entry(allocation.block.address).or_default() += 1;
    }
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| (63..=64).contains(count)), "{counts:?}");
}

#[test]
fn a_block_that_was_given_up_is_given_last() {
    let first = Spec { ports_per_client: Some(1000), ..spec_of(networks(&["10.8.0.0/29", "10.8.1.0/29"])) };
    let former = first.make(None).unwrap();
    let gone: HashSet<Block> = former.allocations[..5].iter().map(|a| a.block).collect();
    // 64 blocks: 10 were given, 5 of them are given up, so 54 are free beside these.
    for (newcomers, from_gone) in [(54, 0), (55, 1), (59, 5)] {
        let mut spec = Spec { networks: networks(&["10.8.1.0/29"]), ..first.clone() };
        spec.networks.extend((0..newcomers).map(|n| ClientNetwork::new(Ipv4Addr::new(10, 9, 0, n).into())));
        let plan = spec.make(Some(&former)).unwrap();
        assert_eq!(plan.allocations.iter().filter(|a| gone.contains(&a.block)).count(), from_gone);
        assert_eq!(former.changes_to(&plan).moved.len(), 0);
    }
}

#[test]
fn when_the_reserve_is_used_up_all_is_laid_out_anew() {
    let spec = spec_of(networks(&["10.8.0.0/24"]));
    let former = spec.make(None).unwrap();
    let spec = spec_of(networks(&["10.8.0.0/24", "10.9.0.0/24"]));
    let plan = spec.make(Some(&former)).unwrap();
    assert_eq!(plan, spec.make(None).unwrap());
    assert!(plan.ports_per_client < former.ports_per_client);
}

#[test]
fn blocks_that_are_no_longer_to_be_given_are_laid_out_anew() {
    let spec = spec_of(networks(&["10.8.0.0/24"]));
    let former = spec.make(None).unwrap();
    let changed = [
        Spec { public: vec!["203.0.113.2".parse().unwrap()], ..spec.clone() },
        Spec { exclude: vec![range("2000")], ..spec.clone() },
        Spec { ports: range("1025-65535"), ..spec.clone() },
        Spec { ports_per_client: Some(100), ..spec.clone() },
        Spec { overflow: Some(20_000), ..spec.clone() },
    ];
    for spec in changed {
        assert_eq!(spec.make(Some(&former)), spec.make(None));
    }
    // More of them are no reason.
    let spec = Spec { public: vec!["203.0.113.1-203.0.113.9".parse().unwrap()], ..spec };
    assert_eq!(blocks(&spec.make(Some(&former)).unwrap()), blocks(&former));
}

#[test]
fn somebody_elses_blocks_that_overlap_are_not_kept() {
    let spec = spec_of(networks(&["10.8.0.2", "10.8.0.3"]));
    let mut former = spec.make(None).unwrap();
    former.allocations[1].block = former.allocations[0].block;
    assert_eq!(spec.make(Some(&former)), spec.make(None));
    // Nor those of another size than the plan says.
    let mut former = spec.make(None).unwrap();
    former.allocations[0].block.ports = range("1024-1025");
    assert_eq!(spec.make(Some(&former)), spec.make(None));
}

#[test]
fn what_no_endpoint_can_have_is_not_given() {
    let spec = Spec { ports: range("0-99"), growth: 0, ..spec_of(networks(&["10.8.0.2"])) };
    assert_eq!(spec.make(None).unwrap().allocations[0].block.ports, range("1-99"));
    let spec = spec_of(networks(&["0.0.0.0"]));
    assert_eq!(spec.make(None), Err(SpecError::NoClient));
}

#[test]
fn what_cannot_be_is_refused() {
    let spec = spec_of(networks(&["10.8.0.0/24"]));
    let asked = |ports| Spec { ports_per_client: Some(ports), ..spec.clone() }.make(None);
    assert_eq!(asked(0), Err(SpecError::NotPortsPerClient(0)));
    assert_eq!(asked(65_536), Err(SpecError::NotPortsPerClient(65_536)));
    let overflow =
        |count, ports: &str| Spec { overflow: Some(count), ports: range(ports), ..spec.clone() }.make(None);
    for (count, ports) in [(6000, "1024-6000"), (5000, "5000-5010"), (1000, "2-900")] {
        assert!(matches!(overflow(count, ports), Err(SpecError::NoOverflow { .. })), "{count} of {ports}");
    }
    let error = overflow(5000, "5000-5010").unwrap_err().to_string();
    assert_eq!(
        error,
        "the last run of ports to give out has no room for an overflow of 5000 ports: it is 5000-5010"
    );
    let spec = |texts: &[&str]| spec_of(networks(texts)).make(None).unwrap_err();
    assert!(matches!(spec(&["10.8.0.0/24", "10.8.0.128/25"]), SpecError::Overlap { .. }));
    assert!(matches!(spec(&["10.0.0.0/7"]), SpecError::TooManyClients { .. }));
    assert_eq!(spec(&[]), SpecError::NoNetwork);
    let public = |texts: &[&str]| {
        let public = texts.iter().map(|text| text.parse().unwrap()).collect();
        Spec { public, ..spec_of(networks(&["10.8.0.0/24"])) }.make(None).unwrap_err()
    };
    assert_eq!(public(&[]), SpecError::NoPublic);
    assert_eq!(public(&["203.0.112.0/16", "198.51.100.1"]), SpecError::TooManyPublic);
    let twice = Ipv4Addr::new(203, 0, 113, 2);
    assert_eq!(public(&["203.0.113.2", "203.0.113.0/30"]), SpecError::TwicePublic(twice));
    for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        assert_eq!(public(&["203.0.113.2", address]), SpecError::NoSource(address.parse().unwrap()));
    }
    for network in ["127.0.0.0/8", "127.0.0.1", "224.0.0.0/24"] {
        let spec = spec_of(networks(&[network]));
        assert_eq!(spec.make(None).unwrap_err(), SpecError::NoClientNetwork(network.to_owned()));
    }
    // A client would be taken for the gateway itself.
    assert_eq!(public(&["10.8.0.7"]), SpecError::PublicClient(Ipv4Addr::new(10, 8, 0, 7)));
    let left_out = Spec {
        public: vec!["10.8.0.7".parse().unwrap()],
        leave_out: vec!["10.8.0.7/32".parse().unwrap()],
        ..spec_of(networks(&["10.8.0.0/24"]))
    };
    assert!(left_out.make(None).is_ok());
}
