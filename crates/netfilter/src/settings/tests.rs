//! Settings of real namespaces. Needs root.

use std::time::{Duration, Instant};

use unmasq_lab::{Lab, Network, Plan, Server, client};

use super::*;

fn namespace_of(node: &unmasq_lab::Node) -> Namespace {
    Namespace::named(node.name()).expect("the lab made it")
}

#[test]
fn each_namespace_has_its_own_settings() {
    let lab = Lab::new().unwrap();
    let (one, other) = (lab.node("one").unwrap(), lab.node("other").unwrap());
    let [one, other] = [&one, &other].map(namespace_of);
    for (namespace, events, timestamp) in [(&one, 1, 1), (&other, 0, 0)] {
        namespace.run(|| Sysctl::Events.write(events)).unwrap().unwrap();
        namespace.run(|| Sysctl::Timestamp.write(timestamp)).unwrap().unwrap();
    }
    let [one, other] = [&one, &other].map(|namespace| Settings::read(namespace).unwrap());
    assert_eq!((one.events.unwrap(), one.timestamp.unwrap()), (1, 1));
    assert_eq!((other.events.unwrap(), other.timestamp.unwrap()), (0, 0));
    assert_eq!(one.count.unwrap(), 0);
    assert!(one.max.unwrap() > 0 && one.buckets.unwrap() > 0);
    assert_eq!(one.pressure.unwrap(), Pressure::default());
    assert!(!one.is_initial, "a namespace of ours is not the host's");
    assert!(one.conntrack.is_there() && one.conntrack_netlink.is_there());
    assert_eq!(one.capabilities, Capabilities { net_admin: true, sys_admin: true });
    assert!(one.clock.is_ok());
}

#[test]
fn ports_and_timeouts_are_those_of_the_namespace() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gw").unwrap();
    // More than fits into the first bytes of a reader that does not know how much comes.
    let reserved = "1000-1100,2000,3000-3100,4000,5000-5100,6000,7000-7100,8000-8100";
    let set = |name: &str, value: &str| {
        let file = format!("/proc/sys/net/{name}");
        node.run(|| std::fs::write(&file, value)).unwrap().unwrap();
    };
    set("ipv4/ip_local_port_range", "50000 59999");
    set("ipv4/ip_local_reserved_ports", reserved);
    let read = || {
        namespace_of(&node)
            .run(|| (local_ports().unwrap(), reserved_ports().unwrap(), longest_timeout().unwrap()))
            .unwrap()
    };
    let (local, ports, longest) = read();
    assert_eq!(local, 50_000..=59_999);
    assert_eq!((ports.len(), ports[0].clone(), ports[7].clone()), (8, 1000..=1100, 8000..=8100));
    assert_eq!(longest, Duration::from_secs(432_000));
    set("ipv4/ip_local_reserved_ports", "\n");
    set("netfilter/nf_conntrack_tcp_timeout_established", "7200");
    set("netfilter/nf_conntrack_udp_timeout_stream", "8000");
    let (_, ports, longest) = read();
    assert_eq!((ports, longest), (vec![], Duration::from_secs(8000)));
}

#[test]
fn flows_that_find_no_port_are_counted() {
    let network = Network::build(&Lab::new().unwrap(), Plan { rules: vec![], ..Plan::default() }).unwrap();
    let gateway = namespace_of(&network.gateway);
    assert_eq!(gateway.run(refusals).unwrap().unwrap(), Refusals::default());
    let nft = "table ip t {
          chain post { type nat hook postrouting priority 100; meta l4proto udp snat to 203.0.113.1:5000-5001; }
        }\n";
    network.gateway.nft(nft).unwrap();
    let server = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    for port in 41_000..41_005 {
        let socket = client::udp(&network.clients[0], ([0, 0, 0, 0], port).into(), server.address()).unwrap();
        // Those that find no port are not answered.
        socket.send(b"x").unwrap();
    }
    // The last packet may still be on its way.
    let start = Instant::now();
    let refused = || gateway.run(refusals).unwrap().unwrap();
    while refused().dropped < 3 && start.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    assert_eq!(refused(), Refusals { insert_failed: 3, dropped: 3 });
}

#[test]
fn a_host_wide_setting_is_refused_in_another_namespace() {
    let lab = Lab::new().unwrap();
    let node = lab.node("inner").unwrap();
    let written = namespace_of(&node).run(|| Sysctl::Max.write(1 << 20)).unwrap();
    assert!(matches!(written, Err(SettingError::File { .. })), "{written:?}");
}

#[test]
fn rules_of_both_frameworks_are_found() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gw").unwrap();
    let namespace = namespace_of(&node);
    let rules = || Settings::read(&namespace).unwrap().rules;

    let none = rules();
    assert!(!none.translate() && none.untracked.is_empty() && none.unread.is_empty(), "{none:?}");

    node.nft(
        "table inet t {\n\
         chain post { type nat hook postrouting priority srcnat; oifname \"lo\" masquerade; }\n\
         chain pre { type filter hook prerouting priority raw; udp dport 5353 notrack; }\n\
         }\n",
    )
    .unwrap();
    node.exec(&["iptables-nft", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "-j", "CT", "--notrack"]).unwrap();
    node.exec(&["iptables-nft", "-t", "raw", "-A", "OUTPUT", "-p", "tcp", "-j", "CT", "--zone", "3"])
        .unwrap();
    let nft = rules();
    assert!(nft.translate() && !nft.translate_twice() && nft.unread.is_empty(), "{nft:?}");
    let places: Vec<_> = nft.untracked.iter().map(|rule| rule.place.as_str()).collect();
    assert_eq!(places, ["inet t pre", "ip raw OUTPUT"]);

    node.exec(&["ip6tables-legacy", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"]).unwrap();
    assert!(rules().translate_twice());

    for rule in nft.untracked {
        let words: Vec<_> = rule.removal.split(' ').collect();
        node.exec(&words).unwrap();
    }
    assert!(rules().untracked.is_empty(), "the commands that are shown remove the rules");
}
