//! Source translation as real programs list it, and in real namespaces. The latter need root.

use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::{Value, json};
use unmasq_lab::{Lab, Node};

use super::*;
use crate::settings::nft::objects;

/// Tables as NetworkManager, firewalld, Docker and libvirt make them, and one of our own with most that there is.
const JSON: &str = include_str!("../../../tests/data/settings/nft-source-nat.json");
const TEXT: &str = include_str!("../../../tests/data/settings/nft-source-nat.txt");
const NFT_SAVE: &str = include_str!("../../../tests/data/settings/iptables-nft-save-nat.txt");
const LEGACY_SAVE: &str = include_str!("../../../tests/data/settings/iptables-legacy-save-nat.txt");

/// What nft shows of the named set and map of the recording.
fn elements(kind: &str, [family, table, name]: [&str; 3]) -> Option<Value> {
    match (kind, family, table, name) {
        ("set", "inet", "mine", "lan") => Some(json!([{"prefix": {"addr": "10.80.0.0", "len": 16}}])),
        ("map", "inet", "mine", "ways") => Some(json!([["wan1", {"jump": {"target": "out"}}]])),
        _ => None,
    }
}

/// `priority table: chain/place chain/place, sources, > outputs, protocols`.
fn short(rule: &SourceNat) -> String {
    let path: Vec<_> = rule.path.iter().map(|step| format!("{}/{}", step.chain, step.rule)).collect();
    let sources = rule.sources.iter().map(|net| format!(", {net}"));
    let outputs = rule.outputs.iter().map(|output| format!(", > {output}"));
    let protocols = rule.protocols.iter().map(|protocol| format!(", {protocol}"));
    let only: String = sources.chain(outputs).chain(protocols).collect();
    format!("{} {}: {}{only}", rule.priority, rule.table, path.join(" "))
}

fn recorded() -> Vec<SourceNat> {
    let objects = objects(JSON).unwrap();
    assert!(nft::translates(&objects) && nft::is_of_iptables(&objects));
    chain::walk(&nft::chains(&objects, &nft::texts(TEXT), &mut elements), Framework::Nft).unwrap()
}

fn legacy(saved: &str) -> Reading<Vec<SourceNat>> {
    chain::walk(&iptables::chains(saved), Framework::Legacy)
}

const LIBVIRT_AND_DOCKER: [&str; 7] = [
    "100 nat: POSTROUTING/0 LIBVIRT_PRT/2, 192.168.122.0/24, tcp",
    "100 nat: POSTROUTING/0 LIBVIRT_PRT/3, 192.168.122.0/24, udp",
    "100 nat: POSTROUTING/0 LIBVIRT_PRT/4, 192.168.122.0/24",
    "100 nat: POSTROUTING/1, 172.17.0.0/16",
    "100 nat: POSTROUTING/2, > wan*",
    "100 nat: POSTROUTING/3, 10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/31, 10.0.0.6/32, tcp",
    "100 nat: POSTROUTING/4, icmp",
];

#[test]
fn a_recorded_ruleset_of_nft_is_read() {
    let found = recorded();
    let expected = [
        "100 nat: POSTROUTING/0 LIBVIRT_PRT/2, 192.168.122.0/24, tcp",
        "100 nat: POSTROUTING/0 LIBVIRT_PRT/3, 192.168.122.0/24, udp",
        "100 nat: POSTROUTING/0 LIBVIRT_PRT/4, 192.168.122.0/24",
        "100 nat: POSTROUTING/1, 172.17.0.0/16",
        "100 nat: POSTROUTING/2, > wan*",
        // The range of iprange is not in the listing.
        "100 nat: POSTROUTING/3, tcp",
        "100 nat: POSTROUTING/4, icmp",
        "100 nm-shared-eth1: nat_postrouting/0, 10.42.0.0/24",
        "110 firewalld: nat_POSTROUTING/1 nat_POSTROUTING_ZONES/0 nat_POST_external/1 nat_POST_external_allow/0, > eth0",
        "90 mine: post/0, 10.0.0.0/24, 10.0.1.1/32, 10.0.2.0/29, 10.0.2.8/31, > wan0, > wan1, tcp, udp",
        "90 mine: post/1, 10.80.0.0/16",
        "90 mine: post/2, 10.7.0.0/24, tcp",
        "90 mine: post/3 out/1, 10.5.0.0/16, > ppp0",
        "90 mine: post/4 out/1, 10.5.0.0/16, > wan1",
        "90 mine: post/5, > wan*, sctp",
    ];
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(found[3].text, "oifname != \"docker0\" ip saddr 172.17.0.0/16 counter masquerade");
    assert_eq!(found[7].text, "ip saddr 10.42.0.0/24 ip daddr != 10.42.0.0/24 masquerade");
    assert_eq!(found[8].text, "meta nfproto ipv4 oifname != \"lo\" masquerade");
    assert_eq!((found[8].family.as_str(), found[8].chain.as_str()), ("inet", "nat_POST_external_allow"));
}

