//! What a real kernel says when flows begin and end.

use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use unmasq_flow::{Endpoint, Protocol, Selector, Status, Zones};
use unmasq_lab::{Lab, Network, Node, Plan, Rule, Server, client};
use unmasq_netfilter::conntrack::{EventKind, EventOptions};

use crate::frames;
use crate::listener::{EVERYTHING, Listener, endpoint, ping, talk_udp};

fn network() -> Network {
    Network::build(&Lab::new().unwrap(), Plan::default()).unwrap()
}

fn any_v4(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

fn at(address: SocketAddr) -> Endpoint {
    Endpoint::with_port(address.ip(), address.port())
}

#[test]
fn a_masqueraded_connection_begins_and_ends_with_what_the_server_saw() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    let server = Server::tcp(&network.servers, network.server(0, 80)).unwrap();
    let connection = client::tcp(&network.clients[0], any_v4(40_001), server.address()).unwrap();
    client::talk(&connection).unwrap();
    let peer = at(server.wait(1, std::time::Duration::from_secs(20)).unwrap()[0].peer);

    let from = Endpoint::with_port(network.client(0), 40_001);
    let begun = listener.event(EventKind::New, Protocol::TCP, from).entry;
    assert_eq!(
        (begun.masked, begun.target, begun.server),
        (peer, at(server.address()), at(server.address()))
    );
    assert_eq!(begun.zones, Zones::default());
    let status = begun.status.expect("every kernel sends it");
    assert!(status.has(Status::SRC_NAT) && !status.has(Status::DST_NAT), "{status:?}");
    assert!(begun.id.is_some() && begun.timeout.is_some());

    client::abort(connection).unwrap();
    network.gateway.forget_flows().unwrap();
    let ended = listener.event(EventKind::Destroy, Protocol::TCP, from).entry;
    assert_eq!((ended.masked, ended.server, ended.id), (begun.masked, begun.server, begun.id));
    assert!(ended.status.unwrap().has(Status::SEEN_REPLY), "{:?}", ended.status);
}

#[test]
fn a_redirected_connection_has_the_asked_target_and_the_answering_server() {
    let (asked, inner): (SocketAddr, SocketAddr) =
        ("203.0.113.1:8080".parse().unwrap(), "198.51.100.7:80".parse().unwrap());
    let rules = vec![Rule::Dnat { protocol: Protocol::TCP, from: asked, to: inner }];
    let network = Network::build(&Lab::new().unwrap(), Plan { rules, ..Plan::default() }).unwrap();
    network.servers.ip(&["route add 192.168.101.0/24 via 203.0.113.1"]).unwrap();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    let server = Server::tcp(&network.servers, inner).unwrap();
    client::talk(&client::tcp(&network.clients[0], any_v4(40_002), asked).unwrap()).unwrap();

    let from = Endpoint::with_port(network.client(0), 40_002);
    let entry = listener.event(EventKind::New, Protocol::TCP, from).entry;
    assert_eq!((entry.target, entry.server, entry.masked), (at(asked), at(server.address()), from));
    assert!(entry.status.unwrap().has(Status::DST_NAT) && !entry.status.unwrap().has(Status::SRC_NAT));
}

#[test]
fn udp_over_ipv6_is_masqueraded_like_ipv4() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    let server = Server::udp(&network.servers, network.server_v6(0, 53)).unwrap();
    talk_udp(&network.clients[0], "[::]:40003", server.address());

    let from = Endpoint::with_port(network.client_v6(0), 40_003);
    let entry = listener.event(EventKind::New, Protocol::UDP, from).entry;
    assert_eq!(entry.masked, at(server.seen()[0].peer));
    assert_eq!(entry.masked.address, IpAddr::from(Network::PUBLIC_V6));
}

#[test]
fn two_pings_with_one_id_get_one_id_each_outside() {
    let network = network();
    for (to, mut listener) in [network.server(0, 0).ip(), network.server_v6(0, 0).ip()]
        .map(|to| (to, Listener::open(&network.gateway, &EventOptions::default())))
    {
        let protocol = if to.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
        let masked = [0, 1].map(|n| {
            ping(&network.clients[usize::from(n)], to, 777);
            let from = if to.is_ipv4() { network.client(n) } else { network.client_v6(n) };
            let from = Endpoint::new(from, Selector::Id(777));
            let entry = listener.event(EventKind::New, protocol, from).entry;
            assert_eq!(
                (entry.target, entry.server),
                (Endpoint::address_only(to), Endpoint::address_only(to))
            );
            entry.masked
        });
        assert_eq!(masked[0].address, masked[1].address);
        assert_eq!(masked[0].selector, Selector::Id(777));
        assert!(matches!(masked[1].selector, Selector::Id(id) if id != 777), "{}", masked[1]);
    }
}

#[test]
fn clients_with_one_address_are_told_apart_by_zone() {
    let plan = Plan { overlapping: true, ..Plan::default() };
    let network = Network::build(&Lab::new().unwrap(), plan).unwrap();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    let server = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    for node in &network.clients {
        talk_udp(node, "0.0.0.0:40004", server.address());
    }
    let from = Endpoint::with_port(network.client(0), 40_004);
    listener.until("two beginnings", |l| l.seen.iter().filter(|e| e.entry.client == from).count() == 2);
    let found: Vec<_> = listener.seen.iter().filter(|e| e.entry.client == from).map(|e| e.entry).collect();
    assert_eq!([found[0].zones, found[1].zones], [1, 2].map(|original| Zones { original, reply: 0 }));
    assert_ne!(found[0].masked, found[1].masked);
}

