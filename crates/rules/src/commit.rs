//! A commit: a ruleset becomes a revision, is loaded, and takes the place of its file, in an order that a kill at any moment
//! leaves in a state that [`Places::finish`] brings to its end.
//!
//! ```text
//!  the revision is written ─► the kernel loads it ─► `head` names it ─► the file is replaced ─► its .new goes
//!       └── killed here or before `head`: loaded (again), and on      └── killed here: the rest is done
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use unmasq_flow::Timestamp;

use crate::git::Mirror;
use crate::live::Target;
use crate::run::{Lock, Run};
use crate::store::{Draft, Kept, Revision, Store, replace};
use crate::{Form, RulesError};

/// What is to be committed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The file that it becomes.
    pub file: PathBuf,
    /// Who commits it.
    pub author: String,
    /// Why.
    pub message: String,
    /// Does it flush all tables?
    pub is_whole: bool,
    /// For which program it is.
    pub form: Form,
    /// The ruleset.
    pub text: String,
}

/// What a commit did.
#[derive(Debug)]
pub struct Committed {
    /// The revision.
    pub revision: Revision,
    /// What others had added to its tables and could not stay, and what else there is to know, in words.
    pub told: Vec<String>,
}

/// Where commits go.
#[derive(Debug)]
pub struct Places<'a> {
    /// The history.
    pub store: &'a Store,
    /// What is true until the machine restarts.
    pub run: &'a Run,
    /// A git repository that keeps them, too.
    pub mirror: Option<&'a Mirror>,
}

impl Places<'_> {
    /// Commits a ruleset. If the kernel refuses it, nothing has changed.
    pub fn commit(&self, _lock: &Lock, proposal: &Proposal) -> Result<Committed, RulesError> {
        let kept = self.store.ruleset_of(&proposal.file)?;
        let target = Target::new(proposal.form, &proposal.text, proposal.is_whole)?;
        self.store.check_tables(kept.name(), proposal.form, &target.own_tables())?;
        let revision = kept.begin(&Draft {
            time: Timestamp::now(),
            author: &proposal.author,
            message: &proposal.message,
            form: proposal.form,
            file: &proposal.file,
            is_whole: proposal.is_whole,
            tables: target.own_tables(),
            text: &proposal.text,
        })?;
        match self.carry_out(&kept, &revision, &target) {
            Err(error) if kept.head()? != Some(revision.number) => {
                kept.give_up(revision.number)?;
                Err(error)
            }
            Err(error) => Err(error),
            Ok(told) => Ok(Committed { revision, told }),
        }
    }

    fn carry_out(
        &self,
        kept: &Kept,
        revision: &Revision,
        target: &Target,
    ) -> Result<Vec<String>, RulesError> {
        let mut told = self.load(kept.name(), target)?;
        kept.set_head(revision.number)?;
        told.extend(self.publish(kept, revision, target.text())?);
        Ok(told)
    }

    fn load(&self, name: &str, target: &Target) -> Result<Vec<String>, RulesError> {
        let own = self.run.loaded(name)?;
        let others = target.clone().instead_of(own.as_ref()).load(own.as_ref())?;
        self.run.set_loaded(name, &target.own())?;
        Ok(others.told())
    }

    /// What follows once a revision is in force. A git repository that does not take it is told of: the next commit brings it
    /// up to date.
    fn publish(&self, kept: &Kept, revision: &Revision, text: &str) -> Result<Option<String>, RulesError> {
        let is_there = fs::read(&revision.file).is_ok_and(|there| there == text.as_bytes());
        if !is_there {
            replace(&revision.file, text.as_bytes())?;
        }
        let new = with_new(&revision.file);
        // What was written there since is another's work.
        if fs::read(&new).is_ok_and(|there| there == text.as_bytes()) {
            fs::remove_file(&new).map_err(RulesError::io("remove", &new))?;
        }
        let in_git = self.mirror.map_or(Ok(()), |mirror| mirror.keep(kept, revision.number));
        kept.end()?;
        Ok(in_git.err().map(|error| error.to_string()))
    }

    /// Brings commits that a kill has cut short to their end. Says which, in words, and what cannot be brought to an end: that is
    /// no reason to leave the others. A commit that the kernel does not take (any more) did not happen.
    pub fn finish(&self, _lock: &Lock) -> Result<Vec<String>, RulesError> {
        let mut told = Vec::new();
        for kept in self.store.rulesets()? {
            match self.finish_one(&kept) {
                Ok(lines) => told.extend(lines),
                Err(error) => {
                    told.push(format!("the commit of {} cannot be completed: {error}", kept.name()));
                }
            }
        }
        Ok(told)
    }

    fn finish_one(&self, kept: &Kept) -> Result<Vec<String>, RulesError> {
        let Some(number) = kept.begun()? else { return Ok(Vec::new()) };
        let name = kept.name();
        let (revision, _) = kept.described(number)?;
        let text = kept.text(&revision)?;
        if kept.head()? == Some(number) {
            let mut told =
                vec![format!("revision {number} of {name} had been loaded; its commit is complete now")];
            told.extend(self.publish(kept, &revision, &text)?);
            return Ok(told);
        }
        let done = target_of(&revision, &text).and_then(|target| self.carry_out(kept, &revision, &target));
        Ok(match done {
            Ok(mut told) => {
                told.push(format!(
                    "the commit of revision {number} of {name} had been cut short; it is complete now"
                ));
                told
            }
            Err(error) if kept.head()? == Some(number) => return Err(error),
            Err(error) => {
                kept.give_up(number)?;
                vec![format!(
                    "the commit of revision {number} of {name} had been cut short, and is given up: {error}"
                )]
            }
        })
    }

    /// Loads the revision in force, or the newest before it that loads. Gives its number and why newer ones were not.
    pub fn load_newest(&self, _lock: &Lock, kept: &Kept) -> Result<(Option<u32>, Vec<String>), RulesError> {
        let mut refused = Vec::new();
        for number in (1..=kept.head()?.unwrap_or(0)).rev() {
            // That another revision is damaged is no reason not to load this one.
            let loaded = kept.described(number).and_then(|(revision, _)| {
                let target = target_of(&revision, &kept.text(&revision)?)?;
                self.load(kept.name(), &target)
            });
            match loaded {
                Ok(_) => return Ok((Some(number), refused)),
                Err(error) => refused.push(format!("revision {number} of {}: {error}", kept.name())),
            }
        }
        Ok((None, refused))
    }
}

/// A revision as something to load.
fn target_of(revision: &Revision, text: &str) -> Result<Target, RulesError> {
    Target::new(revision.form, text, revision.is_whole)
}

/// The file that a new ruleset waits in: `iptables.conf.new` for `iptables.conf`.
pub fn with_new(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// The file that a new ruleset becomes.
pub fn without_new(file: &Path) -> PathBuf {
    if file.extension().is_some_and(|extension| extension == "new") {
        file.with_extension("")
    } else {
        file.to_owned()
    }
}
