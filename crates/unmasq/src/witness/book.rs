//! The book of a running recorder, asked through its control socket.

use std::ops::ControlFlow;
use std::path::PathBuf;

use unmasq_flow::{Evidence, Flow, Witness as Kind};
use unmasq_trace::{ClientQuestion, Closing, Hit, Question, ServerCheck, Testimony, Witness, WitnessError};

use crate::control::client::{ControlError, ask};
use crate::control::{Ask, Reply};

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

    fn flows(&self, question: Ask) -> Result<Vec<Flow>, WitnessError> {
        let silent = |reason: String| WitnessError::Silent { what: format!("the recorder at {}", self.socket.display()), reason };
        let mut flows = Vec::new();
        let mut refused = None;
        ask(&self.socket, question, |reply| {
            if let Reply::Flow(record) = reply {
                match Flow::try_from(&*record) {
                    Ok(flow) => flows.push(flow),
                    Err(error) => refused = Some(error.to_string()),
                }
            }
        })
        .map_err(|error: ControlError| silent(error.to_string()))?;
        refused.map_or(Ok(flows), |reason| Err(silent(reason)))
    }

    fn evidence(&self) -> Evidence {
        Evidence { witness: Kind::Book, place: self.socket.display().to_string() }
    }
}

impl Witness for BookWitness {
    fn name(&self) -> String {
        format!("book {}", self.socket.display())
    }

    /// The book makes no claim of coverage: the ledger that the same recorder writes does.
    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let flows = self.flows(Ask::Find {
            masked: question.masked.to_string(),
            protocol: question.protocol.map(|p| p.to_string()),
            server: question.server.map(|s| s.to_string()),
            from: question.window.from.as_nanos(),
            to: question.window.to.as_nanos(),
        })?;
        let evidence = self.evidence();
        let hits = flows
            .into_iter()
            .filter(|flow| question.admits(flow))
            .map(|flow| Hit { server: question.server_check(&flow), evidence: evidence.clone(), flow })
            .collect();
        Ok(Testimony { hits, ..Testimony::default() })
    }

    fn of_client(
        &mut self,
        question: &ClientQuestion,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        let evidence = self.evidence();
        for flow in self.flows(Ask::Client { address: question.client.to_string() })? {
            let hit = Hit { flow, evidence: evidence.clone(), server: ServerCheck::NotAsked };
            if question.admits(&hit.flow) && visit(hit).is_break() {
                break;
            }
        }
        Ok(Closing { is_able: true, ..Closing::default() })
    }
}
