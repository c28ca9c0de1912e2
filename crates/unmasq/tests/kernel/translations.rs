//! What the kernel translates, found again.

use std::net::SocketAddr;

use unmasq_flow::Protocol;
use unmasq_lab::{Lab, Network, Plan, Rule, Server, Traffic, client};

use crate::support::{PATIENCE, Recording, clients, eventually, now};

fn any(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

#[test]
fn every_client_behind_a_masquerade_is_found() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan { clients: 3, ..Plan::default() }).unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let mut traffic = Traffic::new(&network, 2, 7).unwrap();
    let talks: Vec<_> = (0..60).map(|_| traffic.converse().unwrap()).collect();
    recording.await_client(talks.last().unwrap());
    for talk in &talks {
        let to = talk.server.to_string();
        let proto = talk.protocol.to_string();
        let found = recording.clients(talk, &["--to", &to, "--proto", &proto]);
        assert_eq!(found, [talk.client.to_string()], "{talk:?}");
    }
}

#[test]
fn a_port_shared_by_two_clients_lists_both_and_the_server_decides() {
    let lab = Lab::new().unwrap();
    let rule = Rule::Snat {
        from: "192.168.0.0/16".into(),
        to: Network::PUBLIC.into(),
        ports: Some(40_000..=40_000),
    };
    let network = Network::build(&lab, Plan { rules: vec![rule], ..Plan::default() }).unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let servers: Vec<Server> =
        (0..2).map(|n| Server::tcp(&network.servers, network.server(n, 80)).unwrap()).collect();
    let talks: Vec<_> =
        (0..2).map(|n| client::tcp(&network.clients[n], any(0), servers[n].address()).unwrap()).collect();
    for server in &servers {
        let seen = server.wait(1, PATIENCE).unwrap();
        assert_eq!(seen[0].peer, SocketAddr::from((Network::PUBLIC, 40_000)), "the kernel shares the port");
    }
    let own: Vec<String> = talks.iter().map(|t| t.local_addr().unwrap().to_string()).collect();
    let masked = "203.0.113.1:40000";
    let (answer, code) = eventually("both are recorded", || {
        let (answer, code) = recording.trace(&[masked, "--at", &now()]);
        (clients(&answer).len() == 2).then_some((answer, code))
    });
    assert_eq!(code, 3);
    assert_eq!(answer["ambiguous"], true);
    for n in 0..2 {
        assert!(clients(&answer).contains(&own[n]));
        let to = servers[n].address().to_string();
        let (answer, code) = recording.settled(&[masked, "--at", &now(), "--window", "0s", "--to", &to]);
        assert_eq!((clients(&answer), code), (vec![own[n].clone()], 0));
    }
}

#[test]
fn a_port_that_is_used_again_belongs_to_each_client_at_its_time() {
    let lab = Lab::new().unwrap();
    let rule = Rule::Snat {
        from: "192.168.0.0/16".into(),
        to: Network::PUBLIC.into(),
        ports: Some(40_000..=40_000),
    };
    let network = Network::build(&lab, Plan { rules: vec![rule], ..Plan::default() }).unwrap();
    // A reset flow is gone from the kernel's table at once, so that its port is free for the next.
    network.gateway.set("net.netfilter.nf_conntrack_tcp_timeout_close", "1").unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let server = Server::tcp(&network.servers, network.server(0, 80)).unwrap();
    let mut used = Vec::new();
    for n in 0..2 {
        let talk = eventually("the port is free", || {
            client::tcp(&network.clients[n], any(0), server.address()).ok()
        });
        let own = talk.local_addr().unwrap().to_string();
        let seen = server.wait(n + 1, PATIENCE).unwrap()[n];
        assert_eq!(seen.peer.port(), 40_000);
        client::abort(talk).unwrap();
        network.gateway.forget_flows().unwrap();
        used.push((own, seen.at.to_string()));
    }
    eventually("both are recorded", || {
        let (answer, _) = recording.trace(&["203.0.113.1:40000", "--at", &used[1].1, "--window", "0s"]);
        (!clients(&answer).is_empty()).then_some(())
    });
    for (own, at) in &used {
        let (answer, code) = recording.settled(&["203.0.113.1:40000", "--at", at, "--window", "0s"]);
        assert_eq!((clients(&answer), code), (vec![own.clone()], 0), "at {at}: {answer}");
    }
}

#[test]
fn two_pings_with_the_same_id_are_told_apart_by_the_ids_of_the_far_side() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    // They are asked about while they are alive, which is half a minute unless told otherwise.
    network.gateway.set("net.netfilter.nf_conntrack_icmp_timeout", "600").unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    for n in 0..2 {
        client::ping(&network.clients[n], network.server(0, 0).ip(), 777).unwrap();
    }
    let masked = eventually("both are recorded", || {
        let first = recording.client_flows("192.168.102.2").into_iter().next()?;
        Some(first["masked"].as_str()?.to_owned())
    });
    let (answer, code) = recording.settled(&[&masked, "--at", &now(), "--window", "0s", "--proto", "icmp"]);
    assert_eq!((clients(&answer), code), (vec!["192.168.102.2#777".to_owned()], 0));
    let (answer, _) = recording.trace(&["203.0.113.1#777", "--at", &now(), "--window", "1m"]);
    assert_eq!(clients(&answer), ["192.168.101.2#777"]);
    assert_ne!(masked, "203.0.113.1#777");
}

#[test]
fn a_redirected_connection_shows_who_asked_and_who_answered() {
    let lab = Lab::new().unwrap();
    let public: SocketAddr = (Network::PUBLIC, 8080).into();
    let inner: SocketAddr = ([192, 168, 101, 2], 80).into();
    let rules = vec![
        Rule::Masquerade { out: "wan".into(), ports: None },
        Rule::Dnat { protocol: Protocol::TCP, from: public, to: inner },
        Rule::Masquerade { out: "lan0".into(), ports: None },
    ];
    let network = Network::build(&lab, Plan { rules, ..Plan::default() }).unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let server = Server::tcp(&network.clients[0], inner).unwrap();
    // From outside, and from the other client inside: both are seen by the server as the gateway.
    for (place, from) in [(&network.servers, "203.0.113.254"), (&network.clients[1], "192.168.102.2")] {
        let before = server.seen().len();
        let talk = client::tcp(place, any(0), public).unwrap();
        let own = talk.local_addr().unwrap();
        assert_eq!(own.ip().to_string(), from);
        let seen = server.wait(before + 1, PATIENCE).unwrap()[before];
        assert_eq!(seen.peer.ip().to_string(), "192.168.101.1");
        let masked = seen.peer.to_string();
        let answer = eventually("it is recorded", || {
            let at = seen.at.to_string();
            let (answer, code) =
                recording.trace(&[&masked, "--at", &at, "--window", "0s", "--to", "192.168.101.2:80"]);
            (code == 0).then_some(answer)
        });
        let candidate = &answer["candidates"][0];
        assert_eq!(candidate["client"], own.to_string());
        assert_eq!(candidate["target"], public.to_string());
        assert_eq!(candidate["server"], inner.to_string());
    }
}
