//! The program: chains of filters and actions, compiled.
//!
//! ```text
//!  Config ──► chains (who calls whom) ──► steps (arguments read and checked) ──► Program
//!                       └──────────────────────┴──► problems, each with its place
//! ```
//!
//! A label that another chain's `then` or `else` names further up in the file is a *jump chain*; the others are
//! *top-level* and follow each other. Each chain is compiled once. What leaves a chain without a `then` or `else` of its
//! own goes to the chain after the *top-level* chain that the entry is in, so the machine keeps that in a register.

mod actions;
mod args;
mod chains;
mod compile;
mod dot;
mod filters;
mod flow;
mod known_fields;
pub(crate) mod literal;
mod networks;
mod source_text;
pub(crate) mod step;
mod suggest;
pub(crate) mod switch;
#[cfg(test)]
mod tests;

use std::fmt;
use unmasq_diagnostic::Problem;

use unmasq_dialect::Pattern;
use unmasq_entry::{Fields, Slot};

pub use step::{IfShared, OnTimeout, Prefix, StepId};

use crate::client::Subset;
use crate::config::Loaded;
use crate::enforce::Element;
use step::{Action, Next, Step, Work};
use switch::{Switch, SwitchPlace};

/// Compiled chains.
#[derive(Debug)]
pub struct Program {
    pub(crate) fields: Fields,
    pub(crate) steps: Vec<Step>,
    pub(crate) patterns: Vec<Pattern>,
    /// The first step of each top-level chain, in order; an empty chain stops.
    pub(crate) mains: Vec<Next>,
    /// The first step, and the number of its top-level chain.
    pub(crate) start: (Next, u32),
    pub(crate) switches: Vec<Switch>,
    /// For each step, its place in one of the switches.
    pub(crate) switch_of: Vec<Option<SwitchPlace>>,
    /// The slots of `UNMASQ_EVIDENCE` and `UNMASQ_MASKED`, where a step uses them.
    pub(crate) evidence: Option<Slot>,
    pub(crate) masked: Option<Slot>,
    /// The labels of the top-level chains.
    main_labels: Vec<Box<str>>,
    infos: Vec<StepInfo>,
    categories: Vec<Box<str>>,
    /// The labels of all chains.
    chains: Vec<Box<str>>,
    /// For each step, the top-level chains that an entry can be in when it comes to it; none if it is never reached.
    mains_of: Vec<Vec<u32>>,
    leads_to_ban: Vec<bool>,
    /// Name and main argument of each step, for the graph.
    summaries: Vec<String>,
    dead: Vec<DeadStep>,
}

/// A step behind an explicit `then`: nothing comes to it, so it is not compiled.
#[derive(Debug)]
struct DeadStep {
    /// Number of its chain.
    chain: usize,
    index: usize,
    summary: String,
}

/// A program, and what its author probably does not mean.
#[derive(Debug)]
pub struct Compiled {
    /// It.
    pub program: Program,
    /// None of them is an error.
    pub warnings: Vec<Problem>,
}

/// What a step is called and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// The label of its chain.
    pub chain: Box<str>,
    /// Its place in the chain, from 0.
    pub index: usize,
    /// The name of its filter or action.
    pub name: Box<str>,
    /// Is it a filter?
    pub is_filter: bool,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for StepInfo {
    /// `sshd[4]`: the chain, and the place in it from 0, as Pyruse's debug output names steps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.chain, self.index)
    }
}

/// Where an entry waits in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resume {
    /// The step that asked.
    pub step: StepId,
    /// Number of the top-level chain that the entry is in.
    pub(crate) main: u32,
}

/// Where an entry waits, by names: to be saved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ResumePlace {
    /// The label of the step's chain.
    pub chain: Box<str>,
    /// The step's place in it, from 0.
    pub index: usize,
    /// The label of the top-level chain that the entry is in.
    pub main: Box<str>,
}

impl Program {
    /// Compiles the chains of a configuration. The error is all that is wrong with them, warnings included.
    pub fn compile(loaded: &Loaded) -> Result<Compiled, Vec<Problem>> {
        compile::compile(loaded)
    }

    /// The fields that the steps use: sources fill no others.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// All steps, in the order of the file.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (StepId, &StepInfo)> {
        self.infos.iter().enumerate().map(|(index, info)| (StepId(index as u32), info))
    }

    /// What a step is called and where it stands.
    pub fn step(&self, id: StepId) -> &StepInfo {
        &self.infos[id.index()]
    }

    /// The names of the categories of counters; a `CategoryId` is a place among them.
    pub fn categories(&self) -> &[Box<str>] {
        &self.categories
    }

    /// Can an entry come to the step at all?
    pub fn is_reached(&self, step: StepId) -> bool {
        !self.mains_of[step.index()].is_empty()
    }

    /// Does a ban follow the step on some way?
    pub fn leads_to_ban(&self, step: StepId) -> bool {
        self.leads_to_ban[step.index()]
    }

    /// An element such as the bans may order, for each of their sets: to ask beforehand whether a set could take it.
    pub fn samples(&self) -> Vec<Element> {
        let bans = self.steps.iter().zip(&self.mains_of).filter_map(|(step, mains)| match &step.work {
            Work::Action(Action::Ban(ban)) if !mains.is_empty() => Some(&**ban),
            Work::Action(_) | Work::Filter(_) => None,
        });
        bans.flat_map(step::BanStep::samples).collect()
    }

    /// The sets of words that replaces compare; captures are indexed by each.
    pub fn asked(&self) -> Vec<Subset> {
        let mut asked: Vec<Subset> = self.replaces().map(|(_, replace)| replace.subset).collect();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    fn replaces(&self) -> impl Iterator<Item = (StepId, &step::ReplaceStep)> {
        self.steps.iter().enumerate().filter_map(|(index, step)| match &step.work {
            Work::Action(Action::Replace(replace)) => Some((StepId(index as u32), &**replace)),
            Work::Action(_) | Work::Filter(_) => None,
        })
    }

    /// The words that a replace compares; `None` for other steps.
    pub fn asked_by(&self, step: StepId) -> Option<Subset> {
        self.replaces().find(|(id, _)| *id == step).map(|(_, replace)| replace.subset)
    }

    /// What an entry does whose translation did not come in time; `Pass` for steps that do not wait.
    pub fn on_timeout(&self, step: StepId) -> OnTimeout {
        self.replaces().find(|(id, _)| *id == step).map_or(OnTimeout::Pass, |(_, replace)| replace.on_timeout)
    }

    /// Where an entry waits, in words that hold for another program too: one that was read again from a changed file.
    pub fn place_of(&self, resume: Resume) -> ResumePlace {
        let info = self.step(resume.step);
        let main = self.main_labels.get(resume.main as usize).cloned().unwrap_or_default();
        ResumePlace { chain: info.chain.clone(), index: info.index, main }
    }

    /// The same place in this program; `None` if it has no replace there, or the chains have changed their order.
    pub fn resume_at(&self, place: &ResumePlace) -> Option<Resume> {
        let (step, _) = self.replaces().find(|(id, _)| {
            let info = self.step(*id);
            info.chain == place.chain && info.index == place.index
        })?;
        let main = self.main_labels.iter().position(|label| *label == place.main)?;
        Some(Resume { step, main: main as u32 })
    }
}
