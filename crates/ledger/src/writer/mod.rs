//! Writing a stream: accept, flush, sync, and let two threads do the rest.
//!
//! ```text
//!  opened, ended, carry, cover ──► batch ──flush──► journal ──rotate──► runs ──► fewer runs
//!         (the caller)              memory   write(2)   ▲ fsync            sealer thread
//!                                                       └ syncer thread
//! ```
//!
//! The caller never waits for the disk: `flush` hands bytes to the page cache. It tells the time by
//! [`CoverageEvent::Alive`]; nothing here asks a clock.

mod retention;
mod sealer;
mod syncer;
mod tiers;
mod vault;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unmasq_flow::{ClockReading, DestinationPolicy, Flow, Gap, GapReason, Period, Timestamp};

pub use retention::Retention;

use crate::coverage::{CoverageEvent, Mark, Timeline};
use crate::destination::Keeper;
use crate::journal::{Batch, Context, Header, Kind};
use crate::layout::{Lock, StreamKind};
use crate::read::unended;
use crate::storage::{Disk, Storage};
use crate::{Hash, LedgerError, frame, layout};
use sealer::Sealer;
use syncer::{Journal, Syncer};
use vault::Vault;

/// How a stream is written.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Is it another program's log that is read in? Such a stream cannot become a recorder's, nor the reverse.
    pub is_import: bool,
    /// What is kept of destinations.
    pub destinations: DestinationPolicy,
    /// How much is kept.
    pub retention: Retention,
    /// A journal is sealed when it is so old.
    pub rotate_after: Duration,
    /// A journal is sealed when it holds so many records.
    pub rotate_records: u64,
    /// While the disk takes nothing, so many bytes wait in memory (a flow takes about 40). What comes then is dropped
    /// and stated as a gap.
    pub buffer_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            is_import: false,
            destinations: DestinationPolicy::Keep,
            retention: Retention::default(),
            rotate_after: Duration::from_secs(60),
            rotate_records: 1 << 19,
            buffer_bytes: 64 << 20,
        }
    }
}

/// What a stream knew when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Flows that had not ended, as far as the stream knows. They are `known` to [`Writer::ended`].
    pub open: Vec<Flow>,
    /// When the writer before was last known to be alive.
    pub last_alive: Option<ClockReading>,
    /// The namespaces that were recorded then. One that is not started again is a gap, unless
    /// [`CoverageEvent::Stopped`] says that it is gone.
    pub namespaces: Vec<Box<str>>,
    /// Damage that was found and is now stated as gaps, for people to read.
    pub damage: Vec<String>,
}

/// Figures of a stream since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriterStats {
    /// Flows that were accepted as opened, or as ended without having been known.
    pub flows: u64,
    /// Records accepted.
    pub records: u64,
    /// Records dropped because the disk took nothing for too long.
    pub dropped: u64,
    /// Bytes that wait in memory.
    pub waiting_bytes: u64,
    /// Bytes of the current journal.
    pub journal_bytes: u64,
    /// Journals that wait to be sealed.
    pub waiting_journals: u64,
    /// Bytes of all runs on the disk.
    pub run_bytes: u64,
    /// Bytes written as runs, merges included.
    pub written_bytes: u64,
    /// Bytes of a row in the runs that were written since the stream was opened.
    pub bytes_a_row: Option<f64>,
    /// Hours that were pruned.
    pub pruned_hours: u64,
    /// Time since the first statement about coverage that is not covered.
    pub uncovered: Duration,
    /// The last hash of the chain.
    pub head: Hash,
    /// What goes wrong in the background, if something does. It is tried again.
    pub problem: Option<String>,
}

/// The one writer of a stream.
#[derive(Debug)]
pub struct Writer {
    stream: PathBuf,
    storage: Arc<dyn Storage>,
    options: WriterOptions,
    keeper: Keeper,
    batch: Batch,
    /// Frames on their way to the journal, of which the first `written` bytes are there.
    out: Vec<u8>,
    written: usize,
    journal: Journal,
    journal_bytes: u64,
    journal_records: u64,
    /// The clock when the journal was begun.
    journal_since: Option<Timestamp>,
    context: Context,
    /// The hour carried last, as far as what says so has been written.
    carried_written: Option<i64>,
    /// Records accepted since the last flush that reached the journal.
    unflushed: u64,
    /// Since when nothing could be written.
    failing_since: Option<Timestamp>,
    /// Records that were dropped and not yet stated as a gap: how many, since when, why.
    lost: Option<(u64, Timestamp, String)>,
    session: Timeline,
    session_began: Option<Timestamp>,
    flows: u64,
    records: u64,
    dropped: u64,
    syncer: Syncer,
    sealer: Sealer,
    _lock: Lock,
}

