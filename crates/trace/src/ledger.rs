//! A ledger as a witness: all that was ever recorded, on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use unmasq_flow::{Coverage, Destination, Endpoint, Evidence, Flow, Period, Timestamp, Witness as By};
use unmasq_ledger::run::Filter;
use unmasq_ledger::{DestinationKey, Ledger, LedgerError};

use crate::memory::shows_masking;
use crate::{
    ClientQuestion, Closing, Hit, Neighbours, Question, ServerCheck, Standing, StreamCoverage, StreamKind,
    Testimony, Witness, WitnessError,
};

/// How far around the window a stream is searched for flows that show that it masks behind an address, step by step.
const REACHES: [Duration; 3] = [Duration::from_secs(3600), Duration::from_secs(30 * 3600), Duration::MAX];
/// So many flows are looked at for that. Beyond, the stream counts as one that could know.
const MOST_LOOKED_AT: u64 = 200_000;

/// A ledger that is asked.
#[derive(Debug)]
pub struct LedgerWitness {
    ledger: Ledger,
    /// The directory as text, with the separator that names of files follow.
    prefix: String,
    streams: BTreeMap<String, Known>,
    /// What was found out about addresses. A process asks about few of them, again and again.
    standings: HashMap<IpAddr, BTreeMap<String, Standing>>,
    /// Addresses that mask nobody in an hour (counted since the Unix epoch) that is long over: nothing lies behind them.
    never_masking: HashSet<(IpAddr, i64)>,
}

#[derive(Debug)]
struct Known {
    kind: StreamKind,
    /// Not there where destinations are kept or dropped, and where this user may not read it.
    key: Option<DestinationKey>,
}

