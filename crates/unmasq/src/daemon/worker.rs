//! One worker: this program again, doing one job, started anew when it ends.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::notify::{News, Notices};

/// The first wait before a worker is started anew; doubled for each time that it ends early.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A worker that has run for this long is healthy: the next wait is the first again.
const HEALTHY: Duration = Duration::from_secs(60);
/// A worker that is silent for this long is ended. It signs once a second.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a worker may take to leave when asked; it takes less than two seconds.
const LEAVE: Duration = Duration::from_secs(10);

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// `unmasq record`.
    Recorder,
    /// `unmasq plan watch`.
    Guard,
    /// `unmasq honeypot`.
    Honeypot,
}

impl Job {
    const fn name(self) -> &'static str {
        match self {
            Self::Recorder => "the recorder",
            Self::Guard => "the guard of the port plan",
            Self::Honeypot => "the honeypot",
        }
    }

    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Recorder => &["record"],
            Self::Guard => &["plan", "watch"],
            Self::Honeypot => &["honeypot"],
        }
    }
}

/// A worker, and where it reports.
pub(super) struct Worker {
    pub(super) job: Job,
    notices: Notices,
    state: State,
}

/// Its process, or the wait for the next start.
enum State {
    Running { child: Child, since: Instant, heard: Instant, wait: Duration },
    Waiting { until: Instant, wait: Duration },
}

impl Worker {
    /// Starts it.
    pub(super) fn start(job: Job, file: &Path) -> anyhow::Result<Self> {
        let notices = Notices::open().context("cannot open the socket on which workers report")?;
        let state = spawn(job, file, &notices, FIRST_WAIT)?;
        Ok(Self { job, notices, state })
    }

    /// What it reports within a time.
    pub(super) fn hear(&mut self, timeout: Duration) -> io::Result<Vec<News>> {
        let news = self.notices.wait(timeout)?;
        if let State::Running { heard, .. } = &mut self.state
            && !news.is_empty()
        {
            *heard = Instant::now();
        }
        Ok(news)
    }

    /// Starts it anew if it has ended, and ends it if it has fallen silent.
    pub(super) fn look_after(&mut self, file: &Path) -> anyhow::Result<()> {
        let name = self.job.name();
        match &mut self.state {
            State::Waiting { until, wait } if Instant::now() >= *until => {
                self.state = spawn(self.job, file, &self.notices, *wait)?;
            }
            State::Waiting { .. } => {}
            State::Running { child, since, heard, wait } => {
                if let Some(status) = child.try_wait().with_context(|| format!("cannot look after {name}"))? {
                    if status.code() == Some(2) && since.elapsed() < HEALTHY {
                        bail!("{name} cannot start with this configuration (its message is above)");
                    }
                    let next =
                        if since.elapsed() >= HEALTHY { FIRST_WAIT } else { (*wait * 2).min(LONGEST_WAIT) };
                    eprintln!("unmasq: {name} ended ({status}); starting it again in {next:?}");
                    self.state = State::Waiting { until: Instant::now() + next, wait: next };
                } else if heard.elapsed() > SILENCE {
                    eprintln!("unmasq: {name} has been silent for {SILENCE:?}; ending it");
                    child.kill().with_context(|| format!("cannot end {name}"))?;
                    *heard = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// Passes a signal on.
    pub(super) fn signal(&self, which: Signal) {
        if let State::Running { child, .. } = &self.state {
            // One that has just ended is started anew.
            let _ = signal(child, which);
        }
    }

    /// Has it start anew at once, after [`Worker::end`].
    pub(super) fn restart(&mut self) {
        self.state = State::Waiting { until: Instant::now(), wait: FIRST_WAIT };
    }

    /// Asks it to leave, and ends it if it does not.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        let name = self.job.name();
        let State::Running { child, .. } = &mut self.state else { return Ok(()) };
        let context = || format!("cannot end {name}");
        if child.try_wait().with_context(context)?.is_some() {
            return Ok(());
        }
        signal(child, Signal::TERM).with_context(context)?;
        let asked = Instant::now();
        while asked.elapsed() < LEAVE {
            if let Some(status) = child.try_wait().with_context(context)? {
                // Ended by the signal itself, it had not come as far as to listen to it, and had done nothing yet.
                if !status.success() && status.signal() != Some(Signal::TERM.as_raw()) {
                    bail!("{name} ended with {status}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().with_context(context)?;
        child.wait().with_context(context)?;
        bail!("{name} did not leave within {LEAVE:?} and was killed")
    }
}

fn spawn(job: Job, file: &Path, notices: &Notices, wait: Duration) -> anyhow::Result<State> {
    let child = Command::new("/proc/self/exe")
        .args(job.words())
        .arg("--config")
        .arg(file)
        .env("NOTIFY_SOCKET", notices.address())
        .spawn()
        .with_context(|| format!("cannot start {}", job.name()))?;
    let now = Instant::now();
    Ok(State::Running { child, since: now, heard: now, wait })
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    kill_process(pid, signal)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_asked_to_leave_before_it_listens_has_left() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let now = Instant::now();
        let state = State::Running { child, since: now, heard: now, wait: FIRST_WAIT };
        let mut worker = Worker { job: Job::Guard, notices: Notices::open().unwrap(), state };
        worker.end().unwrap();
    }
}
