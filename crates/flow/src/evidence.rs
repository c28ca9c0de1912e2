//! How an answer is known.

use std::fmt;

/// Who says so, the most trustworthy first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// The kernel's own connection table, asked just now.
    Kernel,
    /// The book of a running recorder: the kernel's events, in memory.
    Book,
    /// The ledger: the kernel's events (or a proxy's own sockets), on disk.
    Ledger,
    /// A port plan: who had the port, as the rules in force gave it out. It knows of no single flow.
    Plan,
    /// A ledger stream that was imported from another program's log. Log lines can be forged.
    Import,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Book => "book",
            Self::Ledger => "ledger",
            Self::Plan => "plan",
            Self::Import => "import",
        })
    }
}

/// A witness and where exactly it found the fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Who says so.
    pub witness: Witness,
    /// Where: a file of the ledger and the row in it, a control socket, a namespace.
    pub place: String,
}
