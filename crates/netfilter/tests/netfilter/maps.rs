//! Maps of nftables on a real kernel, made with `nft`.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use unmasq_lab::{Lab, Node};
use unmasq_netfilter::Error;
use unmasq_netfilter::maps::{Mapping, Maps};

use crate::listener::namespace;

/// A namespace with these maps in table `ip t`, and a connection to it.
fn bench(maps: &str) -> (Node, Maps) {
    let node = Lab::new().unwrap().node("gw").unwrap();
    node.nft(&format!("table ip t {{\n{maps}\n}}\n")).unwrap();
    let maps = Maps::open(&namespace(&node)).unwrap();
    (node, maps)
}

fn list(maps: &mut Maps, name: &str) -> Vec<Mapping> {
    let mut listed = maps.list(&format!("ip t {name}").parse().unwrap()).unwrap().expect("the map was made");
    listed.sort_by_key(|mapping| mapping.client);
    listed
}

fn mapping(client: &str, to: &str, to_last: &str, ports: Option<RangeInclusive<u16>>) -> Mapping {
    let [client, to, to_last] = [client, to, to_last].map(|text| text.parse().unwrap());
    Mapping { client, to, to_last, ports }
}

#[test]
fn a_map_of_each_kind_is_listed_and_used_by_a_rule() {
    let (_node, mut maps) = bench(
        "map ranges { type ipv4_addr : interval ipv4_addr . inet_service
           elements = { 100.64.0.1 : 203.0.113.1 . 1024-2047, 100.64.0.2 : 203.0.113.1-203.0.113.9 . 5 } }
         map ports { type ipv4_addr : ipv4_addr . inet_service; elements = { 100.64.0.1 : 203.0.113.1 . 7 }; }
         map pools { type ipv4_addr : interval ipv4_addr; elements = { 100.64.0.1 : 203.0.113.1-203.0.113.5 }; }
         map addresses { type ipv4_addr : ipv4_addr; elements = { 100.64.0.1 : 203.0.113.1 }; }
         map empty { type ipv4_addr : interval ipv4_addr . inet_service; }
         chain post {
           type nat hook postrouting priority 95
           meta l4proto { tcp, udp } snat ip to ip saddr map @ranges
         }",
    );
    let (client, to) = ("100.64.0.1", "203.0.113.1");
    let ranges =
        [mapping(client, to, to, Some(1024..=2047)), mapping("100.64.0.2", to, "203.0.113.9", Some(5..=5))];
    assert_eq!(list(&mut maps, "ranges"), ranges);
    assert_eq!(list(&mut maps, "ports"), [mapping(client, to, to, Some(7..=7))]);
    assert_eq!(list(&mut maps, "pools"), [mapping(client, to, "203.0.113.5", None)]);
    assert_eq!(list(&mut maps, "addresses"), [mapping(client, to, to, None)]);
    assert_eq!(list(&mut maps, "empty"), []);
}

#[test]
fn a_map_that_is_not_there_and_one_of_another_type_are_told_apart() {
    let (_node, mut maps) = bench(
        "map marks { type ipv4_addr : mark; }
         map verdicts { type ipv4_addr : verdict; }
         map networks { type ipv4_addr : interval ipv4_addr . inet_service; flags interval; }
         map keys { type ipv4_addr . inet_service : ipv4_addr; }
         set clients { type ipv4_addr; }",
    );
    for id in ["ip t none", "ip none m", "inet t marks"] {
        assert_eq!(maps.list(&id.parse().unwrap()).unwrap(), None, "{id}");
    }
    for name in ["marks", "verdicts", "networks", "keys", "clients"] {
        let refused = maps.list(&format!("ip t {name}").parse().unwrap()).unwrap_err();
        assert!(matches!(&refused, Error::MapType { map } if *map == format!("ip t {name}")), "{refused}");
    }
}

#[test]
fn sixteen_thousand_clients_are_listed_whole() {
    let of = |n: u32| {
        let to = Ipv4Addr::from(0xcb00_7100 + n / 64);
        let first = 1024 + (n % 64) as u16 * 1000;
        let client = Ipv4Addr::from(0x6440_0000 + n);
        Mapping { client, to, to_last: to, ports: Some(first..=first + 999) }
    };
    let expected: Vec<Mapping> = (0..16_384).map(of).collect();
    let mut elements = String::new();
    for Mapping { client, to, ports, .. } in &expected {
        let (first, last) = ports.clone().unwrap().into_inner();
        write!(elements, "{client} : {to} . {first}-{last}, ").unwrap();
    }
    let (_node, mut maps) = bench(&format!(
        "map m {{ type ipv4_addr : interval ipv4_addr . inet_service; elements = {{ {elements} }}; }}"
    ));
    assert_eq!(list(&mut maps, "m"), expected);
}

#[test]
fn the_generation_tells_whether_something_changed() {
    let (node, mut maps) = bench("map m { type ipv4_addr : ipv4_addr; }");
    let first = maps.generation().unwrap();
    list(&mut maps, "m");
    assert_eq!(maps.generation().unwrap(), first);
    node.nft("add element ip t m { 100.64.0.1 : 203.0.113.1 }\n").unwrap();
    let second = maps.generation().unwrap();
    assert_ne!(second, first);
    node.nft("delete element ip t m { 100.64.0.1 }\n").unwrap();
    assert_ne!(maps.generation().unwrap(), second);
    let elsewhere = node.lab().node("other").unwrap();
    let third = maps.generation().unwrap();
    elsewhere.nft("table ip t { }\n").unwrap();
    assert_eq!(maps.generation().unwrap(), third, "another namespace has a number of its own");
}
