//! The running watch: the loop around the engine.

mod answers;
mod counts;
mod reload;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, unbounded};
use rustix::event::{PollFd, PollFlags, poll};
use unmasq_flow::Timestamp;
use unmasq_netfilter::addresses;
use unmasq_netfilter::netns::Namespace;
use unmasq_source::{Position, Read, Source};
use unmasq_watch::bans::Ban;
use unmasq_watch::enforce::{Element, SetName};
use unmasq_watch::guard::{Resolution, Resolver};
use unmasq_watch::journal_log::Level;
use unmasq_watch::metrics::Metrics;
use unmasq_watch::state::State;

use super::build::{Origin, Plan};
use super::clients;
use super::control::{Counter, Desk};
use super::engine::{Engine, SavedWait};
use super::live::{Failed, Live};
use super::sources::{self, Opened};
use crate::control::server::{self, Bound, Server};
use crate::privileges;
use crate::wishes::Wishes;

/// Entries of one source between two looks at everything else.
const BATCH: usize = 1024;
/// Under load, state is committed this often; else whenever there is nothing to read.
const COMMIT: Duration = Duration::from_millis(50);
/// How often names, addresses, metrics and notices are looked after.
const SECOND: Duration = Duration::from_secs(1);
/// How often names of the allow list are looked up again.
const RESOLVE: Duration = Duration::from_secs(300);
/// How soon another host's book is asked again about an entry that waits.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How often, at most, all that wait are looked at for what lines of proxies told.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long kernel and mail are waited for at the end.
const LEAVE: Duration = Duration::from_secs(5);

/// A running watch.
pub(crate) struct Watch {
    origin: Origin,
    plan: Plan,
    engine: Engine<Live>,
    metrics: Arc<Metrics>,
    metrics_server: Option<unmasq_metrics::Server>,
    _control: Option<Server>,
    desk: Desk,
    addresses: Option<addresses::Watch>,
    resolutions: Receiver<Resolution>,
    resolver: Option<Resolver>,
    /// Of each source: what its place is saved under, whether it has ended, and how many entries it gave.
    keys: Vec<String>,
    has_ended: Vec<bool>,
    entries: Vec<u64>,
    /// The file that is read once, in place of the configuration's sources.
    once: Option<sources::Once>,
    committed: Instant,
    ticked: Instant,
    asked_again: Instant,
    looked_again: Instant,
    /// Why state is not saved.
    trouble: Option<String>,
    /// Why a source is not read any more; the first of them.
    unread: Option<String>,
}

impl Watch {
    /// Opens everything. Says on standard error what is remarkable.
    pub(crate) fn start(origin: Origin, once: Option<sources::Once>) -> anyhow::Result<Self> {
        let plan = Plan::of(&origin)?;
        if !plan.warnings.is_empty() {
            eprint!("{}", plan.loaded.show(plan.warnings.clone()));
        }
        let config = plan.config();
        let (state, recovered) = State::open(&config.storage, plan.limits())?;
        for note in &recovered.notes {
            eprintln!("unmasq: {note}");
        }
        let metrics = Arc::new(Metrics::default());
        let live = Live::open(config, Arc::clone(&metrics))?;
        let (machine, mut world) = plan.surroundings(live, state)?;
        match plan.feed() {
            Ok(feed) => world.feed = feed,
            Err(error) => eprintln!("unmasq: the kernel's translations are not known: {error:#}"),
        }
        world.remote = plan.remote()?;
        for capture in &recovered.captures {
            world.captures.insert(capture.clone());
        }
        let opened = match &once {
            Some(once) => vec![Opened { key: String::new(), source: once.open(config)? }],
            None => sources::open(config, |key| recovered.position::<Position>(key).map_err(Into::into))?,
        };
        let keys = take(&mut world.sources, opened);
        let mut engine = Engine::new(machine, world);
        engine.schedule = plan.schedule();
        engine.report_title.clone_from(&config.email.subject);
        let waits = recovered.waits::<SavedWait>().collect::<Result<Vec<_>, _>>()?;
        let lost = engine.restore_waits(waits);
        if lost > 0 {
            eprintln!("unmasq: {lost} entries waited at steps that are no more; they are let go");
        }
        let (resolver, resolutions) = resolver(&plan)?;
        let (desk, counter) = super::control::open()?;
        let control = if once.is_some() { None } else { Some(serve(&plan, counter)?) };
        let metrics_server = config
            .metrics
            .map(|address| {
                let metrics = Arc::clone(&metrics);
                unmasq_metrics::Server::start(address, move || metrics.render())
            })
            .transpose()?;
        let now = Instant::now();
        let sources = engine.world.sources.len();
        let mut watch = Self {
            origin,
            engine,
            metrics,
            metrics_server,
            _control: control,
            desk,
            addresses: addresses::Watch::open(&Namespace::current())
                .inspect_err(|error| eprintln!("unmasq: this host's addresses are not known: {error}"))
                .ok(),
            resolutions,
            resolver,
            keys,
            has_ended: vec![false; sources],
            entries: vec![0; sources],
            once,
            committed: now,
            ticked: now.checked_sub(SECOND).unwrap_or(now),
            asked_again: now,
            looked_again: now,
            trouble: None,
            unread: None,
            plan,
        };
        watch.know_addresses();
        watch.know_names();
        watch.expect_bans();
        watch.restore_bans();
        Ok(watch)
    }

