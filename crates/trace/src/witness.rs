//! Who can answer: the ledger, the book of a running recorder, the kernel's own table, a port plan. How each stores is its own affair.

use std::ops::ControlFlow;

use unmasq_flow::{Coverage, Evidence, Flow};

use crate::{ClientQuestion, PlanSays, Question, ServerCheck};

/// A flow that a witness knows of, and where it found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The flow.
    pub flow: Flow,
    /// Who says so, and where.
    pub evidence: Evidence,
    /// How its server compares with the one asked for. A witness that keeps hashes checks them; the others use
    /// [`Question::server_check`].
    pub server: ServerCheck,
}

/// In which namespaces of a stream has the address that is asked for been seen as one that masks?
///
/// A recorder whose scope is not `all` keeps translated flows and those of the gateway itself. Of an address that is
/// neither a gateway's nor a NAT pool's it keeps nothing, so its silence about such an address means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// In these; in none if the list is empty.
    SeenIn(Vec<Box<str>>),
    /// The witness did not look.
    #[default]
    NotLooked,
}

/// What kind of record a stream is: what its silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// A recorder of the kernel's events, in the ledger or in its book.
    Recorder,
    /// The kernel's table of one moment.
    Kernel,
    /// Another program's log, which adds flows but never says what is missing.
    Import,
}

/// What one stream of a witness knows about the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCoverage {
    /// The stream, as in [`unmasq_flow::Origin::stream`]; empty for the kernel's own table.
    pub stream: String,
    /// What its silence means.
    pub kind: StreamKind,
    /// What it covers of the window, and what not.
    pub coverage: Coverage,
    /// Whether the address is one that this stream would have recorded.
    pub standing: Standing,
}

/// Everything that a witness has to say to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// The flows that can be meant. Each flow once.
    pub hits: Vec<Hit>,
    /// What the witness would know, by stream.
    pub coverage: Vec<StreamCoverage>,
    /// Files that were needed and could not be read, with the reason: the answer can lack what they hold.
    pub damage: Vec<String>,
    /// The flows on the masked endpoint that came nearest before and after the window.
    pub neighbours: Neighbours,
    /// What port plans say of the endpoint.
    pub plans: Vec<PlanSays>,
}

/// The flows nearest to a window that found none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The one that ended last before it.
    pub before: Option<Hit>,
    /// The one that began first after it.
    pub after: Option<Hit>,
}

/// What a witness says to [`Witness::each`] and [`Witness::of_client`] after its flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// As in [`Testimony`].
    pub coverage: Vec<StreamCoverage>,
    /// As in [`Testimony`].
    pub damage: Vec<String>,
    /// Is this witness able to answer such a question at all?
    pub is_able: bool,
}

/// A witness that could not be asked. The others are still asked; the answer says who is missing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Its files cannot be read.
    #[error("{what}: {reason}")]
    Unreadable {
        /// Which file or folder.
        what: String,
        /// What the system said.
        reason: String,
    },
    /// It does not answer: no recorder listens, the kernel refuses.
    #[error("{what} does not answer: {reason}")]
    Silent {
        /// Which socket or table.
        what: String,
        /// What the system said.
        reason: String,
    },
}

/// One that can answer.
pub trait Witness: Send {
    /// What it is and where, for messages: `ledger /var/lib/unmasq/ledger`.
    fn name(&self) -> String;

    /// Does it hold more flows than fit in memory? Such a witness is visited; the others are collected.
    fn is_large(&self) -> bool {
        false
    }

    /// Does it know of endpoints only, not of an address alone?
    fn needs_port(&self) -> bool {
        false
    }

    /// The flows on a masked endpoint in a stretch of time. Flows that ended before it may be given too: another witness
    /// can still have them as alive.
    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError>;

    /// The hits alone, without neighbours and without a look at what the witness could know: for the flows behind a flow.
    fn hits(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        self.ask(question)
    }

    /// The same as [`Witness::ask`] without holding all hits at once: for an address alone, where there can be millions.
    /// Each flow once, in no particular order.
    fn each(
        &mut self,
        question: &Question,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        let testimony = self.ask(question)?;
        for hit in testimony.hits.into_iter().filter(|hit| hit.flow.overlaps(question.window)) {
            if visit(hit).is_break() {
                break;
            }
        }
        Ok(Closing { coverage: testimony.coverage, damage: testimony.damage, is_able: true })
    }

    /// All flows of a client. Each once; the earliest hour first.
    fn of_client(
        &mut self,
        _question: &ClientQuestion,
        _visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        Ok(Closing::default())
    }
}
