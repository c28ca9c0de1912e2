//! The history: every ruleset that was ever committed, and which revision of it is the one in force.
//!
//! ```text
//! /var/lib/unmasq/rules/
//!   iptables.conf/          one ruleset, by the name of its file
//!     000001.rules          a revision: the text as it was committed
//!     000001.json           who, when, why; the hash of the text and of the revision before
//!     head                  the number of the revision in force
//!     commit                a commit that has begun: the number of its revision
//! ```
//!
//! A revision never changes. Renaming `head` into place is the moment at which a commit has happened; what a kill leaves half
//! done before and after, [`crate::commit::Places::finish`] brings to its end.

mod files;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

pub(crate) use self::files::{remove, replace, sha256};
use crate::{Form, RulesError};

/// The version of what a revision's description says.
pub const FORMAT: u32 = 1;

/// A history of rulesets.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The history of one ruleset.
#[derive(Clone, Debug)]
pub struct Kept {
    directory: PathBuf,
    name: String,
}

/// One revision, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Version of this format: [`FORMAT`].
    format: u32,
    /// From one, without gaps.
    pub number: u32,
    /// When it was committed, in nanoseconds since the Unix epoch.
    pub time: i64,
    /// Who committed it.
    pub author: String,
    /// Why, in one or more lines. Can be empty.
    pub message: String,
    /// For which program it is.
    pub form: Form,
    /// The file that it is a revision of.
    pub file: PathBuf,
    /// Does it flush all tables, and replaces all?
    pub is_whole: bool,
    /// The tables that it makes, with their family for nft.
    pub tables: Vec<String>,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the description of the revision before; empty for the first.
    pub previous: String,
}

impl Revision {
    /// When it was committed.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.time)
    }
}

/// What a new revision says.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// When it is.
    pub time: Timestamp,
    /// Who commits it.
    pub author: &'a str,
    /// Why.
    pub message: &'a str,
    /// For which program it is.
    pub form: Form,
    /// The file that it is a revision of.
    pub file: &'a Path,
    /// Does it flush all tables?
    pub is_whole: bool,
    /// The tables that it makes.
    pub tables: Vec<String>,
    /// The ruleset.
    pub text: &'a str,
}

impl Store {
    /// The history in a folder, which need not be there yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The rulesets that it has, by name.
    pub fn rulesets(&self) -> Result<Vec<Kept>, RulesError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(RulesError::io("list", &self.directory))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(RulesError::io("list", &self.directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'));
            if let Some(name) = name.filter(|_| path.is_dir()) {
                found.push(self.ruleset(name));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The history of a ruleset, which need not be there yet.
    pub fn ruleset(&self, name: &str) -> Kept {
        Kept { directory: self.directory.join(name), name: name.to_owned() }
    }

    /// The history of a file. It goes by the file's name alone.
    pub fn ruleset_of(&self, file: &Path) -> Result<Kept, RulesError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = self.ruleset(&name);
        match kept.newest()? {
            Some(newest) if newest.file != file => {
                Err(RulesError::OtherFile { name, kept: newest.file, asked: file.to_owned() })
            }
            _ => Ok(kept),
        }
    }
}

impl Store {
    /// A table belongs to one ruleset: two that replace it would each remove the other's rules.
    pub fn check_tables(&self, name: &str, form: Form, tables: &[String]) -> Result<(), RulesError> {
        for other in self.rulesets()?.into_iter().filter(|other| other.name() != name) {
            let Some(newest) = other.newest()? else { continue };
            let shared = newest.tables.iter().find(|table| newest.form == form && tables.contains(table));
            if let Some(table) = shared {
                return Err(RulesError::SharedTable { table: table.clone(), other: other.name().to_owned() });
            }
        }
        Ok(())
    }
}

impl Kept {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self, number: u32, extension: &str) -> PathBuf {
        self.directory.join(format!("{number:06}.{extension}"))
    }

    /// All revisions in their order. What belongs to a commit that has not happened yet is not among them.
    ///
    /// # Errors
    /// [`RulesError::Damaged`] if one is not as it was written: each has the hash of the one before.
    pub fn revisions(&self) -> Result<Vec<Revision>, RulesError> {
        let mut all = Vec::new();
        let mut previous = String::new();
        for number in 1..=self.head()?.unwrap_or(0) {
            let (revision, hash) = self.described(number)?;
            self.check_link(&revision, &previous)?;
            previous = hash;
            all.push(revision);
        }
        Ok(all)
    }

    /// The revision in force; none before the first commit. Only its own description is read, however long the history is, and
    /// whatever became of the revisions before it: [`Self::audit`] looks at those.
    pub fn newest(&self) -> Result<Option<Revision>, RulesError> {
        Ok(self.head()?.map(|number| self.described(number)).transpose()?.map(|(revision, _)| revision))
    }

    /// One revision, as those beside it say that it is.
    pub fn revision(&self, number: u32) -> Result<Revision, RulesError> {
        let head = self.head()?.unwrap_or(0);
        if number == 0 || number > head {
            return Err(RulesError::NoRevision { name: self.name.clone(), number });
        }
        let (revision, hash) = self.described(number)?;
        let previous = if number == 1 { String::new() } else { self.described(number - 1)?.1 };
        self.check_link(&revision, &previous)?;
        if number < head {
            self.check_link(&self.described(number + 1)?.0, &hash)?;
        }
        Ok(revision)
    }

    /// What is written of a revision, and the hash that the next one must have; not compared with its neighbours.
    pub(crate) fn described(&self, number: u32) -> Result<(Revision, String), RulesError> {
        let path = self.path(number, "json");
        let text = fs::read(&path).map_err(RulesError::io("read", &path))?;
        let damaged = |what: String| damaged(&path, &what);
        let revision: Revision = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if revision.format != FORMAT {
            return Err(damaged(format!(
                "it has format {}, and this unmasq reads format {FORMAT}",
                revision.format
            )));
        }
        if revision.number != number {
            return Err(damaged(format!("it describes revision {}", revision.number)));
        }
        Ok((revision, sha256(&text)))
    }

    fn check_link(&self, revision: &Revision, previous: &str) -> Result<(), RulesError> {
        if revision.previous == previous {
            return Ok(());
        }
        let path = self.path(revision.number, "json");
        Err(damaged(&path, "it does not follow the revision before it: one of the two was changed"))
    }

    /// The text of a revision, which is checked against its hash.
    pub fn text(&self, revision: &Revision) -> Result<String, RulesError> {
        let path = self.path(revision.number, "rules");
        let text = fs::read(&path).map_err(RulesError::io("read", &path))?;
        if sha256(&text) != revision.sha256 {
            return Err(damaged(&path, "the text is not the one that was committed"));
        }
        String::from_utf8(text).map_err(|_| damaged(&path, "it is no text"))
    }

    /// The number of the revision in force; none before the first commit.
    ///
    /// # Errors
    /// [`RulesError::Damaged`] if it is not known, or not that of the newest: a commit would write over revisions that are there.
    pub fn head(&self) -> Result<Option<u32>, RulesError> {
        let head = self.number("head")?;
        // The first behind it may belong to a commit that has only begun.
        let beyond = head.unwrap_or(0).saturating_add(2);
        if self.path(beyond, "json").exists() {
            return Err(RulesError::Damaged {
                path: self.directory.join("head"),
                what: format!(
                    "it must be the number of the newest revision, and there is a revision {beyond}; write the newest \
                     that is whole into it"
                ),
            });
        }
        Ok(head)
    }

    /// The revision of a commit that has begun and not ended.
    pub(crate) fn begun(&self) -> Result<Option<u32>, RulesError> {
        self.number("commit")
    }

    fn number(&self, file: &str) -> Result<Option<u32>, RulesError> {
        let path = self.directory.join(file);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(RulesError::io("read", &path))?,
        };
        let number = text
            .trim()
            .parse()
            .map_err(|_| RulesError::Damaged { path, what: "it is no number".to_owned() })?;
        Ok(Some(number))
    }

