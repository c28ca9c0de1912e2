//! What can go wrong with a ruleset.

use std::io;
use std::path::{Path, PathBuf};

use crate::program::ProgramError;

/// An error of this crate, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The file system.
    #[error("cannot {doing} {}{}", path.display(), who_may(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel, or nft or iptables for it.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A namespace to try a ruleset in.
    #[error(transparent)]
    Netfilter(#[from] unmasq_netfilter::Error),
    /// A ruleset that needs something that is not in it.
    #[error("the ruleset does not load into an empty kernel, as at boot: {said}\n{}", whole(said))]
    NotWhole {
        /// What nft or iptables said.
        said: String,
    },
    /// A ruleset that reads other files.
    #[error(
        "line {line}: a ruleset that is kept must hold all of its rules, and this includes another file; paste it in, or \
             generate the whole with `unmasq rules gen`"
    )]
    Includes {
        /// Where, counted from one.
        line: usize,
    },
    /// A ruleset that would remove all others.
    #[error(
        "line {line}: `flush ruleset` removes every table, also those of others; write `table NAME {{}}` and `delete table \
             NAME` for each table of your own instead, or say --whole.{}",
        losses(tables)
    )]
    FlushesAll {
        /// Where, counted from one.
        line: usize,
        /// The tables that are there and not in the ruleset.
        tables: Vec<String>,
    },
    /// A ruleset with sets of ipset in a form that cannot be compared with what is loaded.
    #[error(
        "line {line}: a ruleset that names sets of ipset must be as iptables-save writes it: tables, chains and -A lines only"
    )]
    NotSaved {
        /// Where, counted from one.
        line: usize,
    },
    /// A ruleset without a table.
    #[error("there is no table in it, so nothing would be loaded")]
    Empty,
    /// What a program printed is not what it is known to print.
    #[error("cannot read what {program} lists: {what}")]
    Listing {
        /// The program.
        program: &'static str,
        /// What is odd.
        what: String,
    },
    /// A ruleset that nft lists as something else.
    #[error(
        "table {table} of the ruleset would not be loaded as it is written: nft lists it in a way that {said}"
    )]
    NotListed {
        /// Which.
        table: String,
        /// What is wrong with the listing.
        said: String,
    },
    /// A table that cannot be put back as it is.
    #[error("table {table} could not be put back as it is now, so it is left alone: {said}")]
    NoWayBack {
        /// Which.
        table: String,
        /// What nft said to its own listing.
        said: String,
    },
    /// A file of a history that is not as it was written.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it differs.
        what: String,
    },
    /// Another process is at it.
    #[error("another `unmasq rules` is at work (its lock is {}); `unmasq rules status` says what it does", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A revision that is not there.
    #[error("there is no revision {number} of {name}; `unmasq rules history` lists them")]
    NoRevision {
        /// The ruleset.
        name: String,
        /// The number asked for.
        number: u32,
    },
    /// A table of two rulesets.
    #[error(
        "table {table} belongs to the committed ruleset {other}, too, and each would remove the other's rules: put them into one \
             file, or give one of them a table of its own"
    )]
    SharedTable {
        /// The table.
        table: String,
        /// The other ruleset.
        other: String,
    },
    /// Two rulesets that are to be loaded together, and undo each other.
    #[error(
        "{} and {} both make the table {table}, and each would remove the other's rules: put them into one file, or give one of \
             them a table of its own",
        one.display(),
        other.display()
    )]
    SameTable {
        /// The table.
        table: String,
        /// One file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The same ruleset twice.
    #[error("{} and {} are both the ruleset {name}; name one of them", one.display(), other.display())]
    SameRuleset {
        /// The ruleset.
        name: String,
        /// One file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A name that two files would share.
    #[error("the history has a ruleset {name} of {}, and this is {}; give one of them another name", kept.display(), asked.display())]
    OtherFile {
        /// The name.
        name: String,
        /// The file whose history it is.
        kept: PathBuf,
        /// The file that was named.
        asked: PathBuf,
    },
    /// A git repository that does not take a revision.
    #[error("cannot keep it in the git repository {}: {reason}", path.display())]
    Git {
        /// The repository.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl RulesError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// What is to be done where the system refuses it to this user.
fn who_may(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied { " (only root may)" } else { "" }
}

/// How to mend a ruleset that does not load, by what nft or iptables said of it.
fn whole(said: &str) -> &'static str {
    if said.contains("No such file or directory") || said.contains("does not exist") {
        "It must make what it uses: a table that it flushes or deletes needs a line \"table inet name {}\" before"
    } else {
        "`unmasq rules check` shows the line"
    }
}

fn losses(tables: &[String]) -> String {
    if tables.is_empty() { String::new() } else { format!(" These would go: {}", tables.join(", ")) }
}
