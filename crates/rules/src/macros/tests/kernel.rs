//! Generated rulesets in a real kernel, in a namespace of their own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;
use unmasq_netfilter::netns::Namespace;

use super::good;
use crate::Form;
use crate::program::run;

const VARS: &str = "\
#define OFFICE 192.0.2.1 192.0.2.2
#define PARTNERS 198.51.100.0/24 \\
    198.51.102.0/24
#define PERMITTED OFFICE PARTNERS 203.0.113.7
#define SERVICES 22 80 8000:8010
#define PREFIX \"LOinter drop: \"
";

const IPTABLES: &str = "\
*filter
:INPUT DROP [0:0]
:LOinter - [0:0]
-A INPUT -i eth1 -j LOinter
[5:300] -A LOinter -p tcp -m tcp -s PERMITTED --dport SERVICES -m comment --comment \"PERMITTED SERVICES\" -j ACCEPT
-A LOinter -j LOG --log-prefix PREFIX
COMMIT
";

const NFT: &str = "\
table ip filter {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tiifname \"eth1\" jump LOinter
\t}
\tchain LOinter {
\t\tip saddr PERMITTED tcp dport SERVICES accept comment \"PERMITTED SERVICES\"
\t\tlog prefix PREFIX
\t}
}
";

/// As nft writes ranges of ports.
fn nft_vars() -> String {
    VARS.replace("8000:8010", "8000-8010")
}

/// Addresses and ports, each as what it covers: the kernel joins neighbours of a set, and iptables does not.
#[derive(Debug, PartialEq, Eq)]
struct Accepted {
    addresses: Vec<(u32, u32)>,
    ports: Vec<(u32, u32)>,
}

impl Accepted {
    fn new(addresses: &[String], ports: &[String]) -> Self {
        Self { addresses: covered(addresses), ports: covered(ports) }
    }
}

