//! The file of zones: TOML, read into [`Zones`] with every mistake marked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use unmasq_diagnostic::Problem;

use super::{Forward, Local, Log, Protocol, Routing, Service, Traffic, Zone, Zones};
use crate::nflog::Nflog;
use crate::value::{Interface, Label, Mark, Network, Ports, Prefix, Rate, Transport, ZoneName};

/// Tables of their own meaning: default, main and local (`RT_TABLE_…` of linux/rtnetlink.h), and none.
const KEPT_TABLES: [u32; 4] = [0, 253, 254, 255];

/// The longest of `[log] prefix`: with a zone's name and two words, 63 characters.
const LONGEST_PREFIX: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    log: Option<RawLog>,
    routing: Option<RawRouting>,
    #[serde(default, deserialize_with = "in_order")]
    service: Vec<(Spanned<Label>, RawService)>,
    #[serde(default, deserialize_with = "in_order")]
    zone: Vec<(Spanned<ZoneName>, RawZone)>,
    #[serde(default)]
    forward: Vec<Spanned<RawForward>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section, [log]")]
struct RawLog {
    group: u16,
    prefix: Option<Spanned<Prefix>>,
    rate: Option<Rate>,
    burst: Option<Spanned<u16>>,
    snaplen: Option<u32>,
    queue_threshold: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section, [routing]")]
struct RawRouting {
    mark: Option<Spanned<u32>>,
    table: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with a name of its own, such as [service.http]")]
struct RawService {
    protocol: Transport,
    ports: Ports,
    listen: Spanned<u16>,
    transparent: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with a name of its own, such as [zone.intra]")]
struct RawZone {
    interfaces: Spanned<Vec<Spanned<Interface>>>,
    #[serde(default)]
    networks: Vec<Spanned<Network>>,
    #[serde(default)]
    proxy: Vec<Spanned<Label>>,
    #[serde(default)]
    local: Vec<RawLocal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section of its own for each, such as [[zone.intra.local]]")]
struct RawLocal {
    protocol: Protocol,
    ports: Option<Spanned<Ports>>,
    #[serde(default)]
    from: Vec<Network>,
    log: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section of its own for each, [[forward]]")]
struct RawForward {
    from: Spanned<ZoneName>,
    to: Spanned<ZoneName>,
    protocol: Protocol,
    ports: Option<Spanned<Ports>>,
    #[serde(default)]
    source: Vec<Network>,
    #[serde(default)]
    destination: Vec<Network>,
    log: Option<Spanned<bool>>,
}

/// Reads a text, or says all that is wrong with it. What is no TOML, or has other keys, is said alone.
pub(super) fn zones(text: &str) -> Result<Zones, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        vec![Problem::error(span, told(error.message().trim_end()))]
    })?;
    let mut reader = Reader { problems: Vec::new(), has_log: file.log.is_some() };
    let zones = reader.read(file);
    if reader.problems.is_empty() { Ok(zones) } else { Err(reader.problems) }
}

/// What toml or serde says, with a way out where there is a likely one.
fn told(message: &str) -> String {
    if message == "invalid type: map, expected a sequence" {
        return "there may be several of this section: write its name in double brackets, such as [[forward]]".to_owned();
    }
    match advice(message) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

struct Reader {
    problems: Vec<Problem>,
    has_log: bool,
}

impl Reader {
    fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::error(span, message));
    }

    fn read(&mut self, file: File) -> Zones {
        let log = file.log.map(|raw| self.log(raw));
        let routing = file.routing.map_or_else(Routing::default, |raw| self.routing(&raw));
        if file.zone.is_empty() {
            self.wrong(0..0, "there is no zone; begin with [zone.intra] and its interfaces");
        }
        let services = self.services(file.service);
        let names: Vec<_> = file.zone.iter().map(|(name, _)| name.get_ref().clone()).collect();
        let forwards = file.forward.into_iter().map(|raw| self.forward(raw, &names)).collect();
        Zones { log, routing, zones: self.zones(file.zone, &services), services, forwards }
    }

