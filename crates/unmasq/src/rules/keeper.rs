//! The keeper: a process of its own that tests and commits rules, so that whatever happens to the one who asked, a test is put
//! back and a commit completed.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use unmasq_rules::commit::{Places, Proposal};
use unmasq_rules::git::Mirror;
use unmasq_rules::live::boot_nanos;
use unmasq_rules::run::{Lock, Run};
use unmasq_rules::store::Store;
use unmasq_rules::trial::{Candidate, Trial};

use super::job::{Answer, Event, Job, What};
use super::place::mend;
use super::read::Source;
use super::session::Session;
use crate::failure::told;

/// A caller that is silent for so long is left; on a busy machine one can be put aside between its connection and its word.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of one who may not ask anyway.
const STRANGERS: Duration = Duration::from_millis(300);
/// Longest line of a caller, in bytes.
const MAX_LINE: u64 = 4096;

/// Runs it: its standard input is a socket, over which it is told what to do.
pub(crate) fn run() -> anyhow::Result<()> {
    // A failure means that it leads a session already.
    let _ = rustix::process::setsid();
    let asker =
        UnixStream::from(io::stdin().as_fd().try_clone_to_owned().context("standard input is no socket")?);
    let mut lines = BufReader::new(asker.try_clone()?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)
        .context("the keeper can only be started by other commands of unmasq rules")?;
    let mut keeper = Keeper { asker, run: Run::new(&job.run), store: Store::new(&job.history) };
    let mirror = job.git.as_deref().map(Mirror::new);
    let done = keeper.work(&job.what, mirror.as_ref());
    if let Err(error) = done {
        keeper.say(&Event::Failed { why: told(&error) });
    }
    keeper.take_leave();
    Ok(())
}

struct Keeper {
    asker: UnixStream,
    run: Run,
    store: Store,
}

/// Why a test ends.
enum End {
    Confirmed,
    Returns(String),
}

impl Keeper {
    /// Whoever asked may be gone: then nobody needs to hear it.
    fn say(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            let _ = self.asker.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Hears what whoever asked still says, for a moment: a socket that is closed with something unread takes what we said with it.
    fn take_leave(&mut self) {
        let _ = self.asker.shutdown(Shutdown::Write);
        let _ = self.asker.set_read_timeout(Some(PATIENCE));
        let _ = io::copy(&mut self.asker, &mut io::sink());
    }

    fn work(&mut self, what: &What, mirror: Option<&Mirror>) -> anyhow::Result<()> {
        let (store, run) = (self.store.clone(), self.run.clone());
        let places = Places { store: &store, run: &run, mirror };
        let lock = match run.lock() {
            Ok(lock) => lock,
            Err(error) => {
                self.say(&Event::Refused { why: told(&error.into()) });
                return Ok(());
            }
        };
        let mended = mend(&lock, &places)?;
        // While others were at work, whoever asked can have gone: nothing is loaded for nobody, after one who came later was done.
        if matches!(what, What::Test { .. }) && self.is_left()? {
            return Ok(());
        }
        match what {
            What::Test { sources, millis, session } => self.test(&lock, sources, *millis, session, mended),
            What::Commit { sources, author, message } => {
                self.commit(&lock, &places, sources, (author, message), mended)
            }
        }
    }

    /// Has whoever asked closed the socket?
    fn is_left(&self) -> anyhow::Result<bool> {
        let mut asker = [PollFd::new(&self.asker, PollFlags::empty())];
        poll(&mut asker, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).context("cannot ask for the socket")?;
        Ok(asker[0].revents().contains(PollFlags::HUP))
    }

    fn commit(
        &mut self,
        lock: &Lock,
        places: &Places<'_>,
        sources: &[Source],
        (author, message): (&str, &str),
        mended: Vec<String>,
    ) -> anyhow::Result<()> {
        for source in sources {
            let proposal = Proposal {
                file: source.becomes(),
                author: author.to_owned(),
                message: message.to_owned(),
                is_whole: source.is_whole,
                form: source.form,
                text: source.text.clone(),
            };
            let head = || self.store.ruleset_of(&proposal.file).and_then(|kept| kept.head());
            let before = head()?;
            let done = places.commit(lock, &proposal).with_context(|| format!("{}", source.file.display()));
            match done {
                Ok(done) => {
                    self.say(&Event::Committed { revision: Box::new(done.revision), told: done.told });
                }
                Err(error) if head()? == before => {
                    self.say(&Event::Refused { why: told(&error) });
                    return Ok(());
                }
                Err(error) => return Err(error.context("it is in force, but its commit is not complete")),
            }
        }
        self.say(&Event::Done { told: mended });
        Ok(())
    }

    fn test(
        &mut self,
        lock: &Lock,
        sources: &[Source],
        millis: u64,
        session: &Session,
        mended: Vec<String>,
    ) -> anyhow::Result<()> {
        let signals = on_signals(&[SIGHUP, SIGINT, SIGTERM])?;
        let _ = fs::remove_file(self.run.socket());
        let listener = UnixListener::bind(self.run.socket()).context("cannot open the socket of the test")?;
        let listener = Listener { listener, run: &self.run.clone() };
        let mut candidates = Vec::new();
        for source in sources {
            let target = source.target()?;
            self.store.check_tables(&source.name(), source.form, &target.own_tables())?;
            candidates.push(Candidate { name: source.name(), file: source.file.clone(), target });
        }
        let deadline = boot_nanos().saturating_add(millis.saturating_mul(1_000_000));
        let (trial, lost) = match Trial::begin(lock, &self.run, &candidates, deadline) {
            Ok(begun) => begun,
            Err(error) => {
                self.say(&Event::Refused { why: told(&error.into()) });
                return Ok(());
            }
        };
        let loaded = boot_nanos();
        self.say(&Event::Loaded { millis, told: [mended, lost].concat() });
        let end = self.wait(&trial, &listener, &signals, session, loaded);
        // From here on there is nothing to answer: whoever wants to change rules can wait until these are back.
        drop(listener);
        let files = trial.files().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        let event = match end {
            Ok(End::Confirmed) => {
                trial.keep(lock, &self.run)?;
                Event::Done { told: Vec::new() }
            }
            Ok(End::Returns(why)) => Event::Returned { why, told: self.put_back(trial, lock, &files)? },
            // Whatever it is, the rules before come back.
            Err(error) => Event::Returned { why: told(&error), told: self.put_back(trial, lock, &files)? },
        };
        let what = match &event {
            Event::Returned { why, .. } => format!("the rules before are back: {why}"),
            _ => "confirmed; the new rules stay until the machine restarts".to_owned(),
        };
        self.run.note_last(&format!("test of {files}: {what}"))?;
        self.say(&event);
        Ok(())
    }

    /// The rules before come back. If they cannot, whoever asks for the status is told, too.
    fn put_back(&self, trial: Trial, lock: &Lock, files: &str) -> anyhow::Result<Vec<String>> {
        const STUCK: &str = "the rules under test are still in force, because those before cannot be put back; mend what is said \
                             here, then: unmasq rules mend";
        trial.put_back(lock, &self.run).or_else(|error| {
            let error = anyhow::Error::from(error).context(STUCK);
            self.run.note_last(&format!("test of {files}: {}", told(&error)))?;
            Err(error)
        })
    }

    /// Waits until the test is confirmed or ends.
    fn wait(
        &mut self,
        trial: &Trial,
        listener: &Listener<'_>,
        signals: &UnixStream,
        tester: &Session,
        loaded: u64,
    ) -> anyhow::Result<End> {
        let mut lines = BufReader::new(self.asker.try_clone()?);
        self.asker.set_read_timeout(Some(PATIENCE))?;
        loop {
            let left = trial.deadline().saturating_sub(boot_nanos());
            if left == 0 {
                return Ok(End::Returns("nobody confirmed in time".to_owned()));
            }
            // Looked at now and then: while the machine sleeps, a wait stands still and the boot clock does not.
            let sources = [self.asker.as_fd(), listener.listener.as_fd(), signals.as_fd()];
            let ready = wait_for(sources, left.min(500_000_000))?;
            if ready[2] {
                return Ok(End::Returns("the keeper was told to end".to_owned()));
            }
            if ready[0] {
                match hear(&mut lines) {
                    Some(Answer::Confirm) => return Ok(End::Confirmed),
                    Some(Answer::Return) => return Ok(End::Returns("as asked".to_owned())),
                    Some(Answer::Status) => {}
                    None => {
                        return Ok(End::Returns(
                            "the command that tests, or its terminal, is gone".to_owned(),
                        ));
                    }
                }
            }
            if ready[1]
                && let Some(end) = listener.serve(trial, tester, loaded)
            {
                return Ok(end);
            }
        }
    }
}

/// The socket at which `unmasq rules confirm` asks. It goes with the test.
struct Listener<'a> {
    listener: UnixListener,
    run: &'a Run,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        // Another test replaces it if this fails.
        let _ = fs::remove_file(self.run.socket());
    }
}

