//! Counting on all processors: one thread reads and decompresses, the others parse and count, each for itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender, bounded};
use unmasq_honeypot::report::{Counts, Damage, Line, LineError, Report, Wanted, visible};

use super::input::{Block, Input, Piece};
use crate::cmd::ledger::progress;

/// Blocks that wait to be counted, for each thread.
const WAITING: usize = 2;

/// All that was counted.
pub(super) struct Counted {
    pub(super) counts: Counts,
    /// Lines that were not.
    pub(super) damage: Option<Damage>,
    /// Files that were not read to their end, and why.
    pub(super) unread: Vec<String>,
}

impl Counted {
    /// Was every line of every file counted?
    pub(super) fn is_whole(&self) -> bool {
        self.damage.is_none() && self.unread.is_empty()
    }

    /// The report.
    pub(super) fn report(self, top: usize, offset: impl Fn(i64) -> i64) -> anyhow::Result<Report> {
        let report = self.counts.report(top, offset)?;
        Ok(Report { damage: self.damage, ..report })
    }
}

/// Lines that a thread could not count. The first is the one that stands first, not the one that was met first.
#[derive(Default)]
struct Damaged {
    lines: u64,
    first: Option<(usize, u64, LineError)>,
}

impl Damaged {
    fn add(&mut self, file: usize, line: u64, why: LineError) {
        self.absorb(Self { lines: 1, first: Some((file, line, why)) });
    }

    fn absorb(&mut self, other: Self) {
        self.lines += other.lines;
        self.first = self.first.take().into_iter().chain(other.first).min();
    }
}

/// Reads all files and counts.
pub(super) fn count(input: &Input, wanted: &Arc<Wanted>, threads: usize) -> anyhow::Result<Counted> {
    let (full, blocks) = bounded::<Block>(threads * WAITING);
    let (empty, buffers) = bounded::<Vec<u8>>(threads * (WAITING + 1));
    let mut damaged = Damaged::default();
    let mut unread = Vec::new();
    let counts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (blocks, empty) = (blocks.clone(), empty.clone());
                scope.spawn(move || work(wanted, wanted.memory / threads, &blocks, &empty))
            })
            .collect();
        // What is left hangs up when all workers have, so that a reader does not wait for nobody.
        drop((blocks, empty));
        feed(input, &full, &buffers, &mut damaged, &mut unread);
        drop(full);
        let mut whole: Option<Counts> = None;
        for worker in workers {
            let (counts, of_worker) =
                worker.join().map_err(|_| anyhow!("a counting thread has failed"))??;
            damaged.absorb(of_worker);
            match &mut whole {
                Some(whole) => whole.absorb(counts)?,
                None => whole = Some(counts),
            }
        }
        Ok::<_, anyhow::Error>(whole.unwrap_or_else(|| Counts::new(Arc::clone(wanted))))
    })?;
    let lines = damaged.lines;
    let damage = damaged.first.map(|(file, line, why)| Damage { lines, file: input.name(file), line, why });
    Ok(Counted { counts, damage, unread })
}

/// A counting thread's whole life. If it fails, its channel hangs up.
fn work(
    wanted: &Arc<Wanted>,
    memory: usize,
    blocks: &Receiver<Block>,
    empty: &Sender<Vec<u8>>,
) -> anyhow::Result<(Counts, Damaged)> {
    let mut counts = Counts::new(Arc::clone(wanted));
    let mut damaged = Damaged::default();
    for Block { file, first_line, bytes } in blocks {
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', &bytes).chain([bytes.len()]);
        for (number, end) in (first_line..).zip(ends) {
            let line = bytes[start..end].trim_ascii();
            start = (end + 1).min(bytes.len());
            if line.is_empty() {
                continue;
            }
            match Line::parse(line) {
                Ok(line) => counts.add(&line)?,
                Err(why) => damaged.add(file, number, why),
            }
        }
        counts.keep_within(memory)?;
        // The reader may have ended.
        let _ = empty.try_send(bytes);
    }
    Ok((counts, damaged))
}

/// Reads the files and hands out their lines, until all are read or nobody counts any more.
fn feed(
    input: &Input,
    full: &Sender<Block>,
    buffers: &Receiver<Vec<u8>>,
    damaged: &mut Damaged,
    unread: &mut Vec<String>,
) {
    let size = input.size();
    let bar = match size {
        Some(size) => progress::bar(size, "counting"),
        None => progress::lines("counted"),
    };
    let read = Arc::new(AtomicU64::new(0));
    for file in 0..input.files() {
        let buffer = || buffers.try_recv().unwrap_or_default();
        let done = input.read(file, &read, buffer, |piece| {
            match piece {
                Piece::Lines(block) => {
                    if size.is_none() {
                        bar.inc(memchr::memchr_iter(b'\n', &block.bytes).count() as u64);
                    }
                    full.send(block).map_err(|_| Stopped::NobodyCounts)?;
                }
                Piece::Damaged(file, line, why) => damaged.add(file, line, why),
            }
            if size.is_some() {
                bar.set_position(read.load(Ordering::Relaxed));
            }
            Ok(())
        });
        match done {
            Ok(()) => {}
            // The thread that failed says why.
            Err(Stopped::NobodyCounts) => break,
            Err(Stopped::Unreadable(error)) => {
                let name = visible::visible(input.name(file).as_bytes());
                unread.push(format!("cannot read {name} to its end: {error}"));
            }
        }
    }
    bar.finish_and_clear();
}

/// Why a file was not read to its end.
enum Stopped {
    NobodyCounts,
    Unreadable(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}