    fn log(&mut self, raw: RawLog) -> Log {
        const USUAL: &str = "zones";
        let prefix = raw.prefix.map_or_else(
            || USUAL.parse().expect("a constant that is a prefix"),
            |prefix| {
                if prefix.get_ref().length() > LONGEST_PREFIX {
                    let message = format!(
                        "the prefix is longer than {LONGEST_PREFIX} characters; the zone's name and what happened come behind it"
                    );
                    self.wrong(prefix.span(), message);
                }
                prefix.into_inner()
            },
        );
        let burst = raw.burst.map_or(20, |burst| {
            if !(1..=1000).contains(burst.get_ref()) {
                self.wrong(burst.span(), "burst is out of range; give 1 to 1000");
            }
            burst.into_inner()
        });
        let nflog = Nflog { group: raw.group, snaplen: raw.snaplen, queue_threshold: raw.queue_threshold };
        Log { nflog, prefix, rate: raw.rate.unwrap_or(Rate::USUAL), burst }
    }

    fn routing(&mut self, raw: &RawRouting) -> Routing {
        let mut routing = Routing::default();
        if let Some(mark) = &raw.mark {
            match Mark::new(*mark.get_ref()) {
                Some(bits) => routing.mark = bits,
                None => self.wrong(
                    mark.span(),
                    "a mark of 0 is none; give the bits that say \"deliver here\", such as 1 or 0x100",
                ),
            }
        }
        if let Some(table) = &raw.table {
            routing.table = *table.get_ref();
            if KEPT_TABLES.contains(&routing.table) {
                self.wrong(
                    table.span(),
                    "this is one of the kernel's own routing tables; give another number, such as 100",
                );
            }
        }
        routing
    }

    fn services(&mut self, raw: Vec<(Spanned<Label>, RawService)>) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        for (name, raw) in raw {
            let (name, transport, listen) = (name.into_inner(), raw.protocol, *raw.listen.get_ref());
            if listen == 0 {
                self.wrong(raw.listen.span(), "0 is no port to listen on; give 1 to 65535");
            }
            if let Some(other) = services.iter().find(|s| s.transport == transport && s.listen == listen) {
                self.wrong(
                    raw.listen.span(),
                    format!("the service \"{}\" listens on this port already", other.name),
                );
            }
            let is_transparent = raw.transparent.unwrap_or(true);
            services.push(Service { name, transport, ports: raw.ports, listen, is_transparent });
        }
        services
    }

    fn zones(&mut self, raw: Vec<(Spanned<ZoneName>, RawZone)>, services: &[Service]) -> Vec<Zone> {
        let mut owners = Owners::default();
        let mut zones = Vec::new();
        for (name, raw) in raw {
            let name = name.into_inner();
            if raw.interfaces.get_ref().is_empty() {
                self.wrong(
                    raw.interfaces.span(),
                    "a zone has at least one interface, which need not be there yet",
                );
            }
            for interface in raw.interfaces.get_ref() {
                if interface.get_ref().to_string() == "lo" {
                    self.wrong(
                        interface.span(),
                        "\"lo\" is the gateway itself, and always accepted: it is in no zone",
                    );
                }
                self.claim(&mut owners.interfaces, interface, &name, "interface");
            }
            for network in &raw.networks {
                self.claim(&mut owners.networks, network, &name, "network");
            }
            let proxy = self.proxied(&raw.proxy, services);
            let local = raw.local.into_iter().map(|raw| self.local(raw)).collect();
            let interfaces = raw.interfaces.into_inner().into_iter().map(Spanned::into_inner).collect();
            let networks = raw.networks.into_iter().map(Spanned::into_inner).collect();
            zones.push(Zone { name, interfaces, networks, local, proxy });
        }
        zones
    }

    fn claim<T: Ord + Clone + Display>(
        &mut self,
        owners: &mut BTreeMap<T, ZoneName>,
        what: &Spanned<T>,
        zone: &ZoneName,
        kind: &str,
    ) {
        if let Some(other) = owners.insert(what.get_ref().clone(), zone.clone()) {
            let message = if other == *zone {
                format!("the {kind} {} is named twice", what.get_ref())
            } else {
                format!("the {kind} {} belongs to the zone \"{other}\" already", what.get_ref())
            };
            self.wrong(what.span(), message);
        }
    }

    fn proxied(&mut self, names: &[Spanned<Label>], services: &[Service]) -> Vec<Label> {
        let mut taken: Vec<&Service> = Vec::new();
        for name in names {
            let Some(service) = services.iter().find(|service| service.name == *name.get_ref()) else {
                let known = services.iter().map(|service| service.name.to_string());
                let message = unknown("service", name.get_ref(), known, "[service.");
                self.wrong(name.span(), message);
                continue;
            };
            for other in taken.iter().filter(|other| other.transport == service.transport) {
                if let Some(port) = other.ports.shared_with(&service.ports) {
                    let message =
                        format!("the service \"{}\", named before, takes port {port} already", other.name);
                    self.wrong(name.span(), message);
                }
            }
            taken.push(service);
        }
        taken.into_iter().map(|service| service.name.clone()).collect()
    }

