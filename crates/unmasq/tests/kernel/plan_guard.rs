//! Whether the kernel does what the plan says: looked at, written down, told, mended.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use unmasq_flow::Timestamp;
use unmasq_lab::{Server, client};

use crate::plan_gateway::{Gateway, HeldNft, USUAL, any, v4};
use crate::support::{PATIENCE, Recording, clients, eventually, text};

const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn drifts(gateway: &Gateway) -> Vec<Value> {
    gateway.history()["drifts"].as_array().expect("a list").clone()
}

/// A port that the plan gives to somebody.
fn a_port(gateway: &Gateway) -> SocketAddr {
    let block = &gateway.show(&USUAL)[0];
    (block.public, block.ports.0).into()
}

#[test]
fn lost_rules_are_noticed_written_down_and_loaded_again() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let (masked, in_order) = (a_port(&gateway), Timestamp::now());
    let watch = gateway.watch();
    let seen = || std::fs::read(gateway.history.join("checked.json")).ok();
    let first = eventually("the guard looks", seen);
    eventually("and looks again", || (seen()? != first).then_some(()));
    gateway.node().exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    let lost = Timestamp::now();
    watch.says("there is no table ip unmasq-plan");
    let open = drifts(&gateway);
    assert!(open[0]["reason"] == "rules-missing" && open[0]["to"].is_null(), "{open:?}");
    assert_eq!(gateway.verify(), (1, vec!["rules-missing".into()]));
    let report = gateway.apply(&[]);
    assert_eq!(report["outcome"], "restored", "{report}");
    let mended = Timestamp::now();
    assert_eq!(gateway.verify(), (0, vec![]));
    assert_eq!(gateway.apply(&[])["outcome"], "unchanged");
    let closed = drifts(&gateway);
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert!(closed[0]["to"].is_string(), "{closed:?}");
    // A trace of a time inside says so; before and after, the plan speaks again.
    let (answer, code) = gateway.answer(&masked.to_string(), lost, &["--proto", "tcp"]);
    assert_eq!(code, 4, "{answer}");
    assert!(answer["gaps"].to_string().contains("rules were not in the kernel"), "{answer}");
    assert_eq!(gateway.trace(masked, in_order, &[]), (vec!["192.168.101.2".to_owned()], 0));
    assert_eq!(gateway.trace(masked, mended, &[]), (vec!["192.168.101.2".to_owned()], 0));
    gateway.audit();
}

#[test]
fn without_a_guard_lost_rules_are_amiss_since_they_were_last_seen() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let (masked, before) = (a_port(&gateway), Timestamp::now());
    assert_eq!(gateway.verify(), (0, vec![]));
    gateway.node().exec(&["nft", "flush", "chain", "ip", "unmasq-plan", "postrouting"]).unwrap();
    let lost = Timestamp::now();
    assert_eq!(gateway.verify(), (1, vec!["rules-changed".into()]));
    // Another plan is applied before anyone mends this one.
    gateway.apply(&["--leave-out", "192.168.102.3"]);
    assert_eq!(gateway.trace(masked, before, &[]), (vec!["192.168.101.2".to_owned()], 0));
    assert_eq!(gateway.trace(masked, lost, &[]).1, 4);
    let drifts = drifts(&gateway);
    assert!(drifts.len() == 1 && drifts[0]["to"].is_string(), "{drifts:?}");
}

#[test]
fn a_drift_that_a_killed_guard_saw_begin_is_ended() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let rules = gateway.node().exec(&["nft", "list", "table", "ip", "unmasq-plan"]).unwrap();
    let watch = gateway.watch();
    gateway.node().exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    watch.says("there is no table");
    watch.kill();
    // Mended by hand, so that nobody but the next guard can know.
    gateway.node().nft(&rules).unwrap();
    let is_ended = || drifts(&gateway).iter().all(|drift| drift["to"].is_string()).then_some(());
    assert_eq!((drifts(&gateway).len(), is_ended()), (1, None));
    let _watch = gateway.watch();
    eventually("the next guard ends it", is_ended);
    assert_eq!((drifts(&gateway).len(), gateway.verify()), (1, (0, vec![])));
}

