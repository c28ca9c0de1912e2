//! Interfaces, their addresses and the default route of a real namespace.

use unmasq_lab::{Lab, Node};
use unmasq_netfilter::Error;
use unmasq_netfilter::interfaces::{default_route_interface, ipv4_of};

use crate::listener::namespace;

fn gateway(commands: &[&str]) -> Node {
    let node = Lab::new().unwrap().node("gw").unwrap();
    node.ip(commands).unwrap();
    node
}

#[test]
fn the_addresses_of_one_interface_are_told_with_their_prefixes() {
    let node = gateway(&[
        "link add wan type veth peer name ppp7",
        "link set wan up",
        "link set ppp7 up",
        "address add 203.0.113.9/24 dev wan label wan:later",
        "address add 203.0.113.1/24 dev wan",
        "address add 198.51.100.1/32 dev wan",
        "address add 10.64.0.2 peer 10.64.0.1/32 dev ppp7",
        "address add 2001:db8::1/64 dev wan",
    ]);
    let of = |name: &str| {
        let addresses = ipv4_of(&namespace(&node), name).unwrap();
        addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect::<Vec<_>>()
    };
    assert_eq!(of("wan"), ["203.0.113.9/24", "198.51.100.1/32", "203.0.113.1/24"]);
    assert_eq!(of("ppp7"), ["10.64.0.2/32"]);
    assert_eq!(of("lo"), ["127.0.0.1/8"]);
    let error = ipv4_of(&namespace(&node), "wan1").unwrap_err();
    assert!(matches!(&error, Error::NoSuchInterface { name, .. } if name == "wan1"), "{error}");
    for there in ["there are lo, ", "wan", "ppp7"] {
        assert!(error.to_string().contains(there), "{error}");
    }
}

#[test]
fn the_default_route_with_the_lowest_metric_is_the_one_taken() {
    let node = gateway(&[
        "link add one type veth peer name two",
        "link add three type veth peer name four",
        "link set one up",
        "link set two up",
        "link set three up",
        "link set four up",
        "address add 192.0.2.1/24 dev one",
        "address add 198.51.100.1/24 dev two",
        "address add 203.0.113.1/24 dev three",
        "route add 0.0.0.0/1 dev three",
        "route add default dev three table 7",
        "route add unreachable default metric 1",
    ]);
    let namespace = namespace(&node);
    assert_eq!(default_route_interface(&namespace).unwrap(), None);
    node.ip(&["route add default via 192.0.2.9 metric 200"]).unwrap();
    assert_eq!(default_route_interface(&namespace).unwrap().as_deref(), Some("one"));
    node.ip(&["route add default metric 100 nexthop via 198.51.100.9 nexthop via 192.0.2.9"]).unwrap();
    assert_eq!(default_route_interface(&namespace).unwrap().as_deref(), Some("two"));
}