impl LedgerWitness {
    /// Opens a ledger, without reading any flow.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(directory)?;
        let mut streams = BTreeMap::new();
        for stream in ledger.streams() {
            let kind = if stream.kind().is_import { StreamKind::Import } else { StreamKind::Recorder };
            // Without the key, hashed destinations can be neither confirmed nor ruled out, and the answer says so.
            let key = stream.destination_key().ok().flatten();
            streams.insert(stream.name().to_owned(), Known { kind, key });
        }
        let prefix = ledger.directory().join("").display().to_string();
        Ok(Self { ledger, prefix, streams, standings: HashMap::new(), never_masking: HashSet::new() })
    }

    fn evidence(&self, hit: &unmasq_ledger::Hit) -> Evidence {
        let witness = if hit.is_import { By::Import } else { By::Ledger };
        // By hand: a list of all that a client did has a million of them.
        let mut place = String::with_capacity(self.prefix.len() + hit.place.len());
        place.push_str(&self.prefix);
        place.push_str(&hit.place);
        Evidence { witness, place }
    }

    fn hit(&self, hit: unmasq_ledger::Hit, server: ServerCheck) -> Hit {
        Hit { evidence: self.evidence(&hit), flow: hit.flow, server }
    }

    /// How a flow's server compares with the one asked for, through the hash where only that was kept.
    fn server_check(&self, asked: Option<Endpoint>, stream: &str, flow: &Flow) -> ServerCheck {
        let Some(asked) = asked else { return ServerCheck::NotAsked };
        match flow.server {
            Destination::Kept(server) if asked.covers(server) => ServerCheck::Same,
            Destination::Kept(_) => ServerCheck::Differs,
            Destination::Omitted => ServerCheck::Undecided,
            Destination::Hashed(_) => {
                let key = self.streams.get(stream).and_then(|known| known.key);
                // The hash is of the whole endpoint: an address alone cannot be compared with it.
                let is_whole = asked.selector.number().is_some()
                    || !(flow.protocol.has_ports() || flow.protocol.has_ids());
                match key.filter(|_| is_whole).and_then(|key| key.can_be(flow.server, asked)) {
                    Some(true) => ServerCheck::SameHash,
                    Some(false) => ServerCheck::Differs,
                    None => ServerCheck::Undecided,
                }
            }
        }
    }

    /// The flows that can be meant, and what else the ledger says (with its own hits taken out).
    fn find(&self, question: &Question) -> Result<(Vec<Hit>, unmasq_ledger::Found), WitnessError> {
        let query = unmasq_ledger::Query {
            masked: question.masked,
            protocol: question.protocol,
            period: question.window,
        };
        let mut found = self.ledger.find(&query).map_err(self.unreadable())?;
        let hits = std::mem::take(&mut found.hits)
            .into_iter()
            .filter_map(|hit| {
                let server = self.server_check(question.server, &hit.stream, &hit.flow);
                (server != ServerCheck::Differs).then(|| self.hit(hit, server))
            })
            .collect();
        Ok((hits, found))
    }

    fn coverage(
        &self,
        coverage: Vec<(String, Coverage)>,
        mut standings: BTreeMap<String, Standing>,
    ) -> Vec<StreamCoverage> {
        coverage
            .into_iter()
            .map(|(stream, coverage)| StreamCoverage {
                kind: self.streams.get(&stream).map_or(StreamKind::Recorder, |known| known.kind),
                standing: standings.remove(&stream).unwrap_or_default(),
                stream,
                coverage,
            })
            .collect()
    }

    /// Which streams have seen the address mask clients, in which namespaces.
    ///
    /// Only asked where it matters: nothing was found, or some stream does not cover the window.
    fn standings(
        &mut self,
        address: IpAddr,
        window: Period,
        coverage: &[(String, Coverage)],
    ) -> Result<BTreeMap<String, Standing>, LedgerError> {
        if let Some(known) = self.standings.get(&address) {
            return Ok(known.clone());
        }
        let mut seen: BTreeMap<String, BTreeSet<Box<str>>> = BTreeMap::new();
        let mut looked_at = 0;
        for reach in REACHES {
            let period = Period { from: window.from - reach, to: window.to + reach };
            let period = if reach == Duration::MAX { Period::ALWAYS } else { period };
            let filter = Filter::masked(Endpoint::address_only(address), None, period);
            self.ledger.flows(&filter, &mut |hit| {
                looked_at += 1;
                if shows_masking(&hit.flow) {
                    let namespaces = seen.entry(hit.stream).or_default();
                    if namespaces.insert(hit.flow.origin.namespace.clone()) && is_settled(&seen, coverage) {
                        return ControlFlow::Break(());
                    }
                }
                if looked_at > MOST_LOOKED_AT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if is_settled(&seen, coverage) || looked_at > MOST_LOOKED_AT {
                break;
            }
        }
        let is_cut = looked_at > MOST_LOOKED_AT;
        let standings: BTreeMap<String, Standing> = coverage
            .iter()
            .map(|(stream, _)| match seen.remove(stream) {
                None if is_cut => (stream.clone(), Standing::NotLooked),
                found => (stream.clone(), Standing::SeenIn(found.unwrap_or_default().into_iter().collect())),
            })
            .collect();
        self.standings.insert(address, standings.clone());
        Ok(standings)
    }

    /// Does the address mask nobody at all in the hour of the question? A table of thousands of questions asks this again and
    /// again about the same clients. Of the last two hours it is not kept, because they are still being written.
    fn masks_nobody(&mut self, question: &Question) -> Result<bool, WitnessError> {
        let hour = question.window.from.hour();
        let key = (question.masked.address, hour);
        if question.window.to.hour() != hour || hour + 2 > Timestamp::now().hour() {
            return Ok(false);
        }
        if self.never_masking.contains(&key) {
            return Ok(true);
        }
        let period = Period { from: hour_start(hour), to: hour_start(hour + 1) };
        let filter = Filter::masked(Endpoint::address_only(question.masked.address), None, period);
        let mut is_somebody = false;
        let damage = self
            .ledger
            .flows(&filter, &mut |_| {
                is_somebody = true;
                ControlFlow::Break(())
            })
            .map_err(self.unreadable())?;
        let is_nobody = !is_somebody && damage.is_empty();
        if is_nobody {
            self.never_masking.insert(key);
        }
        Ok(is_nobody)
    }

    fn unreadable(&self) -> impl Fn(LedgerError) -> WitnessError + use<> {
        let what = self.name();
        move |error| WitnessError::Unreadable { what: what.clone(), reason: error.to_string() }
    }
}

fn hour_start(hour: i64) -> Timestamp {
    Timestamp::from_seconds(hour.saturating_mul(3_600))
}

/// Is every namespace of every stream known to mask behind the address?
fn is_settled(seen: &BTreeMap<String, BTreeSet<Box<str>>>, coverage: &[(String, Coverage)]) -> bool {
    coverage.iter().all(|(stream, coverage)| {
        seen.get(stream).is_some_and(|namespaces| {
            coverage.covered.iter().all(|(_, scope)| namespaces.contains(&scope.namespace))
        })
    })
}

impl LedgerWitness {
    /// The flows of a filter, but those whose server differs from the one asked for. Gives the damage that was met.
    fn flows(
        &self,
        filter: &Filter,
        server: Option<Endpoint>,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Vec<String>, WitnessError> {
        self.ledger
            .flows(filter, &mut |hit| match self.server_check(server, &hit.stream, &hit.flow) {
                ServerCheck::Differs => ControlFlow::Continue(()),
                check => visit(self.hit(hit, check)),
            })
            .map_err(self.unreadable())
    }
}

impl Witness for LedgerWitness {
    fn name(&self) -> String {
        format!("ledger {}", self.ledger.directory().display())
    }

    fn is_large(&self) -> bool {
        true
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let (hits, mut found) = self.find(question)?;
        let mut neighbours = Neighbours::default();
        if hits.is_empty() {
            let near = self
                .ledger
                .neighbours(question.masked, question.protocol, question.window.from)
                .map_err(self.unreadable())?;
            neighbours.before = near.before.map(|hit| self.hit(hit, ServerCheck::NotAsked));
            neighbours.after = near.after.map(|hit| self.hit(hit, ServerCheck::NotAsked));
            found.damage.extend(near.damage);
        }
        let is_partial = found.coverage.iter().any(|(_, coverage)| !coverage.is_complete());
        let standings = if hits.is_empty() || is_partial {
            self.standings(question.masked.address, question.window, &found.coverage)
                .map_err(self.unreadable())?
        } else {
            BTreeMap::new()
        };
        Ok(Testimony {
            hits,
            coverage: self.coverage(found.coverage, standings),
            damage: found.damage,
            neighbours,
            ..Testimony::default()
        })
    }

    fn hits(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        if self.masks_nobody(question)? {
            return Ok(Testimony::default());
        }
        let (hits, found) = self.find(question)?;
        let coverage = self.coverage(found.coverage, BTreeMap::new());
        Ok(Testimony { hits, coverage, damage: found.damage, ..Testimony::default() })
    }

    fn each(
        &mut self,
        question: &Question,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        let filter = Filter::masked(question.masked, question.protocol, question.window);
        let damage = self.flows(&filter, question.server, visit)?;
        let coverage = self.ledger.coverage(question.window).map_err(self.unreadable())?;
        let standings =
            self.standings(question.masked.address, question.window, &coverage).map_err(self.unreadable())?;
        Ok(Closing { coverage: self.coverage(coverage, standings), damage, is_able: true })
    }

    fn of_client(
        &mut self,
        question: &ClientQuestion,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        let filter =
            Filter { protocol: question.protocol, ..Filter::client(question.client, question.window) };
        let damage = self.flows(&filter, question.server, visit)?;
        let coverage = self.ledger.coverage(question.window).map_err(self.unreadable())?;
        Ok(Closing { coverage: self.coverage(coverage, BTreeMap::new()), damage, is_able: true })
    }
}
