//! What is said about settings that are set up by hand.

use std::time::Duration;

use unmasq_netfilter::settings::{
    Capabilities, Clock, Flowtable, Framework, Pressure, Rules, SettingError, Untracked,
};

use super::*;
use crate::cmd::doctor::check::{By, Verdict};

fn place(framework: Framework, family: &str) -> NatPlace {
    NatPlace {
        framework,
        family: family.to_owned(),
        table: "nat".to_owned(),
        chain: "POSTROUTING".to_owned(),
        rules: 2,
    }
}

/// A gateway on which all is well.
fn healthy() -> Settings {
    Settings {
        is_initial: true,
        conntrack: Presence::Loaded,
        conntrack_netlink: Presence::BuiltIn,
        events: Ok(1),
        timestamp: Ok(1),
        accounting: Ok(1),
        max: Ok(262_144),
        count: Ok(1000),
        buckets: Ok(65_536),
        pressure: Ok(Pressure::default()),
        receive_max: Ok(212_992),
        forward4: Ok(1),
        forward6: Ok(0),
        rules: Rules { nat: vec![place(Framework::Nft, "ip")], ..Rules::default() },
        clock: Ok(Clock { is_synchronised: true, max_error: Duration::from_millis(5) }),
        capabilities: Capabilities { net_admin: true, sys_admin: true },
    }
}

fn judged(settings: &Settings) -> Vec<Check> {
    judge(&Patient { namespace: "", settings, boot: None })
}

/// The checks that are not well: name, verdict, and the first command with who runs it.
fn wrong(settings: &Settings) -> Vec<(&'static str, Verdict, String)> {
    let command = |check: &Check| {
        check.remedies.first().map_or(String::new(), |r| format!("{}: {}", r.by(), r.command("")))
    };
    judged(settings)
        .into_iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .map(|check| (check.id, check.verdict, command(&check)))
        .collect()
}

fn absent() -> SettingError {
    SettingError::Absent { file: "/proc/sys/net/netfilter/x".to_owned() }
}

#[test]
fn a_healthy_gateway_has_nothing_to_mend() {
    assert_eq!(wrong(&healthy()), []);
    assert!(judged(&healthy()).iter().all(|check| check.why.is_empty() && check.remedies.is_empty()));
}

#[test]
fn events_must_be_one() {
    for value in [0, 2] {
        let found = wrong(&Settings { events: Ok(value), ..healthy() });
        let command = "--fix: sysctl -w net.netfilter.nf_conntrack_events=1".to_owned();
        assert_eq!(found, [("events", Bad, command)]);
    }
}

#[test]
fn times_are_needed_and_counters_are_optional() {
    let found = wrong(&Settings { timestamp: Ok(0), accounting: Ok(0), ..healthy() });
    let verdicts: Vec<_> = found.iter().map(|(id, verdict, _)| (*id, *verdict)).collect();
    assert_eq!(verdicts, [("timestamp", Bad), ("accounting", Warn)]);
}

#[test]
fn without_conntrack_it_is_loaded_and_set() {
    let found = wrong(&Settings {
        conntrack: Presence::Loadable,
        conntrack_netlink: Presence::Loadable,
        events: Err(absent()),
        timestamp: Err(absent()),
        ..healthy()
    });
    let commands: Vec<_> = found.iter().map(|(_, verdict, command)| (*verdict, command.as_str())).collect();
    assert_eq!(
        commands,
        [
            (Bad, "--fix: modprobe nf_conntrack"),
            (Bad, "--fix: modprobe nf_conntrack_netlink"),
            (Bad, "--fix: sysctl -w net.netfilter.nf_conntrack_events=1"),
            (Bad, "--fix: sysctl -w net.netfilter.nf_conntrack_timestamp=1"),
        ]
    );
    // With conntrack there, what is absent was left out of the kernel, and no command brings it.
    let found = wrong(&Settings { timestamp: Err(absent()), ..healthy() });
    assert_eq!(found, [("timestamp", Warn, String::new())]);
}

