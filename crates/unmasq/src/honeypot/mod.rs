//! The honeypot: sockets, threads and files around `unmasq_honeypot`, which speaks SSH and has none.
//!
//! ```text
//!              ┌─ worker: epoll ─ Session ─ Connection ─┐
//!  listeners ──┤                                        ├──Note──► writer ──► JSON, EVE, log, set
//!              └─ worker …                              ┘   │         ▲
//!                   └── Gate: who may, who is held up       └ book ───┘ who was it really?
//! ```
//!
//! What is opened is opened first; then the process becomes an unprivileged user, forbids itself the file system but for
//! its folders of output, and each thread all system calls but the few that it needs: none of them can open a connection
//! or start a program.

mod gate;
mod keys;
mod metrics;
mod note;
mod output;
mod proxy_header;
mod sandbox;
mod session;
mod socket;
mod worker;
mod writer;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::bounded;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use unmasq_honeypot::profile::{Authentication, Moduli, Profile};
use unmasq_honeypot::server::{Delay, Limits, Setup};
use unmasq_watch::client::remote::RemoteBook;

use self::gate::Gate;
use self::metrics::Metrics;
use self::output::Outlets;
pub(crate) use self::output::Style;
use self::worker::{Shared, Worker};
use self::writer::Writer;
use crate::config::Honeypot as Config;
use crate::privileges;
use crate::wishes::Wishes;

/// sshd's primes for group exchanges: moduli(5).
const MODULI: &str = "/etc/ssh/moduli";
/// Notes that wait for the writer, at most: then clients wait.
const MOST_NOTES: usize = 8192;
/// How long a question to the book may take.
const BOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How often a supervisor is told that all is well.
const SIGN: Duration = Duration::from_secs(1);
/// How often the main thread looks for wishes.
const LOOK: Duration = Duration::from_millis(100);

/// A running honeypot.
pub(crate) struct Honeypot {
    workers: Vec<JoinHandle<anyhow::Result<()>>>,
    writer: JoinHandle<anyhow::Result<()>>,
    reopen: Arc<std::sync::atomic::AtomicBool>,
    /// Readable for good once the workers are to end.
    stop: Arc<OwnedFd>,
    /// What it is, for people.
    told: String,
    _metrics: Option<unmasq_metrics::Server>,
}

impl Honeypot {
    /// Opens everything, gives up privileges and begins to serve. `style` says how lines are written.
    pub(crate) fn start(config: &Config, style: Style) -> anyhow::Result<Self> {
        let profile = profile(config)?;
        let host_keys = if config.host_key_files.is_empty() {
            keys::load(&config.host_keys, profile.host_keys().iter().copied())?
        } else {
            keys::read(&config.host_key_files)?
        };
        let secret = config.hash_passwords.then(|| keys::password_key(&config.host_keys)).transpose()?;
        let account = privileges::least_account(config.user.as_deref())?;
        let listeners = config
            .listen
            .iter()
            .map(|address| socket::listen(*address, config.transparent))
            .collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!listeners.is_empty(), "no address to listen on; give --listen ADDRESS:PORT");
        let threads = match config.threads {
            Some(threads) => threads as usize,
            None => thread::available_parallelism().map_or(1, usize::from),
        };
        raise_descriptors(u64::from(config.bounds.connections) + 256)?;
        let files = output::Files::open(&config.outputs, account.as_ref())?;

        // The thread that changes the set keeps CAP_NET_ADMIN; all others are started after it is gone.
        let for_the_set =
            if config.outputs.set.is_some() { CapabilitySet::NET_ADMIN } else { CapabilitySet::empty() };
        let metrics = Arc::new(Metrics::default());
        privileges::drop_to(account.as_ref(), for_the_set).context("cannot drop privileges")?;
        let set = output::Set::open(&config.outputs, &metrics)?;
        if config.outputs.set.is_some() {
            privileges::drop_to(None, CapabilitySet::empty()).context("cannot drop privileges")?;
        }
        let book = config
            .book
            .clone()
            .map(|place| RemoteBook::connect(place, config.book_identity.as_ref(), BOOK_PATIENCE))
            .transpose()?;
        let metrics_server = config
            .outputs
            .metrics
            .map(|address| {
                let metrics = Arc::clone(&metrics);
                unmasq_metrics::Server::start(address, move || metrics.page())
            })
            .transpose()?;
        sandbox::forbid_files(&files.folders())?;

