//! Where rulesets are kept, and in whose name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use unmasq_rules::commit::Places;
use unmasq_rules::git::Mirror;
use unmasq_rules::run::{Lock, Run};
use unmasq_rules::store::Store;

use crate::config::{Config, DEFAULT_FILE};

/// Where rulesets are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Folder of all that was committed [default: /var/lib/unmasq/rules]
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// Folder of what is true until the machine restarts [default: /run/unmasq/rules]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    run: Option<PathBuf>,
    /// The configuration file [default: /etc/unmasq/unmasq.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What the flags and the configuration say.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) run: Run,
    /// What `[rules]` says of the author.
    pub(crate) author: Option<String>,
    /// What `[rules]` says of a git repository.
    pub(crate) git: Option<PathBuf>,
}

impl PlaceArgs {
    /// Reads them.
    pub(crate) fn open(&self) -> anyhow::Result<Kept> {
        let usual = Path::new(DEFAULT_FILE);
        let config = match &self.config {
            Some(file) => Config::load(file)?,
            None if usual.exists() => Config::load(usual)?,
            None => Config::default(),
        }
        .rules;
        Ok(Kept {
            store: Store::new(self.history.as_ref().unwrap_or(&config.history)),
            run: Run::new(self.run.as_deref().unwrap_or(Path::new("/run/unmasq/rules"))),
            author: config.author,
            git: config.git,
        })
    }
}

impl Kept {
    /// Takes the right to change rules, and brings to an end what a kill has left half done. That is told.
    pub(crate) fn lock(&self, mirror: Option<&Mirror>) -> anyhow::Result<Lock> {
        let lock = self.run.lock()?;
        self.mend(&lock, mirror)?;
        Ok(lock)
    }

    /// Brings to an end what a kill has left half done. That is told.
    pub(crate) fn mend(&self, lock: &Lock, mirror: Option<&Mirror>) -> anyhow::Result<()> {
        for line in mend(lock, &Places { store: &self.store, run: &self.run, mirror })? {
            eprintln!("unmasq: {line}");
        }
        Ok(())
    }

    /// Who commits: as asked, as configured, or who is logged in. A service has no login, so its user's name is taken.
    ///
    /// # Errors
    /// If it is no name in one line: in git, a second line would be another header.
    pub(crate) fn author(&self, asked: Option<&str>) -> anyhow::Result<String> {
        let named = asked.map(str::to_owned).or_else(|| self.author.clone());
        let author = named.unwrap_or_else(|| {
            let login = ["SUDO_USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
            let user = login.filter(|name| !name.is_empty()).or_else(|| {
                uzers::get_user_by_uid(uzers::get_effective_uid())
                    .map(|user| user.name().to_string_lossy().into_owned())
            });
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{0} <{0}@{host}>", user.unwrap_or_else(|| "root".to_owned()))
        });
        if author.trim().is_empty() || author.chars().any(char::is_control) {
            bail!(
                "{author:?} cannot be an author; give a name in one line, such as \"Ada <ada@example.net>\""
            );
        }
        Ok(author)
    }
}

/// Brings to an end what a kill has left half done: a test is put back, a commit completed. Says what, in words.
pub(crate) fn mend(lock: &Lock, places: &Places<'_>) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    if let Some(trial) = unmasq_rules::trial::Trial::under_way(places.run)? {
        let files: Vec<String> = trial.files().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        told.push(format!("a test of {files} had been cut short; the rules before it are back"));
        told.extend(
            trial.put_back(lock, places.run).context("the rules before a test could not be put back")?,
        );
        places
            .run
            .note_last(&format!("test of {files}: the rules before are back: it had been cut short"))?;
    }
    told.extend(places.finish(lock)?);
    Ok(told)
}