#[test]
fn rules_that_were_lost_before_the_guard_began_are_amiss_since_before() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let masked = a_port(&gateway);
    assert_eq!(gateway.verify(), (0, vec![]));
    gateway.node().exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    let lost = Timestamp::now();
    let watch = gateway.watch();
    watch.says("there is no table");
    assert_eq!(gateway.trace(masked, lost, &[]).1, 4);
}

#[test]
fn rules_that_are_lost_while_the_guard_looks_are_amiss_from_then_on() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let masked = a_port(&gateway);
    let nft = HeldNft::new(&gateway, "-j");
    let watch = gateway.watch_by(&mut nft.used_by(gateway.command(&["watch"])));
    // It has seen them all, and does not know yet.
    nft.await_held();
    gateway.node().exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    let lost = Timestamp::now();
    nft.release();
    watch.says("there is no table");
    assert_eq!(gateway.trace(masked, lost, &[]).1, 4);
}

#[test]
fn an_element_changed_by_hand_is_a_change_and_apply_mends_it() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let nft = |text: &str| gateway.node().nft(text).unwrap();
    for change in [
        "delete element ip unmasq-plan clients { 192.168.101.3 }\n\
         add element ip unmasq-plan clients { 192.168.101.3 : 203.0.113.1 . 1024-1030 }",
        "delete element ip unmasq-plan clients { 192.168.101.3 }",
        "add element ip unmasq-plan clients { 10.1.1.1 : 203.0.113.1 . 1024-1030 }",
        "insert rule ip unmasq-plan postrouting ip saddr 192.168.101.3 return",
        "add rule ip unmasq-plan postrouting ip saddr 10.0.0.0/8 masquerade",
    ] {
        nft(change);
        assert_eq!(gateway.verify(), (1, vec!["rules-changed".into()]), "{change}");
        assert_eq!(gateway.apply(&[])["outcome"], "restored", "{change}");
        assert_eq!(gateway.verify(), (0, vec![]), "{change}");
        assert_eq!(gateway.apply(&[])["outcome"], "unchanged", "{change}");
    }
}

