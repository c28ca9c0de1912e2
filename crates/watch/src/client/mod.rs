//! The real client: what log lines said about translations, the questions that chains ask, and the entries that wait
//! for an answer.
//!
//! ```text
//!  dnatCapture ──Capture──► Captures ─┐
//!  conntrack ───────────────► Book ───┼─ find ─► Answer ─► dnatReplace writes the client into the entry
//!  another gateway's book ────────────┘     │
//!                                           └─ Later ─► Waits ─(a translation came, or the time is over)─► resume
//! ```
//!
//! Pyruse's six words are the six ends of a flow: `saddr/sport` is the client, `addr/port` what masks it,
//! `daddr/dport` the server. Everything here takes time as an argument.

mod captures;
pub mod remote;
mod waits;
mod word;

use std::fmt;
use std::time::Duration;

use unmasq_entry::Value;
use unmasq_flow::Timestamp;

pub use captures::{Capture, Captures, Lasted};
pub use waits::{Key, Released, Wait, Waits};
pub use word::Word;

/// Which of the four words a question compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subset(u8);

impl Subset {
    /// The words in the order of [`Masked::words`].
    pub const NAMES: [&'static str; 4] = ["addr", "port", "daddr", "dport"];

    /// Those of the four that are asked for: addr, port, daddr, dport.
    pub fn new(asked: [bool; 4]) -> Self {
        Self(asked.iter().enumerate().fold(0, |bits, (i, asked)| bits | u8::from(*asked) << i))
    }

    /// None at all: such a question would match anything.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Is the word of that place compared?
    pub fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// What the service saw: the masked endpoint, and its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Masked {
    /// addr, port, daddr, dport.
    pub words: [Option<Word>; 4],
}

impl Masked {
    /// From the values of an entry, or a configuration's constants.
    pub fn new(words: [Option<Value<'_>>; 4]) -> Self {
        Self { words: words.map(|value| value.and_then(Word::of)) }
    }

    /// Address and port, where they are such.
    pub fn endpoint(&self) -> Option<unmasq_flow::Endpoint> {
        endpoint(self.words[0].as_ref(), self.words[1].as_ref())
    }

    /// The server's address and port, where they are such; an address alone is an answer too.
    pub fn server(&self) -> Option<unmasq_flow::Endpoint> {
        endpoint(self.words[2].as_ref(), self.words[3].as_ref())
    }
}

fn endpoint(address: Option<&Word>, port: Option<&Word>) -> Option<unmasq_flow::Endpoint> {
    let Some(Word::Address(address)) = address else { return None };
    let selector = match port {
        Some(Word::Number(port)) => unmasq_flow::Selector::Port(*port),
        _ => unmasq_flow::Selector::None,
    };
    Some(unmasq_flow::Endpoint::new(*address, selector))
}

impl fmt::Display for Masked {
    /// `10.0.0.1:43210`, as far as it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(endpoint) = self.endpoint() {
            return write!(f, "{endpoint}");
        }
        let known =
            Subset::NAMES.iter().zip(&self.words).filter_map(|(name, word)| Some((name, word.as_ref()?)));
        for (nth, (name, word)) in known.enumerate() {
            let blank = if nth == 0 { "" } else { " " };
            write!(f, "{blank}{name}={word}")?;
        }
        Ok(())
    }
}

/// A question: who is the client behind what the service saw?
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Question {
    /// What the service saw.
    pub masked: Masked,
    /// When: the entry's own time.
    pub time: Timestamp,
    /// How long the entry may wait for its translation; `None` for not at all.
    pub wait: Option<Duration>,
}

/// A client, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address as it was captured, or the kernel gave it.
    pub address: String,
    /// Its port; `None` if nobody captured one.
    pub port: Option<String>,
    /// For `UNMASQ_EVIDENCE`: who says so.
    pub evidence: String,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This one.
    Known(Client),
    /// Nobody knows of a translation; the entry goes on as it is.
    Unknown,
    /// Not yet known: the entry waits.
    Later,
}
