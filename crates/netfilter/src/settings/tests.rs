//! Settings of real namespaces. Needs root.

use unmasq_lab::Lab;

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
