//! A witness that holds its flows in memory: for a dump of the kernel's table, a copy of the book, and for tests.

use std::ops::ControlFlow;

use unmasq_flow::{Evidence, Flow};

use crate::{
    ClientQuestion, Closing, Hit, Neighbours, Question, Standing, StreamCoverage, Testimony, Witness,
    WitnessError,
};

/// Flows in memory, all found at one place.
#[derive(Clone, Debug)]
pub struct Memory {
    flows: Vec<Flow>,
    evidence: Evidence,
    coverage: Vec<StreamCoverage>,
}

impl Memory {
    /// A witness over these flows. It covers what `coverage` says, whatever the question.
    pub fn new(flows: Vec<Flow>, evidence: Evidence, coverage: Vec<StreamCoverage>) -> Self {
        Self { flows, evidence, coverage }
    }

    fn hit(&self, question: &Question, flow: &Flow) -> Hit {
        Hit { flow: flow.clone(), evidence: self.evidence.clone(), server: question.server_check(flow) }
    }

    fn neighbours(&self, question: &Question) -> Neighbours {
        let on_endpoint = || {
            self.flows.iter().filter(|f| {
                question.masked.covers(f.masked) && question.protocol.is_none_or(|p| p == f.protocol)
            })
        };
        let before = on_endpoint()
            .filter(|f| f.end.latest() < question.window.from)
            .max_by_key(|f| f.end.latest())
            .map(|f| self.hit(question, f));
        let after = on_endpoint()
            .filter(|f| f.start.earliest() > question.window.to)
            .min_by_key(|f| f.start.earliest())
            .map(|f| self.hit(question, f));
        Neighbours { before, after }
    }

    fn coverage(&self, question: &Question) -> Vec<StreamCoverage> {
        let mut places: Vec<Box<str>> = self
            .flows
            .iter()
            .filter(|f| f.masked.address == question.masked.address && shows_masking(f))
            .map(|f| f.origin.namespace.clone())
            .collect();
        places.sort_unstable();
        places.dedup();
        let mut coverage = self.coverage.clone();
        for stream in &mut coverage {
            stream.standing = Standing::SeenIn(places.clone());
        }
        coverage
    }
}

/// Does this flow show that its masked address belongs to a gateway or its pool? Yes if the client hides behind it,
/// or if nothing was translated: such a flow is only recorded when it is the gateway's own (or everything is recorded).
pub(crate) fn shows_masking(flow: &Flow) -> bool {
    flow.is_source_translated() || !flow.is_destination_translated()
}

impl Witness for Memory {
    fn name(&self) -> String {
        format!("{} {}", self.evidence.witness, self.evidence.place)
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let hits: Vec<Hit> =
            self.flows.iter().filter(|f| question.admits(f)).map(|f| self.hit(question, f)).collect();
        let neighbours = if hits.is_empty() { self.neighbours(question) } else { Neighbours::default() };
        Ok(Testimony {
            hits,
            coverage: self.coverage(question),
            damage: Vec::new(),
            neighbours,
            plans: Vec::new(),
        })
    }

    fn of_client(
        &mut self,
        question: &ClientQuestion,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        for flow in self.flows.iter().filter(|f| question.admits(f)) {
            let hit = Hit {
                flow: flow.clone(),
                evidence: self.evidence.clone(),
                server: crate::ServerCheck::NotAsked,
            };
            if visit(hit).is_break() {
                break;
            }
        }
        Ok(Closing { coverage: self.coverage.clone(), damage: Vec::new(), is_able: true })
    }
}
