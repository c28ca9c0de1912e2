//! What is said of a plan that does not fit: the numbers are the least and the most that fit.

use super::*;
use crate::{Misfit, SpecError};

fn misfit(spec: &Spec) -> Option<Misfit> {
    match spec.make(None) {
        Err(SpecError::Misfit(misfit)) => Some(misfit),
        _ => None,
    }
}

/// So many clients, so many public addresses.
fn of_counts(spec: &Spec, clients: u64, public: u64) -> Spec {
    let client = |n: u64| ClientNetwork::new(Ipv4Addr::from(0x0a00_0000 + n as u32).into());
    let public = format!("100.64.0.0-{}", Ipv4Addr::from(0x6440_0000 + public as u32 - 1));
    Spec {
        networks: (1..=clients).map(client).collect(),
        public: vec![public.parse().unwrap()],
        ..spec.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn what_is_said_to_fit_does_and_one_more_does_not(
        (clients, public, growth) in (1_u64..300, 1_u64..4, prop_oneof![Just(0_u32), Just(25), 0_u32..200]),
        (first, count) in (1_u16..60_000, 0_u16..2000),
        asked in proptest::option::of(1_u32..2500),
    ) {
        let ports = PortRange::new(first, first + count).unwrap();
        let spec = Spec { ports, growth, ports_per_client: asked, ..spec_of(Vec::new()) };
        let spec = of_counts(&spec, clients, public);
        let Some(misfit) = misfit(&spec) else { return Ok(()) };
        let fits = |spec: Spec| spec.make(None).is_ok();
        prop_assert_eq!((misfit.clients, misfit.public), (clients, public));
        prop_assert_eq!(misfit.missing_clients(), misfit.needed - misfit.blocks);
        prop_assert!(misfit.missing_clients() > 0);

        prop_assert!(misfit.fitting_clients < clients);
        prop_assert!(misfit.fitting_clients == 0 || fits(of_counts(&spec, misfit.fitting_clients, public)));
        prop_assert!(!fits(of_counts(&spec, misfit.fitting_clients + 1, public)));

        let with_ports = |ports| fits(Spec { ports_per_client: Some(ports), ..spec.clone() });
        prop_assert!(misfit.fitting_ports == 0 || with_ports(misfit.fitting_ports));
        if asked.is_some() {
            prop_assert!(!with_ports(misfit.fitting_ports + 1));
        }

        if misfit.public_needed == 0 {
            prop_assert!(!fits(of_counts(&spec, 1, 1000)), "a block is larger than the run");
        } else {
            prop_assert!(fits(of_counts(&spec, clients, misfit.public_needed)));
            prop_assert!(!fits(of_counts(&spec, clients, misfit.public_needed - 1)));
        }
    }
}

#[test]
fn the_message_says_what_is_missing_and_what_would_fit() {
    let spec = Spec { ports: range("1024-2023"), growth: 0, ..spec_of(networks(&["10.8.0.0/24"])) };
    let asked = Spec { ports_per_client: Some(100), ..spec.clone() };
    assert_eq!(
        misfit(&asked).unwrap().to_string(),
        "the plan does not fit: 253 clients with 100 ports each need 253 blocks, and 1 public address has room for 10. \
         Missing: 243 clients, 24300 ports, 25 public addresses. \
         Would fit: 3 ports a client; or 26 public addresses; or 10 clients with 100 ports each"
    );
    let asked = Spec { ports_per_client: Some(2000), ..spec.clone() };
    assert_eq!(
        misfit(&asked).unwrap().to_string(),
        "the plan does not fit: 253 clients with 2000 ports each need 253 blocks, and 1 public address has room for 0. \
         Missing: 253 clients, 506000 ports; more public addresses do not help, since no run of ports is that long. \
         Would fit: 3 ports a client"
    );
    let computed = Spec { ports: range("1024-1279"), growth: 25, ..spec.clone() };
    assert_eq!(
        misfit(&computed).unwrap().to_string(),
        "the plan does not fit: 253 clients and the growth reserve with 1 port each need 317 blocks, and 1 public address \
         has room for 256. Missing: 61 clients, 61 ports, 1 public address. \
         Would fit: 2 public addresses; or 204 clients and the growth reserve with 1 port each; or a smaller growth reserve"
    );
    let empty = Spec { exclude: vec![range("1-65535")], ..spec };
    assert!(misfit(&empty).unwrap().to_string().ends_with(". Give out more ports"));
}

#[test]
fn the_script_needs_two_ports_a_client_to_give_one() {
    let public = Ipv4Addr::new(192, 0, 2, 1);
    let spec = |clients: u8, last: u16| Spec {
        ports: PortRange::new(1000, last).unwrap(),
        ..Spec::of_script((0..clients).map(|n| format!("10.8.{n}.0/30").parse().unwrap()).collect(), public)
    };
    let found = misfit(&spec(100, 1100)).unwrap();
    assert_eq!((found.blocks, found.missing_clients(), found.fitting_clients), (50, 50, 50));
    assert!(spec(50, 1100).make(None).is_ok() && misfit(&spec(51, 1100)).is_some());
    assert!(found.to_string().contains("2 public addresses with the layout even;"), "{found}");
    let even = Spec {
        layout: crate::Layout::Even,
        public: vec!["192.0.2.0/31".parse().unwrap()],
        ..spec(100, 1100)
    };
    assert!(even.make(None).is_ok());
}
