//! Zones for iptables, one family at a time: the tables filter and mangle, whole.

use std::fmt::Write;

use super::selection::{Selection, texts};
use super::{Zone, Zones};
use crate::ipv6;
use crate::value::{Ports, by_family};

/// A rule with one network takes one line: iptables has no sets of its own.
pub(super) fn ruleset(zones: &Zones, is_v6: bool) -> String {
    let page = Page { zones, is_v6 };
    let program = if is_v6 { "ip6tables" } else { "iptables" };
    let mut text = format!(
        "# Security zones, by `unmasq rules zones --format {program}`. {program}-restore replaces the tables filter and mangle by it.\n"
    );
    let routing = zones.policy_routing();
    let of_family: Vec<_> = routing.iter().filter(|line| line.starts_with("ip -6") == is_v6).collect();
    if !of_family.is_empty() {
        text.push_str("# Proxied packets need this policy routing too:\n");
        for line in of_family {
            let _ = writeln!(text, "#   {line}");
        }
    }
    page.filter(&mut text);
    page.mangle(&mut text);
    text
}

struct Page<'z> {
    zones: &'z Zones,
    is_v6: bool,
}

impl Page<'_> {
    fn filter(&self, text: &mut String) {
        text.push_str("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n");
        for zone in &self.zones.zones {
            let _ = writeln!(text, ":LO{} - [0:0]", zone.name);
            if self.has_forwards(zone) {
                let _ = writeln!(text, ":FO{} - [0:0]", zone.name);
            }
        }
        let mut rules = vec![
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned(),
            "-A INPUT -i lo -j ACCEPT".to_owned(),
        ];
        if self.zones.has_proxies() {
            rules.push("-A INPUT -m socket --transparent -j ACCEPT".into());
        }
        if self.is_v6 {
            rules.extend(ipv6::ip6tables().iter().map(|rule| format!("-A INPUT {rule}")));
        }
        self.jumps(&mut rules, "INPUT", "LO", |_| true);
        self.drop(&mut rules, "INPUT", "input");
        if !self.zones.forwards.is_empty() {
            rules.push("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".into());
            self.jumps(&mut rules, "FORWARD", "FO", |zone| self.has_forwards(zone));
        }
        self.drop(&mut rules, "FORWARD", "forward");
        for zone in &self.zones.zones {
            self.local(&mut rules, zone);
            self.forwarded(&mut rules, zone);
        }
        push(text, &rules);
    }

    fn mangle(&self, text: &mut String) {
        text.push_str(
            "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
             :POSTROUTING ACCEPT [0:0]\n",
        );
        let has_proxies = self.zones.has_proxies();
        let has_sources = self.zones.zones.iter().any(|zone| self.zones.has_sources(zone));
        for (chain, is_there) in [("DIVERT", has_proxies), ("SPOOFED", has_sources)] {
            if is_there {
                let _ = writeln!(text, ":{chain} - [0:0]");
            }
        }
        for zone in &self.zones.zones {
            for (chain, is_there) in
                [("SO", self.zones.has_sources(zone)), ("PR", has_proxies || self.zones.has_sources(zone))]
            {
                if is_there {
                    let _ = writeln!(text, ":{chain}{} - [0:0]", zone.name);
                }
            }
        }
        let mut rules = Vec::new();
        self.jumps(&mut rules, "PREROUTING", "PR", |zone| has_proxies || self.zones.has_sources(zone));
        if has_proxies {
            let mark = self.zones.routing.mark.masked();
            rules.push(format!("-A DIVERT -j MARK --set-xmark {mark}"));
            rules.push("-A DIVERT -j ACCEPT".into());
        }
        if has_sources {
            self.drop(&mut rules, "SPOOFED", "spoofed");
        }
        for zone in &self.zones.zones {
            self.sources(&mut rules, zone);
            self.proxied(&mut rules, zone);
        }
        push(text, &rules);
    }

    fn has_forwards(&self, zone: &Zone) -> bool {
        self.zones.forwards_of(zone).next().is_some()
    }

    fn jumps(&self, rules: &mut Vec<String>, from: &str, to: &str, is_there: impl Fn(&Zone) -> bool) {
        for zone in self.zones.zones.iter().filter(|zone| is_there(zone)) {
            rules.extend(
                zone.interfaces.iter().map(|name| format!("-A {from} -i {name} -j {to}{}", zone.name)),
            );
        }
    }

    fn local(&self, rules: &mut Vec<String>, zone: &Zone) {
        let chain = format!("LO{}", zone.name);
        for local in &zone.local {
            let matches = Selection::local(local).iptables(self.is_v6);
            self.accept(rules, zone, (&chain, "local"), &matches, local.is_logged);
        }
        for service in self.zones.services_of(zone).filter(|service| !service.is_transparent) {
            let ports = Ports::one(service.listen);
            let to_proxy = Selection { ports: Some(&ports), ..Selection::service(service) };
            self.accept(rules, zone, (&chain, "local"), &to_proxy.iptables(self.is_v6), false);
        }
        self.drop(rules, &chain, &format!("{} local", zone.name));
    }

    fn forwarded(&self, rules: &mut Vec<String>, zone: &Zone) {
        if !self.has_forwards(zone) {
            return;
        }
        let chain = format!("FO{}", zone.name);
        for forward in self.zones.forwards_of(zone) {
            let matches = Selection::forward(forward, self.zones).iptables(self.is_v6);
            self.accept(rules, zone, (&chain, "forward"), &matches, forward.is_logged);
        }
        self.drop(rules, &chain, &format!("{} forward", zone.name));
    }

    fn sources(&self, rules: &mut Vec<String>, zone: &Zone) {
        if !self.zones.has_sources(zone) {
            return;
        }
        let chain = format!("SO{}", zone.name);
        let of_family = |(v4, v6): (Vec<ipnet::Ipv4Net>, Vec<ipnet::Ipv6Net>)| {
            if self.is_v6 { texts(&v6) } else { texts(&v4) }
        };
        for net in of_family(by_family(self.zones.foreign_to(zone))) {
            rules.push(format!("-A {chain} -s {net} -j SPOOFED"));
        }
        if zone.networks.is_empty() {
            return;
        }
        let own = of_family(by_family(&zone.networks));
        if self.is_v6 {
            // Of every link, as in the nft form.
            rules.extend(["::/128", "fe80::/10"].map(|net| format!("-A {chain} -s {net} -j RETURN")));
        } else if !own.is_empty() {
            rules.push(format!("-A {chain} -s 0.0.0.0/32 -p udp -m udp --dport 67 -j RETURN"));
        }
        rules.extend(own.iter().map(|net| format!("-A {chain} -s {net} -j RETURN")));
        rules.push(format!("-A {chain} -j SPOOFED"));
    }

    fn proxied(&self, rules: &mut Vec<String>, zone: &Zone) {
        let chain = format!("PR{}", zone.name);
        if self.zones.has_sources(zone) {
            rules.push(format!("-A {chain} -j SO{}", zone.name));
        }
        if self.zones.has_proxies() {
            rules.push(format!("-A {chain} -m socket --transparent -j DIVERT"));
        }
        let (mark, listener) =
            (self.zones.routing.mark.masked(), if self.is_v6 { "::1" } else { "127.0.0.1" });
        let mut is_first = true;
        for service in self.zones.services_of(zone).filter(|service| service.is_transparent) {
            if std::mem::take(&mut is_first) {
                // IPv6 has no broadcast, and its addrtype knows multicast all the same.
                rules.extend(
                    ["LOCAL", "BROADCAST", "MULTICAST"]
                        .iter()
                        .filter(|kind| !self.is_v6 || **kind != "BROADCAST")
                        .map(|kind| format!("-A {chain} -m addrtype --dst-type {kind} -j RETURN")),
                );
            }
            // Without a listener xt_TPROXY drops the packet: this fails closed as it is.
            rules.extend(Selection::service(service).iptables(self.is_v6).iter().map(|of| {
                format!(
                    "-A {chain} {of}-j TPROXY --on-port {} --on-ip {listener} --tproxy-mark {mark}",
                    service.listen
                )
            }));
        }
    }

    fn accept(
        &self,
        rules: &mut Vec<String>,
        zone: &Zone,
        (chain, what): (&str, &str),
        matches: &[String],
        is_logged: bool,
    ) {
        for of in matches {
            if let Some(log) = self.zones.log.as_ref().filter(|_| is_logged) {
                let prefix = log.prefix.with(&format!("{} {what} accept", zone.name));
                rules.push(format!("-A {chain} {of}{}", log.nflog.iptables(&prefix)));
            }
            rules.push(format!("-A {chain} {of}-j ACCEPT"));
        }
    }

    fn drop(&self, rules: &mut Vec<String>, chain: &str, what: &str) {
        if let Some(log) = &self.zones.log {
            let target = log.nflog.iptables(&log.prefix.with(what));
            rules.push(format!(
                "-A {chain} -m limit --limit {} --limit-burst {} {target}",
                log.rate, log.burst
            ));
        }
        rules.push(format!("-A {chain} -j DROP"));
    }
}

/// The rules of a table, and its end.
fn push(text: &mut String, rules: &[String]) {
    for rule in rules {
        text.push_str(rule);
        text.push('\n');
    }
    text.push_str("COMMIT\n");
}
