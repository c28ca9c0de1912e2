//! Zones for nftables: a table of our own, in which a map leads from the interface to the zone's chain.

use std::fmt::Write;

use super::selection::{Selection, texts};
use super::{Log, Zone, Zones};
use crate::ipv6;
use crate::value::{Interface, by_family, one_or_set};

/// Our table, of the family `inet`.
pub const TABLE: &str = "unmasq_zones";

/// Sources of IPv6 that every link has: the unspecified address and the link's own (RFC 4861, section 7.2.2).
const OF_THE_LINK: [&str; 2] = ["::", "fe80::/10"];

/// The whole table, for `nft -f`. Loading it replaces ours in one transaction and leaves all others alone.
pub(super) fn ruleset(zones: &Zones) -> String {
    let mut page = Page { zones, text: String::new() };
    page.head();
    page.maps();
    page.input();
    page.forward();
    page.prerouting();
    for zone in &zones.zones {
        page.local(zone);
        page.proxied(zone);
        page.forwarded(zone);
        page.sources(zone);
    }
    page.spoofed();
    page.text.push_str("}\n");
    page.text
}

struct Page<'z> {
    zones: &'z Zones,
    text: String,
}

impl Page<'_> {
    fn head(&mut self) {
        let mut head = format!(
            "# Security zones, by `unmasq rules zones`. Loading it replaces the table inet {TABLE} and nothing else.\n"
        );
        let routing = self.zones.policy_routing();
        if !routing.is_empty() {
            head.push_str("# Proxied packets need this policy routing too:\n");
            for line in routing {
                let _ = writeln!(head, "#   {line}");
            }
        }
        // "table" first, so that "delete" finds one also the first time.
        let _ = write!(head, "table inet {TABLE}\ndelete table inet {TABLE}\n\ntable inet {TABLE} {{\n");
        self.text.push_str(&head);
    }

    fn maps(&mut self) {
        if let Some(first) = self.zones.zones.first() {
            let _ = writeln!(
                self.text,
                "\t# An interface that comes later: nft add element inet {TABLE} local_map {{ ppp1 : jump LO{} }},\n\
                 \t# and so for each map.",
                first.name
            );
        }
        let is_open = |zone: &Zone| self.zones.forwards_of(zone).next().is_some();
        let of = |letters: &str, is_there: &dyn Fn(&Zone) -> bool| -> Vec<(String, &[Interface])> {
            let zones = self.zones.zones.iter().filter(|zone| is_there(zone));
            zones.map(|zone| (format!("{letters}{}", zone.name), &zone.interfaces[..])).collect()
        };
        for (name, chains) in [
            ("local_map", of("LO", &|_| true)),
            ("proxy_map", of("PR", &|zone| self.has_prerouting(zone))),
            ("forward_map", of("FO", &is_open)),
        ] {
            map(&mut self.text, name, &chains);
        }
    }

    fn chain(&mut self, name: &str, rules: &[String]) {
        let _ = writeln!(self.text, "\n\tchain {name} {{");
        for rule in rules {
            let _ = writeln!(self.text, "\t\t{rule}");
        }
        self.text.push_str("\t}\n");
    }

    fn input(&mut self) {
        let mut rules = vec![
            "type filter hook input priority filter; policy drop;".to_owned(),
            "ct state established,related accept".to_owned(),
            "iifname \"lo\" accept".to_owned(),
        ];
        if self.zones.has_proxies() {
            rules.push("meta l4proto { tcp, udp } socket transparent 1 accept".into());
        }
        rules.extend(ipv6::NFT.map(str::to_owned));
        rules.push("iifname vmap @local_map".into());
        rules.extend(self.drop("input"));
        self.chain("input", &rules);
    }

    fn forward(&mut self) {
        let mut rules = vec!["type filter hook forward priority filter; policy drop;".to_owned()];
        if !self.zones.forwards.is_empty() {
            rules.push("ct state established,related accept".into());
            rules.push("iifname vmap @forward_map".into());
        }
        rules.extend(self.drop("forward"));
        self.chain("forward", &rules);
    }

    fn has_prerouting(&self, zone: &Zone) -> bool {
        self.zones.has_proxies() || self.zones.has_sources(zone)
    }

    fn prerouting(&mut self) {
        if self.zones.zones.iter().any(|zone| self.has_prerouting(zone)) {
            let rules = [
                "type filter hook prerouting priority mangle; policy accept;".to_owned(),
                "iifname vmap @proxy_map".to_owned(),
            ];
            self.chain("prerouting", &rules);
        }
    }

    /// `LO…`: what may reach the gateway.
    fn local(&mut self, zone: &Zone) {
        let mut rules = Vec::new();
        for local in &zone.local {
            let log = self.accepted(zone, "local", local.is_logged);
            rules.extend(Selection::local(local).nft().iter().map(|of| format!("{of}{log}accept")));
        }
        for service in self.zones.services_of(zone).filter(|service| !service.is_transparent) {
            let ports = crate::value::Ports::one(service.listen);
            let to_proxy = Selection { ports: Some(&ports), ..Selection::service(service) };
            rules.extend(to_proxy.nft().iter().map(|of| format!("{of}accept")));
        }
        rules.extend(self.drop(&format!("{} local", zone.name)));
        self.chain(&format!("LO{}", zone.name), &rules);
    }

    /// `PR…`: what a proxy takes. A session that none takes goes on to the filter chains.
    fn proxied(&mut self, zone: &Zone) {
        if !self.has_prerouting(zone) {
            return;
        }
        let (mark, mut rules) = (self.zones.routing.nft(), Vec::new());
        if self.zones.has_sources(zone) {
            rules.push(format!("jump SO{}", zone.name));
        }
        if self.zones.has_proxies() {
            // First what belongs to a proxy's open connection: the servers' answers come by here too.
            rules.push(format!("meta l4proto {{ tcp, udp }} socket transparent 1 {mark} accept"));
        }
        let mut is_first = true;
        for service in self.zones.services_of(zone).filter(|service| service.is_transparent) {
            if std::mem::take(&mut is_first) {
                rules.push("fib daddr type { local, broadcast, multicast } return".into());
            }
            for of in Selection::service(service).nft() {
                for (family, to) in [("ip", "127.0.0.1"), ("ip6", "[::1]")] {
                    let version = if family == "ip" { "ipv4" } else { "ipv6" };
                    let listener = format!("{to}:{}", service.listen);
                    rules.push(format!(
                        "meta nfproto {version} {of}tproxy {family} to {listener} {mark} accept"
                    ));
                }
                // Without a listener nft's tproxy ends the rule and not the packet, which would be routed past the proxy.
                rules.push(format!("{of}counter drop"));
            }
        }
        self.chain(&format!("PR{}", zone.name), &rules);
    }

    /// `FO…`: what is forwarded all the same.
    fn forwarded(&mut self, zone: &Zone) {
        let mut rules = Vec::new();
        for forward in self.zones.forwards_of(zone) {
            let log = self.accepted(zone, "forward", forward.is_logged);
            let selection = Selection::forward(forward, self.zones);
            rules.extend(selection.nft().iter().map(|of| format!("{of}{log}accept")));
        }
        if !rules.is_empty() {
            rules.extend(self.drop(&format!("{} forward", zone.name)));
            self.chain(&format!("FO{}", zone.name), &rules);
        }
    }

    /// `SO…`: returns if the zone can have such a source.
    fn sources(&mut self, zone: &Zone) {
        if !self.zones.has_sources(zone) {
            return;
        }
        let mut rules = Vec::new();
        let (v4, v6) = by_family(self.zones.foreign_to(zone));
        if !v4.is_empty() {
            rules.push(format!("ip saddr {} goto spoofed", one_or_set(&v4)));
        }
        if !v6.is_empty() {
            rules.push(format!("ip6 saddr {} goto spoofed", one_or_set(&v6)));
        }
        if !zone.networks.is_empty() {
            let (v4, v6) = by_family(&zone.networks);
            if v4.is_empty() {
                rules.push("meta nfproto ipv4 goto spoofed".into());
            } else if !v4.iter().any(|net| net.prefix_len() == 0) {
                rules.push("ip saddr 0.0.0.0 udp dport 67 return".into());
                rules.push(format!("ip saddr != {} goto spoofed", one_or_set(&v4)));
            }
            if !v6.iter().any(|net| net.prefix_len() == 0) {
                let mut own = texts(&OF_THE_LINK);
                own.extend(v6.iter().filter(|net| !is_of_the_link(net)).map(ToString::to_string));
                rules.push(format!("ip6 saddr != {} goto spoofed", one_or_set(&own)));
            }
        }
        self.chain(&format!("SO{}", zone.name), &rules);
    }

    fn spoofed(&mut self) {
        if self.zones.zones.iter().any(|zone| self.zones.has_sources(zone)) {
            let rules = self.drop("spoofed");
            self.chain("spoofed", &rules);
        }
    }

    /// The statement that logs what is accepted, with a space behind it.
    fn accepted(&self, zone: &Zone, what: &str, is_logged: bool) -> String {
        match &self.zones.log {
            Some(log) if is_logged => {
                format!("{} ", log.nflog.nft(&log.prefix.with(&format!("{} {what} accept", zone.name))))
            }
            _ => String::new(),
        }
    }

    /// Logs, at a limited rate, and drops.
    fn drop(&self, what: &str) -> Vec<String> {
        let drop = "counter drop".to_owned();
        match &self.zones.log {
            Some(Log { nflog, prefix, rate, burst }) => {
                let log = nflog.nft(&prefix.with(what));
                vec![format!("limit rate {rate} burst {burst} packets {log}"), drop]
            }
            None => vec![drop],
        }
    }
}

/// Is it within what every link has? nft refuses sets in which one contains another.
fn is_of_the_link(net: &ipnet::Ipv6Net) -> bool {
    net.addr().is_unicast_link_local() || (net.addr().is_unspecified() && net.prefix_len() == 128)
}

/// A map from interface to chain; none if nothing leads anywhere.
fn map(text: &mut String, name: &str, chains: &[(String, &[Interface])]) {
    let mut elements = Vec::new();
    for (chain, interfaces) in chains {
        elements.extend(interfaces.iter().map(|name| format!("{} : jump {chain}", name.quoted())));
    }
    if !elements.is_empty() {
        let elements = elements.join(",\n\t\t\t");
        let _ = write!(
            text,
            "\tmap {name} {{\n\t\ttype ifname : verdict\n\t\telements = {{\n\t\t\t{elements}\n\t\t}}\n\t}}\n"
        );
    }
}
