//! The kernel's own connection tables: of this namespace and of those in /run/netns. They know what is alive, now.

use unmasq_flow::{
    Coverage, DestinationPolicy, Endpoint, Evidence, Flow, Origin, Period, Protocol, Scope, ScopeKind,
    Selector, Timestamp, Witness as Kind,
};
use unmasq_netfilter::conntrack::{Direction, Dumper, Entry, Event, EventKind, Tuple};
use unmasq_netfilter::netns::Namespace;
use unmasq_trace::{Hit, Question, Standing, StreamCoverage, StreamKind, Testimony, Witness, WitnessError};

/// The tables of all namespaces that we may ask.
#[derive(Debug)]
pub(crate) struct KernelWitness {
    tables: Vec<(Namespace, Dumper)>,
}

impl KernelWitness {
    /// Opens them. `None` without the privilege to ask: then the others answer alone.
    pub(crate) fn open() -> Option<Self> {
        let named = Namespace::all_named().unwrap_or_default();
        let tables: Vec<_> = std::iter::once(Namespace::current())
            .chain(named)
            .filter(has_flows)
            .filter_map(|namespace| Dumper::open(&namespace).ok().map(|dumper| (namespace, dumper)))
            .collect();
        (!tables.is_empty()).then_some(Self { tables })
    }
}

impl Witness for KernelWitness {
    fn name(&self) -> String {
        "the kernel's connection tables".to_owned()
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let mut hits = Vec::new();
        let mut covered = Vec::new();
        for (namespace, dumper) in &mut self.tables {
            let what = || match namespace.name() {
                "" => "the kernel's connection table".to_owned(),
                name => format!("the kernel's connection table of namespace {name}"),
            };
            let asked_at = Timestamp::now();
            let entries = entries(dumper, question)
                .map_err(|error| WitnessError::Silent { what: what(), reason: error.to_string() })?;
            for entry in entries {
                let origin = Origin::new("", namespace.name()).with_zones(entry.zones).shared();
                let flow: Flow = Event { kind: EventKind::Listed, entry }.flow(origin, asked_at);
                if question.admits(&flow) {
                    let evidence = Evidence { witness: Kind::Kernel, place: what() };
                    hits.push(Hit { server: question.server_check(&flow), evidence, flow });
                }
            }
            let scope = Scope {
                namespace: namespace.name().into(),
                kind: ScopeKind::All,
                destinations: DestinationPolicy::Keep,
            };
            // What ended a moment ago is no longer in the table, so it speaks of this moment only.
            covered.push((Period::new(question.window.to, asked_at), scope));
        }
        let coverage = Coverage { covered, is_clock_synchronised: true, ..Coverage::default() };
        let coverage = StreamCoverage {
            stream: String::new(),
            kind: StreamKind::Kernel,
            coverage,
            standing: Standing::NotLooked,
        };
        Ok(Testimony { hits, coverage: vec![coverage], ..Testimony::default() })
    }
}

/// A dump walks the whole hash table, however empty it is: some milliseconds that need not be spent. Where the number
/// cannot be read, the dump tells.
fn has_flows(namespace: &Namespace) -> bool {
    let count = namespace.run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
    !matches!(count, Ok(Ok(text)) if text.trim() == "0")
}

/// The entries that can answer. With the whole reply tuple given, the kernel looks it up; else it lists all.
fn entries(dumper: &mut Dumper, question: &Question) -> unmasq_netfilter::Result<Vec<Entry>> {
    if let (Some(protocol), Some(server)) = (question.protocol, question.server)
        && is_whole(protocol, question.masked)
        && is_whole(protocol, server)
    {
        let tuple = Tuple { protocol, source: server, destination: question.masked, zone: 0 };
        if let Some(entry) = dumper.find(Direction::Reply, &tuple)? {
            return Ok(vec![entry]);
        }
        // It can still be in another zone, which only a list shows.
    }
    let mut entries = Vec::new();
    dumper.dump(|entry| {
        if question.masked.covers(entry.masked) {
            entries.push(*entry);
        }
    })?;
    Ok(entries)
}

fn is_whole(protocol: Protocol, endpoint: Endpoint) -> bool {
    protocol.has_ports() && matches!(endpoint.selector, Selector::Port(_))
}