impl Writer {
    /// Opens a stream of a ledger, both made if they are not there, and brings it in order after whatever happened.
    pub fn open(
        ledger: &Path,
        stream: &str,
        options: WriterOptions,
    ) -> Result<(Self, Recovery), LedgerError> {
        Self::open_on(Arc::new(Disk), ledger, stream, options)
    }

    /// The same on a storage of the caller's, such as one that records what is done.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        ledger: &Path,
        name: &str,
        options: WriterOptions,
    ) -> Result<(Self, Recovery), LedgerError> {
        layout::create_ledger(&*storage, ledger)?;
        layout::check_stream_name(name)?;
        let kind = StreamKind { is_import: options.is_import, destinations: options.destinations };
        let directory = ledger.join(name);
        storage.create_dir(&directory).map_err(LedgerError::io("create", &directory))?;
        let lock = Lock::take(&directory)?;
        let stream = layout::create_stream(&*storage, ledger, name, kind)?;
        let keeper = Keeper::new(options.destinations, &stream)?;
        let mut vault = Vault::open(storage.clone(), &stream, name, Arc::new(AtomicBool::new(false)))?;
        let mut recovery = Recovery::default();
        let waiting = seal_what_was_left(&mut vault, &mut recovery)?;
        let context =
            if options.is_import { Context::default() } else { recover(&vault, &waiting, &mut recovery)? };
        let number = waiting.last().copied().unwrap_or(0).max(vault.coverage.journal()) + 1;
        let journal = syncer::create(&*storage, &stream, number)?;
        let syncer = Syncer::start(storage.clone(), &stream, journal.clone())?;
        let now = context.now.unwrap_or(Timestamp::from_seconds(0));
        let sealer = Sealer::start(vault, waiting, options.retention, now)?;
        let mut writer = Self {
            stream,
            storage,
            options,
            keeper,
            batch: Batch::default(),
            out: Vec::new(),
            written: 0,
            journal,
            journal_bytes: 0,
            journal_records: 0,
            journal_since: None,
            context,
            carried_written: context.carried,
            unflushed: 0,
            failing_since: None,
            lost: None,
            session: Timeline::default(),
            session_began: None,
            flows: 0,
            records: 0,
            dropped: 0,
            syncer,
            sealer,
            _lock: lock,
        };
        writer.begin_journal();
        writer.batch.mark(&Mark::Session);
        writer.sync()?;
        Ok((writer, recovery))
    }

    fn begin_journal(&mut self) {
        self.batch.header(&Header { number: self.journal.number, context: self.context });
        self.journal_bytes = 0;
        self.journal_records = 0;
        self.journal_since = self.context.now;
    }

    fn push(&mut self, kind: Kind, flow: &Flow) {
        match self.keeper.reduce(flow) {
            Some(reduced) => self.batch.push(kind, &reduced),
            None => self.batch.push(kind, flow),
        }
        self.unflushed += 1;
        self.records += 1;
        self.journal_records += 1;
    }

    /// Accepts a flow that began. Its end is not looked at. Hot: guarded by the example `accept`.
    pub fn opened(&mut self, flow: &Flow) {
        self.flows += 1;
        self.push(Kind::Opened, flow);
    }

    /// Accepts a flow that ended. `known`: it was accepted as opened before (by this writer, or it was in
    /// [`Recovery::open`]). An end of [`Bound::Unknown`](unmasq_flow::Bound) leaves the flow a candidate for ever.
    /// Hot: guarded by the example `accept`.
    pub fn ended(&mut self, flow: &Flow, known: bool) {
        if !known {
            self.flows += 1;
        }
        self.push(if known { Kind::Ended } else { Kind::Whole }, flow);
    }

    /// Accepts what is said about coverage.
    pub fn cover(&mut self, event: CoverageEvent) {
        let mark = Mark::Event(event);
        if let Some(clock) = mark.clock() {
            self.context.now = Some(clock.wall);
            self.session_began.get_or_insert(clock.wall);
            self.journal_since.get_or_insert(clock.wall);
            self.sealer.time(clock.wall);
        }
        self.session.apply(&mark);
        self.batch.mark(&mark);
    }

    /// Carries all flows that were alive when the hour (counted since the Unix epoch) began into it. To be called when
    /// an hour begins, also for an import whose flows can outlive it. Flushes as it goes.
    pub fn carry(
        &mut self,
        hour: i64,
        flows: impl IntoIterator<Item = impl Borrow<Flow>>,
    ) -> Result<(), LedgerError> {
        self.batch.close_records();
        let dropped = self.dropped;
        for flow in flows {
            self.push(Kind::Carried(hour), flow.borrow());
            if self.batch.len() > 1 << 20 {
                self.write()?;
            }
        }
        self.carried(hour, dropped)
    }

    /// Like [`Writer::carry`] for one flow of many, where the caller cannot hand them over at once.
    /// [`Writer::carry_done`] must follow.
    pub fn carry_one(&mut self, hour: i64, flow: &Flow) {
        self.push(Kind::Carried(hour), flow);
    }

    /// All flows of the hour were given to [`Writer::carry_one`].
    pub fn carry_done(&mut self, hour: i64) -> Result<(), LedgerError> {
        self.carried(hour, self.dropped)
    }

    fn carried(&mut self, hour: i64, dropped_before: u64) -> Result<(), LedgerError> {
        self.batch.close_records();
        let written = self.write();
        // Only if all of them are there: what says so is what readers rely on.
        if self.dropped == dropped_before {
            self.batch.carried(hour);
            self.context.carried = self.context.carried.max(Some(hour));
        }
        written.and_then(|()| self.flush())
    }

    /// Hands everything accepted to the operating system: from here on the death of this process costs nothing. An
    /// error says why that was not possible; what was accepted waits in memory and is tried again with the next call.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.write()?;
        let is_old = match (self.journal_since, self.context.now) {
            (Some(since), Some(now)) => now.since(since) >= self.options.rotate_after,
            _ => false,
        };
        if self.journal_bytes > 0 && (is_old || self.journal_records >= self.options.rotate_records) {
            self.rotate();
        }
        Ok(())
    }

    /// Takes the next journal, if it is ready; otherwise the current one goes on for a while.
    fn rotate(&mut self) {
        let Some(next) = self.syncer.take_next() else { return };
        let complete = std::mem::replace(&mut self.journal, next).number;
        self.begin_journal();
        self.sealer.seal(complete);
    }

    fn write(&mut self) -> Result<(), LedgerError> {
        if let Some((records, since, why)) = &self.lost {
            // Behind what is being written, so that it is stated when there is room again.
            let to = self.context.now.unwrap_or(*since);
            let reason = GapReason::Failed(format!("{why}; {records} records were dropped"));
            let gap = Gap { period: Period::new(*since, to), namespace: None, reason };
            self.session.apply(&Mark::Event(CoverageEvent::Gap(gap.clone())));
            self.batch.mark(&Mark::Event(CoverageEvent::Gap(gap)));
        }
        self.batch.take(&mut self.out);
        while self.written < self.out.len() {
            match self.journal.file.write(&self.out[self.written..]) {
                Ok(0) => return Err(self.hold_back(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.written += count;
                    self.journal_bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.hold_back(error)),
            }
        }
        if !self.out.is_empty() {
            self.syncer.wrote();
        }
        self.out.clear();
        // One flood must not keep its memory for ever.
        self.out.shrink_to(4 << 20);
        self.written = 0;
        self.unflushed = 0;
        self.carried_written = self.context.carried;
        self.failing_since = None;
        self.lost = None;
        Ok(())
    }

    /// The disk took nothing. Keeps what is accepted, up to the limit.
    fn hold_back(&mut self, error: io::Error) -> LedgerError {
        let now = self.context.now.unwrap_or(Timestamp::from_seconds(0));
        let since = *self.failing_since.get_or_insert(now);
        if self.out.len() - self.written > self.options.buffer_bytes {
            let (before, since) = self.lost.take().map_or((0, since), |(records, since, _)| (records, since));
            self.lost = Some((before + self.unflushed, since, error.to_string()));
            self.dropped += self.unflushed;
            self.unflushed = 0;
            self.context.carried = self.carried_written;
            // A frame of which a part is there must not stay: what follows would look like damage.
            let whole = frame::whole_before(&self.out, self.written);
            let torn = (self.written - whole) as u64;
            self.journal_bytes -= torn;
            let path = layout::journal_path(&self.stream, self.journal.number);
            // If that fails as well, the reader finds the next frame behind the torn one.
            let _ = self.storage.truncate(&path, self.journal_bytes);
            self.out.clear();
            self.written = 0;
            self.out.extend(self.header_again());
        }
        LedgerError::Io {
            doing: "write",
            path: layout::journal_path(&self.stream, self.journal.number),
            source: error,
        }
    }

    /// A journal that has nothing yet begins with its header, also when what was to be its first write was dropped.
    fn header_again(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.journal_bytes == 0 {
            let mut batch = Batch::default();
            batch.header(&Header { number: self.journal.number, context: self.context });
            batch.take(&mut out);
        }
        out
    }

    /// Returns when everything accepted is on the disk.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.flush()?;
        self.syncer.sync()
    }

    /// Other limits from now on.
    pub fn set_retention(&mut self, retention: Retention) {
        self.options.retention = retention;
        self.sealer.retain(retention);
    }

    /// Figures, and what goes wrong in the background.
    pub fn stats(&self) -> WriterStats {
        let view = self.sealer.view();
        let uncovered = match (self.session_began, self.context.now) {
            (Some(from), Some(to)) => {
                let gaps = self.session.coverage(Period::new(from, to)).gaps;
                gaps.iter().map(|gap| gap.period.to.since(gap.period.from)).sum()
            }
            _ => Duration::ZERO,
        };
        WriterStats {
            flows: self.flows,
            records: self.records,
            dropped: self.dropped,
            waiting_bytes: (self.out.len() - self.written + self.batch.len()) as u64,
            journal_bytes: self.journal_bytes,
            waiting_journals: view.waiting as u64,
            run_bytes: view.tally.bytes,
            written_bytes: view.tally.written,
            bytes_a_row: (view.tally.recent_rows > 0)
                .then(|| view.tally.recent_bytes as f64 / view.tally.recent_rows as f64),
            pruned_hours: view.pruned_hours,
            uncovered,
            head: view.head,
            problem: view.problem.or_else(|| self.syncer.problem()),
        }
    }

    /// Syncs and leaves. What is in journals stays there, for readers to read and the next writer to seal.
    pub fn finish(mut self) -> Result<(), LedgerError> {
        let synced = self.sync();
        self.sealer.stop();
        self.syncer.stop();
        synced
    }

    /// Seals everything, makes one run of each hour, and leaves. Takes its time: for imports and for the end of tests.
    pub fn finish_sealed(mut self) -> Result<WriterStats, LedgerError> {
        self.seal_all()?;
        let stats = self.stats();
        self.finish()?;
        Ok(stats)
    }

    /// Seals everything accepted so far, makes one run of each hour, and returns when that is done.
    pub fn seal_all(&mut self) -> Result<(), LedgerError> {
        self.sync()?;
        let number = self.journal.number + 1;
        let next = match self.syncer.take_next() {
            Some(next) => next,
            None => self.syncer.make_next(number)?,
        };
        let complete = std::mem::replace(&mut self.journal, next).number;
        self.begin_journal();
        self.flush()?;
        self.sealer.seal(complete);
        self.sealer.everything()
    }
}