    /// Runs until it is told to stop, or all sources have ended.
    pub(crate) fn run(mut self, wishes: &Wishes) -> anyhow::Result<()> {
        while !wishes.stop.load(Ordering::Relaxed) {
            if wishes.reload.swap(false, Ordering::Relaxed) {
                self.reload();
            }
            let is_busy = self.pump();
            self.hear_clients();
            while let Some(asked) = self.desk.next() {
                let answer = self.answer(&asked);
                // Whoever asked may have gone.
                let _ = asked.answer.send(answer);
            }
            if !is_busy {
                self.engine.idle(Timestamp::now());
            }
            if self.ticked.elapsed() >= SECOND {
                self.tick();
            }
            if !is_busy || self.committed.elapsed() >= COMMIT {
                self.commit();
            }
            if self.has_ended.iter().all(|ended| *ended) {
                self.engine.finish();
                break;
            }
            if !is_busy {
                self.wait()?;
            }
        }
        self.tick();
        self.commit();
        if !self.engine.world.hands.enforcer.settle(LEAVE) {
            eprintln!(
                "unmasq: the kernel's sets were not brought up to date in time; the next start does it"
            );
        }
        self.engine.world.hands.hear();
        self.engine.world.hands.log.flush();
        if let Some(trouble) = self.trouble {
            anyhow::bail!("state was not saved: {trouble}");
        }
        if let Some(unread) = self.unread.filter(|_| self.has_ended.iter().all(|ended| *ended)) {
            anyhow::bail!(unread);
        }
        // Who waits for a file to be done takes it for done.
        let Failed { bans, last } = &self.engine.world.hands.failed;
        if self.once.is_some() && *bans > 0 {
            let are = if *bans == 1 { "ban is" } else { "bans are" };
            anyhow::bail!("{bans} {are} not in force, and tried again at the next start; the last: {last}");
        }
        Ok(())
    }

    /// Reads each source for a while; is there more?
    fn pump(&mut self) -> bool {
        let mut is_busy = false;
        for source in 0..self.engine.world.sources.len() {
            if self.has_ended[source] {
                continue;
            }
            // A file that is read once tells the time by its entries, as it may be of last week.
            let wall = if self.once.is_some() { None } else { Some(Timestamp::now()) };
            match self.engine.pump(source, BATCH, wall) {
                Ok((count, read)) => {
                    self.entries[source] += count as u64;
                    is_busy |= read == Read::Entry;
                    self.has_ended[source] = read == Read::End;
                }
                Err(error) => {
                    let name = self.engine.world.sources[source].name().to_owned();
                    self.tell(Level::Err, &format!("{name} is not read any more: {error:#}"));
                    self.unread.get_or_insert_with(|| format!("{error:#}"));
                    self.has_ended[source] = true;
                }
            }
        }
        is_busy
    }

