//! A test: rulesets are loaded and stay only if someone confirms them in time.
//!
//! Before anything changes, how things are is written to the run folder, so that whoever comes next can put it back if the
//! process that has the test is killed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::RulesError;
use crate::live::{State, Target};
use crate::run::{Lock, Run};

/// A ruleset to be tried.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The name that its history goes by: of the file without `.new`.
    pub name: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// The ruleset.
    pub target: Target,
}

/// A test under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trial {
    parts: Vec<Part>,
    /// When it ends by itself, in nanoseconds of the boot clock.
    deadline: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    name: String,
    file: PathBuf,
    before: State,
    /// What was the last ruleset's own before this test, as far as it was known.
    own_before: Option<State>,
    /// What is the new ruleset's own.
    own: State,
    /// Right after the load; `None` while it is under way.
    loaded: Option<State>,
}

impl Trial {
    /// Loads the rulesets. If one is refused, the others are put back.
    ///
    /// Gives what became of what others had added, in words.
    pub fn begin(
        _lock: &Lock,
        run: &Run,
        candidates: &[Candidate],
        deadline: u64,
    ) -> Result<(Self, Vec<String>), RulesError> {
        let mut trial = Self { parts: Vec::new(), deadline };
        let mut told = Vec::new();
        let mut targets = Vec::new();
        for candidate in candidates {
            let own_before = run.loaded(&candidate.name)?;
            let target = candidate.target.clone().instead_of(own_before.as_ref());
            trial.parts.push(Part {
                name: candidate.name.clone(),
                file: candidate.file.clone(),
                before: target.save()?,
                own_before,
                own: target.own(),
                loaded: None,
            });
            targets.push(target);
        }
        run.write(&run.trial_path(), &trial)?;
        for (at, target) in targets.iter().enumerate() {
            let loaded = target.load(trial.parts[at].own_before.as_ref()).and_then(|others| {
                trial.parts[at].loaded = Some(target.now()?);
                run.write(&run.trial_path(), &trial)?;
                Ok(others)
            });
            match loaded {
                Ok(others) => told.extend(others.told()),
                Err(error) => {
                    // A load that is refused changes nothing (for iptables, table by table); if it could not be noted, it did.
                    trial.put_back_all(run)?;
                    return Err(error);
                }
            }
        }
        Ok((trial, told))
    }

    /// The test that is under way, or that a killed process has left.
    pub fn under_way(run: &Run) -> Result<Option<Self>, RulesError> {
        Run::read(&run.trial_path())
    }

    /// When it ends by itself, in nanoseconds of the boot clock.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The files that are tried.
    pub fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        self.parts.iter().map(|part| part.file.as_path())
    }

    /// Puts everything back. Gives what others did meanwhile and could not stay, in words.
    pub fn put_back(mut self, _lock: &Lock, run: &Run) -> Result<Vec<String>, RulesError> {
        self.put_back_all(run)
    }

    fn put_back_all(&mut self, run: &Run) -> Result<Vec<String>, RulesError> {
        let mut lost = Vec::new();
        let mut failed = None;
        // Each on its own: that one cannot be put back is no reason to leave the others.
        for part in self.parts.iter().rev() {
            // Without a note, a kill came while it was being loaded.
            match part.before.put_back(part.loaded.as_ref()) {
                Ok(gone) => lost.extend(gone),
                Err(error) => failed = failed.or(Some(error)),
            }
            let noted = match &part.own_before {
                Some(state) => run.set_loaded(&part.name, state),
                None => run.forget_loaded(&part.name),
            };
            failed = failed.or(noted.err());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        run.forget_trial()?;
        Ok(lost)
    }

    /// They stay.
    pub fn keep(self, _lock: &Lock, run: &Run) -> Result<(), RulesError> {
        for part in &self.parts {
            run.set_loaded(&part.name, &part.own)?;
        }
        run.forget_trial()
    }
}
