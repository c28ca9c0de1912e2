//! The scope filter on a real kernel: what it lets through is what the predicate says of everything that
//! happened.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use proptest::prelude::*;
use unmasq_flow::{Endpoint, Protocol, ScopeKind};
use unmasq_lab::{Lab, Network, Plan, Rule, Server};
use unmasq_netfilter::addresses::{LocalAddresses, Watch};
use unmasq_netfilter::conntrack::{Event, EventKind, EventOptions};
use unmasq_netfilter::{filter, scope};

use crate::crafted::{DESTROY, NEW, addresses, attribute, conntrack, message, nest, ports};
use crate::listener::{EVERYTHING, Listener, namespace, ping, talk_udp};
use crate::recorded::only_event;

/// (kind, protocol, client, target, id): one event as both sockets see it.
fn keys(events: &[Event], mut wanted: impl FnMut(&Event) -> bool) -> Vec<String> {
    let mut keys: Vec<String> = events
        .iter()
        .filter(|e| wanted(e))
        .map(|Event { kind, entry: e }| {
            format!("{kind:?} {} {} {} {:?}", e.protocol, e.client, e.target, e.id)
        })
        .collect();
    keys.sort();
    keys
}

/// Client 0 is masqueraded, client 1 is routed as it is, the gateway speaks for itself; both families.
fn network() -> Network {
    let public = [IpAddr::from(Network::PUBLIC), Network::PUBLIC_V6.into()];
    let rules = vec![
        Rule::Snat { from: "192.168.101.0/24".into(), to: public[0], ports: None },
        Rule::Snat { from: "fd00:65::/64".into(), to: public[1], ports: None },
        Rule::Dnat {
            protocol: Protocol::UDP,
            from: "203.0.113.1:5353".parse().unwrap(),
            to: "198.51.100.7:53".parse().unwrap(),
        },
    ];
    let network = Network::build(&Lab::new().unwrap(), Plan { rules, ..Plan::default() }).unwrap();
    let routes = ["route add 192.168.102.0/24 via 203.0.113.1", "-6 route add fd00:66::/64 via 2001:db8::1"];
    network.servers.ip(&routes).unwrap();
    network
}

#[test]
fn the_kernel_lets_through_exactly_what_is_in_scope() {
    let network = network();
    let kinds = [ScopeKind::All, ScopeKind::Translated, ScopeKind::TranslatedLocal];
    let mut listeners =
        kinds.map(|scope| Listener::open(&network.gateway, &EventOptions { scope, ..EVERYTHING }));
    let local = Watch::open(&namespace(&network.gateway)).unwrap();

    let v4 = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let v6 = Server::udp(&network.servers, network.server_v6(0, 53)).unwrap();
    for node in [&network.clients[0], &network.clients[1], &network.gateway] {
        talk_udp(node, "0.0.0.0:43001", v4.address());
        talk_udp(node, "[::]:43001", v6.address());
        ping(node, network.server(1, 0).ip(), 99);
        ping(node, network.server_v6(1, 0).ip(), 99);
    }
    talk_udp(&network.clients[1], "0.0.0.0:43002", "203.0.113.1:5353".parse().unwrap());
    let loopback = Server::udp(&network.gateway, "127.0.0.5:53".parse().unwrap()).unwrap();
    talk_udp(&network.gateway, "127.0.0.9:43003", loopback.address());

    network.gateway.forget_flows().unwrap();
    // A last flow that every scope lets through: after it nothing of the above is still to come.
    talk_udp(&network.clients[0], "0.0.0.0:43999", v4.address());
    let last = Endpoint::with_port(network.client(0), 43_999);
    for listener in &mut listeners {
        listener.event(EventKind::New, Protocol::UDP, last);
        assert_eq!(listener.dropped, 0, "what a filter keeps back is not a loss");
        assert!(listener.socket.is_filter_exact());
    }

    let [all, filtered @ ..] = &listeners;
    let sizes = [all, &filtered[0], &filtered[1]].map(|l| l.seen.len());
    assert!(sizes[0] > sizes[2] && sizes[2] > sizes[1] && sizes[1] > 8, "all scopes differ: {sizes:?}");
    for (listener, kind) in filtered.iter().zip(&kinds[1..]) {
        let expected = keys(&all.seen, |e| scope::matches(*kind, &e.entry, local.known()));
        assert_eq!(keys(&listener.seen, |_| true), expected, "{kind:?}");
        assert!(listener.seen.iter().all(|e| listener.socket.is_in_scope(&e.entry)));
    }
    // A flow that the rules left as it is has the bits of a null binding only.
    let routed = Endpoint::with_port(network.client(1), 43_001);
    let event = all.seen.iter().find(|e| e.entry.client == routed).expect("seen in scope all");
    assert!(!event.entry.is_translated() && event.entry.masked == routed, "{event:?}");
}

