//! Zones with traffic: what may reach the gateway, what a proxy takes, what is forwarded, and that all else is not.

use std::net::SocketAddr;
use std::time::Duration;

use unmasq_lab::{LogGroup, Server};

use crate::rules_place::{BOTH, Language, Place, printed, talk};
use crate::support::PATIENCE;

const ZONES: &str = r#"
[log]
group = 2

[service.http]
protocol = "tcp"
ports = [80]
listen = 50080

[zone.intra]
interfaces = ["lan0"]
networks = ["192.168.101.0/24", "fd00:65::/64"]
proxy = ["http"]

[[zone.intra.local]]
protocol = "tcp"
ports = [22]

[[zone.intra.local]]
protocol = "udp"
ports = [53]

[zone.guest]
interfaces = ["lan1"]
networks = ["192.168.102.0/24", "fd00:66::/64"]

[zone.inter]
interfaces = ["wan"]
"#;

/// The same, with one port forwarded.
fn with_forward() -> String {
    format!("{ZONES}\n[[forward]]\nfrom = \"guest\"\nto = \"inter\"\nprotocol = \"tcp\"\nports = [443]\n")
}

fn load(place: &Place, language: Language, zones: &str) {
    place.load(language, &["zones", "-"], zones);
}

/// Lets the proxy's packets be delivered, as the program says it, where the settings are those that break it otherwise.
fn route(place: &Place) {
    for setting in ["net.ipv4.conf.all.src_valid_mark", "net.ipv4.conf.all.rp_filter"] {
        place.gateway().set(setting, "1").expect("a setting");
    }
    for line in printed(&["zones", "-", "--routing"], ZONES).lines() {
        place.gateway().exec(&line.split(' ').collect::<Vec<_>>()).expect(line);
    }
}

#[test]
fn a_port_is_open_to_one_zone_and_closed_to_another() {
    for language in BOTH {
        let place = Place::build();
        let ssh = Server::tcp(place.gateway(), ([0_u16; 8], 22).into()).expect("a server");
        load(&place, language, ZONES);
        // Loaded again, it is the same.
        load(&place, language, ZONES);
        let mut group = LogGroup::open(place.gateway(), 2, Duration::ZERO).expect("a log group");
        let (inside, own) = place.client(0);
        let (guest, guests_own) = place.client(1);
        for n in [0, 1] {
            talk(inside, (own[n], 22).into());
            ssh.wait(n + 1, PATIENCE).expect("it came");
            place.is_taken(guest, (guests_own[n], 22).into(), "LOguest", &[word(language)]);
            let logged = group.next(PATIENCE).expect("a log entry");
            assert_eq!(logged.prefix, "zones guest local");
        }
        assert_eq!(ssh.seen().len(), 2, "{language:?}");
    }
}

/// How a rule that drops is listed.
fn word(language: Language) -> &'static str {
    match language {
        Language::Nft => "drop",
        Language::Iptables => "-j DROP",
    }
}

/// The name of the chain in which the kernel forwards.
fn forward(language: Language) -> &'static str {
    match language {
        Language::Nft => "forward",
        Language::Iptables => "FORWARD",
    }
}

#[test]
fn what_no_proxy_takes_is_not_forwarded() {
    for language in BOTH {
        let place = Place::build();
        load(&place, language, ZONES);
        let servers = [80, 443]
            .map(|port| Server::tcp(&place.network.servers, ([0_u16; 8], port).into()).expect("a server"));
        for n in [0, 1] {
            // A zone without proxies, and a port of no service.
            for (client, port) in [(1, 80), (0, 443)] {
                let to = place.server(port)[n];
                place.is_taken(place.client(client).0, to, forward(language), &[word(language)]);
            }
        }
        assert!(servers.iter().all(|server| server.seen().is_empty()), "{language:?}");
    }
}

#[test]
fn what_is_forwarded_passes_and_nothing_besides() {
    for language in BOTH {
        let place = Place::build();
        load(&place, language, &with_forward());
        let servers = [443, 80]
            .map(|port| Server::tcp(&place.network.servers, ([0_u16; 8], port).into()).expect("a server"));
        let guest = place.client(1).0;
        for n in [0, 1] {
            talk(guest, place.server(443)[n]);
            servers[0].wait(n + 1, PATIENCE).expect("it came");
            place.is_taken(guest, place.server(80)[n], "FOguest", &[word(language)]);
        }
        assert!(servers[1].seen().is_empty(), "{language:?}");
    }
}