    /// Lets entries go on whose client the kernel or another host knows by now.
    fn hear_clients(&mut self) {
        if let Some(feed) = &self.engine.world.feed {
            let has_news = feed.quiet();
            let is_awaited = !self.engine.world.waits.is_empty();
            // One that begins to wait now is looked for once more: its translation may have come a moment ago.
            let was_awaited = feed.set_awaited(is_awaited);
            // A proxy's connection can be known by another port than the one that it logged: its line lets go on only
            // who waits for that very port.
            let has_captured = self.engine.has_captured && self.looked_again.elapsed() >= LOOK_AGAIN;
            if is_awaited && (has_news || !was_awaited || has_captured) {
                self.looked_again = Instant::now();
                self.engine.release_known();
            }
        }
        let Some(remote) = &self.engine.world.remote else { return };
        for answered in remote.answers() {
            let id = answered.id;
            let question = self.engine.world.waits.get(id);
            let Some(masked) = question.and_then(|wait| wait.question.masked.endpoint()) else { continue };
            let found = answered.outcome.ok().and_then(|found| clients::newest(found.flows, masked));
            if let Some(flow) = found {
                self.metrics.book.add(["found"], 1);
                self.engine.answer(id, clients::client(&flow, "another host's conntrack"));
            } else {
                self.metrics.book.add(["unknown"], 1);
                self.engine.world.ask_again.push(id);
            }
        }
        if self.asked_again.elapsed() >= ASK_AGAIN {
            self.asked_again = Instant::now();
            for id in std::mem::take(&mut self.engine.world.ask_again) {
                self.engine.world.ask_elsewhere(id);
            }
        }
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        self.know_addresses();
        while let Ok(resolution) = self.resolutions.try_recv() {
            self.resolved(resolution);
        }
        self.engine.world.know_masking();
        for source in 0..self.engine.world.sources.len() {
            while let Some(notice) = self.engine.world.sources[source].notice() {
                let level = if notice.is_loss { Level::Warning } else { Level::Info };
                let name = self.engine.world.sources[source].name();
                // Some say it themselves, as several of them may be one source.
                let is_named = notice.message.starts_with(name);
                let said = if is_named { notice.message } else { format!("{name}: {notice}") };
                self.tell(level, &said);
            }
        }
        self.engine.world.hands.hear();
        self.engine.world.hands.log.flush();
        // The page is all that shows it.
        if self.metrics_server.is_some() {
            self.count();
        }
    }

    /// Waits, for a while, until the names of the allow list are known: until then they protect nobody.
    fn know_names(&mut self) {
        let began = Instant::now();
        while self.engine.world.guard.unresolved().next().is_some() {
            match self.resolutions.recv_timeout(LEAVE.saturating_sub(began.elapsed())) {
                Ok(resolution) => self.resolved(resolution),
                Err(_) => break,
            }
        }
        let unknown: Vec<&str> = self.engine.world.guard.unresolved().collect();
        if !unknown.is_empty() {
            let message = format!(
                "nothing is known of {} yet: as names of the allow list, they protect nobody",
                unknown.join(", ")
            );
            self.tell(Level::Warning, &message);
        }
    }

    fn resolved(&mut self, resolution: Resolution) {
        match resolution.addresses {
            Ok(addresses) => self.engine.world.guard.set_resolved(&resolution.name, addresses),
            Err(error) => self.tell(
                Level::Warning,
                &format!("the allow list's {} cannot be looked up: {error}", resolution.name),
            ),
        }
    }

    /// Tells this host's addresses to the guard when they have changed.
    fn know_addresses(&mut self) {
        let Some(addresses) = &mut self.addresses else { return };
        // What cannot be renewed stays as it was.
        let _ = addresses.refresh();
        self.engine.world.guard.set_local(addresses.known().iter());
    }

    /// Saves all that has changed, with the places in the sources.
    fn commit(&mut self) {
        self.committed = Instant::now();
        let world = &mut self.engine.world;
        let mut places = Vec::with_capacity(world.sources.len());
        let mut failed = None;
        if self.once.is_none() {
            for (source, key) in world.sources.iter_mut().zip(&self.keys) {
                match source.position() {
                    // A source without places begins where it is when it is opened.
                    Ok(Position::None) => {}
                    Ok(position) => places.push((key.as_str(), position)),
                    Err(error) => failed = Some(error),
                }
            }
        }
        // Without its place an entry would take effect again after a restart.
        let committed = match failed {
            Some(error) => Err(error.to_string()),
            None => world.state.commit(&places, world.captures.iter()).map_err(|error| error.to_string()),
        };
        self.metrics.commits.add(1);
        self.metrics.commit_seconds.note(self.committed.elapsed());
        match committed {
            Ok(()) => self.trouble = None,
            Err(message) => {
                if self.trouble.as_ref() != Some(&message) {
                    self.tell(Level::Err, &format!("state cannot be saved, and is tried again: {message}"));
                }
                self.trouble = Some(message);
            }
        }
    }