#[test]
fn a_table_that_fills_is_made_larger_for_the_host() {
    let with = |count, refused| {
        wrong(&Settings { count: Ok(count), pressure: Ok(Pressure { refused, ended_early: 0 }), ..healthy() })
    };
    let larger = |n: u64| format!("--fix-host: sysctl -w net.netfilter.nf_conntrack_max={n}");
    assert_eq!(with(131_071, 0), []);
    assert_eq!(with(131_072, 0), [("table", Warn, larger(524_288))]);
    assert_eq!(with(209_716, 0), [("table", Bad, larger(1_048_576))]);
    assert_eq!(with(5, 1), [("table", Warn, larger(524_288))]);
    let unlimited = Settings { max: Ok(0), ..healthy() };
    assert_eq!(wrong(&unlimited), []);
}

#[test]
fn a_hash_table_that_is_too_small_is_grown_with_it() {
    let found = wrong(&Settings { max: Ok(1 << 20), buckets: Ok(16_384), ..healthy() });
    let command = "--fix-host: sysctl -w net.netfilter.nf_conntrack_buckets=1048576".to_owned();
    assert_eq!(found, [("buckets", Warn, command)]);
}

#[test]
fn the_receive_buffer_is_limited_only_without_the_capability() {
    let held = Capabilities { net_admin: false, sys_admin: true };
    let found = wrong(&Settings { capabilities: held, ..healthy() });
    assert_eq!(
        found[0],
        ("receive-buffer", Warn, "--fix-host: sysctl -w net.core.rmem_max=67108864".to_owned())
    );
    assert_eq!((found[1].0, found[1].1), ("capabilities", Bad));
}

#[test]
fn rules_are_left_to_people_with_the_exact_command() {
    let rules = Rules {
        nat: vec![place(Framework::Legacy, "ip"), place(Framework::Nft, "inet")],
        untracked: vec![Untracked {
            place: "ip raw OUTPUT".to_owned(),
            removal: "iptables -t raw -D OUTPUT 1".to_owned(),
        }],
        flowtables: vec![Flowtable {
            family: "inet".to_owned(),
            table: "f".to_owned(),
            name: "fast".to_owned(),
            devices: vec!["eth0".to_owned()],
            removal: vec!["nft delete flowtable inet f fast".to_owned()],
        }],
        unread: Vec::new(),
    };
    let settings = Settings { rules, ..healthy() };
    let checks = judge(&Patient { namespace: "vpn0", settings: &settings, boot: None });
    let wrong: Vec<_> = checks.iter().filter(|check| check.verdict != Verdict::Ok).collect();
    assert_eq!(wrong.iter().map(|check| check.id).collect::<Vec<_>>(), ["nat", "notrack", "flowtable"]);
    assert!(wrong.iter().flat_map(|check| &check.remedies).all(|remedy| remedy.by() == By::Hand));
    assert_eq!(wrong[1].remedies[0].command("vpn0"), "ip netns exec vpn0 iptables -t raw -D OUTPUT 1");
    assert_eq!(
        wrong[0].remedies[0].command("vpn0"),
        "ip netns exec vpn0 sh -c 'iptables-legacy-save | iptables-nft-restore --noflush'"
    );
}

#[test]
fn rules_that_cannot_be_read_are_not_taken_for_none() {
    let unread = SettingError::NotInstalled { program: "nft", package: "nftables" };
    let rules = Rules { unread: vec![unread], ..Rules::default() };
    let checks = judged(&Settings { rules, ..healthy() });
    let about = |id| checks.iter().find(|check| check.id == id).map(|check| check.verdict);
    assert_eq!(about("rules"), Some(Warn));
    assert_eq!(about("notrack"), None);
    assert!(checks.iter().any(|check| check.read.contains("apt-get install nftables")));
}

#[test]
fn forwarding_matters_where_rules_translate() {
    let found = wrong(&Settings { forward4: Ok(0), ..healthy() });
    assert_eq!(found, [("forward-ipv4", Warn, "by hand: sysctl -w net.ipv4.ip_forward=1".to_owned())]);
    let rules = Rules { nat: vec![place(Framework::Nft, "ip6")], ..Rules::default() };
    let found = wrong(&Settings { forward4: Ok(0), rules, ..healthy() });
    assert_eq!(found[0].0, "forward-ipv6");
    assert_eq!(found.len(), 1);
}

#[test]
fn a_clock_that_drifts_is_named() {
    let clock = Ok(Clock { is_synchronised: false, max_error: Duration::from_secs(16) });
    assert_eq!(wrong(&Settings { clock, ..healthy() })[0].0, "clock");
}
