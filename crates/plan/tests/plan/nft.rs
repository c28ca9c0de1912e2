//! The rules for nftables, loaded and used.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use unmasq_lab::{Lab, Network, Node, Server, client};
use unmasq_plan::rules::{CHAIN, MAP, Nft, TABLE, nft_change};
use unmasq_plan::{Allocation, Block, Layout, Plan, PortRange, ProtocolSet, Spec};

const PATIENCE: Duration = Duration::from_secs(120);

fn allocation(client: Ipv4Addr, address: Ipv4Addr, ports: &str) -> Allocation {
    let block = Block { address, ports: ports.parse().unwrap() };
    Allocation { client, block, protocols: ProtocolSet::ALL }
}

fn load(node: &Node, text: &str) {
    let path = node.lab().scratch().join("rules.nft");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    node.exec(&["nft", "-c", "-f", path]).unwrap();
    node.exec(&["nft", "-f", path]).unwrap();
}

/// The map as the kernel has it: `client : address . ports`.
fn elements(node: &Node) -> BTreeSet<String> {
    let text = node.exec(&["nft", "list", "map", "ip", TABLE, MAP]).unwrap();
    let inside = text.split_once("elements = {").map_or("", |(_, rest)| rest);
    let inside = inside.split_once('}').map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .map(|e| e.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|e| !e.is_empty())
        .collect()
}

fn expected(plan: &Plan) -> BTreeSet<String> {
    let text = |a: &Allocation| format!("{} : {} . {}", a.client, a.block.address, a.block.ports);
    plan.allocations.iter().map(text).collect()
}

fn nft(plan: &Plan) -> String {
    Nft { plan, out_interface: Some("wan") }.file("made by a test\nof two lines")
}

#[test]
fn the_kernel_has_what_was_printed_and_takes_changes() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gateway").unwrap();
    let spec = Spec {
        layout: Layout::Even,
        public: vec!["203.0.113.1-203.0.113.3".parse().unwrap()],
        ..Spec::of_script(vec!["10.8.0.0/24".parse().unwrap()], Ipv4Addr::new(203, 0, 113, 1))
    };
    let mut plan = spec.make(None).unwrap();
    // A block of one port is a range to nft as well.
    plan.allocations[0].block.ports = "1280".parse().unwrap();
    // Twice: it replaces itself.
    for _ in 0..2 {
        load(&node, &nft(&plan));
        assert_eq!(elements(&node), expected(&plan));
    }
    let mut changed = plan.clone();
    let removed: Vec<Allocation> = changed.allocations.drain(..3).collect();
    let moved = changed.allocations[0];
    changed.allocations[0].block.ports = removed[1].block.ports;
    let mut added = vec![changed.allocations[0]];
    added.extend((1..4).map(|n| {
        allocation([10, 9, 0, n].into(), removed[0].block.address, &removed[2].block.ports.to_string())
    }));
    changed.allocations.extend(&added[1..]);
    let mut removed = removed;
    removed.push(moved);
    load(&node, &nft_change(&removed, &added));
    assert_eq!(elements(&node), expected(&changed));
    // One alone, either way, and nothing.
    load(&node, &nft_change(&added[..1], &[]));
    load(&node, &nft_change(&[], &added[..1]));
    load(&node, &nft_change(&[], &[]));
    assert_eq!(elements(&node), expected(&changed));
}

#[test]
fn a_plan_of_nobody_is_loaded() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gateway").unwrap();
    load(&node, &nft(&Plan::default()));
    assert_eq!(elements(&node), BTreeSet::new());
    let chain = node.exec(&["nft", "list", "chain", "ip", TABLE, CHAIN]).unwrap();
    assert!(!chain.contains("snat"), "{chain}");
}

#[test]
fn sixty_five_thousand_clients_are_loaded() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gateway").unwrap();
    let spec = Spec {
        layout: Layout::Even,
        public: vec!["203.0.113.0/28".parse().unwrap()],
        ports_per_client: Some(15),
        ..Spec::of_script(vec!["10.8.0.0/16".parse().unwrap()], Ipv4Addr::UNSPECIFIED)
    };
    let plan = spec.make(None).unwrap();
    assert_eq!(plan.allocations.len(), 65_533);
    load(&node, &nft(&plan));
    assert_eq!(elements(&node).len(), 65_533);
    load(&node, &nft_change(&plan.allocations[..30_000], &[]));
    load(&node, &nft_change(&[], &plan.allocations[..30_000]));
    assert_eq!(elements(&node), expected(&plan));
}

/// A network whose gateway translates by this plan alone.
fn network(lab: &Lab, rules: &str) -> Network {
    let network =
        Network::build(lab, unmasq_lab::Plan { rules: Vec::new(), ..unmasq_lab::Plan::default() }).unwrap();
    load(&network.gateway, rules);
    // Those that are over half a minute old are counted and looked for as well.
    for protocol in ["udp", "icmp"] {
        network.gateway.set(&format!("net.netfilter.nf_conntrack_{protocol}_timeout"), "600").unwrap();
    }
    network
}

fn any_port() -> SocketAddr {
    ([0, 0, 0, 0], 0).into()
}

const CLIENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 101, 2), Ipv4Addr::new(192, 168, 102, 2)];

#[test]
fn each_client_leaves_by_ports_of_its_own() {
    let lab = Lab::new().unwrap();
    let allocations = vec![
        allocation(CLIENTS[0], Network::PUBLIC, "2000-2009"),
        allocation(CLIENTS[1], Network::PUBLIC, "3000-3009"),
    ];
    let plan = Plan { ports_per_client: 10, allocations, ..Plan::default() };
    let network = network(&lab, &nft(&plan));
    let (tcp, udp) = (network.server(0, 80), network.server(0, 53));
    let (tcp, udp) =
        (Server::tcp(&network.servers, tcp).unwrap(), Server::udp(&network.servers, udp).unwrap());
    for (node, allocation) in network.clients.iter().zip(&plan.allocations) {
        let before = (tcp.seen().len(), udp.seen().len());
        let stream = client::tcp(node, any_port(), tcp.address()).unwrap();
        client::talk(&stream).unwrap();
        let socket = client::udp(node, any_port(), udp.address()).unwrap();
        client::talk_udp(&socket).unwrap();
        client::ping(node, network.server(0, 0).ip(), 7).unwrap();
        for seen in
            [tcp.wait(before.0 + 1, PATIENCE).unwrap().pop(), udp.wait(before.1 + 1, PATIENCE).unwrap().pop()]
        {
            let peer = seen.unwrap().peer;
            assert_eq!(peer.ip(), Network::PUBLIC);
            assert!(allocation.block.ports.contains(peer.port()), "{peer} is not of {allocation:?}");
        }
        let flows = network
            .gateway
            .exec(&["conntrack", "-L", "-p", "icmp", "-s", &allocation.client.to_string()])
            .unwrap();
        let id = flows.rsplit("id=").next().and_then(|rest| rest.split_whitespace().next()).unwrap();
        assert!(allocation.block.ports.contains(id.parse().unwrap()), "{flows}");
    }
}

#[test]
fn flows_that_do_not_fit_go_to_the_overflow() {
    let lab = Lab::new().unwrap();
    let ports: PortRange = "2000-2003".parse().unwrap();
    let overflow: PortRange = "60000-60999".parse().unwrap();
    let allocations = vec![
        allocation(CLIENTS[0], Network::PUBLIC, "2000-2003"),
        allocation(CLIENTS[1], Network::PUBLIC, "3000-3003"),
    ];
    let plan = Plan {
        ports_per_client: 4,
        allocations,
        overflow: Some(Block { address: Network::PUBLIC, ports: overflow }),
        ..Plan::default()
    };
    let network = network(&lab, &nft(&plan));
    let server = Server::tcp(&network.servers, network.server(0, 80)).unwrap();
    let names = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let mut open = Vec::new();
    for n in 1..=6 {
        let stream = client::tcp(&network.clients[0], any_port(), server.address()).unwrap();
        client::talk(&stream).unwrap();
        open.push(stream);
        let port = server.wait(n, PATIENCE).unwrap().pop().unwrap().peer.port();
        let (is_own, is_shared) = (ports.contains(port), overflow.contains(port));
        assert_eq!((is_own, is_shared), (n <= 4, n > 4), "connection {n} left by port {port}");
    }
    let mut asked = Vec::new();
    for n in 1..=6 {
        let socket = client::udp(&network.clients[0], any_port(), names.address()).unwrap();
        client::talk_udp(&socket).unwrap();
        asked.push(socket);
        let port = names.wait(n, PATIENCE).unwrap().pop().unwrap().peer.port();
        assert_eq!((ports.contains(port), overflow.contains(port)), (n <= 4, n > 4), "{n}: {port}");
    }
    // Toward another server the ports of the block are free, and so they are for the other client.
    let other = Server::tcp(&network.servers, network.server(1, 80)).unwrap();
    client::talk(&client::tcp(&network.clients[0], any_port(), other.address()).unwrap()).unwrap();
    assert!(ports.contains(other.wait(1, PATIENCE).unwrap()[0].peer.port()));
    client::talk(&client::tcp(&network.clients[1], any_port(), server.address()).unwrap()).unwrap();
    let port = server.wait(7, PATIENCE).unwrap().pop().unwrap().peer.port();
    assert!((3000..=3003).contains(&port), "{port}");
    // Flows that are over count no more. The kernel gives those of other processors some ticks to be seen.
    for stream in open {
        client::abort(stream).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    for n in 8.. {
        network.gateway.forget_flows().unwrap();
        let stream = client::tcp(&network.clients[0], any_port(), server.address()).unwrap();
        let port = server.wait(n, PATIENCE).unwrap().pop().unwrap().peer.port();
        client::abort(stream).unwrap();
        if ports.contains(port) {
            break;
        }
        assert!(overflow.contains(port) && Instant::now() < deadline, "{port}");
    }
    // Whoever has no block is not counted either.
    let table = network.gateway.exec(&["nft", "list", "table", "ip", TABLE]).unwrap();
    assert_eq!(table.matches("ip saddr @clients add @full-").count(), 2, "{table}");
}