    /// Waits until something happens, a second at most.
    fn wait(&mut self) -> anyhow::Result<()> {
        let world = &mut self.engine.world;
        let now = Timestamp::now();
        let mut most = SECOND.saturating_sub(self.ticked.elapsed());
        if let Some(deadline) = world.waits.next_deadline() {
            most = most.min(deadline.since(now));
        }
        if !world.ask_again.is_empty() {
            most = most.min(ASK_AGAIN);
        }
        if self.engine.has_captured && !world.waits.is_empty() {
            most = most.min(LOOK_AGAIN);
        }
        for (source, _) in world.sources.iter().zip(&self.has_ended).filter(|(_, ended)| !**ended) {
            most = most.min(source.wake().unwrap_or(SECOND));
        }
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.desk.descriptor()];
        for (source, _) in world.sources.iter().zip(&self.has_ended).filter(|(_, ended)| !**ended) {
            descriptors.extend(source.descriptors());
        }
        descriptors.extend(world.feed.as_ref().map(super::feed::Feed::descriptor));
        descriptors.extend(world.remote.as_ref().map(unmasq_watch::client::remote::RemoteBook::descriptor));
        let mut polled: Vec<PollFd<'_>> =
            descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let log = world.hands.log.descriptor();
        polled.extend(log.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        // A wait of less than a millisecond would be a spin.
        let most = most.max(Duration::from_millis(1)).min(SECOND);
        let timeout =
            rustix::time::Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
        let polled = poll(&mut polled, Some(&timeout));
        world.hands.log.flush();
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for entries"),
        }
    }

    /// Has the sets looked at now: one that is missing is told at the start, and not when somebody should be in it.
    fn expect_bans(&self) {
        for sample in self.plan.program.samples() {
            self.engine.world.hands.enforcer.expect(sample);
        }
    }

    /// Hands all bans to the kernel.
    fn restore_bans(&mut self) {
        let now = Timestamp::now();
        let bans = self.engine.world.state.bans().list(now);
        let mut wanted = Vec::with_capacity(bans.len());
        for ban in &bans {
            match element(ban, now) {
                Ok(element) => wanted.push(element),
                Err(error) => self.tell(Level::Err, &format!("a saved ban of {}: {error}", ban.target)),
            }
        }
        if !wanted.is_empty() {
            self.engine.world.hands.enforcer.restore(wanted);
        }
    }

    fn tell(&mut self, level: Level, message: &str) {
        self.engine.world.hands.tell(level, message);
    }
}

/// Puts opened sources in their place; gives their keys.
fn take(sources: &mut Vec<Box<dyn Source>>, opened: Vec<Opened>) -> Vec<String> {
    let (keys, opened) = opened.into_iter().map(|opened| (opened.key, opened.source)).unzip();
    *sources = opened;
    keys
}

fn serve(plan: &Plan, counter: Counter) -> anyhow::Result<Server> {
    let control = &plan.config().control;
    let group = control.group.as_deref().map(privileges::group).transpose()?;
    let place = server::Place { path: control.socket.clone(), mode: control.mode, group };
    Ok(Bound::bind(&place, None)?.serve(Arc::new(counter))?)
}

fn resolver(plan: &Plan) -> anyhow::Result<(Option<Resolver>, Receiver<Resolution>)> {
    let (tell, resolutions) = unbounded();
    let names = plan.guard_options()?.allow_names;
    let resolver = if names.is_empty() {
        None
    } else {
        let tell = move |resolution| {
            // The watch may be gone by now.
            let _ = tell.send(resolution);
        };
        Some(Resolver::start(names, RESOLVE, tell).context("cannot start the thread that looks names up")?)
    };
    Ok((resolver, resolutions))
}

/// A ban as the kernel is to have it.
fn element(ban: &Ban, now: Timestamp) -> Result<Element, String> {
    let set = SetName::parse(ban.kind, &ban.set).map_err(|error| error.to_string())?;
    Ok(Element { set, target: ban.target, port: ban.port, timeout: ban.until.map(|until| until.since(now)) })
}