#[test]
fn a_rules_file_that_is_gone_is_told_and_no_interface_is_guessed() {
    let gateway = Gateway::build();
    gateway.apply(&["--out", "wan"]);
    let file = std::fs::canonicalize(gateway.history.join("rules.nft")).unwrap();
    std::fs::remove_file(&file).unwrap();
    let watch = gateway.watch();
    watch.says("the rules of revision 1 cannot be read from");
    watch.kill();
    assert!(gateway.node().exec(&["nft", "list", "ruleset"]).unwrap().contains("oifname \"wan\""));
    let said = gateway.plan(&["verify"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains(text(&file)) && said.err.contains("unmasq plan apply"), "{said:?}");
    let applied = gateway.apply(&["--out", "wan"]);
    assert_eq!((&applied["outcome"], &applied["revision"]), (&"applied".into(), &2.into()));
    assert_eq!(gateway.verify(), (0, vec![]));
}

#[test]
fn rules_of_ours_that_mean_the_opposite_and_chains_of_others_in_our_table_are_seen() {
    let gateway = Gateway::build();
    gateway.apply(&["--out", "wan"]);
    let chain = "ip unmasq-plan postrouting";
    let listed =
        gateway.node().exec(&["nft", "-a", "list", "chain", "ip", "unmasq-plan", "postrouting"]).unwrap();
    let handle = listed
        .lines()
        .find_map(|line| line.split_once("l4proto icmp ")?.1.split_once("# handle "))
        .unwrap()
        .1;
    let opposite = "oifname != \"wan\" meta l4proto icmp counter snat ip to ip saddr map @clients";
    gateway.node().nft(&format!("replace rule {chain} handle {handle} {opposite}")).unwrap();
    assert_eq!(gateway.verify(), (1, vec!["rules-changed".into()]));
    gateway.apply(&["--out", "wan"]);
    assert_eq!(gateway.verify(), (0, vec![]));
    gateway
        .node()
        .nft(
            "table ip unmasq-plan {\n chain early {\n type nat hook postrouting priority 50;\n \
             ip saddr 192.168.101.3 masquerade\n }\n }",
        )
        .unwrap();
    assert_eq!(gateway.verify(), (1, vec!["shadowed".into()]));
    let said = gateway.plan(&["verify"]);
    assert!(
        said.out.contains("take the other rule away") && !said.out.contains("loads rules again"),
        "{said:?}"
    );
}

#[test]
fn a_translation_that_comes_first_is_shadowing_and_its_flows_are_outside() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let server = Server::tcp(&gateway.network.servers, (SERVER, 80).into()).unwrap();
    gateway
        .node()
        .nft(
            "table ip nm-shared {\n chain nat_postrouting {\n type nat hook postrouting priority 90;\n \
             ip saddr 192.168.101.0/24 oifname \"wan\" meta l4proto tcp masquerade to :30000-30999\n }\n }",
        )
        .unwrap();
    assert_eq!(gateway.verify(), (1, vec!["shadowed".into()]));
    let (place, own) = gateway.clients()[1];
    let _held = client::tcp(place, any(own), server.address()).unwrap();
    let masked = server.wait(1, PATIENCE).unwrap()[0].peer;
    let (address, port) = v4(masked);
    assert!(!gateway.show(&USUAL).iter().any(|b| b.client == own && b.has(address, port)), "{masked}");
    assert_eq!(gateway.verify(), (1, vec!["shadowed".into(), "flows-outside".into()]));
    let watch = gateway.watch();
    watch.says("flows leave by ports that are not their client's");
    gateway.node().exec(&["nft", "delete", "table", "ip", "nm-shared"]).unwrap();
    eventually("it is not shadowed any more", || {
        let shadowed = drifts(&gateway).into_iter().find(|drift| drift["reason"] == "shadowed")?;
        shadowed["to"].is_string().then_some(())
    });
    // The flow lives on, and so does what is said of it.
    let outside = drifts(&gateway).into_iter().find(|drift| drift["reason"] == "flows-outside").unwrap();
    assert!(outside["to"].is_null(), "{outside}");
    assert_eq!(gateway.trace(masked, Timestamp::now(), &[]).1, 4);
}

#[test]
fn rules_as_docker_libvirt_and_firewalld_have_them_are_no_alarm() {
    for format in ["nft", "iptables"] {
        let gateway = Gateway::build();
        let iptables = |rule: &str| {
            let words = [&["iptables", "-t", "nat"], &rule.split(' ').collect::<Vec<_>>()[..]].concat();
            gateway.node().exec(&words).unwrap();
        };
        iptables("-N LIBVIRT_PRT");
        iptables(
            "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535",
        );
        iptables("-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE");
        gateway.apply(&["--format", format, "--out", "wan"]);
        // Docker and libvirt put theirs first when they are started again.
        iptables("-I POSTROUTING -j LIBVIRT_PRT");
        iptables("-I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE");
        // What leaves by another interface is not the plan's.
        iptables("-I POSTROUTING -o virbr0 -j MASQUERADE");
        let firewalld = "table inet firewalld {\n chain nat_POST_public {\n oifname \"wan\" masquerade\n }\n \
             chain nat_POSTROUTING {\n type nat hook postrouting priority srcnat + 10;\n jump nat_POST_public\n }\n }";
        gateway.node().nft(firewalld).unwrap();
        assert_eq!(gateway.verify(), (0, vec![]), "{format}");
        let outcome = gateway.apply(&["--format", format, "--out", "wan"])["outcome"].clone();
        assert_eq!(outcome, "unchanged", "{format}");
    }
}

