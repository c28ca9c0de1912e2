//! The ready pieces with traffic.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use unmasq_lab::{LogGroup, Network, Server};

use crate::rules_place::{BOTH, Language, Place, printed, talk};
use crate::support::PATIENCE;

/// Loads a piece for IPv4, and with nft for what else it covers.
fn load(place: &Place, language: Language, words: &[&str]) {
    let form = if language == Language::Nft { "nft" } else { "iptables" };
    place.load_as(form, &[&["piece"], words].concat(), "");
}

/// Puts an address into the set of attackers, which iptables needs before the rules.
fn attackers(place: &Place, language: Language, addresses: &[IpAddr]) {
    for address in addresses {
        let address = address.to_string();
        let is_v6 = address.contains(':');
        match language {
            Language::Nft => {
                let family = if is_v6 { "ip6" } else { "ip" };
                place.gateway().nft(&format!("add element {family} nat libssh {{ {address} timeout 1h }}\n"))
            }
            Language::Iptables => {
                let set = if is_v6 { "libssh6" } else { "libssh" };
                place.gateway().exec(&["ipset", "add", set, &address, "timeout", "3600"]).map(drop)
            }
        }
        .expect("it is added");
    }
}

fn make_sets(place: &Place) {
    for (set, family) in [("libssh", "inet"), ("libssh6", "inet6")] {
        let words = ["ipset", "create", set, "hash:ip", "family", family, "timeout", "0"];
        place.gateway().exec(&words).expect("a set");
    }
}

#[test]
fn an_address_in_the_set_lands_at_the_honeypot_and_another_at_the_real_server() {
    for language in BOTH {
        let place = Place::build();
        make_sets(&place);
        place.load(language, &["piece", "divert-ssh", "--to", "2200", "--in", "lan0"], "");
        attackers(
            &place,
            language,
            &[place.network.client(0), place.network.client_v6(0), place.network.client(1)],
        );
        let [real, honeypot] =
            [22, 2200].map(|port| Server::tcp(place.gateway(), ([0_u16; 8], port).into()).expect("a server"));
        let (attacker, own) = place.client(0);
        for n in [0, 1] {
            talk(attacker, (own[n], 22).into());
            honeypot.wait(n + 1, PATIENCE).expect("it came");
        }
        assert!(real.seen().is_empty(), "{language:?}");
        // By another interface than that of --in, the same set diverts nobody.
        let (other, own) = place.client(1);
        talk(other, (own[0], 22).into());
        real.wait(1, PATIENCE).expect("it came");
        assert_eq!(honeypot.seen().len(), 2, "{language:?}");
    }
}

#[test]
fn a_honeypot_can_be_another_host() {
    for language in BOTH {
        let place = Place::build();
        make_sets(&place);
        let honeypot_at = place.network.server(1, 2200);
        load(&place, language, &["divert-ssh", "--to", &honeypot_at.to_string()]);
        attackers(&place, language, &[place.network.client(0)]);
        let real = Server::tcp(&place.network.servers, place.network.server(0, 22)).expect("a server");
        let honeypot = Server::tcp(&place.network.servers, honeypot_at).expect("a honeypot");
        talk(place.client(0).0, real.address());
        honeypot.wait(1, PATIENCE).expect("it came");
        talk(place.client(1).0, real.address());
        let seen = real.wait(1, PATIENCE).expect("it came");
        assert_eq!(seen[0].peer.ip(), place.network.client(1), "{language:?}");
    }
}

#[test]
fn new_connections_are_logged_to_the_group_with_prefix_and_length() {
    for language in BOTH {
        let place = Place::build();
        let words = ["piece", "log-nflog", "--group", "5", "--prefix", "seen: ", "--snaplen", "40"];
        place.load(language, &words, "");
        let mut group = LogGroup::open(place.gateway(), 5, Duration::ZERO).expect("a log group");
        let server = Server::tcp(&place.network.servers, ([0_u16; 8], 80).into()).expect("a server");
        for to in place.server(80) {
            talk(place.client(0).0, to);
            let logged = group.next(PATIENCE).expect("a log entry");
            assert_eq!((logged.prefix.as_str(), logged.packet.len()), ("seen: ", 40), "{language:?}");
            assert_eq!(logged.packet[0] >> 4, if to.is_ipv6() { 6 } else { 4 });
        }
        server.wait(2, PATIENCE).expect("they came");
    }
}