    fn local(&mut self, raw: RawLocal) -> Local {
        let traffic = self.traffic(raw.protocol, raw.ports);
        Local { traffic, from: raw.from, is_logged: self.logged(raw.log.as_ref()) }
    }

    fn forward(&mut self, raw: Spanned<RawForward>, zones: &[ZoneName]) -> Forward {
        let span = raw.span();
        let raw = raw.into_inner();
        for name in [&raw.from, &raw.to] {
            if !zones.contains(name.get_ref()) {
                let message =
                    unknown("zone", name.get_ref(), zones.iter().map(ToString::to_string), "[zone.");
                self.wrong(name.span(), message);
            }
        }
        let has = |list: &[Network], is_v6: bool| {
            list.is_empty() || list.iter().any(|n| n.0.addr().is_ipv6() == is_v6)
        };
        if ![false, true].iter().any(|v6| has(&raw.source, *v6) && has(&raw.destination, *v6)) {
            self.wrong(
                span,
                "sources and destinations have no family in common: nothing is ever forwarded by this",
            );
        }
        let traffic = self.traffic(raw.protocol, raw.ports);
        Forward {
            traffic,
            is_logged: self.logged(raw.log.as_ref()),
            from: raw.from.into_inner(),
            to: raw.to.into_inner(),
            source: raw.source,
            destination: raw.destination,
        }
    }

    fn traffic(&mut self, protocol: Protocol, ports: Option<Spanned<Ports>>) -> Traffic {
        if let Some(ports) = ports.as_ref().filter(|_| !protocol.has_ports()) {
            self.wrong(ports.span(), "only tcp, udp and sctp have ports; leave this line out");
        }
        Traffic { protocol, ports: ports.map(Spanned::into_inner) }
    }

    fn logged(&mut self, log: Option<&Spanned<bool>>) -> bool {
        let Some(log) = log.filter(|log| *log.get_ref()) else { return false };
        if !self.has_log {
            self.wrong(log.span(), "there is no [log] that says where to; add it with its group");
        }
        true
    }
}

/// What each zone has claimed.
#[derive(Default)]
struct Owners {
    interfaces: BTreeMap<Interface, ZoneName>,
    networks: BTreeMap<Network, ZoneName>,
}

/// A name that nothing has, with the one that was meant most likely.
fn unknown(kind: &str, name: &impl Display, known: impl Iterator<Item = String>, head: &str) -> String {
    let name = name.to_string();
    match nearest(&name, known) {
        Some(meant) => format!("there is no {kind} \"{name}\"; did you mean \"{meant}\"?"),
        None => format!("there is no {kind} \"{name}\"; define it under {head}{name}]"),
    }
}

/// The nearest of the words that serde would have accepted, which it lists in backquotes behind "expected".
fn advice(message: &str) -> Option<String> {
    let rest =
        message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (word, expected) = rest.split_once("`, expected ")?;
    nearest(word, expected.split('`').skip(1).step_by(2).map(str::to_owned))
}

/// The word that was most likely meant, if one is near enough.
fn nearest(word: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let normal = word.to_ascii_lowercase().replace('-', "_");
    let likeness = |candidate: &str| {
        // In a word as short as "tpc", one slip is much of it.
        let is_slip = strsim::osa_distance(&normal, candidate) <= 1;
        if is_slip { 0.95 } else { strsim::jaro_winkler(&normal, candidate) }
    };
    let rated =
        known.map(|candidate| (likeness(&candidate), candidate)).filter(|(likeness, _)| *likeness > 0.8);
    rated.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// A table whose keys are names, in the file's order: it is the order of the rules.
fn in_order<'de, D, K, V>(from: D) -> Result<Vec<(Spanned<K>, V)>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    struct Entries<K, V>(PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = Vec<(Spanned<K>, V)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a section with a name of its own, such as [zone.intra] or [service.http]")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(key) = map.next_key::<Spanned<K>>()? {
                entries.push((key, map.next_value()?));
            }
            entries.sort_by_key(|(key, _)| key.span().start);
            Ok(entries)
        }
    }
    from.deserialize_map(Entries(PhantomData))
}