    /// Writes the next revision and says that its commit has begun. It is not in force.
    pub(crate) fn begin(&self, draft: &Draft<'_>) -> Result<Revision, RulesError> {
        fs::create_dir_all(&self.directory).map_err(RulesError::io("make", &self.directory))?;
        let begun = self.begin_in_folder(draft);
        if begun.is_err() {
            self.forget_empty();
        }
        begun
    }

    fn begin_in_folder(&self, draft: &Draft<'_>) -> Result<Revision, RulesError> {
        let newest = self.head()?.map(|number| self.described(number)).transpose()?;
        let (number, previous) =
            newest.map_or((1, String::new()), |(newest, hash)| (newest.number + 1, hash));
        let revision = Revision {
            format: FORMAT,
            number,
            time: draft.time.as_nanos(),
            author: draft.author.to_owned(),
            message: draft.message.to_owned(),
            form: draft.form,
            file: draft.file.to_owned(),
            is_whole: draft.is_whole,
            tables: draft.tables.clone(),
            sha256: sha256(draft.text.as_bytes()),
            previous,
        };
        let described = serde_json::to_vec_pretty(&revision).map_err(|error| RulesError::Damaged {
            path: self.path(revision.number, "json"),
            what: error.to_string(),
        })?;
        replace(&self.path(revision.number, "rules"), draft.text.as_bytes())?;
        replace(&self.path(revision.number, "json"), &described)?;
        replace(&self.directory.join("commit"), format!("{}\n", revision.number).as_bytes())?;
        Ok(revision)
    }

    /// Puts a revision in force: from here on, its commit has happened.
    pub(crate) fn set_head(&self, number: u32) -> Result<(), RulesError> {
        replace(&self.directory.join("head"), format!("{number}\n").as_bytes())
    }

    /// The commit has ended.
    pub(crate) fn end(&self) -> Result<(), RulesError> {
        remove(&self.directory.join("commit"))
    }

    /// The commit did not happen: its revision goes.
    pub(crate) fn give_up(&self, number: u32) -> Result<(), RulesError> {
        self.end()?;
        remove(&self.path(number, "json"))?;
        remove(&self.path(number, "rules"))?;
        self.forget_empty();
        Ok(())
    }

    /// A ruleset of which nothing was ever committed is none. Its folder stays as long as anything is in it.
    fn forget_empty(&self) {
        let _ = fs::remove_dir(&self.directory);
    }

    /// Is anything of it wrong? Reads all texts.
    pub fn audit(&self) -> Result<(), RulesError> {
        self.revisions()?.iter().try_for_each(|revision| self.text(revision).map(drop))
    }
}

/// What is wrong with a file of a revision, and how to go on.
fn damaged(path: &Path, what: &str) -> RulesError {
    let what = format!(
        "{what}; put it back from a backup, or, if it is of the newest revision, write the number of the one before into `head` \
         beside it"
    );
    RulesError::Damaged { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests;
