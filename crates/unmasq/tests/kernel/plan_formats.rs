//! A plan in the kernel, by nftables and by iptables: every flow leaves by its client's ports, and a port names its client.

use std::net::{Ipv4Addr, SocketAddr};

use unmasq_flow::{Protocol, Timestamp};
use unmasq_lab::{Server, client, raw};

use crate::plan_gateway::{Block, Gateway, USUAL, any, v4};
use crate::support::{PATIENCE, clients};

const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn of(blocks: &[Block], client: Ipv4Addr) -> &Block {
    blocks.iter().find(|block| block.client == client).expect("it has ports")
}

/// Each client opens connections over TCP and UDP; gives what the server saw of whom.
fn talk(gateway: &Gateway, each: usize) -> Vec<(Ipv4Addr, Protocol, SocketAddr, Timestamp)> {
    let servers = [
        Server::tcp(&gateway.network.servers, (SERVER, 80).into()).expect("a conversation"),
        Server::udp(&gateway.network.servers, (SERVER, 53).into()).expect("a conversation"),
    ];
    let mut seen = Vec::new();
    for (node, own) in gateway.clients() {
        for server in &servers {
            for _ in 0..each {
                let before = server.seen().len();
                if server.is_tcp() {
                    client::talk(&client::tcp(node, any(own), server.address()).expect("a conversation"))
                        .expect("a conversation");
                } else {
                    client::talk_udp(&client::udp(node, any(own), server.address()).expect("a conversation"))
                        .expect("a conversation");
                }
                let sighting = server.wait(before + 1, PATIENCE).expect("a conversation")[before];
                seen.push((own, sighting.protocol, sighting.peer, sighting.at));
            }
        }
    }
    seen
}

#[test]
fn every_flow_leaves_by_its_clients_ports_and_the_port_names_the_client() {
    let gateway = Gateway::build();
    let blocks = gateway.show(&USUAL);
    assert_eq!(blocks.len(), 10, "two networks of five clients");
    assert!(blocks.iter().any(|b| b.public != blocks[0].public), "both addresses are used");
    let before = Timestamp::now();
    gateway.apply(&[]);
    assert_eq!(gateway.show(&USUAL), blocks);
    for (own, protocol, masked, at) in talk(&gateway, 8) {
        let block = of(&blocks, own);
        let (address, port) = v4(masked);
        assert!(block.has(address, port), "{own} {protocol} was seen as {masked}, and has {block:?}");
        let (name, to) = (protocol.to_string(), SERVER.to_string());
        assert_eq!(gateway.trace(masked, at, &["--proto", &name, "--to", &to]), (vec![own.to_string()], 0));
    }
    let first = SocketAddr::from((blocks[0].public, blocks[0].ports.0));
    // Ports of nobody; a time before the first plan; a protocol that gets no ranges; another address.
    let now = Timestamp::now();
    assert_eq!(gateway.trace((blocks[0].public, 80).into(), now, &[]), (vec![], 1));
    let (answer, code) = gateway.answer(&first.to_string(), before, &[]);
    assert_eq!(code, 4, "{answer}");
    assert!(answer.to_string().contains("no plan was in force"), "{answer}");
    let (answer, code) = gateway.answer(&first.to_string(), now, &["--proto", "gre"]);
    assert_eq!(code, 4, "{answer}");
    assert!(answer.to_string().contains("gre") || answer.to_string().contains("protocol"), "{answer}");
    assert_eq!(gateway.trace(([203, 0, 113, 9], 2000).into(), now, &[]).1, 4);
    assert_eq!(gateway.verify(), (0, vec![]));
    gateway.audit();
}

