//! The supervisor: starts workers, which are this program again, and starts them anew when they end.
//!
//! ```text
//!   systemd ◄──READY, STATUS, WATCHDOG── supervisor ◄──the same, on sockets of ours──┬─ unmasq record
//!                                                                                    ├─ unmasq plan watch
//!                                                                                    └─ unmasq honeypot
//! ```
//!
//! A worker speaks to the supervisor as it would to systemd (sd_notify(3)), so that it is the same program under both.
//! One that falls silent is ended and started anew; systemd hears the recorder's signs.

mod notify;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use self::notify::News;
use self::worker::{Job, Worker};
use crate::config::Config;
use crate::failure::told;

/// How often the supervisor looks.
const LOOK: Duration = Duration::from_millis(100);

/// The supervisor.
pub(crate) struct Supervisor {
    file: PathBuf,
    config: Config,
    workers: Vec<Worker>,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// The jobs that a configuration asks for.
fn jobs(config: &Config) -> impl Iterator<Item = Job> {
    [
        (Job::Recorder, true),
        (Job::Guard, config.plan.is_configured()),
        (Job::Honeypot, !config.honeypot.listen.is_empty()),
    ]
    .into_iter()
    .filter_map(|(job, is_wanted)| is_wanted.then_some(job))
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
        let workers = jobs(&config).map(|job| Worker::start(job, file)).collect::<Result<_, _>>()?;
        Ok(Self { file: file.to_owned(), config, workers, stop, reload })
    }

    /// Supervises until asked to stop.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let turn = LOOK / self.workers.len().max(1) as u32;
            for worker in &mut self.workers {
                let news = worker.hear(turn)?;
                if worker.job == Job::Recorder {
                    news.iter().for_each(notify::tell);
                }
            }
            if self.reload.swap(false, Ordering::Relaxed) {
                self.reload()?;
            }
            for worker in &mut self.workers {
                worker.look_after(&self.file)?;
            }
        }
        notify::tell(&News::Stopping);
        let ended: Vec<anyhow::Result<()>> = self.workers.iter_mut().map(Worker::end).collect();
        ended.into_iter().collect()
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        match Config::load(&self.file) {
            Err(error) => eprintln!("unmasq: the configuration stays as it was: {error}"),
            Ok(config) if config == self.config => {
                eprintln!("unmasq: the configuration has not changed");
                for worker in self.workers.iter().filter(|worker| worker.job == Job::Recorder) {
                    worker.signal(Signal::HUP);
                }
            }
            Ok(config) => {
                eprintln!("unmasq: the configuration has changed; starting the workers anew");
                self.config = config;
                self.change_workers()?;
            }
        }
        Ok(())
    }

    /// Starts anew what runs, ends what is not wanted any more, and starts what was not wanted before.
    fn change_workers(&mut self) -> anyhow::Result<()> {
        let wanted: Vec<Job> = jobs(&self.config).collect();
        for worker in &mut self.workers {
            match worker.end() {
                Ok(()) => worker.restart(),
                Err(error) => eprintln!("unmasq: {}", told(&error)),
            }
        }
        self.workers.retain(|worker| wanted.contains(&worker.job));
        for job in wanted {
            if self.workers.iter().all(|worker| worker.job != job) {
                self.workers.push(Worker::start(job, &self.file)?);
            }
        }
        Ok(())
    }
}
