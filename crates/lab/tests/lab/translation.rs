//! What a gateway of the lab does to flows, seen from the servers.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use unmasq_flow::Protocol;
use unmasq_lab::{Blast, Lab, Network, PATIENCE, Plan, Range, Rule, Server, client};

fn any(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

fn any_v6(port: u16) -> SocketAddr {
    (std::net::Ipv6Addr::UNSPECIFIED, port).into()
}

fn public(port: u16) -> SocketAddr {
    (Network::PUBLIC, port).into()
}

#[test]
fn masquerading_hides_clients_behind_the_public_address() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let [tcp, udp] =
        [Server::tcp, Server::udp].map(|start| start(&network.servers, network.server(0, 7)).unwrap());

    let first = client::tcp(&network.clients[0], any(40_001), tcp.address()).unwrap();
    client::talk(&first).unwrap();
    let socket = client::udp(&network.clients[1], any(40_002), udp.address()).unwrap();
    client::talk_udp(&socket).unwrap();
    client::ping(&network.clients[0], network.server(1, 0).ip(), 777).unwrap();

    let seen = tcp.wait(1, PATIENCE).unwrap()[0];
    assert_eq!((seen.protocol, seen.peer, seen.local), (Protocol::TCP, public(40_001), tcp.address()));
    assert_eq!(udp.wait(1, PATIENCE).unwrap()[0].peer, public(40_002));
    assert_eq!(network.gateway.flows_begun().unwrap(), 3);

    let table = network.gateway.exec(&["conntrack", "-L"]).unwrap();
    assert!(table.contains(&network.client(0).to_string()) && table.contains("id=777"), "{table}");
    client::abort(first).unwrap();
    network.gateway.forget_flows().unwrap();
    assert_eq!(network.gateway.exec(&["conntrack", "-L"]).unwrap(), "");
}

#[test]
fn ipv6_is_masqueraded_too() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let server = Server::tcp(&network.servers, network.server_v6(1, 443)).unwrap();
    let connection = client::tcp(&network.clients[1], any_v6(40_003), server.address()).unwrap();
    client::talk(&connection).unwrap();
    client::ping(&network.clients[0], network.server_v6(0, 0).ip(), 778).unwrap();
    assert_eq!(server.wait(1, PATIENCE).unwrap()[0].peer, (Network::PUBLIC_V6, 40_003).into());
    let table = network.gateway.exec(&["conntrack", "-L", "-f", "ipv6"]).unwrap();
    assert!(table.contains(&network.client_v6(1).to_string()), "{table}");
}

#[test]
fn clients_choose_no_port_of_one_another() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan { clients: 3, ..Plan::default() }).unwrap();
    let ranges: Vec<Vec<u16>> = network
        .clients
        .iter()
        .map(|client| {
            let range = client.setting("net.ipv4.ip_local_port_range").unwrap();
            range.split_whitespace().map(|port| port.parse().unwrap()).collect()
        })
        .collect();
    assert!(ranges.iter().all(|range| range[0] < range[1]), "{ranges:?}");
    assert!(ranges.windows(2).all(|pair| pair[0][1] < pair[1][0]), "{ranges:?}");
}

#[test]
fn clients_share_a_forced_port_toward_different_servers() {
    let lab = Lab::new().unwrap();
    let rules = vec![Rule::Snat {
        from: "192.168.0.0/16".into(),
        to: Network::PUBLIC.into(),
        ports: Some(61_002..=61_002),
    }];
    let network = Network::build(&lab, Plan { rules, ..Plan::default() }).unwrap();
    let servers = [0, 1].map(|n| Server::tcp(&network.servers, network.server(n, 443)).unwrap());
    let open = [0, 1].map(|n| client::tcp(&network.clients[n], any(0), servers[n].address()).unwrap());
    for connection in &open {
        client::talk(connection).unwrap();
    }
    for server in &servers {
        assert_eq!(server.wait(1, PATIENCE).unwrap()[0].peer, public(61_002));
    }
}

#[test]
fn a_redirected_port_answers_from_inside_and_for_insiders() {
    let lab = Lab::new().unwrap();
    let inner = SocketAddr::new("192.168.102.2".parse().unwrap(), 8080);
    let rules = vec![
        Rule::Dnat { protocol: Protocol::TCP, from: public(80), to: inner },
        Rule::Hairpin { network: "192.168.0.0/16".into() },
        Rule::Masquerade { out: "wan".into(), ports: Some(50_000..=50_999) },
    ];
    let network = Network::build(&lab, Plan { rules, ..Plan::default() }).unwrap();
    let server = Server::tcp(&network.clients[1], inner).unwrap();

    let outside = client::tcp(&network.servers, any(40_010), public(80)).unwrap();
    client::talk(&outside).unwrap();
    assert_eq!(server.wait(1, PATIENCE).unwrap()[0].peer, "203.0.113.254:40010".parse().unwrap());

    let inside = client::tcp(&network.clients[0], any(40_011), public(80)).unwrap();
    client::talk(&inside).unwrap();
    let seen = server.wait(2, PATIENCE).unwrap()[1];
    assert_eq!(
        seen.peer.ip(),
        "192.168.102.1".parse::<IpAddr>().unwrap(),
        "the gateway's address on that side"
    );
}

#[test]
fn overlapping_clients_are_told_apart_by_zones() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan { overlapping: true, ..Plan::default() }).unwrap();
    assert_eq!(network.client(0), network.client(1));
    let server = Server::tcp(&network.servers, network.server(0, 80)).unwrap();
    let v6 = Server::udp(&network.servers, network.server_v6(0, 53)).unwrap();
    // The very same endpoints, twice.
    for node in &network.clients {
        let connection = client::tcp(node, any(40_020), server.address()).unwrap();
        client::talk(&connection).unwrap();
        std::mem::forget(connection); // Kept open to the end of the test.
        client::talk_udp(&client::udp(node, any_v6(40_021), v6.address()).unwrap()).unwrap();
    }
    let peers: HashSet<_> = server.wait(2, PATIENCE).unwrap().iter().map(|seen| seen.peer).collect();
    assert_eq!(peers.len(), 2);
    let table = network.gateway.exec(&["conntrack", "-L"]).unwrap();
    assert!(table.contains("zone-orig=1") && table.contains("zone-orig=2"), "{table}");
}

#[test]
fn each_flow_of_a_blast_begins_once_and_ends_with_its_reset() {
    let lab = Lab::new().unwrap();
    let range = Range::build(&lab).unwrap();
    let blast =
        Blast { duration: None, count: Some(3_000), window: Some(100), zipf: false, ..Range::blast() };
    let sent = range.fire(&blast).unwrap();
    assert_eq!((sent.flows, sent.resets), (3_000, 3_000));
    // The last frames can still be on their way through a busy kernel.
    let alive = || range.gateway.setting("net.netfilter.nf_conntrack_count").unwrap();
    let began = Instant::now();
    while (range.gateway.flows_begun().unwrap(), alive().as_str()) != (3_000, "0") {
        let begun = range.gateway.flows_begun().unwrap();
        assert!(began.elapsed() < PATIENCE, "{begun} have begun, {} are alive", alive());
    }
}
