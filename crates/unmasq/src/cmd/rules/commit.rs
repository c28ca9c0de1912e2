//! `unmasq rules commit`: a ruleset is loaded and kept.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use unmasq_rules::compare::lacks;
use unmasq_rules::git::Mirror;
use unmasq_rules::live::{State, Target};
use unmasq_rules::ruleset::Ruleset;

use super::check;
use super::test::say_all;
use crate::failure::{Failure, Outcome};
use crate::rules::job::{Event, Job, What};
use crate::rules::ordered::Keeper;
use crate::rules::place::{Kept, PlaceArgs};
use crate::rules::read::{Source, targets};

/// Load rulesets and keep them: FILE.new becomes FILE, and a revision of the history
///
/// In one step that is never half done: the kernel takes each ruleset whole or not at all, and a commit that is cut short by a
/// kill or a power cut is completed by the next command or at boot. What others have added to the tables stays.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 committed (or nothing had changed); 1 not confirmed; 2 wrong usage, or a ruleset was refused and nothing has
changed; 4 something went wrong, see the message.

Examples:
  unmasq rules commit iptables.conf -m 'SSH from the office'
      iptables.conf.new, as `unmasq rules gen` writes it, is loaded and becomes iptables.conf.
  unmasq rules commit /etc/nftables.conf
      There is no /etc/nftables.conf.new, so the file itself is loaded, and kept as a revision.
  unmasq rules commit main.nft --git /etc/rules.git")]
pub(crate) struct Args {
    /// Rulesets; of each, FILE.new if it is there
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Take a ruleset with `flush ruleset`, which replaces the tables of all others, too
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// How something is committed.
#[derive(Debug, clap::Args)]
pub(super) struct HowArgs {
    /// Why
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// In whose name [default: what the configuration says, else who is logged in]
    #[arg(long, value_name = "NAME <MAIL>")]
    author: Option<String>,
    /// Keep the revision in this git repository, too [default: what the configuration says]
    #[arg(long, value_name = "DIR")]
    git: Option<PathBuf>,
    /// Do not ask, even where most of the rules would go, your session would be cut, or what you wrote into the file would be lost
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.how.place.open()?;
    let mut sources = Vec::new();
    for file in &args.files {
        let new = unmasq_rules::commit::with_new(file);
        let chosen = if new.exists() { &new } else { file };
        sources.push(Source::read(chosen, args.whole)?);
    }
    commit(&args.how, &kept, sources, &args.how.message)
}

impl HowArgs {
    /// Where things are kept.
    pub(super) fn open(&self) -> anyhow::Result<Kept> {
        self.place.open()
    }

    /// The message, or another if there is none.
    pub(super) fn message_or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.message.is_empty() { other } else { &self.message }
    }
}

/// Commits these, after a look at what would go.
pub(super) fn commit(how: &HowArgs, kept: &Kept, sources: Vec<Source>, message: &str) -> Outcome {
    let targets = targets(&sources, &kept.store)?;
    let mut changed = Vec::new();
    for (source, target) in sources.into_iter().zip(&targets) {
        if is_in_force(kept, &source, target)? {
            if !how.json {
                println!("{}: as committed already, and loaded; nothing is done", source.becomes().display());
            }
        } else {
            changed.push(source);
        }
    }
    for source in &changed {
        let cuts = check::warn(source)?;
        if !how.yes && !brake(kept, source, cuts)? {
            println!("Nothing is done.");
            return Ok(ExitCode::from(1));
        }
    }
    let git = how.git.clone().or_else(|| kept.git.clone());
    let mut revisions = Vec::new();
    if !changed.is_empty() {
        let job = Job {
            history: kept.store.directory().to_owned(),
            run: kept.run.directory().to_owned(),
            git: git.clone(),
            what: What::Commit {
                sources: changed,
                author: kept.author(how.author.as_deref())?,
                message: message.to_owned(),
            },
        };
        let mut keeper = Keeper::start(&job)?;
        loop {
            match keeper.hear()? {
                Some(Event::Committed { revision, told }) => {
                    say_all(&told);
                    if !how.json {
                        println!("{}: revision {} is in force", revision.file.display(), revision.number);
                    }
                    revisions.push(revision);
                }
                Some(Event::Done { told }) => {
                    say_all(&told);
                    break;
                }
                Some(Event::Refused { why }) => return Err(anyhow::anyhow!(why).into()),
                Some(Event::Failed { why }) => return Err(Failure::with_exit(4, anyhow::anyhow!(why))),
                Some(other) => {
                    return Err(Failure::with_exit(
                        4,
                        anyhow::anyhow!("the keeper of the rules says something odd: {other:?}"),
                    ));
                }
                None => {
                    // It was killed: what it had begun is brought to an end here.
                    drop(kept.lock(git.as_deref().map(Mirror::new).as_ref())?);
                    return Err(Failure::with_exit(
                        4,
                        anyhow::anyhow!(
                            "the process that commits was killed; `unmasq rules history` shows what is committed"
                        ),
                    ));
                }
            }
        }
    }
    if how.json {
        let mut out = anstream::stdout();
        serde_json::to_writer_pretty(&mut out, &json!({ "committed": revisions }))?;
        writeln!(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Is this the text of the revision in force, the file's own, and what the kernel has?
fn is_in_force(kept: &Kept, source: &Source, target: &Target) -> anyhow::Result<bool> {
    let ruleset = kept.store.ruleset_of(&source.becomes())?;
    let Some(newest) = ruleset.newest()? else { return Ok(false) };
    let is_of_file = fs::read(source.becomes()).is_ok_and(|there| there == source.text.as_bytes());
    let is_committed = source.file == source.becomes() && is_of_file && ruleset.text(&newest)? == source.text;
    // A test that was confirmed is loaded in its place, and others can have flushed the tables since.
    let is_last = |loaded: State| loaded.is_like(&target.own());
    if !is_committed || !kept.run.loaded(&source.name())?.is_some_and(is_last) {
        return Ok(false);
    }
    let committed = Ruleset::normalise(source.form, &source.text)?;
    let now = committed.loaded_now()?;
    Ok(!lacks(&committed, &now))
}

/// Asks before most of the rules go, or who asks is cut off. True if it may go on.
fn brake(kept: &Kept, source: &Source, cuts: bool) -> anyhow::Result<bool> {
    let what = if cuts {
        Some("it would cut the session that you are logged in by".to_owned())
    } else if let Some(what) = super::brake::written_over(kept, source)? {
        Some(what)
    } else {
        super::brake::mostly_gone(kept, source)?
    };
    let Some(what) = what else { return Ok(true) };
    if !io::stdin().is_terminal() {
        anyhow::bail!("{}: {what}; say --yes if that is meant", source.file.display());
    }
    print!("{}: {what}. Go on? [y/N] ", source.file.display());
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