#[test]
fn a_proxied_port_lands_at_the_proxy_and_is_closed_while_there_is_none() {
    for language in BOTH {
        let place = Place::build();
        load(&place, language, ZONES);
        route(&place);
        let real = Server::tcp(&place.network.servers, ([0_u16; 8], 80).into()).expect("a server");
        let (client, own) = place.client(0);
        // Nobody listens: taken by the rule that fails closed, and not forwarded.
        let closed: &[&str] = match language {
            Language::Nft => &["tcp dport 80", "drop"],
            Language::Iptables => &["-j TPROXY"],
        };
        for to in place.server(80) {
            place.is_taken(client, to, "PRintra", closed);
        }
        // Nor is it open when what listens has no right to other hosts' connections.
        let plain = Server::tcp(place.gateway(), ([127, 0, 0, 1], 50080).into()).expect("a server");
        place.is_taken(client, place.server(80)[0], "PRintra", closed);
        assert!(plain.seen().is_empty(), "{language:?}");
        drop(plain);
        let addresses: [SocketAddr; 2] =
            ["127.0.0.1:50080", "[::1]:50080"].map(|at| at.parse().expect("an endpoint"));
        let clients = [place.network.client(0), place.network.client_v6(0)];
        for (n, at) in addresses.into_iter().enumerate() {
            let proxy = Server::transparent(place.gateway(), at).expect("a proxy");
            let to = place.server(80)[n];
            talk(client, to);
            let seen = proxy.wait(1, PATIENCE).expect("it came")[0];
            assert_eq!((seen.local, seen.peer.ip()), (to, clients[n]), "{language:?}");
            // Asked for by its own port, it is not there.
            place.is_taken(client, (own[n], 50080).into(), "LOintra", &[word(language)]);
            assert_eq!(proxy.seen().len(), 1);
        }
        // What is meant for the gateway itself is not taken to the proxy.
        place.is_taken(client, (own[0], 80).into(), "LOintra", &[word(language)]);
        assert!(real.seen().is_empty(), "{language:?}");
        assert_eq!(place.count(forward(language), &[word(language)]), 0, "{language:?}");
    }
}

/// What the document calls listening on a foreign address: a data connection of FTP comes to the server's address (passive), or
/// from the server to the client's (active), and the proxy has a socket there.
#[test]
fn a_proxy_can_listen_at_the_servers_address_and_at_the_clients() {
    for language in BOTH {
        let place = Place::build();
        load(&place, language, ZONES);
        route(&place);
        let (client, _) = place.client(0);
        let clients = [place.network.client(0), place.network.client_v6(0)];
        for n in [0, 1] {
            let passive = place.server(2020)[n];
            let proxy =
                Server::transparent(place.gateway(), passive).expect("a socket at the server's address");
            talk(client, passive);
            assert_eq!(proxy.wait(1, PATIENCE).expect("it came")[0].local, passive, "{language:?}");
            let active = SocketAddr::new(clients[n], 2021);
            let proxy =
                Server::transparent(place.gateway(), active).expect("a socket at the client's address");
            talk(&place.network.servers, active);
            assert_eq!(proxy.wait(1, PATIENCE).expect("it came")[0].local, active, "{language:?}");
        }
    }
}

#[test]
fn a_source_of_another_zone_is_dropped_as_spoofed() {
    for language in BOTH {
        let place = Place::build();
        load(&place, language, ZONES);
        let (client, own) = place.client(0);
        let mut group = LogGroup::open(place.gateway(), 2, Duration::ZERO).expect("a log group");
        client
            .ip(&["address add 192.168.102.77/32 dev wan", "-6 address add fd00:66::77/128 dev wan nodad"])
            .expect("addresses");
        let chain = if language == Language::Nft { "spoofed" } else { "SPOOFED" };
        for (n, from) in ["192.168.102.77:0", "[fd00:66::77]:0"].into_iter().enumerate() {
            let before = place.count(chain, &[word(language)]);
            let socket =
                unmasq_lab::client::udp(client, from.parse().expect("an endpoint"), (own[n], 53).into())
                    .expect("a socket");
            socket.send(b"who am I?").expect("it is sent");
            assert_eq!(group.next(PATIENCE).expect("a log entry").prefix, "zones spoofed");
            assert!(place.count(chain, &[word(language)]) > before);
        }
    }
}

#[test]
fn an_interface_that_comes_later_is_added_to_the_map() {
    let place = Place::build();
    let ssh = Server::tcp(place.gateway(), ([0_u16; 8], 22).into()).expect("a server");
    load(&place, Language::Nft, &ZONES.replace("lan1", "ppp1"));
    let (guest, own) = place.client(1);
    place.is_taken(guest, (own[0], 22).into(), "input", &["drop"]);
    place
        .gateway()
        .nft("add element inet unmasq_zones local_map { lan1 : jump LOintra }\n")
        .expect("it is added");
    talk(guest, (own[0], 22).into());
    ssh.wait(1, PATIENCE).expect("it came");
}