/// First and last of each range, neighbours joined.
fn covered(elements: &[String]) -> Vec<(u32, u32)> {
    let number = |text: &str| text.parse().unwrap_or_else(|_| u32::from(text.parse::<Ipv4Addr>().unwrap()));
    let range = |element: &String| match (element.split_once('/'), element.split_once(['-', ':'])) {
        (Some((address, length)), _) => {
            let first = number(address);
            (first, first | u32::MAX.checked_shr(length.parse().unwrap()).unwrap_or_default())
        }
        (None, Some((first, last))) => (number(first), number(last)),
        (None, None) => (number(element), number(element)),
    };
    let mut ranges: Vec<(u32, u32)> = elements.iter().map(range).collect();
    ranges.sort_unstable();
    ranges.dedup();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if *end + 1 >= first => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// What iptables-save shows in rules that accept: every address with every port, each in a rule.
fn of_rules(saved: &str) -> Accepted {
    let value = |rule: &str, option: &str| {
        let words: Vec<&str> = rule.split(' ').collect();
        words[words.iter().position(|word| *word == option).unwrap() + 1].to_owned()
    };
    let rules: Vec<&str> = saved.lines().filter(|line| line.ends_with("-j ACCEPT")).collect();
    let pairs: BTreeSet<_> = rules.iter().map(|rule| (value(rule, "-s"), value(rule, "--dport"))).collect();
    let addresses: BTreeSet<_> = pairs.iter().map(|(address, _)| address.clone()).collect();
    let ports: BTreeSet<_> = pairs.iter().map(|(_, port)| port.clone()).collect();
    assert_eq!((rules.len(), pairs.len()), (15, addresses.len() * ports.len()), "{saved}");
    Accepted::new(&Vec::from_iter(addresses), &Vec::from_iter(ports))
}

/// What nft lists in the only rule that accepts.
fn of_sets(listed: &Value) -> Accepted {
    let all = listed["nftables"].as_array().unwrap();
    let accepting: Vec<&Vec<Value>> = all
        .iter()
        .filter_map(|one| one["rule"]["expr"].as_array())
        .filter(|expressions| expressions.iter().any(|one| one.get("accept").is_some()))
        .collect();
    assert_eq!(accepting.len(), 1, "one rule instead of many: {listed}");
    let set = |nth: usize| -> Vec<String> {
        accepting[0][nth]["match"]["right"]["set"].as_array().unwrap().iter().map(element).collect()
    };
    Accepted::new(&set(0), &set(1))
}

/// An element of nft's JSON as a text.
fn element(value: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(prefix) = value.get("prefix") {
        return format!("{}/{}", plain(&prefix["addr"]), prefix["len"]);
    }
    if let Some(range) = value.get("range") {
        return format!("{}-{}", plain(&range[0]), plain(&range[1]));
    }
    plain(value)
}

#[test]
fn the_kernel_takes_both_forms_and_they_mean_the_same() {
    let copied = good(Form::Iptables, VARS, IPTABLES);
    let with_sets = good(Form::Nft, &nft_vars(), NFT);
    let saved = Namespace::scratch(|| {
        Form::Iptables.try_out(&copied).unwrap();
        run("iptables-restore", &["-w", "5"], &copied).unwrap();
        run("iptables-save", &["-t", "filter"], "").unwrap()
    })
    .unwrap();
    let listed = Namespace::scratch(|| {
        Form::Nft.try_out(&with_sets).unwrap();
        run("nft", &["-f", "-"], &with_sets).unwrap();
        run("nft", &["-j", "list", "ruleset"], "").unwrap()
    })
    .unwrap();
    assert_eq!(of_rules(&saved), of_sets(&serde_json::from_str(&listed).unwrap()));
    assert!(saved.contains("--log-prefix \"LOinter drop: \""), "{saved}");
    assert!(listed.contains("\"LOinter drop: \""), "{listed}");
}

#[test]
fn nft_takes_macros_wherever_they_are_accepted() {
    let vars = "\
#define OFFICE 192.0.2.1 192.0.2.2
#define NET 10.0.0.0 10.1.0.0
#define ONE 192.0.2.9
#define LANS eth0 eth1
#define LAN lo
#define PORT 8080
#define PORTS 22 80
#define RATE 10/second
#define GROUP 5
#define TIME 1h
#define CHAIN trusted
#define MARK 0x10
#define PRIO -150
#define TYPES echo-request destination-unreachable
#define STATES established related
#define LOCAL local
#define FLAGS timeout
#define COMMENT \"the office\"
#define VERDICT accept
";
    let input = "\
define own = { 1.1.1.1, OFFICE }
add table inet g
add chain inet g c
add rule inet g c ip saddr { OFFICE, NET/16, 9.9.9.9 } accept
add set inet g s { type ipv4_addr; flags FLAGS; timeout TIME; }
add element inet g s { OFFICE }
table inet f {
\tset s {
\t\ttype ipv4_addr
\t\telements = { OFFICE, 8.8.8.8 }
\t}
\tchain trusted { }
\tchain c {
\t\ttype filter hook input priority PRIO; policy accept;
\t\tip saddr != OFFICE limit rate over RATE log group GROUP
\t\tip saddr NET/16 iifname LANS jump CHAIN comment COMMENT
\t\tip saddr vmap { ONE : jump CHAIN, OFFICE : drop }
\t\tiifname LAN meta mark set MARK
\t\ticmp type TYPES ct state STATES VERDICT
\t\tfib daddr type LOCAL ip saddr ONE/32 ip daddr ONE-192.0.2.20 ip saddr $own VERDICT
\t\tip saddr . tcp dport { ONE . PORT, OFFICE . PORTS } accept
\t\tip saddr vmap { NET/16 : jump CHAIN, 10.2.0.0/16 : drop, OFFICE : accept }
\t\tip saddr { NET/16, OFFICE, 9.9.9.9 } iifname vmap { LANS : jump CHAIN }
\t}
\tchain n {
\t\ttype nat hook prerouting priority dstnat;
\t\ttcp dport 80 dnat ip to ONE:PORT
\t\ttcp dport 81 redirect to :PORT
\t}
}
";
    let text = good(Form::Nft, vars, input);
    Namespace::scratch(|| Form::Nft.try_out(&text))
        .unwrap()
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
}
