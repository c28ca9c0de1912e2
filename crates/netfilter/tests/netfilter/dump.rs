//! Dumps and look-ups of a real kernel's table.

use std::collections::HashSet;

use unmasq_flow::{Endpoint, Protocol, Selector};
use unmasq_lab::{Lab, Network, Plan, Server, client};
use unmasq_netfilter::conntrack::{Direction, Dumper, Entry, Tuple};

use crate::frames;
use crate::listener::{namespace, ping, talk_udp};

fn network() -> Network {
    Network::build(&Lab::new().unwrap(), Plan::default()).unwrap()
}

fn listed(dumper: &mut Dumper) -> Vec<Entry> {
    let mut entries = Vec::new();
    let report = dumper.dump(|entry| entries.push(*entry)).unwrap();
    assert_eq!((report.entries as usize, report.damaged, report.interrupted), (entries.len(), 0, false));
    entries
}

fn original(entry: &Entry) -> Tuple {
    let Entry { protocol, client, target, zones, .. } = *entry;
    Tuple { protocol, source: client, destination: target, zone: zones.original }
}

fn reply(entry: &Entry) -> Tuple {
    let Entry { protocol, server, masked, zones, .. } = *entry;
    Tuple { protocol, source: server, destination: masked, zone: zones.reply }
}

#[test]
fn a_dump_lists_both_families_with_their_start() {
    let network = network();
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    let udp = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let v6 = Server::tcp(&network.servers, network.server_v6(0, 80)).unwrap();
    talk_udp(&network.clients[0], "0.0.0.0:41001", udp.address());
    let connection = client::tcp(&network.clients[1], "[::]:41002".parse().unwrap(), v6.address()).unwrap();
    client::talk(&connection).unwrap();
    ping(&network.clients[0], network.server(1, 0).ip(), 321);
    ping(&network.clients[0], network.server_v6(1, 0).ip(), 654);

    let entries = listed(&mut dumper);
    for (protocol, from) in [
        (Protocol::UDP, Endpoint::with_port(network.client(0), 41_001)),
        (Protocol::TCP, Endpoint::with_port(network.client_v6(1), 41_002)),
        (Protocol::ICMP, Endpoint::new(network.client(0), Selector::Id(321))),
        (Protocol::ICMPV6, Endpoint::new(network.client_v6(0), Selector::Id(654))),
    ] {
        let entry = entries.iter().find(|e| e.protocol == protocol && e.client == from);
        let entry = entry.unwrap_or_else(|| panic!("{protocol} {from} in {entries:#?}"));
        assert!(entry.start.is_some() && entry.stop.is_none() && entry.id.is_some());
        for (direction, tuple) in [(Direction::Original, original(entry)), (Direction::Reply, reply(entry))] {
            let found = dumper.find(direction, &tuple).unwrap().expect("still there");
            assert_eq!((found.id, found.client, found.masked), (entry.id, entry.client, entry.masked));
        }
    }
}

#[test]
fn a_tuple_that_is_not_there_is_not_found() {
    let network = network();
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    let tuple = Tuple {
        protocol: Protocol::TCP,
        source: "198.51.100.7:80".parse().unwrap(),
        destination: "203.0.113.1:61002".parse().unwrap(),
        zone: 0,
    };
    assert_eq!(dumper.find(Direction::Reply, &tuple).unwrap(), None);
    assert_eq!(dumper.find(Direction::Reply, &Tuple { zone: 7, ..tuple }).unwrap(), None);
    assert!(listed(&mut dumper).iter().all(|e| e.client.address != tuple.source.address));
}

#[test]
fn a_zone_belongs_to_a_look_up() {
    let plan = Plan { overlapping: true, ..Plan::default() };
    let network = Network::build(&Lab::new().unwrap(), plan).unwrap();
    let server = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    for node in &network.clients {
        talk_udp(node, "0.0.0.0:41010", server.address());
    }
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    let entries = listed(&mut dumper);
    let twins: Vec<_> = entries.iter().filter(|e| e.client.selector == Selector::Port(41_010)).collect();
    assert_eq!(twins.len(), 2, "{entries:#?}");
    for entry in twins {
        let found = dumper.find(Direction::Original, &original(entry)).unwrap().expect("still there");
        assert_eq!((found.id, found.zones, found.masked), (entry.id, entry.zones, entry.masked));
        assert_eq!(dumper.find(Direction::Reply, &reply(entry)).unwrap().map(|e| e.id), Some(entry.id));
    }
}

#[test]
fn a_long_dump_is_whole() {
    let network = network();
    frames::new_flows(&network, 1024..6024);
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    // Twice with one socket: the second answer is not mixed with the first.
    for _ in 0..2 {
        let clients: HashSet<Endpoint> = listed(&mut dumper)
            .iter()
            .filter(|e| e.protocol == Protocol::UDP && e.client.address == network.client(0))
            .map(|e| e.client)
            .collect();
        assert_eq!(clients.len(), 5000);
    }
}