impl Listener<'_> {
    /// Answers one caller.
    fn serve(&self, trial: &Trial, tester: &Session, loaded: u64) -> Option<End> {
        let (mut stream, _) = self.listener.accept().ok()?;
        let peer = socket_peercred(&stream).ok()?;
        // Nobody holds up the end of the test.
        let left = Duration::from_nanos(trial.deadline().saturating_sub(boot_nanos()));
        let patience = if peer.uid.is_root() { PATIENCE } else { STRANGERS };
        let patience = patience.min(left).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.set_write_timeout(Some(patience)).ok()?;
        let answer = hear(&mut BufReader::new(stream.try_clone().ok()?))?;
        let (said, end) = match answer {
            _ if !peer.uid.is_root() => (Event::Refused { why: "only root may answer".to_owned() }, None),
            Answer::Status => {
                let left = trial.deadline().saturating_sub(boot_nanos()) / 1_000_000;
                (Event::Loaded { millis: left, told: Vec::new() }, None)
            }
            Answer::Return => (
                Event::Done { told: Vec::new() },
                Some(End::Returns("as asked from another session".to_owned())),
            ),
            Answer::Confirm => match Session::of(peer.pid).objection(tester, loaded) {
                Some(why) => (Event::Refused { why }, None),
                None => (Event::Done { told: Vec::new() }, Some(End::Confirmed)),
            },
        };
        if let Ok(line) = serde_json::to_string(&said) {
            let _ = stream.write_all(format!("{line}\n").as_bytes());
        }
        end
    }
}

fn hear(lines: &mut impl BufRead) -> Option<Answer> {
    let mut line = String::new();
    lines.take(MAX_LINE).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// A socket that becomes readable when one of these signals comes.
pub(crate) fn on_signals(wanted: &[i32]) -> anyhow::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in wanted {
        signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

/// Waits until one of these can be read, or for so many nanoseconds.
pub(crate) fn wait_for<const N: usize>(
    sources: [BorrowedFd<'_>; N],
    nanos: u64,
) -> anyhow::Result<[bool; N]> {
    let mut polled = sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN));
    let time = Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    };
    match poll(&mut polled, Some(&time)) {
        Ok(_) => Ok(polled.map(|source| !source.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok([false; N]),
        Err(errno) => bail!("cannot wait: {errno}"),
    }
}