/// Makes runs of the journals that the writer before left. Those that cannot be sealed now (a full disk) are left to the
/// sealer, and given back.
fn seal_what_was_left(vault: &mut Vault, recovery: &mut Recovery) -> Result<Vec<u64>, LedgerError> {
    let mut waiting = Vec::new();
    for (from, to) in vault.coverage.damage() {
        let path = vault.stream.join(layout::COVERAGE);
        recovery.damage.push(format!("{} is damaged from byte {from} to {to}", path.display()));
    }
    let now = vault.coverage.timeline().last_reading().map_or(Timestamp::from_seconds(0), |clock| clock.wall);
    for number in layout::journals(&vault.stream)? {
        if !waiting.is_empty() {
            waiting.push(number);
            continue;
        }
        match vault.seal(number, now) {
            Ok(summary) => recovery.damage.extend(summary.damage),
            Err(error) if error.is_disk_full() => waiting.push(number),
            Err(error) => return Err(error),
        }
    }
    Ok(waiting)
}

/// What the stream knows of the time before: the flows that are still open, the last reading, the hour carried last.
fn recover(vault: &Vault, waiting: &[u64], recovery: &mut Recovery) -> Result<Context, LedgerError> {
    let mut timeline = vault.coverage.timeline().clone();
    let mut carried = vault.carried();
    let mut journals = Vec::new();
    for number in waiting {
        let path = layout::journal_path(&vault.stream, *number);
        let Some(file) = crate::journal::open(&path).map_err(LedgerError::io("open", &path))? else {
            continue;
        };
        let name = format!("journal.{number:06}");
        let summary = crate::journal::fold(file, &name, &vault.name, None, false, &mut |hour, row, _| {
            journals.push((hour, row));
        })
        .map_err(LedgerError::io("read", &path))?;
        summary.marks.iter().for_each(|mark| timeline.apply(mark));
        carried = summary.carried.iter().copied().max().max(carried);
        recovery.damage.extend(summary.damage);
    }
    let hours: BTreeSet<i64> =
        vault.hours.keys().copied().chain(journals.iter().map(|(hour, _)| *hour)).collect();
    let found = unended::open_flows(&vault.stream, &vault.name, &hours, carried, journals)?;
    recovery.open = found.flows;
    recovery.damage.extend(found.damage);
    recovery.last_alive = timeline.last_reading();
    recovery.namespaces = timeline.active_namespaces();
    Ok(Context { carried, now: recovery.last_alive.map(|clock| clock.wall) })
}