#[test]
fn rules_of_iptables_are_told_in_its_own_words() {
    let mut chains = nft::chains(&objects(JSON).unwrap(), &nft::texts(TEXT), &mut elements);
    iptables::refine(&mut chains, NFT_SAVE);
    let refined = chain::walk(&chains, Framework::Nft).unwrap();
    assert_eq!(refined[..7].iter().map(short).collect::<Vec<_>>(), LIBVIRT_AND_DOCKER);
    assert_eq!(refined[3].text, "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE");
    assert_eq!(refined[7..], recorded()[7..]);
    // A rule came between the two listings.
    let mut chains = nft::chains(&objects(JSON).unwrap(), &nft::texts(TEXT), &mut elements);
    iptables::refine(&mut chains, &NFT_SAVE.replacen("COMMIT", "-A POSTROUTING -j RETURN\nCOMMIT", 1));
    assert_eq!(short(&chain::walk(&chains, Framework::Nft).unwrap()[5]), "100 nat: POSTROUTING/3, tcp");
}

#[test]
fn a_recorded_ruleset_of_legacy_iptables_is_read() {
    let found = legacy(LEGACY_SAVE).unwrap();
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), LIBVIRT_AND_DOCKER);
    assert_eq!(
        found[4].text,
        "-A POSTROUTING ! -s 10.9.0.0/16 -o wan+ -m comment --comment \"two -j words\" -j SNAT --to-source 192.0.2.1"
    );
}

#[test]
fn the_order_is_known_but_between_base_chains_of_one_priority() {
    let found = recorded();
    let of = |table: &str| found.iter().find(|rule| rule.table == table).unwrap();
    assert_eq!(of("mine").order(of("nat")), Some(Ordering::Less));
    assert_eq!(of("firewalld").order(of("nat")), Some(Ordering::Greater));
    assert_eq!(of("nat").order(of("nm-shared-eth1")), None);
    assert_eq!(found[2].order(&found[3]), Some(Ordering::Less), "in the jump before");
    let legacy = legacy(LEGACY_SAVE).unwrap();
    assert_eq!(legacy[0].order(&found[0]), None);
}

#[test]
fn a_rule_concerns_what_it_may_match() {
    let found = recorded();
    let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
    let docker = &found[3];
    assert!(docker.concerns(net("172.17.0.5/32"), "wan0", Protocol::TCP));
    assert!(docker.concerns(net("172.16.0.0/12"), "wan0", Protocol::UDP));
    assert!(!docker.concerns(net("100.64.0.0/10"), "wan0", Protocol::TCP));
    assert!(!found[4].concerns(net("100.64.0.0/10"), "lan0", Protocol::TCP));
    assert!(found[4].concerns(net("100.64.0.0/10"), "wan7", Protocol::TCP));
    assert!(!found[6].concerns(net("10.64.0.0/10"), "wan7", Protocol::TCP));
}

#[test]
fn chains_that_jump_in_circles_or_in_too_many_ways_come_to_an_end() {
    let circle = "*nat\n-A POSTROUTING -j A\n-A A -j B\n-A B -j A\n-A B -j MASQUERADE\n";
    assert!(!legacy(circle).unwrap().is_empty());
    let twice = |n: u32| format!("-A C{n} -j C{0}\n-A C{n} -j C{0}\n-A C{n} -j C{0}\n", n + 1);
    let tree: String = (0..14).map(twice).collect();
    let refused = legacy(&format!("*nat\n-A POSTROUTING -j C0\n{tree}-A C14 -j MASQUERADE\n")).unwrap_err();
    assert!(refused.to_string().contains("by all ways of jumps"), "{refused}");
}