/// Sends one raw packet of an IP protocol.
fn send_raw(node: &Node, protocol: u8, to: IpAddr, payload: &[u8]) {
    let protocol = rustix::net::Protocol::from_raw(std::num::NonZeroU32::new(protocol.into()).unwrap());
    node.run(|| {
        let socket = socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        sendto(&socket, payload, SendFlags::empty(), &SocketAddr::new(to, 0))
    })
    .unwrap()
    .unwrap();
}

#[test]
fn gre_sctp_and_untracked_protocols_are_flows_too() {
    let network = network();
    // The SCTP packet below has no checksum.
    network.gateway.set("net.netfilter.nf_conntrack_checksum", "0").unwrap();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    let (node, to) = (&network.clients[0], network.server(0, 0).ip());
    let public = IpAddr::from(Network::PUBLIC);

    // GRE version 0 without a key: the kernel's tuple has keys of 0.
    send_raw(node, 47, to, &[0, 0, 8, 0, 1, 2, 3, 4]);
    let gre =
        listener.event(EventKind::New, Protocol::GRE, Endpoint::new(network.client(0), Selector::Id(0)));
    assert_eq!(gre.entry.masked, Endpoint::new(public, Selector::Id(0)));

    // SCTP INIT from port 5001 to 5002: common header, then a chunk with tag, window, streams and TSN.
    let mut init = vec![0x13, 0x89, 0x13, 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20];
    init.extend([0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    send_raw(node, 132, to, &init);
    let sctp = listener.event(EventKind::New, Protocol::SCTP, Endpoint::with_port(network.client(0), 5001));
    assert_eq!(sctp.entry.masked, Endpoint::with_port(public, 5001));
    assert_eq!(sctp.entry.server, Endpoint::with_port(to, 5002));

    // ESP, which has no tracker of its own.
    send_raw(node, 50, to, &[0; 16]);
    let esp = listener.event(EventKind::New, Protocol(50), Endpoint::address_only(network.client(0)));
    assert_eq!(esp.entry.masked, Endpoint::address_only(public));
}

#[test]
fn times_and_counters_come_when_their_settings_are_on() {
    let network = network();
    let server = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let mut listener = Listener::open(&network.gateway, &EventOptions::default());
    for (port, on) in [(40_010, "1"), (40_011, "0")] {
        network.gateway.set("net.netfilter.nf_conntrack_timestamp", on).unwrap();
        network.gateway.set("net.netfilter.nf_conntrack_acct", on).unwrap();
        talk_udp(&network.clients[0], &format!("0.0.0.0:{port}"), server.address());
        let from = Endpoint::with_port(network.client(0), port);
        let begun = listener.event(EventKind::New, Protocol::UDP, from).entry;
        network.gateway.forget_flows().unwrap();
        let ended = listener.event(EventKind::Destroy, Protocol::UDP, from).entry;

        assert_eq!(begun.start, None, "only the end has both times");
        assert_eq!(ended.start.is_some() && ended.stop.is_some(), on == "1", "{ended:?}");
        assert_eq!(ended.traffic.is_some(), on == "1");
        if let (Some(start), Some(stop), Some(traffic)) = (ended.start, ended.stop, ended.traffic) {
            assert!(start < stop);
            assert_eq!((traffic.original.packets, traffic.reply.packets), (1, 1));
            // 20 bytes of IP, 8 of UDP, and the words.
            assert!(traffic.original.bytes > 28 && traffic.original.bytes == traffic.reply.bytes);
        }
        // CTA_TIMESTAMP_EVENT: Linux 6.14.
        if let Some(time) = begun.event_time {
            assert_eq!(on, "1");
            assert!(ended.start.is_some_and(|start| start <= time) && ended.event_time >= ended.stop);
        }
    }
}

#[test]
fn changes_are_heard_on_request_only() {
    let network = network();
    let server = Server::tcp(&network.servers, network.server(0, 80)).unwrap();
    let mut quiet = Listener::open(&network.gateway, &EventOptions::default());
    let mut curious =
        Listener::open(&network.gateway, &EventOptions { updates: true, ..EventOptions::default() });
    let from = Endpoint::with_port(network.client(0), 40_020);
    client::talk(&client::tcp(&network.clients[0], any_v4(40_020), server.address()).unwrap()).unwrap();
    let update = curious.event(EventKind::Update, Protocol::TCP, from);
    assert_eq!(update.entry.masked.address, IpAddr::from(Network::PUBLIC));
    network.gateway.forget_flows().unwrap();
    quiet.event(EventKind::Destroy, Protocol::TCP, from);
    assert!(quiet.seen.iter().all(|e| e.kind != EventKind::Update), "{:?}", quiet.seen);
}

#[test]
fn a_batched_burst_arrives_whole() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &EVERYTHING);
    frames::new_flows(&network, 1024..2524);
    let udp = |l: &Listener| l.seen.iter().filter(|e| e.entry.protocol == Protocol::UDP).count();
    listener.until("1500 beginnings", |l| udp(l) == 1500);
    let mut ports: Vec<_> =
        listener.seen.iter().filter(|e| e.entry.protocol == Protocol::UDP).map(|e| e.entry.client).collect();
    ports.dedup();
    assert_eq!(ports.len(), 1500, "in the order of their making, each once");
    assert_eq!(ports[0], endpoint("192.168.101.2:1024"));
    assert_eq!(listener.dropped, 0);
}
