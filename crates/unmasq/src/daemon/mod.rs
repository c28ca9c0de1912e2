//! The supervisor: starts workers, which are this program again, and starts them anew when they end.
//!
//! ```text
//!   systemd ◄──READY, STATUS, WATCHDOG── supervisor ◄──the same, on a socket of ours── worker (unmasq record)
//! ```
//!
//! A worker speaks to the supervisor as it would to systemd (sd_notify(3)), so that it is the same program under both.
//! One that falls silent is ended and started anew; systemd hears the supervisor's own signs as long as all is well.

mod notify;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use self::notify::{News, Notices};
use crate::config::Config;
use crate::failure::told;

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
/// How often the supervisor looks.
const LOOK: Duration = Duration::from_millis(100);

/// The supervisor.
pub(crate) struct Supervisor {
    file: PathBuf,
    config: Config,
    notices: Notices,
    worker: Worker,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// The recorder process, or the wait for its next start.
enum Worker {
    Running { child: Child, since: Instant, heard: Instant, wait: Duration },
    Waiting { until: Instant, wait: Duration },
}

impl Supervisor {
    /// Reads the configuration and starts the workers.
    pub(crate) fn start(file: &Path) -> anyhow::Result<Self> {
        let config = Config::load(file)?;
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTERM, SIGINT] {
            flag::register(signal, Arc::clone(&stop)).context("cannot handle signals")?;
        }
        flag::register(SIGHUP, Arc::clone(&reload)).context("cannot handle signals")?;
        let notices = Notices::open().context("cannot open the socket on which workers report")?;
        let worker = start_worker(file, &notices, FIRST_WAIT)?;
        Ok(Self { file: file.to_owned(), config, notices, worker, stop, reload })
    }

    /// Supervises until asked to stop.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            for news in self.notices.wait(LOOK)? {
                self.hear(&news);
            }
            if self.reload.swap(false, Ordering::Relaxed) {
                self.reload();
            }
            self.look_after()?;
        }
        notify::tell(&News::Stopping);
        self.end_worker()
    }

    fn hear(&mut self, news: &News) {
        if let Worker::Running { heard, .. } = &mut self.worker {
            *heard = Instant::now();
        }
        notify::tell(news);
    }

    fn look_after(&mut self) -> anyhow::Result<()> {
        match &mut self.worker {
            Worker::Waiting { until, wait } if Instant::now() >= *until => {
                self.worker = start_worker(&self.file, &self.notices, *wait)?;
            }
            Worker::Waiting { .. } => {}
            Worker::Running { child, since, heard, wait } => {
                if let Some(status) = child.try_wait().context("cannot look after the recorder")? {
                    if status.code() == Some(2) && since.elapsed() < HEALTHY {
                        bail!("the recorder cannot start with this configuration (its message is above)");
                    }
                    let next =
                        if since.elapsed() >= HEALTHY { FIRST_WAIT } else { (*wait * 2).min(LONGEST_WAIT) };
                    eprintln!("unmasq: the recorder ended ({status}); starting it again in {next:?}");
                    self.worker = Worker::Waiting { until: Instant::now() + next, wait: next };
                } else if heard.elapsed() > SILENCE {
                    eprintln!("unmasq: the recorder has been silent for {SILENCE:?}; ending it");
                    child.kill().context("cannot end the recorder")?;
                    *heard = Instant::now();
                }
            }
        }
        Ok(())
    }

    fn reload(&mut self) {
        match Config::load(&self.file) {
            Err(error) => eprintln!("unmasq: the configuration stays as it was: {error}"),
            Ok(config) if config == self.config => {
                eprintln!("unmasq: the configuration has not changed");
                if let Worker::Running { child, .. } = &self.worker {
                    let _ = signal(child, Signal::HUP);
                }
            }
            Ok(config) => {
                eprintln!("unmasq: the configuration has changed; starting the recorder anew");
                self.config = config;
                match self.end_worker() {
                    Ok(()) => self.worker = Worker::Waiting { until: Instant::now(), wait: FIRST_WAIT },
                    Err(error) => eprintln!("unmasq: {}", told(&error)),
                }
            }
        }
    }

    /// Asks the worker to leave, and ends it if it does not.
    fn end_worker(&mut self) -> anyhow::Result<()> {
        let Worker::Running { child, .. } = &mut self.worker else { return Ok(()) };
        let context = "cannot end the recorder";
        if child.try_wait().context(context)?.is_some() {
            return Ok(());
        }
        signal(child, Signal::TERM).context(context)?;
        let asked = Instant::now();
        while asked.elapsed() < LEAVE {
            if let Some(status) = child.try_wait().context(context)? {
                if !status.success() {
                    bail!("the recorder ended with {status}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().context(context)?;
        child.wait().context(context)?;
        bail!("the recorder did not leave within {LEAVE:?} and was killed")
    }
}

fn start_worker(file: &Path, notices: &Notices, wait: Duration) -> anyhow::Result<Worker> {
    let child = Command::new("/proc/self/exe")
        .arg("record")
        .arg("--config")
        .arg(file)
        .env("NOTIFY_SOCKET", notices.address())
        .spawn()
        .context("cannot start the recorder")?;
    let now = Instant::now();
    Ok(Worker::Running { child, since: now, heard: now, wait })
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    kill_process(pid, signal)?;
    Ok(())
}
