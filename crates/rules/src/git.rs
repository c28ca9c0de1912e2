//! A git repository in which revisions are kept, too: for those who look at changes there, and push them elsewhere.
//!
//! Author and committer come from the revision. git's own configuration and environment are not asked, and no login session is
//! needed: so it works in a service.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use gix::actor::SignatureRef;
use gix::objs::tree::EntryKind;

use crate::RulesError;
use crate::store::{Kept, Revision, replace};

/// The repository.
#[derive(Clone, Debug)]
pub struct Mirror {
    directory: PathBuf,
}

impl Mirror {
    /// In this folder. It is made at the first revision if it is not there.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Commits the revisions of a ruleset that are not there yet to the branch that is checked out, with the file in the working
    /// tree: up to this one, with those that an earlier failure has left out.
    pub(crate) fn keep(&self, kept: &Kept, up_to: u32) -> Result<(), RulesError> {
        let failed = |reason: Box<dyn Error>| RulesError::Git {
            path: self.directory.clone(),
            reason: reason.to_string(),
        };
        let repository = self.open().map_err(failed)?;
        let newest = newest_of(&repository, kept.name()).map_err(failed)?;
        for number in newest.unwrap_or(0).saturating_add(1)..=up_to {
            let (revision, _) = kept.described(number)?;
            commit(&repository, kept.name(), &revision, &kept.text(&revision)?).map_err(failed)?;
        }
        Ok(())
    }

    fn open(&self) -> Result<gix::Repository, Box<dyn Error>> {
        // Isolated: nothing of the environment and of the user's configuration, which a service does not have.
        let options = gix::open::Options::isolated();
        let is_there = fs::read_dir(&self.directory).is_ok_and(|mut entries| entries.next().is_some());
        if is_there {
            return Ok(gix::open_opts(&self.directory, options)?);
        }
        fs::create_dir_all(&self.directory)?;
        let made = gix::ThreadSafeRepository::init_opts(
            &self.directory,
            gix::create::Kind::WithWorktree,
            gix::create::Options::default(),
            options,
        )?;
        Ok(made.to_thread_local())
    }
}

fn marks(name: &str) -> String {
    format!("Ruleset: {name}\nRevision: ")
}

/// The newest revision of a ruleset that the branch has.
fn newest_of(repository: &gix::Repository, name: &str) -> Result<Option<u32>, Box<dyn Error>> {
    let marks = marks(name);
    let mut next = repository.head()?.id().map(gix::Id::detach);
    while let Some(id) = next {
        let commit = repository.find_commit(id)?;
        let message = commit.message_raw()?.to_string();
        if let Some((_, number)) = message.split_once(&marks) {
            return Ok(number.trim().parse().ok());
        }
        next = commit.parent_ids().next().map(gix::Id::detach);
    }
    Ok(None)
}

fn commit(
    repository: &gix::Repository,
    name: &str,
    revision: &Revision,
    text: &str,
) -> Result<(), Box<dyn Error>> {
    let parent = repository.head()?.id();
    let tree = match parent {
        Some(id) => id.object()?.peel_to_tree()?,
        None => repository.empty_tree(),
    };
    let blob = repository.write_blob(text.as_bytes())?;
    let mut editor = tree.edit()?;
    editor.upsert(name, EntryKind::Blob, blob)?;
    let new = editor.write()?;
    let (author, email) = name_and_email(&revision.author);
    let time = format!("{} +0000", revision.timestamp().as_seconds());
    let who = SignatureRef { name: author.into(), email: email.into(), time: &time };
    let title = revision.message.trim();
    let title = if title.is_empty() { "rules" } else { title };
    let message = format!("{title}\n\n{}{}\n", marks(name), revision.number);
    repository.commit_as(who, who, "HEAD", &message, new, parent.map(gix::Id::detach))?;
    if let Some(worktree) = repository.workdir() {
        replace(&worktree.join(name), text.as_bytes())?;
        let mut index = repository.index_from_tree(&new)?;
        index.write(gix::index::write::Options::default())?;
    }
    Ok(())
}

/// `Ada <ada@example.net>` taken apart. git wants both.
fn name_and_email(author: &str) -> (&str, &str) {
    match author.split_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches('>').trim()),
        None => (author.trim(), ""),
    }
}