/// SCTP, UDP-Lite and ICMP get ranges; DCCP did while the kernel tracked it (up to Linux 6.16): by a plan that was made
/// where it does not, its ports say nothing.
#[test]
fn protocols_that_the_kernel_tracks_have_ranges_and_no_others() {
    let gateway = Gateway::build();
    let node = gateway.node();
    // The packets have no checksums of their own.
    node.set("net.netfilter.nf_conntrack_checksum", "0").unwrap();
    gateway.apply(&[]);
    let blocks = gateway.show(&USUAL);
    let is_dccp_tracked =
        node.exec(&["ls", "/proc/sys/net/netfilter"]).unwrap().contains("nf_conntrack_dccp_");
    let mut seen = Vec::new();
    for protocol in [Protocol::SCTP, Protocol::UDPLITE, Protocol::ICMP, Protocol::DCCP, Protocol::GRE] {
        let ear = raw::Ear::open(&gateway.network.servers, protocol).unwrap();
        let is_covered = protocol != Protocol::GRE && (protocol != Protocol::DCCP || is_dccp_tracked);
        // Without ports, a second client of the same address would be refused.
        for (place, own) in gateway.clients().into_iter().take(if is_covered { 4 } else { 1 }) {
            raw::begin(place, protocol, own, SERVER).unwrap();
            let (address, number) = ear.next(PATIENCE).unwrap();
            let block = of(&blocks, own);
            if is_covered {
                assert!(
                    block.has(address, number),
                    "{own} {protocol}: {address} {number}, and has {block:?}"
                );
                seen.push((protocol, own, address, number, Timestamp::now()));
            } else if protocol == Protocol::DCCP {
                assert_eq!((address, number), (block.public, raw::PORT), "only the address is translated");
            }
        }
    }
    assert!(seen.len() >= 12, "{seen:?}");
    for (protocol, own, address, number, at) in seen {
        let sign = if protocol == Protocol::ICMP { '#' } else { ':' };
        let asked = format!("{address}{sign}{number}");
        let (answer, code) = gateway.answer(&asked, at, &["--proto", &protocol.to_string()]);
        assert_eq!((clients(&answer), code), (vec![own.to_string()], 0), "{answer}");
    }
    for (protocol, is_covered) in [("dccp", is_dccp_tracked), ("gre", false)] {
        let asked = format!("{}:{}", blocks[0].public, blocks[0].ports.0);
        let (answer, code) = gateway.answer(&asked, Timestamp::now(), &["--proto", protocol]);
        let expected = if is_covered { (1, 0) } else { (0, 4) };
        assert_eq!((clients(&answer).len(), code), expected, "{protocol}: {answer}");
        assert!(is_covered || answer["gaps"].to_string().contains("tcp, udp, sctp"), "{answer}");
    }
}