proptest! {
    #[test]
    fn any_saved_text_is_answered(text in "(\\*nat\n)?(-A (POSTROUTING|X)( !)?( -[sopjg])?( [a-z0-9./+!\"-]{0,9}){0,3}\n){0,9}") {
        let _ = legacy(&text);
    }

    #[test]
    fn any_listing_is_answered(text in "\\PC{0,60}", cut in any::<prop::sample::Index>(), byte in any::<char>()) {
        nft::texts(&text);
        // The recording with one character changed, which mostly is still JSON.
        let mut changed: Vec<char> = JSON.chars().collect();
        let at = cut.index(changed.len());
        changed[at] = byte;
        if let Ok(objects) = objects(&changed.into_iter().collect::<String>()) {
            let _ = chain::walk(&nft::chains(&objects, &nft::texts(TEXT), &mut |_, _| None), Framework::Nft);
        }
    }
}

fn found(node: &Node) -> Vec<String> {
    let namespace = Namespace::named(node.name()).unwrap();
    read_in(&namespace).unwrap().unwrap().iter().map(short).collect()
}

#[test]
fn rules_of_both_frameworks_are_found_in_a_namespace_in_their_order() {
    let node = Lab::new().unwrap().node("gw").unwrap();
    assert_eq!(found(&node), Vec::<String>::new());
    for words in
        ["-N PLAN", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", "-A POSTROUTING -j PLAN"]
    {
        let words: Vec<_> = ["iptables-legacy", "-t", "nat"].into_iter().chain(words.split(' ')).collect();
        node.exec(&words).unwrap();
    }
    node.exec(&["iptables-legacy", "-t", "nat", "-A", "PLAN", "-o", "wan", "-j", "MASQUERADE"]).unwrap();
    assert_eq!(
        found(&node),
        ["100 nat: POSTROUTING/0, 172.17.0.0/16", "100 nat: POSTROUTING/1 PLAN/0, > wan"]
    );
    let nft = "
table inet firewalld {
  chain post { type nat hook postrouting priority srcnat + 10; jump zones; }
  chain zones { oifname \"eth0\" goto external; }
  chain external { meta nfproto ipv4 oifname != \"lo\" masquerade; }
}
table ip natmap {
  set lan { type ipv4_addr; flags interval; elements = { 100.64.0.0/24, 100.64.2.0/24 }; }
  map ways { type ifname : verdict; elements = { \"wan\" : goto out, \"ppp0\" : accept }; }
  map clients { type ipv4_addr : interval ipv4_addr . inet_service; }
  chain out { meta l4proto { tcp, udp } snat ip to ip saddr map @clients; }
  chain post { type nat hook postrouting priority 95; ip saddr @lan oifname vmap @ways; }
}
table ip6 six { chain post { type nat hook postrouting priority 90; masquerade; }; }
";
    node.nft(nft).unwrap();
    assert_eq!(
        found(&node),
        [
            "95 natmap: post/0 out/0, 100.64.0.0/24, 100.64.2.0/24, > wan, tcp, udp",
            "100 nat: POSTROUTING/0, 172.17.0.0/16",
            "100 nat: POSTROUTING/1 PLAN/0, > wan",
            "110 firewalld: post/0 zones/0 external/0, > eth0",
        ]
    );
}

#[test]
fn rules_of_iptables_nft_are_found_in_a_namespace() {
    let node = Lab::new().unwrap().node("gw").unwrap();
    let iptables = |words: &str| {
        let words: Vec<_> = ["iptables-nft", "-t", "nat"].into_iter().chain(words.split(' ')).collect();
        node.exec(&words).unwrap();
    };
    iptables("-N LIBVIRT_PRT");
    iptables("-A POSTROUTING -s 192.168.0.0/16 -j LIBVIRT_PRT");
    iptables("-A LIBVIRT_PRT -s 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535");
    iptables("-A LIBVIRT_PRT -s 10.0.0.0/8 -j MASQUERADE");
    iptables("-A POSTROUTING -m iprange --src-range 10.0.0.0-10.0.0.7 -o wan0 -j SNAT --to-source 192.0.2.1");
    let namespace = Namespace::named(node.name()).unwrap();
    let rules = read_in(&namespace).unwrap().unwrap();
    assert_eq!(
        rules.iter().map(short).collect::<Vec<_>>(),
        [
            "100 nat: POSTROUTING/0 LIBVIRT_PRT/0, 192.168.122.0/24, tcp",
            "100 nat: POSTROUTING/1, 10.0.0.0/29, > wan0",
        ],
        "what cannot match is left out"
    );
    assert!(rules[0].text.starts_with("-A LIBVIRT_PRT -s 192.168.122.0/24 -p tcp"), "{}", rules[0].text);
    assert!(rules.iter().all(|rule| rule.framework == Framework::Nft));
}