/// The reader would leave them in the kernel for longer than this test waits.
#[test]
fn packets_are_handed_over_when_the_threshold_is_reached() {
    for language in BOTH {
        let place = Place::build();
        let words = ["log-nflog", "--group", "5", "--queue-threshold", "3", "--hook", "input"];
        load(&place, language, &words);
        let mut group = LogGroup::open(place.gateway(), 5, 10 * PATIENCE).expect("a log group");
        let _server = Server::tcp(place.gateway(), ([0_u16; 8], 80).into()).expect("a server");
        let (client, own) = place.client(0);
        for _ in 0..3 {
            talk(client, (own[0], 80).into());
        }
        for _ in 0..3 {
            assert_eq!(group.next(PATIENCE).expect("a log entry").prefix, "new: ", "{language:?}");
        }
    }
}

#[test]
fn a_connection_to_an_inner_host_is_logged_and_gets_there() {
    for language in BOTH {
        let place = Place::build();
        let inner = place.network.server(0, 2222);
        load(
            &place,
            language,
            &["log-dnat", "--to", &inner.to_string(), "--in", "lan0", "--group", "7", "--masquerade"],
        );
        let mut group = LogGroup::open(place.gateway(), 7, Duration::ZERO).expect("a log group");
        let server = Server::tcp(&place.network.servers, inner).expect("a server");
        let (client, own) = place.client(0);
        talk(client, (own[0], 22).into());
        let seen = server.wait(1, PATIENCE).expect("it came");
        assert_eq!(seen[0].peer.ip(), IpAddr::from(Network::PUBLIC), "{language:?}");
        let logged = group.next(PATIENCE).expect("a log entry");
        assert_eq!(logged.prefix, "DNAT/ssh: ");
        // The source is the client's own.
        assert_eq!(logged.packet[12..16], [192, 168, 101, 2], "{language:?}");
        // To another host's port 22 it is left alone.
        let other = Server::tcp(&place.network.servers, place.network.server(1, 22)).expect("a server");
        talk(client, other.address());
        other.wait(1, PATIENCE).expect("it came");
    }
}

#[test]
fn who_leaves_by_the_interface_takes_its_address() {
    for language in BOTH {
        let place = Place::build();
        let words = ["piece", "masquerade", "--out", "wan", "--network", "192.168.101.0/24", "fd00:65::/64"];
        place.load(language, &words, "");
        let server = Server::tcp(&place.network.servers, ([0_u16; 8], 80).into()).expect("a server");
        let public = [IpAddr::from(Network::PUBLIC), IpAddr::from(Network::PUBLIC_V6)];
        for (n, to) in place.server(80).into_iter().enumerate() {
            talk(place.client(0).0, to);
            let seen = server.wait(2 * n + 1, PATIENCE).expect("it came")[2 * n];
            assert_eq!(seen.peer.ip().to_canonical(), public[n], "{language:?}");
            // Of another network than those that are named.
            talk(place.client(1).0, to);
            let seen = server.wait(2 * n + 2, PATIENCE).expect("it came")[2 * n + 1];
            assert!(!public.contains(&seen.peer.ip().to_canonical()), "{language:?}");
        }
    }
}

#[test]
fn without_an_ips_packets_pass_by_bypass_and_are_dropped_without() {
    let place = Place::build();
    let server = Server::tcp(&place.network.servers, ([0_u16; 8], 80).into()).expect("a server");
    let client = place.client(0).0;
    place.load(Language::Iptables, &["piece", "ips", "--queues", "0-3", "--fanout"], "");
    for (n, to) in place.server(80).into_iter().enumerate() {
        talk(client, to);
        server.wait(n + 1, PATIENCE).expect("it came");
    }
    place.load(Language::Iptables, &["piece", "ips", "--no-bypass"], "");
    for to in place.server(80) {
        place.is_taken(client, to, "UNMASQ-IPS", &["-j NFQUEUE"]);
    }
    // A packet that has been judged is not handed over again.
    place.load(Language::Iptables, &["piece", "ips", "--no-bypass", "--repeat-mark", "0x10"], "");
    place
        .gateway()
        .nft("table inet judge {\nchain p {\ntype filter hook prerouting priority mangle\nmeta mark set 0x10\n}\n}\n")
        .expect("a mark");
    talk(client, place.server(80)[0]);
    assert_eq!(server.wait(3, PATIENCE).expect("it came").len(), 3);
}

