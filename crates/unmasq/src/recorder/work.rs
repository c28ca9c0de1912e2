//! The recorder's main loop: what it does with each message, and what every tenth of a second, second and minute ask.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::RecvTimeoutError;
use unmasq_control::{Covered, NamespaceStatus, Status};
use unmasq_flow::{ClockReading, Gap, GapReason, Period, Scope, Timestamp};
use unmasq_ledger::CoverageEvent;
use unmasq_netfilter::conntrack::Event;
use unmasq_netfilter::netns::Namespace;

use super::place::{Place, Sockets, Surroundings, Uncovered};
use super::reader::{Message, Reading};
use super::{FLUSH, MINUTE, Namespaces, Recorder, SECOND, SILENT_DUMP, clock, status, watchdog};
use crate::failure::told;
use crate::wishes::Wishes;

/// Messages taken from the queue between two looks at the clock.
const BURST: usize = 64;

impl Recorder {
    /// Records until asked to stop; then syncs and leaves, in less than two seconds.
    pub(crate) fn run(mut self, wishes: &Wishes) -> anyhow::Result<()> {
        sd_notify(&[sd_notify::NotifyState::Ready]);
        let mut flushed = Instant::now();
        let mut second = Instant::now();
        let mut minute = Instant::now();
        while !wishes.stop.load(Ordering::Relaxed) {
            match self.queue.recv_deadline(flushed + FLUSH) {
                Ok(message) => {
                    self.take(message);
                    for _ in 0..BURST {
                        let Ok(message) = self.queue.try_recv() else { break };
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // We hold a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_covered();
            if flushed.elapsed() >= FLUSH {
                flushed = Instant::now();
                self.flush();
            }
            if second.elapsed() >= SECOND {
                second = Instant::now();
                self.every_second(wishes);
            }
            if minute.elapsed() >= MINUTE {
                minute = Instant::now();
                self.every_minute();
            }
        }
        self.leave()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Read(read) => self.take_read(read),
            Message::Listed { place, events, read_at } => self.accept(place, events, read_at),
            Message::Dumped { place, began, finished } => {
                self.dumped = Some((place, began, finished));
                self.reconcile(place);
            }
            Message::DumpFailed { place, reason } => {
                eprintln!(
                    "unmasq: {}: listing the kernel's table failed: {reason}; trying again",
                    self.name_of(place)
                );
                self.is_dumping = false;
                self.dump_queue.retain(|&waiting| waiting != place);
                self.dump_queue.push_back(place);
            }
            Message::Failed { place, reason } => {
                eprintln!("unmasq: {}: reading events failed: {reason}", self.name_of(place));
                self.close(place, GapReason::Failed(reason));
            }
        }
    }

    fn take_read(&mut self, read: Reading) {
        let Reading { place: number, events, read_at, drained_at, overrun, dropped, damaged, scope_grew } =
            read;
        let Some(Some(place)) = self.places.get_mut(number) else { return };
        let since = place.drained_at;
        let mut needs_dump = scope_grew;
        if overrun || damaged > 0 {
            // In reliable mode the counter counts attempts of delivery, so the loss is not known from it.
            let lost = (!place.is_reliable).then_some(u64::from(dropped) + damaged);
            self.lost += lost.unwrap_or(1);
            place.overruns += 1;
            if place.uncovered.is_none() {
                place.uncovered = Some(Uncovered::Since(since, GapReason::Overrun { lost }));
            }
            needs_dump = true;
        }
        if needs_dump {
            self.order_dump(number);
        }
        self.accept(number, events, read_at);
        if let Some(drained_at) = drained_at {
            if let Some(Some(place)) = self.places.get_mut(number) {
                place.drained_at = drained_at;
            }
            self.reconcile(number);
        }
    }

    fn accept(&mut self, place: usize, mut events: Vec<Event>, read_at: Timestamp) {
        if let Some(Some(place)) = self.places.get_mut(place) {
            self.acceptance.accept(&events, &mut place.origins, read_at);
        }
        events.clear();
        // With the pool full the list is simply freed.
        let _ = self.spare_in.try_send(events);
    }

    // --- dumps ---

    fn order_dump(&mut self, place: usize) {
        let is_next =
            self.dump_queue.iter().skip(usize::from(self.is_dumping)).any(|&waiting| waiting == place);
        if !is_next {
            self.dump_queue.push_back(place);
        }
        self.begin_dump();
    }

    fn begin_dump(&mut self) {
        while !self.is_dumping
            && let Some(&place) = self.dump_queue.front()
        {
            if self.places.get(place).is_some_and(Option::is_some) {
                self.acceptance.book.lock().begin_sighting();
                self.dumps.dump(place);
                self.is_dumping = true;
            } else {
                self.dump_queue.pop_front();
            }
        }
    }

    /// A dump tells which flows are gone only when every event sent before its end has been accepted: else a flow
    /// whose DESTROY is still on its way would be given a worse end than the kernel's own.
    fn reconcile(&mut self, number: usize) {
        let Some((dumped, began, finished)) = self.dumped else { return };
        let Some(Some(place)) = self.places.get_mut(number) else { return };
        if dumped != number || place.drained_at < finished {
            return;
        }
        let before = std::mem::replace(&mut place.dumped_at, began);
        let namespace = place.namespace.name().to_owned();
        let uncovered = place.uncovered.take();
        if uncovered.is_some() {
            place.covered_since = Some(finished);
        }
        self.acceptance.end_unseen(&namespace, before, began, finished);
        match uncovered {
            None => {}
            Some(Uncovered::NotYet) => self.cover_from(number),
            Some(Uncovered::Since(since, reason)) => {
                self.state_gap(number, Period::new(since, finished), reason);
            }
        }
        self.dumped = None;
        self.is_dumping = false;
        self.dump_queue.pop_front();
        self.begin_dump();
    }

    // --- coverage ---

    fn cover_from(&mut self, number: usize) {
        let Some(Some(place)) = self.places.get(number) else { return };
        let scope = Scope {
            namespace: place.namespace.name().into(),
            kind: self.options.scope,
            destinations: self.options.destinations,
        };
        let events_are_off = place.settings.events == Some(0);
        self.acceptance.writer.cover(CoverageEvent::Started { scope, clock: clock::read() });
        if events_are_off {
            self.settings_are_off(number);
        }
    }

    fn settings_are_off(&mut self, number: usize) {
        let Some(Some(place)) = self.places.get_mut(number) else { return };
        let reason = "nf_conntrack_events is 0, so the kernel tells of no flow; set it to 1".to_owned();
        place.uncovered = Some(Uncovered::Since(place.drained_at, GapReason::Setting(reason)));
        place.covered_since = None;
    }

    fn state_gap(&mut self, number: usize, period: Period, reason: GapReason) {
        let namespace = Some(self.name_of(number).into());
        eprintln!(
            "unmasq: {}: not covered from {} to {}: {reason}",
            self.label_of(number),
            period.from,
            period.to
        );
        self.acceptance.writer.cover(CoverageEvent::Gap(Gap { period, namespace, reason }));
    }

    // --- namespaces ---

    /// Starts to record a namespace.
    pub(super) fn add(&mut self, sockets: Sockets) -> anyhow::Result<()> {
        let number = self.places.len();
        let around = Surroundings {
            stream: &self.options.stream,
            scope: self.options.scope,
            reliable: self.options.reliable,
            queue: &self.queue_in,
            spare: &self.spare,
            dumps: &self.dumps,
            guard: self.guard.as_ref(),
        };
        let place = Place::start(number, sockets, &around).context("cannot start to read events")?;
        self.places.push(Some(place));
        self.order_dump(number);
        Ok(())
    }

    /// Stops recording a namespace: its coverage ends, and so do the flows that were alive in it.
    fn close(&mut self, number: usize, reason: GapReason) {
        let Some(Some(place)) = self.places.get_mut(number).map(Option::take) else { return };
        let now = Timestamp::now();
        let (name, seen) = (place.namespace.name().to_owned(), place.drained_at);
        if let Some(guard) = &self.guard {
            self.note(guard.remove(&name).map_err(Into::into));
        }
        drop(place);
        self.dumps.remove(number);
        if self.dump_queue.front() == Some(&number) && self.is_dumping {
            self.is_dumping = false;
            self.dumped = None;
        }
        self.dump_queue.retain(|&waiting| waiting != number);
        self.acceptance.book.lock().begin_sighting();
        self.acceptance.end_unseen(&name, seen, now, now);
        let namespace: Box<str> = name.as_str().into();
        let gap = Gap { period: Period::new(seen, now), namespace: Some(namespace.clone()), reason };
        let writer = &mut self.acceptance.writer;
        writer.cover(CoverageEvent::Gap(gap));
        writer.cover(CoverageEvent::Stopped { namespace: Some(namespace), clock: clock::read() });
        self.begin_dump();
    }

    /// Finds namespaces that vanished and, with `--netns all`, those that came.
    fn look_for_namespaces(&mut self) {
        for number in 0..self.places.len() {
            let is_gone = self.places[number].as_ref().is_some_and(|place| !place.namespace.still_exists());
            if is_gone {
                eprintln!("unmasq: the namespace {} is gone", self.name_of(number));
                self.close(number, GapReason::NamespaceGone);
            }
        }
        if self.options.namespaces != Namespaces::All {
            return;
        }
        let Ok(present) = Namespace::all_named() else { return };
        for namespace in present {
            let is_known = self.places.iter().flatten().any(|place| place.namespace == namespace);
            if is_known {
                continue;
            }
            let name = namespace.name().to_owned();
            let added = Sockets::open(namespace, &self.options.event_options()).and_then(|s| self.add(s));
            if let Err(error) = added {
                eprintln!("unmasq: {name}: {}", told(&error));
            }
        }
    }

    // --- the clock ---

    fn every_second(&mut self, wishes: &Wishes) {
        let clock = clock::read();
        self.acceptance.writer.cover(CoverageEvent::Alive { clock: self.accepted_until(clock) });
        self.carry(clock.wall.hour());
        self.look_for_namespaces();
        // A dump that failed is tried again here, not at once: what made it fail may last.
        self.begin_dump();
        for number in 0..self.places.len() {
            self.look_after(number, clock.wall);
        }
        self.sign_progress();
        if wishes.reload.swap(false, Ordering::Relaxed) {
            self.reload();
        }
        self.renew_status();
        sd_notify(&[sd_notify::NotifyState::Watchdog]);
    }

    /// Lets the control socket say how far the book goes.
    fn tell_covered(&self) {
        let covered =
            self.places.iter().flatten().filter(|place| place.uncovered.is_none()).filter_map(|place| {
                Some(Covered {
                    stream: self.options.stream.clone(),
                    namespace: place.namespace.name().to_owned(),
                    scope: self.options.scope.word().to_owned(),
                    destinations: self.options.destinations.word().to_owned(),
                    since: place.covered_since?.as_nanos(),
                    until: place.drained_at.as_nanos(),
                })
            });
        let mut told = self.covered.lock();
        told.clear();
        told.extend(covered);
    }

    /// The moment up to which everything that the kernel sent has been accepted. Only that far is the record complete:
    /// what is still queued would die with us.
    fn accepted_until(&self, now: ClockReading) -> ClockReading {
        let drained =
            self.places.iter().flatten().filter(|p| p.covered_since.is_some()).map(|p| p.drained_at).min();
        let lag = drained.map_or(Duration::ZERO, |at| now.wall.since(at));
        ClockReading { wall: now.wall - lag, boot: now.boot.saturating_sub(lag), ..now }
    }

    /// At the start and when an hour begins, every flow that is alive gets a row in the hour, so that a trace need not
    /// look into earlier ones. At the start only once it is known what is alive.
    fn carry(&mut self, hour: i64) {
        let knows_all = self.places.iter().flatten().all(|p| p.uncovered != Some(Uncovered::NotYet));
        // An hour that was carried stays so when the clock is set back into it.
        if !knows_all || self.carried.is_some_and(|carried| hour <= carried) {
            return;
        }
        let outcome = self.acceptance.carry(hour);
        if outcome.is_ok() {
            self.carried = Some(hour);
        }
        self.note(outcome.map_err(Into::into));
    }

    fn look_after(&mut self, number: usize, now: Timestamp) {
        let Some(Some(place)) = self.places.get_mut(number) else { return };
        if place.reread_settings() {
            if place.settings.events == Some(0) {
                self.settings_are_off(number);
            } else {
                self.order_dump(number);
            }
            return;
        }
        let is_due = now.since(place.dumped_at) >= SILENT_DUMP;
        if is_due && place.has_silent_flows() && place.uncovered.is_none() {
            self.order_dump(number);
        }
    }

    /// Signs to the watchdog, once a second, if every reader has made progress since the last time.
    fn sign_progress(&mut self) {
        let Some(guard) = &self.guard else { return };
        let has_progressed = self.places.iter_mut().flatten().all(Place::has_progressed);
        let mut outcome = Ok(());
        if has_progressed {
            outcome = guard.progress();
        }
        match outcome.and_then(|()| guard.switched()) {
            Err(error) => {
                self.note(Err(anyhow::Error::from(error).context("the watchdog of reliable mode is gone")));
            }
            Ok(switched) => {
                for switch in switched {
                    self.take_switch(&switch);
                }
            }
        }
    }

    fn take_switch(&mut self, switch: &watchdog::Switched) {
        let place = self.places.iter_mut().flatten().find(|p| p.namespace.name() == switch.namespace);
        let Some(place) = place else { return };
        place.is_reliable = switch.is_reliable;
        let mode = if switch.is_reliable { "on again" } else { "off: users' connections come first" };
        eprintln!("unmasq: {}: reliable mode is {mode}", place.namespace.name());
    }

    fn reload(&mut self) {
        eprintln!("unmasq: reloading: namespaces, settings and what is alive are looked at anew");
        for number in 0..self.places.len() {
            self.order_dump(number);
        }
    }

    fn every_minute(&mut self) {
        if !self.options.quiet {
            eprintln!("unmasq: {}", status::line(&self.status.lock()));
        }
    }

    /// What was accepted goes to the operating system. While the disk takes nothing it waits in memory.
    fn flush(&mut self) {
        let outcome = self.acceptance.writer.flush();
        if outcome.is_ok() && std::mem::take(&mut self.is_disk_refusing) {
            eprintln!("unmasq: the disk takes what is recorded again");
            self.trouble = None;
        }
        self.is_disk_refusing = outcome.is_err();
        self.note(outcome.map_err(Into::into));
    }

    // --- saying how it is ---

    /// Keeps the last trouble for the status, and prints it when it is new.
    fn note(&mut self, outcome: anyhow::Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(error) => {
                let text = told(&error);
                if self.trouble.as_ref() != Some(&text) {
                    eprintln!("unmasq: {text}");
                    self.trouble = Some(text);
                }
            }
        }
    }

    pub(super) fn renew_status(&mut self) {
        let stats = self.acceptance.writer.stats();
        let (live_flows, book_bytes) = {
            let book = self.acceptance.book.lock();
            (book.stats().live as u64, book.bytes() as u64)
        };
        let (since, events_before) =
            std::mem::replace(&mut self.sample, (Instant::now(), self.acceptance.events));
        let elapsed = since.elapsed().as_secs_f64().max(0.001);
        let rate = (self.acceptance.events - events_before) as f64 / elapsed;
        let namespaces = self.places.iter().flatten().map(|place| NamespaceStatus {
            name: place.namespace.name().to_owned(),
            reliable: place.is_reliable,
            overruns: place.overruns,
            covered_since: place.covered_since.map(|t| t.to_string()),
        });
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            stream: self.options.stream.clone(),
            ledger: self.options.ledger.display().to_string(),
            namespaces: namespaces.collect(),
            live_flows,
            events: self.acceptance.events,
            events_per_second: rate as u64,
            events_lost: self.lost,
            uncovered_seconds: stats.uncovered.as_secs(),
            flows_recorded: stats.flows,
            flows_dropped: stats.dropped,
            disk_bytes: stats.run_bytes + stats.journal_bytes,
            bytes_per_row: stats.bytes_a_row,
            book_bytes,
            trouble: stats.problem.or_else(|| self.trouble.clone()),
        };
        *self.status.lock() = status;
    }

    fn name_of(&self, place: usize) -> String {
        self.places
            .get(place)
            .and_then(Option::as_ref)
            .map_or_else(String::new, |p| p.namespace.name().to_owned())
    }

    fn label_of(&self, place: usize) -> String {
        let name = self.name_of(place);
        if name.is_empty() { "own namespace".to_owned() } else { format!("namespace {name}") }
    }

    fn leave(mut self) -> anyhow::Result<()> {
        sd_notify(&[sd_notify::NotifyState::Stopping]);
        self.server.take();
        for place in self.places.iter().flatten() {
            place.reader.stop();
        }
        // What the readers had already read is accepted; what they have not is the kernel's until the next start.
        while let Ok(message) = self.queue.try_recv() {
            self.take(message);
        }
        let clock = self.accepted_until(clock::read());
        self.acceptance.writer.cover(CoverageEvent::Stopped { namespace: None, clock });
        drop(self.queue);
        self.acceptance.writer.finish().context("cannot finish the journal")
    }
}

fn sd_notify(states: &[sd_notify::NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, which is no error.
    let _ = sd_notify::notify(states);
}
