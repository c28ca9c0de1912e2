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
fn a_dump_of_one_client_has_its_entries_and_no_others() {
    let network = network();
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    let udp = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    for (client, port) in [(0, 41_001), (1, 41_002), (0, 41_003)] {
        talk_udp(&network.clients[client], &format!("0.0.0.0:{port}"), udp.address());
    }
    ping(&network.clients[0], network.server(1, 0).ip(), 321);
    let std::net::IpAddr::V4(client) = network.client(0) else { panic!("IPv4") };
    let mut found = Vec::new();
    let report = dumper.dump_of(client, |entry| found.push(entry.client.selector)).unwrap();
    found.sort_unstable();
    assert_eq!(found, [Selector::Port(41_001), Selector::Port(41_003), Selector::Id(321)]);
    // The kernel has kept the others back.
    assert_eq!(report.entries, 3);
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

#[test]
fn an_entry_is_deleted_alone_and_once() {
    let network = network();
    let mut dumper = Dumper::open(&namespace(&network.gateway)).unwrap();
    let udp = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let v6 = Server::tcp(&network.servers, network.server_v6(0, 80)).unwrap();
    talk_udp(&network.clients[0], "0.0.0.0:41021", udp.address());
    talk_udp(&network.clients[0], "0.0.0.0:41022", udp.address());
    let connection = client::tcp(&network.clients[1], "[::]:41023".parse().unwrap(), v6.address()).unwrap();
    client::talk(&connection).unwrap();
    ping(&network.clients[0], network.server(1, 0).ip(), 321);
    ping(&network.clients[0], network.server_v6(1, 0).ip(), 654);

    for (protocol, from) in [
        (Protocol::UDP, Endpoint::with_port(network.client(0), 41_021)),
        (Protocol::TCP, Endpoint::with_port(network.client_v6(1), 41_023)),
        (Protocol::ICMP, Endpoint::new(network.client(0), Selector::Id(321))),
        (Protocol::ICMPV6, Endpoint::new(network.client_v6(0), Selector::Id(654))),
    ] {
        let entries = listed(&mut dumper);
        let is_it = |e: &&Entry| e.protocol == protocol && e.client == from;
        let entry = *entries.iter().find(is_it).unwrap_or_else(|| panic!("{protocol} {from}: {entries:#?}"));
        // As if another had come in its place.
        let predecessor = Entry { id: entry.id.map(|id| id ^ 1), ..entry };
        assert!(!dumper.delete(&predecessor).unwrap(), "{protocol}");
        assert!(dumper.find(Direction::Original, &original(&entry)).unwrap().is_some(), "{protocol}");
        assert!(dumper.delete(&entry).unwrap(), "{protocol}");
        assert!(!dumper.delete(&entry).unwrap(), "{protocol}");
        let rest = listed(&mut dumper);
        assert!(!rest.iter().any(|e| is_it(&e)), "{protocol} {rest:#?}");
    }
    let rest = listed(&mut dumper);
    let other = Endpoint::with_port(network.client(0), 41_022);
    assert!(rest.iter().any(|entry| entry.client == other), "{rest:#?}");
}

#[test]
fn entries_of_other_protocols_and_queries_are_deleted_too() {
    let node = Lab::new().unwrap().node("gw").unwrap();
    let mut dumper = Dumper::open(&namespace(&node)).unwrap();
    let insert = |words: &str| {
        let words = format!("conntrack -I -s 10.0.0.2 -d 198.51.100.7 --timeout 600 {words}");
        node.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
    };
    insert("-p sctp --sport 1000 --dport 2000 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2");
    insert("-p icmp --icmp-type 13 --icmp-code 0 --icmp-id 77");
    insert("-p udp --sport 1000 --dport 2000 --orig-zone 5");
    insert("-p udp --sport 1000 --dport 2000 --zone 6");
    insert("-p gre --srckey 7 --dstkey 8");
    let entries = listed(&mut dumper);
    assert_eq!(entries.len(), 5, "{entries:#?}");
    for (entry, left) in entries.iter().zip((0..5).rev()) {
        assert!(dumper.delete(entry).unwrap(), "{entry:#?}");
        assert_eq!(listed(&mut dumper).len(), left);
    }
}
