//! The book of a running recorder, asked through its control socket.

use std::ops::ControlFlow;
use std::path::PathBuf;

use unmasq_control::{Ask, Covered, Reply};
use unmasq_flow::{
    Coverage, DestinationPolicy, Evidence, Flow, Period, Scope, ScopeKind, Timestamp, Witness as Kind,
};
use unmasq_trace::{
    ClientQuestion, Closing, Hit, Question, ServerCheck, Standing, StreamCoverage, StreamKind, Testimony,
    Witness, WitnessError,
};

use crate::control::client::{ControlError, ask};

/// A recorder's book.
#[derive(Debug)]
pub(crate) struct BookWitness {
    socket: PathBuf,
}

impl BookWitness {
    /// The book of the recorder that listens there.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The book of the recorder that listens there, if one does.
    pub(crate) fn if_present(socket: PathBuf) -> Option<Self> {
        std::os::unix::net::UnixStream::connect(&socket).is_ok().then(|| Self::new(socket))
    }

    fn flows(&self, question: Ask) -> Result<(Vec<Flow>, Vec<StreamCoverage>), WitnessError> {
        let silent = |reason: String| WitnessError::Silent {
            what: format!("the recorder at {}", self.socket.display()),
            reason,
        };
        let mut flows = Vec::new();
        let mut coverage = Vec::new();
        let mut refused = None;
        ask(&self.socket, question, |reply| match reply {
            Reply::Flow(record) => match Flow::try_from(&*record) {
                Ok(flow) => flows.push(flow),
                Err(error) => refused = Some(error.to_string()),
            },
            Reply::Covered(covered) => coverage.extend(stream_coverage(covered)),
            Reply::Status(_) | Reply::Watch(_) | Reply::End { .. } | Reply::Error(_) => {}
        })
        .map_err(|error: ControlError| silent(error.to_string()))?;
        refused.map_or(Ok((flows, coverage)), |reason| Err(silent(reason)))
    }

    fn evidence(&self) -> Evidence {
        Evidence { witness: Kind::Book, place: self.socket.display().to_string() }
    }
}

impl Witness for BookWitness {
    fn name(&self) -> String {
        format!("book {}", self.socket.display())
    }

    /// Gives flows that ended before the window, too, as long as the book keeps them: the ledger, which is a second behind,
    /// may still have them as alive.
    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let window = Period { from: Timestamp::MIN, to: question.window.to };
        let question = &Question { window, ..*question };
        let (flows, coverage) = self.flows(Ask::Find {
            masked: question.masked.to_string(),
            protocol: question.protocol.map(|p| p.to_string()),
            server: question.server.map(|s| s.to_string()),
            from: window.from.as_nanos(),
            to: window.to.as_nanos(),
        })?;
        let evidence = self.evidence();
        let hits = flows
            .into_iter()
            .filter(|flow| question.admits(flow))
            .map(|flow| Hit { server: question.server_check(&flow), evidence: evidence.clone(), flow })
            .collect();
        Ok(Testimony { hits, coverage, ..Testimony::default() })
    }

    fn of_client(
        &mut self,
        question: &ClientQuestion,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        let evidence = self.evidence();
        let (flows, coverage) = self.flows(Ask::Client { address: question.client.to_string() })?;
        for flow in flows {
            let hit = Hit { flow, evidence: evidence.clone(), server: ServerCheck::NotAsked };
            if question.admits(&hit.flow) && visit(hit).is_break() {
                break;
            }
        }
        Ok(Closing { coverage, is_able: true, ..Closing::default() })
    }
}

/// What the recorder says it has accepted. A word that this version does not know makes no claim.
fn stream_coverage(covered: Covered) -> Option<StreamCoverage> {
    let kinds = [ScopeKind::All, ScopeKind::Translated, ScopeKind::TranslatedLocal];
    let policies = [DestinationPolicy::Drop, DestinationPolicy::Hash, DestinationPolicy::Keep];
    let scope = Scope {
        namespace: covered.namespace.into(),
        kind: kinds.into_iter().find(|kind| kind.word() == covered.scope)?,
        destinations: policies.into_iter().find(|policy| policy.word() == covered.destinations)?,
    };
    let period = Period::new(Timestamp::from_nanos(covered.since), Timestamp::from_nanos(covered.until));
    let coverage =
        Coverage { covered: vec![(period, scope)], is_clock_synchronised: true, ..Coverage::default() };
    Some(StreamCoverage {
        stream: covered.stream,
        kind: StreamKind::Recorder,
        coverage,
        standing: Standing::NotLooked,
    })
}