#[test]
fn a_plan_by_iptables_leaves_foreign_rules_and_its_counters_alone() {
    let gateway = Gateway::build();
    let node = gateway.node();
    for rule in [
        "iptables -t nat -A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE",
        "iptables -t nat -N OTHER",
        "iptables -t nat -A OTHER -j RETURN",
        "iptables -A FORWARD -s 10.9.9.9 -j DROP",
        "nft add table inet other",
        "nft add chain inet other input { type filter hook input priority 0; }",
        "nft add rule inet other input tcp dport 23 drop",
    ] {
        node.exec(&rule.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let foreign = || {
        let saved = node.exec(&["iptables-save"]).unwrap();
        let ours =
            |line: &&str| !line.contains("UNMASQ-PLAN") && !line.starts_with('#') && !line.starts_with(':');
        let lines: Vec<String> = saved.lines().filter(ours).map(str::to_owned).collect();
        (lines, node.exec(&["nft", "-s", "list", "table", "inet", "other"]).unwrap())
    };
    let before = foreign();
    gateway.apply(&["--format", "iptables"]);
    assert_eq!(foreign(), before);
    assert_eq!(gateway.verify(), (0, vec![]));
    let blocks = gateway.show(&[&USUAL[..], &["--format", "iptables"]].concat());
    let mut last = None;
    for (own, protocol, masked, at) in talk(&gateway, 4) {
        let block = of(&blocks, own);
        let (address, port) = v4(masked);
        assert!(block.has(address, port), "{own} {protocol} was seen as {masked}, and has {block:?}");
        assert_eq!(
            gateway.trace(masked, at, &["--proto", &protocol.to_string()]),
            (vec![own.to_string()], 0)
        );
        last = Some((masked, at));
    }
    let (masked, at) = last.unwrap();
    let (answer, code) = gateway.answer(&masked.to_string(), at, &["--proto", "sctp"]);
    assert_eq!(code, 4, "{answer}");
    // A second apply does nothing; another plan changes only the rules of those who change.
    let counted = || {
        let saved = node.exec(&["iptables-save", "-c", "-t", "nat"]).unwrap();
        let own = " -A UNMASQ-PLAN -s 192.168.101.2/32 -p tcp ";
        saved.lines().find(|line| line.contains(own)).unwrap().to_owned()
    };
    let count = counted();
    assert!(!count.starts_with("[0:0]"), "{count}");
    assert_eq!(gateway.apply(&["--format", "iptables"])["outcome"], "unchanged");
    let less = gateway.apply(&["--format", "iptables", "--leave-out", "192.168.102.3"]);
    assert_eq!((less["removed"].as_u64(), less["moved"].as_u64()), (Some(1), Some(0)), "{less}");
    assert_eq!(counted(), count);
    assert_eq!(foreign(), before);
    assert_eq!(gateway.verify(), (0, vec![]));
    // Rules of somebody else that came first are put behind ours again.
    node.exec(&["iptables", "-t", "nat", "-I", "POSTROUTING", "-s", "192.168.0.0/16", "-j", "MASQUERADE"])
        .unwrap();
    assert_eq!(gateway.verify(), (1, vec!["shadowed".into()]));
    assert_eq!(
        gateway.apply(&["--format", "iptables", "--leave-out", "192.168.102.3"])["outcome"],
        "restored"
    );
    assert_eq!(gateway.verify(), (0, vec![]));
    let drifts = gateway.history()["drifts"].clone();
    assert!(drifts[0]["reason"] == "shadowed" && drifts[0]["to"].is_string(), "{drifts}");
}

#[test]
fn another_form_of_rules_takes_the_place_of_the_first() {
    let gateway = Gateway::build();
    let node = gateway.node();
    let blocks = gateway.show(&USUAL);
    let forms = || {
        let nft = node.exec(&["nft", "list", "table", "ip", "unmasq-plan"]).is_ok();
        let iptables = node.exec(&["iptables", "-t", "nat", "-S", "UNMASQ-PLAN"]).is_ok();
        (nft, iptables)
    };
    for (format, expected) in [("nft", (true, false)), ("iptables", (false, true)), ("nft", (true, false))] {
        assert_eq!(gateway.apply(&["--format", format])["outcome"], "applied", "{format}");
        assert_eq!(forms(), expected);
        assert_eq!(gateway.verify(), (0, vec![]));
        for (own, _, masked, _) in talk(&gateway, 1) {
            let (address, port) = v4(masked);
            assert!(of(&blocks, own).has(address, port), "{format}: {own} as {masked}");
        }
    }
    // What a change of forms that was cut short leaves is found, and mended.
    let left = gateway.plan(&[&["rules", "--format", "iptables"], &USUAL[..]].concat()).out;
    let left = left.replace("-A POSTROUTING", "-A UNMASQ-PLAN");
    let left = left.replace(":PREROUTING", ":UNMASQ-PLAN - [0:0]\n:PREROUTING");
    let mut restore = node.command("iptables-restore");
    unmasq_lab::command::output(restore.arg("--noflush"), &left).unwrap();
    assert_eq!(forms(), (true, true));
    assert_eq!(gateway.verify(), (1, vec!["rules-changed".into()]));
    assert_eq!(gateway.apply(&[])["outcome"], "restored");
    assert_eq!(forms(), (true, false));
}

#[test]
fn another_interface_is_another_revision_and_no_drift() {
    let gateway = Gateway::build();
    for format in ["nft", "iptables"] {
        for out in [&["--out", "wan"][..], &["--out", "wan1"], &[]] {
            let flags = [&["--format", format], out].concat();
            let applied = gateway.apply(&flags);
            assert_eq!((&applied["outcome"], &applied["moved"]), (&"applied".into(), &0.into()), "{flags:?}");
            assert_eq!(gateway.verify(), (0, vec![]), "{flags:?}");
            assert_eq!(gateway.apply(&flags)["outcome"], "unchanged", "{flags:?}");
        }
    }
    assert_eq!(gateway.history()["drifts"], serde_json::json!([]));
    // What changed is told where the ranges did not.
    let listed = gateway.plan(&["history"]).out;
    let remarks: Vec<&str> =
        listed.lines().filter_map(|line| line.split_once("  (").map(|(_, r)| r)).collect();
    let outs = ["out: wan -> wan1)", "out: wan1 -> any)"];
    assert_eq!(remarks, [outs, outs].concat(), "{listed}");
    let iptables = [&["diff", "--format", "iptables"], &USUAL[..]].concat();
    for (words, change, code) in [
        (vec!["diff", "1", "2"], Some("  ~ out: wan -> wan1"), 1),
        ([&iptables[..], &["--out", "wan"]].concat(), Some("  ~ out: any -> wan"), 1),
        (iptables, None, 0),
    ] {
        let said = gateway.plan(&words);
        assert_eq!((said.out.lines().nth(1), said.code), (change, code), "{words:?}: {said:?}");
    }
}

#[test]
fn a_client_can_have_a_single_port_in_either_form() {
    let gateway = Gateway::build();
    for format in ["nft", "iptables"] {
        let flags = ["--format", format, "--ports-per-client", "1", "--renumber"];
        gateway.apply(&flags);
        assert_eq!(gateway.apply(&flags)["outcome"], "unchanged", "{format}");
        assert_eq!(gateway.verify(), (0, vec![]), "{format}");
    }
}
