//! A ruleset's file, read and tried.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use unmasq_rules::commit::without_new;
use unmasq_rules::live::Target;
use unmasq_rules::store::{Revision, Store};
use unmasq_rules::{Form, RulesError};

/// A ruleset as it stands in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    /// The file that was read.
    pub(crate) file: PathBuf,
    /// For which program it is.
    pub(crate) form: Form,
    /// May it flush all tables?
    pub(crate) is_whole: bool,
    /// The text.
    pub(crate) text: String,
}

impl Source {
    /// Reads a file.
    pub(crate) fn read(file: &Path, is_whole: bool) -> anyhow::Result<Self> {
        let file = std::path::absolute(file).with_context(|| format!("cannot find {}", file.display()))?;
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let form = Form::of(&without_new(&file), &text);
        Ok(Self { file, form, is_whole, text })
    }

    /// A revision that is to be committed again.
    pub(crate) fn of_revision(revision: &Revision, text: String) -> Self {
        Self { file: revision.file.clone(), form: revision.form, is_whole: revision.is_whole, text }
    }

    /// The file that it becomes when it is committed.
    pub(crate) fn becomes(&self) -> PathBuf {
        without_new(&self.file)
    }

    /// The name that its history goes by.
    pub(crate) fn name(&self) -> String {
        self.becomes().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Tries it in an empty kernel, then in this one.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let of_file = || format!("{}", self.file.display());
        let target = Target::new(self.form, &self.text, self.is_whole).with_context(of_file)?;
        if self.form != Form::Nft {
            // What iptables replaces is what the text has; of nft, what is there already must go first, which the load does.
            self.form.try_out(&self.text).map_err(RulesError::from).with_context(of_file)?;
        }
        Ok(target)
    }
}

/// Tries rulesets that are to be loaded together, and that none is in the way of another, nor of one that is committed.
pub(crate) fn targets(sources: &[Source], store: &Store) -> anyhow::Result<Vec<Target>> {
    let mut found: Vec<Target> = Vec::new();
    for source in sources {
        let target = source.target()?;
        let tables = target.own_tables();
        for (before, made) in sources.iter().zip(&found) {
            let (one, other) = (before.file.clone(), source.file.clone());
            if before.name() == source.name() {
                return Err(RulesError::SameRuleset { name: source.name(), one, other }.into());
            }
            let shared = made.own_tables().into_iter().find(|table| tables.contains(table));
            if let Some(table) = shared.filter(|_| before.form == source.form) {
                return Err(RulesError::SameTable { table, one, other }.into());
            }
        }
        store.check_tables(&source.name(), source.form, &tables)?;
        found.push(target);
    }
    Ok(found)
}