        let told = format!(
            "a honeypot listens on {}, looks like {} and runs as {}",
            config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            profile.identification(),
            account.as_ref().map_or("the user that started it", |account| account.name.as_str()),
        );
        let (notes, heard) = bounded(MOST_NOTES);
        let log = output::log(&config.outputs);
        let server = profile.identification().clone();
        let outlets = Outlets { files, log, set, secret, style, server };
        let mut writer = Writer::new(heard, outlets, book, Arc::clone(&metrics));
        let reopen = writer.reopen();
        let writer = spawn("writer", move || {
            sandbox::forbid_calls(sandbox::Role::Writer)?;
            writer.run();
            Ok(())
        })?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shared = Arc::new(Shared {
            setup: Arc::new(Setup {
                limits: Limits {
                    grace: config.bounds.grace,
                    attempts: config.bounds.attempts.unwrap_or_else(|| profile.authentication().attempts),
                    bytes: config.bounds.bytes,
                    delay: config.bounds.delay.map_or(Delay::Profile, Delay::Fixed),
                },
                profile,
                keys: host_keys,
            }),
            listeners,
            transparent: config.transparent,
            proxies: config.proxies.clone(),
            gate: Gate::new(&config.bounds, config.tarpit.clone()),
            tarpit_time: config.tarpit.time,
            metrics,
            notes,
            stop: Arc::clone(&stop),
        });
        let workers = (0..threads)
            .map(|_| {
                let mut worker = Worker::open(Arc::clone(&shared))?;
                spawn("ssh", move || {
                    sandbox::forbid_calls(sandbox::Role::Server)?;
                    worker.run()
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { workers, writer, reopen, stop, told, _metrics: metrics_server })
    }

    /// Serves until asked to stop; then writes down what there is.
    pub(crate) fn run(self, wishes: &Wishes) -> anyhow::Result<()> {
        eprintln!("unmasq: {}", self.told);
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let has_failed = || self.writer.is_finished() || self.workers.iter().any(JoinHandle::is_finished);
        let mut signed = Instant::now();
        while !wishes.stop.load(Ordering::Relaxed) && !has_failed() {
            if wishes.reload.swap(false, Ordering::Relaxed) {
                self.reopen.store(true, Ordering::Relaxed);
            }
            if signed.elapsed() >= SIGN {
                signed = Instant::now();
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            thread::sleep(LOOK);
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        // It fails only when its counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        let mut outcome = Ok(());
        // The writer, the last, ends when nobody has the other end of its queue any more.
        for thread in self.workers.into_iter().chain([self.writer]) {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread has panicked; its message is above")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// A thread of that name. What it meets as it begins is told, and ends the process's work with the rest.
fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context("cannot start a thread")
}

/// What it looks like.
fn profile(config: &Config) -> anyhow::Result<Profile> {
    let mut profile = match &config.profile {
        Some(file) => Profile::load(file)?,
        None => Profile::debian_12(),
    };
    if let Some(line) = &config.identification {
        profile = profile.with_identification(line)?;
    }
    if !config.methods.is_empty() {
        let methods = config.methods.clone();
        let authentication = Authentication { methods, ..profile.authentication().clone() };
        profile = profile.with_authentication(authentication);
    }
    let file = config.moduli.as_deref().or(Some(Path::new(MODULI)).filter(|file| file.exists()));
    if let Some(file) = file {
        let read = || anyhow::Ok(Moduli::parse(&fs::read_to_string(file)?)?);
        profile = profile
            .with_moduli(read().with_context(|| format!("cannot use the primes of {}", file.display()))?);
    }
    Ok(profile)
}

/// Each connection is a descriptor; the soft limit is 1024 on most machines.
fn raise_descriptors(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current < wanted {
        eprintln!(
            "unmasq: only {current} descriptors are allowed, for {wanted} that the connections may need; raise `ulimit -n` \
             (LimitNOFILE of the unit), or lower `connections`"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum })
        .context("cannot raise the limit of descriptors")
}