#[test]
fn a_range_that_fills_up_is_told_before_and_when_it_is_full() {
    let gateway = Gateway::build();
    gateway.apply(&["--ports-per-client", "10"]);
    let server = Server::tcp(&gateway.network.servers, (SERVER, 80).into()).unwrap();
    let (place, own) = gateway.clients()[0];
    let connect = || client::tcp(place, any(own), server.address());
    let mut held: Vec<_> = (0..8).map(|_| connect().unwrap()).collect();
    let watch = gateway.watch();
    let said = watch.says("80 % full");
    assert!(said.contains("client 192.168.101.2 uses 8 of its 10 ports"), "{said}");
    held.extend((8..10).map(|_| connect().unwrap()));
    // The eleventh and the twelfth find no port. A client that waits sends its first packet again and again.
    let refused: Vec<_> = (0..2)
        .map(|_| {
            place
                .run(|| {
                    let socket = std::net::TcpStream::connect_timeout(
                        &server.address(),
                        std::time::Duration::from_millis(300),
                    );
                    socket.is_err()
                })
                .unwrap()
        })
        .collect();
    assert_eq!(refused, [true, true]);
    let said = watch.says("were refused for want of a port");
    let line = said.lines().find(|line| line.contains("refused")).unwrap();
    assert!(line.contains("client 192.168.101.2 has all of its 10 ports in use"), "{line}");
}

#[test]
fn what_does_not_fit_goes_to_the_overflow_which_only_a_record_tells_apart() {
    let gateway = Gateway::build();
    let flags = ["--ports-per-client", "10", "--overflow", "1000"];
    gateway.apply(&flags);
    let recording = Recording::start(&gateway.lab, &[gateway.node().name()], &[]);
    let server = Server::tcp(&gateway.network.servers, (SERVER, 80).into()).unwrap();
    let (place, own) = gateway.clients()[0];
    let block = gateway.show(&USUAL).into_iter().find(|block| block.client == own).unwrap();
    let mut held = Vec::new();
    for _ in 0..14 {
        let stream = client::tcp(place, any(own), server.address()).unwrap();
        client::talk(&stream).unwrap();
        held.push(stream);
    }
    let seen = server.wait(14, PATIENCE).unwrap();
    let outside: Vec<usize> = (0..14)
        .filter(|n| {
            let (address, port) = v4(seen[*n].peer);
            !block.has(address, port)
        })
        .collect();
    assert_eq!(outside, [10, 11, 12, 13], "ten fit: {seen:?}");
    let last = seen[13];
    let (answer, code) = gateway.answer(&last.peer.to_string(), last.at, &["--proto", "tcp"]);
    assert_eq!((clients(&answer), code), (vec![], 4), "{answer}");
    assert!(answer["gaps"].to_string().contains("overflow"), "{answer}");
    let (masked, at, expected) = (last.peer.to_string(), last.at.to_string(), held[13].local_addr().unwrap());
    let plan = gateway.history.to_str().unwrap();
    let (answer, code) = eventually("it is recorded", || {
        let (answer, code) = recording.trace(&[&masked, "--at", &at, "--window", "0s", "--plan", plan]);
        (code != 4).then_some((answer, code))
    });
    assert_eq!((clients(&answer), code), (vec![expected.to_string()], 0), "{answer}");
    assert_eq!(gateway.verify(), (0, vec![]));
    // Larger blocks with the same overflow: what fits is counted anew.
    let flags = ["--ports-per-client", "20", "--overflow", "1000", "--renumber"];
    gateway.apply(&flags);
    let rules = gateway.node().exec(&["nft", "list", "chain", "ip", "unmasq-plan", "postrouting"]).unwrap();
    assert!(rules.contains("ct count over 20") && !rules.contains("ct count over 10"), "{rules}");
    assert_eq!(gateway.verify(), (0, vec![]));
}
