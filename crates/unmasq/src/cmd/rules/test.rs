//! `unmasq rules test`: rules that go again by themselves.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rustix::process::getpid;
use signal_hook::consts::{SIGINT, SIGTERM};
use unmasq_rules::live::boot_nanos;

use super::check;
use crate::config::units::parse_duration;
use crate::failure::{Failure, Outcome};
use crate::rules::job::{Answer, Event, Job, What};
use crate::rules::keeper::{on_signals, wait_for};
use crate::rules::ordered::Keeper;
use crate::rules::place::{Kept, PlaceArgs};
use crate::rules::read::{Source, targets};
use crate::rules::session::Session;

/// Load rulesets for a while: unless you confirm in time, the rules before come back
///
/// Confirm with `unmasq rules confirm` from a connection that you make meanwhile: that it can be made is what you test. Or
/// answer y here. The rules before come back when the time is over, when this command is killed, when the terminal or its SSH
/// connection breaks, and when the machine restarts. What others do to their sets and rules meanwhile (bans, for one) is kept.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 confirmed, and the new rules stay until the machine restarts (`unmasq rules commit` keeps them); 1 the rules
before are back; 2 wrong usage, or a ruleset was refused and nothing has changed; 4 something went wrong, see the message.

Examples:
  unmasq rules test iptables.conf.new
  unmasq rules test --for 2m main.nft.new ip6tables.conf.new
  unmasq rules confirm        # from a new connection")]
pub(crate) struct Args {
    /// Rulesets for nft, iptables-restore or ip6tables-restore
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    time: Duration,
    /// Take a ruleset with `flush ruleset`, which replaces the tables of all others, too
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.place.open()?;
    let sources =
        args.files.iter().map(|file| Source::read(file, args.whole)).collect::<anyhow::Result<Vec<_>>>()?;
    let targets = targets(&sources, &kept.store)?;
    for (source, target) in sources.iter().zip(targets) {
        // It is what is being tested, so it is only told.
        let _ = check::warn(source)?;
        let target = target.instead_of(kept.run.loaded(&source.name())?.as_ref());
        println!("{}: replaces {}", source.file.display(), tables(&target.tables()));
    }
    let signals = on_signals(&[SIGINT, SIGTERM])?;
    let job = Job {
        history: kept.store.directory().to_owned(),
        run: kept.run.directory().to_owned(),
        git: kept.git.clone(),
        what: What::Test {
            sources,
            millis: u64::try_from(args.time.as_millis()).unwrap_or(u64::MAX),
            session: Session::of(getpid()),
        },
    };
    let mut keeper = Keeper::start(&job)?;
    match follow(&mut keeper, &signals)? {
        Some(event) => end(event),
        None => Ok(take_over(&kept)?),
    }
}

fn tables(names: &[String]) -> String {
    let word = if names.len() == 1 { "table" } else { "tables" };
    format!("{word} {}", names.join(", "))
}

/// Hears the keeper until it says how the test ended; `None` if it was killed.
fn follow(keeper: &mut Keeper, signals: &UnixStream) -> anyhow::Result<Option<Event>> {
    let stdin = io::stdin();
    let (mut is_asking, mut is_ending) = (false, false);
    let mut deadline = u64::MAX;
    loop {
        if !keeper.has_more() {
            // Without a terminal, nobody can answer here.
            let ready = if is_asking {
                show_left(deadline);
                wait_for([keeper.socket().as_fd(), signals.as_fd(), stdin.as_fd()], 1_000_000_000)?
            } else {
                let [heard, told] = wait_for([keeper.socket().as_fd(), signals.as_fd()], 1_000_000_000)?;
                // A second signal says nothing new, and would be heard again and again.
                if is_ending && !heard {
                    std::thread::sleep(Duration::from_millis(20));
                }
                [heard, told, false]
            };
            if ready[1] && !is_ending {
                // It answers at once; there is nothing more to ask. If it is gone, that is heard below.
                let _ = keeper.say(Answer::Return);
                (is_ending, is_asking) = (true, false);
            }
            if ready[2] {
                let mut line = String::new();
                stdin.lock().read_line(&mut line).context("cannot read your answer")?;
                match line.trim() {
                    "y" | "Y" | "yes" => drop(keeper.say(Answer::Confirm)),
                    "n" | "N" | "no" => drop(keeper.say(Answer::Return)),
                    _ if line.is_empty() => is_asking = false,
                    _ => {}
                }
            }
            if !ready[0] {
                continue;
            }
        }
        match keeper.hear()? {
            Some(Event::Loaded { millis, told }) => {
                say_all(&told);
                let seconds = Duration::from_millis(millis).as_secs_f64();
                println!(
                    "The new rules are in force for {seconds} s. Open a new connection, and confirm there: unmasq rules confirm"
                );
                deadline = boot_nanos().saturating_add(millis.saturating_mul(1_000_000));
                is_asking = stdin.is_terminal();
            }
            Some(event) => {
                if is_asking {
                    println!();
                }
                return Ok(Some(event));
            }
            None => return Ok(None),
        }
    }
}

fn show_left(deadline: u64) {
    let left = deadline.saturating_sub(boot_nanos()).div_ceil(1_000_000_000);
    let mut out = io::stdout();
    // A terminal that is gone is noticed elsewhere.
    let _ = write!(out, "\rKeep them? [y/N] ({left} s left) ").and_then(|()| out.flush());
}

fn end(event: Event) -> Outcome {
    match event {
        Event::Done { told } => {
            say_all(&told);
            println!(
                "Confirmed: the new rules stay until the machine restarts. `unmasq rules commit` keeps them."
            );
            Ok(ExitCode::SUCCESS)
        }
        Event::Returned { why, told } => {
            say_all(&told);
            println!("The rules before are back: {why}.");
            Ok(ExitCode::from(1))
        }
        Event::Refused { why } => Err(anyhow::anyhow!(why).into()),
        Event::Failed { why } => Err(Failure::with_exit(4, anyhow::anyhow!(why))),
        Event::Loaded { .. } | Event::Committed { .. } => {
            Err(Failure::with_exit(4, anyhow::anyhow!("the keeper of the rules says something odd")))
        }
    }
}

/// The keeper was killed: what it would have done is done here.
fn take_over(kept: &Kept) -> anyhow::Result<ExitCode> {
    drop(kept.lock(None)?);
    println!("The rules before are back: the process that kept the test was killed.");
    Ok(ExitCode::from(1))
}

/// What was lost, or is to be known.
pub(super) fn say_all(told: &[String]) {
    for line in told {
        eprintln!("unmasq: {line}");
    }
}