#[test]
fn an_address_that_the_gateway_gets_later_comes_into_scope_and_stays() {
    let network = network();
    let options = EventOptions { scope: ScopeKind::TranslatedLocal, ..EVERYTHING };
    let mut listener = Listener::open(&network.gateway, &options);
    let v4 = Server::udp(&network.servers, network.server(0, 53)).unwrap();
    let v6 = Server::udp(&network.servers, network.server_v6(0, 53)).unwrap();
    let late: [IpAddr; 2] = ["203.0.113.77".parse().unwrap(), "2001:db8::77".parse().unwrap()];
    assert!(!late.iter().any(|a| listener.socket.local_addresses().unwrap().contains(*a)));

    network
        .gateway
        .ip(&["address add 203.0.113.77/24 dev wan", "-6 address add 2001:db8::77/64 dev wan nodad"])
        .unwrap();
    listener.until("the new addresses", |l| {
        late.iter().all(|a| l.socket.local_addresses().unwrap().contains(*a))
    });
    assert!(listener.grew);
    talk_udp(&network.gateway, "203.0.113.77:43010", v4.address());
    talk_udp(&network.gateway, "[2001:db8::77]:43010", v6.address());
    let from = late.map(|address| Endpoint::with_port(address, 43_010));
    for endpoint in from {
        listener.event(EventKind::New, Protocol::UDP, endpoint);
    }

    network.gateway.ip(&["address delete 203.0.113.77/24 dev wan"]).unwrap();
    network.gateway.forget_flows().unwrap();
    // Its flows end when the address is gone.
    for endpoint in from {
        listener.event(EventKind::Destroy, Protocol::UDP, endpoint);
    }
}

#[test]
fn a_watch_lists_both_families_and_the_near_end_of_a_tunnel() {
    let node = Lab::new().unwrap().node("addresses").unwrap();
    node.ip(&["address add 10.1.2.3 peer 10.9.9.9 dev lo", "address add 2001:db8::5/64 dev lo nodad"])
        .unwrap();
    let mut watch = Watch::open(&namespace(&node)).unwrap();
    for (text, is_local) in
        [("10.1.2.3", true), ("10.9.9.9", false), ("2001:db8::5", true), ("::1", true), ("127.8.8.8", true)]
    {
        assert_eq!(watch.known().contains(text.parse().unwrap()), is_local, "{text} in {:?}", watch.known());
    }
    assert!(!watch.refresh().unwrap(), "nothing changed");
    node.ip(&["address add 10.4.4.4/32 dev lo"]).unwrap();
    assert!(watch.refresh().unwrap());
    assert!(watch.known().contains("10.4.4.4".parse().unwrap()));
}

#[test]
fn with_too_many_addresses_all_passes_and_that_is_said() {
    let many: LocalAddresses =
        (0..5000_u32).map(|n| IpAddr::from((0x0a00_0000 + 2 * n).to_be_bytes())).collect();
    let (near, far) = UnixDatagram::pair().unwrap();
    assert!(filter::Program::build(ScopeKind::TranslatedLocal, &many).is_none());
    assert!(!filter::attach(far.as_fd(), ScopeKind::TranslatedLocal, &many).unwrap());
    let untranslated = entry_message(0x188, "192.0.2.1", NEW);
    assert!(passes(&near, &far, &untranslated));
    assert!(filter::attach(far.as_fd(), ScopeKind::Translated, &many).unwrap());
    assert!(!passes(&near, &far, &untranslated));
}

