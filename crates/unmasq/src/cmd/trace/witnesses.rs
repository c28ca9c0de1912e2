//! Who is asked: each ledger, each port plan, and about the present the book of the running recorder and the kernel's own tables.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unmasq_control::DEFAULT_SOCKET;
use unmasq_flow::{Period, Timestamp};
use unmasq_ledger::LedgerError;
use unmasq_plan::history::{History, HistoryError};
use unmasq_trace::{
    ClientQuestion, Closing, Hit, LedgerWitness, PlanWitness, Question, Testimony, Witness, WitnessError,
};

use super::Args;
use crate::cmd::DEFAULT_LEDGER;
use crate::config::DEFAULT_HISTORY;
use crate::failure::Failure;
use crate::witness::{BookWitness, KernelWitness};

/// The book knows of what is alive now or was a moment ago. Of anything older the ledger knows all that it knows.
const PRESENT: Duration = Duration::from_secs(60);
/// The kernel's tables know of this moment only, and to list them takes milliseconds.
const NOW: Duration = Duration::from_secs(1);

/// The witnesses, the ledgers first.
pub(super) fn assemble(args: &Args, now: Timestamp) -> Result<Vec<Box<dyn Witness>>, Failure> {
    let mut witnesses = ledgers(&args.ledger)?;
    witnesses.extend(plans(&args.plan)?);
    let socket = args.control.clone();
    witnesses.push(Box::new(Present::new(now - PRESENT, move || match socket {
        // One that was named is missed when it does not answer; the default one need not be there.
        Some(socket) => Some(Box::new(BookWitness::new(socket))),
        None => BookWitness::if_present(PathBuf::from(DEFAULT_SOCKET))
            .map(|book| Box::new(book) as Box<dyn Witness>),
    })));
    witnesses.push(Box::new(Present::new(now - NOW, || {
        KernelWitness::open().map(|kernel| Box::new(kernel) as Box<dyn Witness>)
    })));
    Ok(witnesses)
}

fn ledgers(named: &[PathBuf]) -> Result<Vec<Box<dyn Witness>>, Failure> {
    let mut witnesses: Vec<Box<dyn Witness>> = Vec::new();
    let mut seen = Vec::new();
    for directory in named {
        let real = directory.canonicalize().map_err(|error| {
            anyhow::anyhow!(
                "there is no ledger in {}: {error}; --ledger names a folder that unmasq record writes",
                directory.display()
            )
        })?;
        // The same folder twice would count its flows twice.
        if !seen.contains(&real) {
            witnesses.push(ledger(directory)?);
            seen.push(real);
        }
    }
    let default = Path::new(DEFAULT_LEDGER);
    if named.is_empty() && default.join("ledger.toml").exists() {
        witnesses.push(ledger(default)?);
    }
    Ok(witnesses)
}

/// The plans that were named, or the usual one if it is there.
fn plans(named: &[PathBuf]) -> Result<Vec<Box<dyn Witness>>, Failure> {
    let usual = Path::new(DEFAULT_HISTORY);
    if named.is_empty() && !History::is_in(usual) {
        return Ok(Vec::new());
    }
    let named = if named.is_empty() { &[usual.to_owned()][..] } else { named };
    named.iter().map(|directory| plan(directory)).collect()
}

fn plan(directory: &Path) -> Result<Box<dyn Witness>, Failure> {
    match PlanWitness::open(directory) {
        Ok(plan) => Ok(Box::new(plan)),
        Err(error @ HistoryError::Damaged { .. }) => {
            Ok(Box::new(Unreadable(format!("plan {}", directory.display()), error.to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

fn ledger(directory: &Path) -> Result<Box<dyn Witness>, Failure> {
    match LedgerWitness::open(directory) {
        Ok(ledger) => Ok(Box::new(ledger)),
        Err(error @ (LedgerError::NotALedger { .. } | LedgerError::Version { .. })) => Err(error.into()),
        Err(error) => Ok(Box::new(Unreadable(format!("ledger {}", directory.display()), error.to_string()))),
    }
}

/// A ledger or plan that cannot be opened. It is asked all the same, so that each answer says that it is missing.
struct Unreadable(String, String);

impl Witness for Unreadable {
    fn name(&self) -> String {
        self.0.clone()
    }

    fn ask(&mut self, _: &Question) -> Result<Testimony, WitnessError> {
        Err(WitnessError::Unreadable { what: self.name(), reason: self.1.clone() })
    }

    fn of_client(
        &mut self,
        _: &ClientQuestion,
        _: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        Err(WitnessError::Unreadable { what: self.name(), reason: self.1.clone() })
    }
}

type Opening = Box<dyn FnOnce() -> Option<Box<dyn Witness>> + Send>;

/// A witness of the present: opened when the first question about it comes, and not asked about the past.
struct Present {
    since: Timestamp,
    opening: Option<Opening>,
    inner: Option<Box<dyn Witness>>,
}

impl Present {
    fn new(since: Timestamp, opening: impl FnOnce() -> Option<Box<dyn Witness>> + Send + 'static) -> Self {
        Self { since, opening: Some(Box::new(opening)), inner: None }
    }

    fn inner(&mut self, window: Period) -> Option<&mut Box<dyn Witness>> {
        if window.to < self.since {
            return None;
        }
        if let Some(opening) = self.opening.take() {
            self.inner = opening();
        }
        self.inner.as_mut()
    }
}

impl Witness for Present {
    fn name(&self) -> String {
        self.inner.as_ref().map_or_else(|| "a witness of the present".to_owned(), |inner| inner.name())
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        self.inner(question.window).map_or_else(|| Ok(Testimony::default()), |inner| inner.ask(question))
    }

    fn of_client(
        &mut self,
        question: &ClientQuestion,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Closing, WitnessError> {
        self.inner(question.window)
            .map_or_else(|| Ok(Closing::default()), |inner| inner.of_client(question, visit))
    }
}
