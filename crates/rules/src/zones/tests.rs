//! What files are taken and refused, and what the kernel says of the rulesets.

use std::fmt::Write;

use proptest::prelude::*;
use unmasq_netfilter::netns::Namespace;

use super::*;
use crate::program::run;

/// A file with as little as there can be.
const LEAST: &str = "[zone.intra]\ninterfaces = [\"lan0\"]\n";

fn zones(text: &str) -> Zones {
    Zones::parse(Path::new("zones.toml"), text).unwrap_or_else(|invalid| panic!("{invalid}"))
}

fn refusal(text: &str) -> String {
    Zones::parse(Path::new("zones.toml"), text).expect_err(text).to_string()
}

/// Loads a ruleset twice into a namespace of its own, and gives what is then there.
fn loaded(form: Form, text: &str) -> String {
    let load = || {
        form.try_out(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let [program, save]: [&[&str]; 2] = match form {
            Form::Nft => [&["nft", "-f", "-"], &["nft", "-s", "list", "ruleset"]],
            Form::Iptables => [&["iptables-restore"], &["iptables-save"]],
            Form::Ip6tables => [&["ip6tables-restore"], &["ip6tables-save"]],
        };
        run(program[0], &program[1..], text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        run(save[0], &save[1..], "").expect("it can be listed")
    };
    let bare = |text: String| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    Namespace::scratch(|| {
        let first = bare(load());
        assert_eq!(first, bare(load()), "loaded again, it is the same");
        first.join("\n")
    })
    .expect("a namespace")
}

#[test]
fn the_example_prints_as_it_did() {
    let zones = zones(EXAMPLE);
    for form in Form::ALL {
        insta::assert_snapshot!(format!("example_{}", form.word()), zones.ruleset(form));
    }
    insta::assert_snapshot!("example_routing", zones.policy_routing().join("\n"));
}

#[test]
fn the_kernel_takes_the_example_and_the_least() {
    for text in [EXAMPLE, LEAST] {
        for form in Form::ALL {
            let there = loaded(form, &zones(text).ruleset(form));
            assert!(there.contains("LOintra"), "{there}");
        }
    }
}

#[test]
fn without_forwards_the_chain_forward_drops_and_does_no_more() {
    let zones = zones(LEAST);
    assert!(zones.ruleset(Form::Iptables).contains("\n-A FORWARD -j DROP\n"));
    for form in Form::ALL {
        let text = zones.ruleset(form);
        assert_eq!(
            text.matches("FORWARD -").count() + text.matches("forward_map").count(),
            usize::from(form != Form::Nft)
        );
        assert!(!text.contains("socket"), "nothing is proxied: {text}");
    }
    assert!(zones.policy_routing().is_empty());
}

#[test]
fn a_zone_with_networks_has_no_other_sources_and_one_without_has_the_rest() {
    let text = "[zone.in]\ninterfaces = [\"a\"]\nnetworks = [\"10.0.0.0/8\"]\n[zone.dmz]\ninterfaces = [\"b\"]\n\
                networks = [\"10.1.0.0/16\"]\n[zone.out]\ninterfaces = [\"c\"]\n";
    let ruleset = zones(text).ruleset(Form::Nft);
    let chain = |name: &str| {
        let rest = ruleset.split_once(&format!("chain {name} {{\n")).expect("it is there").1;
        rest.split_once("\t}").expect("it ends").0.replace('\t', "")
    };
    assert_eq!(
        chain("SOin"),
        "ip saddr 10.1.0.0/16 goto spoofed\nip saddr 0.0.0.0 udp dport 67 return\nip saddr != 10.0.0.0/8 goto spoofed\n\
         ip6 saddr != { ::, fe80::/10 } goto spoofed\n"
    );
    assert_eq!(
        chain("SOdmz"),
        "ip saddr 0.0.0.0 udp dport 67 return\nip saddr != 10.1.0.0/16 goto spoofed\n\
         ip6 saddr != { ::, fe80::/10 } goto spoofed\n"
    );
    assert_eq!(chain("SOout"), "ip saddr 10.0.0.0/8 goto spoofed\n");
}

#[test]
fn what_is_wrong_is_marked_and_mended() {
    for (text, expected) in [
        ("", "there is no zone"),
        ("[zone.a]\n", "missing field `interfaces`"),
        ("[zone]\nfoo = 1\n", "expected a section with a name of its own, such as [zone.intra]"),
        ("forward = 3\n", "invalid type"),
        ("[forward]\nfrom = \"a\"\n", "in double brackets"),
        ("[zone.a.local]\nprotocol = \"any\"\n", "in double brackets"),
        ("[zone.a]\ninterfaces = []\n", "at least one interface"),
        ("[zone.a]\ninterfaces = [\"lo\"]\n", "is in no zone"),
        ("[zone.a]\ninterfaces = [\"lan0\", \"pp p\"]\n", "zones.toml:2:23: \"pp p\" is not an interface"),
        ("[zone.a]\ninterface = [\"lan0\"]\n", "did you mean `interfaces`?"),
        ("[zon.a]\ninterfaces = [\"lan0\"]\n", "did you mean `zone`?"),
        ("[zone.\"a b\"]\ninterfaces = [\"lan0\"]\n", "zones.toml:1:7: \"a b\" is not a zone's name"),
        (
            "[zone.a]\ninterfaces = [\"x\"]\n[zone.b]\ninterfaces = [\"x\"]\n",
            "belongs to the zone \"a\" already",
        ),
        ("[zone.a]\ninterfaces = [\"x\", \"x\"]\n", "named twice"),
        (
            "[zone.a]\ninterfaces = [\"x\"]\nnetworks = [\"10.0.0.0/8\"]\n[zone.b]\ninterfaces = [\"y\"]\nnetworks = [\"10.0.0.0/8\"]\n",
            "the network 10.0.0.0/8 belongs to the zone \"a\" already",
        ),
        (
            "[zone.a]\ninterfaces = [\"x\"]\nnetworks = [\"10.0.0.1/8\"]\n",
            "zones.toml:3:13: \"10.0.0.1/8\" has bits set",
        ),
        ("[zone.a]\ninterfaces = [\"x\"]\nproxy = [\"htp\"]\n", "define it under [service.htp]"),
        (
            "[service.http]\nprotocol = \"tcp\"\nports = [80]\nlisten = 5\n[zone.a]\ninterfaces = [\"x\"]\nproxy = [\"htp\"]\n",
            "did you mean \"http\"?",
        ),
        ("[[zone.a.local]]\nprotocol = \"tpc\"\n[zone.a]\n", "did you mean `tcp`?"),
        (
            "[zone.a]\ninterfaces = [\"x\"]\n[[zone.a.local]]\nprotocol = \"ping\"\nports = [1]\n",
            "only tcp, udp and sctp",
        ),
        (
            "[zone.a]\ninterfaces = [\"x\"]\n[[zone.a.local]]\nprotocol = \"tcp\"\nports = [0]\n",
            "zones.toml:5:10: \"0\" is not a port",
        ),
        (
            "[zone.a]\ninterfaces = [\"x\"]\n[[zone.a.local]]\nprotocol = \"tcp\"\nlog = true\n",
            "there is no [log]",
        ),
        (
            "[[forward]]\nfrom = \"a\"\nto = \"b\"\nprotocol = \"any\"\n[zone.a]\ninterfaces = [\"x\"]\n",
            "there is no zone \"b\"",
        ),
        (
            "[[forward]]\nfrom = \"a\"\nto = \"a\"\nprotocol = \"any\"\nsource = [\"10.0.0.0/8\"]\ndestination = [\"fd00::/8\"]\n\
             [zone.a]\ninterfaces = [\"x\"]\n",
            "no family in common",
        ),
        ("[routing]\nmark = 0\ntable = 254\n[zone.a]\ninterfaces = [\"x\"]\n", "a mark of 0 is none"),
        ("[routing]\ntable = 254\n[zone.a]\ninterfaces = [\"x\"]\n", "the kernel's own routing tables"),
        ("[log]\ngroup = 70000\n", "zones.toml:2:9: invalid value: integer `70000`"),
        ("[log]\ngroup = 1\nrate = \"1/fortnight\"\n", "is not a rate"),
        ("[log]\ngroup = 1\nprefix = \"a\\\"; flush ruleset\"\n", "is not a prefix"),
        ("[log]\ngroup = 1\nprefix = \"far too long for a prefix\"\n", "longer than 20"),
        ("[log]\ngroup = 1\nburst = 0\n", "burst is out of range"),
    ] {
        let said = refusal(text);
        assert!(said.contains(expected), "{text}\n{said}");
        assert!(said.contains('^'), "{said}");
    }
}

#[test]
fn two_services_cannot_have_the_same_port() {
    let service = |name: &str, ports: &str, listen: u16| {
        format!("[service.{name}]\nprotocol = \"tcp\"\nports = {ports}\nlisten = {listen}\n")
    };
    let with = |first: &str, second: &str| {
        format!("{first}{second}[zone.a]\ninterfaces = [\"x\"]\nproxy = [\"one\", \"two\"]\n")
    };
    let said = refusal(&with(&service("one", "[80, 81]", 5), &service("two", "[\"81-90\"]", 6)));
    assert!(said.contains("takes port 81 already"), "{said}");
    let said = refusal(&with(&service("one", "[80]", 5), &service("two", "[81]", 5)));
    assert!(said.contains("listens on this port already"), "{said}");
    zones(&with(&service("one", "[80]", 5), &service("two", "[81]", 6)));
}

/// A file of any zones, services and forwards that is right.
fn any_file() -> impl Strategy<Value = String> {
    let protocol =
        prop::sample::select(vec!["any", "tcp", "udp", "sctp", "ping", "gre", "esp", "ah", "ospf", "vrrp"]);
    let ports = prop::collection::vec((1u16..60_000, 0u16..100), 1..20).prop_map(|ports| {
        let words = ports.iter().map(|(low, more)| format!("\"{low}-{}\"", low + more));
        format!("[{}]", words.collect::<Vec<_>>().join(", "))
    });
    let net = prop_oneof![
        (0u32..1 << 24, 8u8..=32).prop_map(|(n, length)| {
            ipnet::Ipv4Net::new((0x0a00_0000 | n).into(), length).expect("a length").trunc().to_string()
        }),
        (0u128..1 << 100, 20u8..=128).prop_map(|(n, length)| {
            ipnet::Ipv6Net::new(((0xfd << 120) | n).into(), length).expect("a length").trunc().to_string()
        }),
    ];
    let nets =
        prop::collection::btree_set(net, 0..5).prop_map(|nets| format!("{nets:?}").replace(['{', '}'], ""));
    let traffic = (protocol, prop::option::of(ports.clone())).prop_map(|(protocol, ports)| {
        let ports = ports.filter(|_| matches!(protocol, "tcp" | "udp" | "sctp"));
        format!(
            "protocol = \"{protocol}\"\n{}",
            ports.map_or_else(String::new, |ports| format!("ports = {ports}\n"))
        )
    });
    let rule = (traffic, nets.clone(), any::<bool>());
    let zone =
        (nets, prop::collection::vec(rule.clone(), 0..4), any::<bool>(), prop::collection::vec(rule, 0..3));
    let service = (ports, any::<bool>(), any::<bool>());
    (prop::collection::vec(zone, 1..4), prop::option::of(service), any::<bool>()).prop_map(|(zones, service, has_log)| {
        let mut text = String::new();
        if has_log {
            text += "[log]\ngroup = 3\nsnaplen = 100\nqueue_threshold = 5\nrate = \"1/minute\"\nburst = 1000\n";
        }
        if let Some((ports, is_tcp, is_transparent)) = &service {
            let protocol = if *is_tcp { "tcp" } else { "udp" };
            let _ = write!(text, "[service.s]\nprotocol = \"{protocol}\"\nports = {ports}\nlisten = 99\ntransparent = {is_transparent}\n");
        }
        for (n, (nets, local, is_proxied, forwards)) in zones.iter().enumerate() {
            let _ = write!(text, "[zone.z{n}]\ninterfaces = [\"if{n}\", \"other{n}\"]\nnetworks = [{nets}]\n");
            if *is_proxied && service.is_some() {
                text += "proxy = [\"s\"]\n";
            }
            for (traffic, from, is_logged) in local {
                let is_logged = *is_logged && has_log;
                let _ = write!(text, "[[zone.z{n}.local]]\n{traffic}from = [{from}]\nlog = {is_logged}\n");
            }
            for (traffic, source, is_logged) in forwards {
                let is_logged = *is_logged && has_log;
                let _ = write!(text, "[[forward]]\nfrom = \"z{n}\"\nto = \"z0\"\n{traffic}source = [{source}]\nlog = {is_logged}\n");
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_takes_whatever_zones_there_are(text in any_file()) {
        // Two zones may have got the same network.
        if let Ok(zones) = Zones::parse(Path::new("zones.toml"), &text) {
            for form in Form::ALL {
                loaded(form, &zones.ruleset(form));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(
        text in "\\PC{0,200}",
        near in "(\\[(zone|log|service|routing)(\\.[a-z]{1,3})?\\]\n|\\[\\[(forward|zone\\.a\\.local)\\]\\]\n|[a-z]{2,9} = (\\[\\]|[0-9]{1,9}|\"[a-z0-9./:-]{0,9}\"|true)\n){0,12}",
    ) {
        for text in [text, near] {
            if let Err(invalid) = Zones::parse(Path::new("zones.toml"), &text) {
                prop_assert!(!invalid.to_string().is_empty());
            }
        }
    }
}