#[test]
fn a_transparent_proxy_gets_what_was_meant_for_the_server() {
    const WORDS: [&str; 10] =
        ["piece", "tproxy", "--in", "lan0", "--out", "wan", "--port", "80", "--listen", "3129"];
    for language in BOTH {
        let place = Place::build();
        place.load(language, &WORDS, "");
        // The commands are in the head of the ruleset.
        let head = printed(&WORDS, "");
        for line in head.lines().filter_map(|line| line.strip_prefix("#   ip ")) {
            let words: Vec<_> = ["ip"].into_iter().chain(line.split(' ')).collect();
            place.gateway().exec(&words).expect(line);
        }
        let real = Server::tcp(&place.network.servers, ([0_u16; 8], 80).into()).expect("a server");
        let client = place.client(0).0;
        let (chain, closed): (_, &[&str]) = match language {
            Language::Nft => ("prerouting", &["drop"]),
            Language::Iptables => ("UNMASQ-TPROXY", &["-j TPROXY"]),
        };
        for to in place.server(80) {
            place.is_taken(client, to, chain, closed);
        }
        assert!(real.seen().is_empty(), "{language:?}");
        for (n, at) in ["127.0.0.1:3129", "[::1]:3129"].into_iter().enumerate() {
            let at: SocketAddr = at.parse().expect("an endpoint");
            let proxy = Server::transparent(place.gateway(), at).expect("a proxy");
            talk(client, place.server(80)[n]);
            assert_eq!(proxy.wait(1, PATIENCE).expect("it came")[0].local, place.server(80)[n]);
        }
        // Other interfaces and ports are left alone.
        talk(place.client(1).0, place.server(80)[0]);
        real.wait(1, PATIENCE).expect("it came");
    }
}

#[test]
fn the_box_logs_attempts_diverts_attackers_and_drops_the_rest() {
    for language in BOTH {
        let place = Place::build();
        make_sets(&place);
        let words = [
            "box",
            "--honeypot",
            "2200",
            "--lan",
            "192.168.102.0/24",
            "--address",
            "203.0.113.1",
            "--lan-ports",
            "9300",
            "--trusted",
            "192.0.2.0/24",
        ];
        load(&place, language, &words);
        attackers(&place, language, &[place.network.client(0)]);
        let mut attempts = LogGroup::open(place.gateway(), 1, Duration::ZERO).expect("a log group");
        let mut drops = LogGroup::open(place.gateway(), 2, Duration::ZERO).expect("a log group");
        let [real, honeypot, inner] = [22, 2200, 9300]
            .map(|port| Server::tcp(place.gateway(), ([0_u16; 8], port).into()).expect("a server"));
        let (attacker, own) = place.client(0);
        talk(attacker, (own[0], 22).into());
        honeypot.wait(1, PATIENCE).expect("it came");
        assert_eq!(attempts.next(PATIENCE).expect("a log entry").prefix, "SSH attempt");
        let (lan, lan_own) = place.client(1);
        talk(lan, (lan_own[0], 22).into());
        real.wait(1, PATIENCE).expect("it came");
        talk(lan, (lan_own[0], 9300).into());
        inner.wait(1, PATIENCE).expect("it came");
        let (chain, drop) = match language {
            Language::Nft => ("input", "drop"),
            Language::Iptables => ("UNMASQ-BOX", "-j DROP"),
        };
        place.is_taken(attacker, (own[0], 9300).into(), chain, &[drop]);
        assert_eq!(drops.next(PATIENCE).expect("a log entry").prefix, "Input Default DROP");
        // The network behind it has its address outside.
        let outside = Server::tcp(&place.network.servers, place.network.server(0, 80)).expect("a server");
        talk(lan, outside.address());
        let seen = outside.wait(1, PATIENCE).expect("it came");
        assert_eq!(seen[0].peer.ip(), IpAddr::from(Network::PUBLIC), "{language:?}");
    }
}