#[test]
fn with_too_little_memory_for_a_filter_all_passes_and_that_is_said() {
    let node = Lab::new().unwrap().node("memory").unwrap();
    // Host-wide, and 20 KiB, before Linux 6.7.
    node.set("net.core.optmem_max", "4096").unwrap();
    let (near, far) = node.run(UnixDatagram::pair).unwrap().unwrap();
    let some: LocalAddresses =
        (0..500_u32).map(|n| IpAddr::from((0x0a00_0000 + 2 * n).to_be_bytes())).collect();
    assert!(filter::attach(far.as_fd(), ScopeKind::TranslatedLocal, &LocalAddresses::default()).unwrap());
    assert!(!passes(&near, &far, &entry_message(0x188, "192.0.2.1", NEW)));
    assert!(!filter::attach(far.as_fd(), ScopeKind::TranslatedLocal, &some).unwrap());
    assert!(passes(&near, &far, &entry_message(0x188, "192.0.2.1", NEW)));
}

fn entry_message(status: u32, client: &str, kind: u16) -> Vec<u8> {
    let (target, masked) =
        if client.contains(':') { ("2001:db8::7", "2001:db8::1") } else { ("198.51.100.7", "203.0.113.1") };
    conntrack(
        kind,
        0x600,
        &[
            nest(1, &[addresses(client, target), ports(6, 47244, 80)]),
            nest(2, &[addresses(target, masked), ports(6, 80, 61002)]),
            attribute(12, &7_u32.to_be_bytes()),
            attribute(3, &status.to_be_bytes()),
        ],
    )
}

/// Any socket runs the filter that it has: no conntrack is needed to ask what the program says of a message.
fn passes(near: &UnixDatagram, far: &UnixDatagram, bytes: &[u8]) -> bool {
    far.set_nonblocking(true).unwrap();
    near.send(bytes).unwrap();
    let mut buffer = [0; 4096];
    far.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *bytes)
}

#[test]
fn what_is_no_conntrack_event_passes() {
    let (near, far) = UnixDatagram::pair().unwrap();
    for kind in [ScopeKind::Translated, ScopeKind::TranslatedLocal] {
        assert!(filter::attach(far.as_fd(), kind, &LocalAddresses::default()).unwrap());
        for bytes in [
            message(3, 2, &0_i32.to_ne_bytes()),
            message(2, 0, &[(-1_i32).to_ne_bytes().to_vec(), vec![0; 16]].concat()),
            message(0x0200, 0, &[2, 0, 0, 0]),
            message(0x0103, 0, &[2, 0, 0, 0]),
            // Without status or tuples there is nothing to decide by.
            conntrack(NEW, 0, &[]),
            conntrack(DESTROY, 0, &[attribute(12, &[0; 4])]),
        ] {
            assert!(passes(&near, &far, &bytes), "{kind:?} {bytes:02x?}");
        }
        assert!(!passes(&near, &far, &entry_message(0x188, "192.0.2.1", NEW)));
        assert!(!passes(&near, &far, &entry_message(0x188, "2001:db8::9", DESTROY)));
    }
}

/// Few distinct words, so that addresses share prefixes and endings.
fn address() -> impl Strategy<Value = IpAddr> {
    let word =
        prop_oneof![Just(0_u32), Just(1), Just(0x7f00_0001), Just(0x8000_0000), Just(u32::MAX), any::<u32>()];
    prop_oneof![
        word.clone().prop_map(|v4| IpAddr::from(v4.to_be_bytes())),
        [0x2001_0db8..0x2001_0dba_u32, 0..2_u32, 0..2_u32].prop_flat_map(move |[a, b, c]| word
            .clone()
            .prop_map(move |d| {
                let bits = u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d);
                IpAddr::from(bits.to_be_bytes())
            })),
    ]
}

proptest! {
    #[test]
    fn program_and_predicate_agree(
        local in proptest::collection::vec(address(), 0..60),
        others in proptest::collection::vec(address(), 0..20),
        status in prop_oneof![Just(0x188_u32), Just(0x198), Just(0x1a8), any::<u32>()],
        kind in prop_oneof![Just(NEW), Just(DESTROY)],
        scope_kind in proptest::sample::select(
            vec![ScopeKind::Translated, ScopeKind::TranslatedLocal, ScopeKind::All],
        ),
    ) {
        let known: LocalAddresses = local.iter().copied().collect();
        let (near, far) = UnixDatagram::pair().unwrap();
        prop_assert!(filter::attach(far.as_fd(), scope_kind, &known).unwrap());
        for client in local.iter().chain(&others) {
            let bytes = entry_message(status, &client.to_string(), kind);
            let expected = scope::matches(scope_kind, &only_event(&bytes).entry, &known);
            prop_assert_eq!(passes(&near, &far, &bytes), expected, "{}", client);
        }
    }
}
