//! The way of a log into the ledger: which log it is, where it stands, then line by line.

use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use sha2::{Digest, Sha256};
use unmasq_flow::{Bound, Origin, Period, Timestamp};
use unmasq_import::{Format, Line, Lines, Paired, Pairer, Parser, Refusal, Settings};
use unmasq_ledger::LedgerError;
use unmasq_trace::time;

use super::Args;
use super::known::{Known, Standing};
use super::source::{Extent, Hashed, Source, hex};
use super::store::Store;
use super::summary::{Summary, Tally};
use super::year;
use crate::cmd::ledger::progress;
use crate::failure::Failure;

/// Lines looked at for the first one that tells a flow.
const HEAD_LINES: u64 = 10_000;
/// Lines between two flushes of the journal, and two moves of the progress bar.
const LINES_PER_TICK: u64 = 4096;

pub(super) fn import(args: &Args) -> Result<Summary, Failure> {
    let started = Instant::now();
    let source = Source::new(&args.files)?;
    let mut settings = Settings {
        zone: args.tz.as_deref().map(time::zone).transpose()?,
        year: args.year,
        seen_at: args.seen_at.as_deref().map(|text| seen_at(text, args)).transpose()?,
    };
    let mut notes = Vec::new();
    let first_line = first_line(args, &source, &mut settings, &mut notes)?;
    let head = head(args, &settings, &first_line);
    let stream = args.stream.clone().unwrap_or_else(|| format!("import-{}", &head[..12]));

    let directory = &std::path::absolute(args.ledger.directory())?;
    let mut known = Known::open(&directory.join(&stream))?;
    let standing = known.standing(&head, &source)?;
    let skip = match standing {
        Standing::Same => {
            return Ok(Tally::default().summary(&stream, "same", 0, started.elapsed(), notes));
        }
        Standing::Grown(bytes) => bytes,
        Standing::New => 0,
    };
    let mut tally = Tally::default();
    let extent = read(args, &source, settings, &stream, directory, skip, &mut tally)?;
    known.note(&head, &args.files, extent.clone()).map_err(|error| Failure::with_exit(5, error))?;
    let log = if skip > 0 { "grown" } else { "new" };
    Ok(tally.summary(&stream, log, extent.bytes, started.elapsed(), notes))
}

fn seen_at(text: &str, args: &Args) -> anyhow::Result<Timestamp> {
    let zone = args.tz.as_deref().map(time::zone).transpose()?;
    let asked =
        time::parse(text, &time::Context { now: jiff::Timestamp::now(), zone }).context("--seen-at")?;
    match asked.windows[..] {
        [Period { to, .. }] => Ok(to),
        _ => bail!(
            "--seen-at {text}: that local time occurred twice; write it with its offset, such as 2026-10-25T02:30:00+01:00"
        ),
    }
}

/// What makes this log itself: what it is read as, and its first line.
fn head(args: &Args, settings: &Settings, first_line: &[u8]) -> String {
    let mut hash = Sha256::new();
    let (tz, year) =
        (args.tz.as_deref().unwrap_or(""), settings.year.map_or(String::new(), |y| y.to_string()));
    hash.update(format!("{} {tz} {year} {:?}\n", args.format, settings.seen_at));
    hash.update(first_line);
    hex(hash)
}

/// The first line that tells a flow. Proves on the way that the format, the zone and the year are right.
fn first_line(
    args: &Args,
    source: &Source,
    settings: &mut Settings,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<u8>> {
    let mut lines = Lines::new(BufReader::new(source.open()));
    let mut parser = Parser::new(args.format, settings.clone());
    let mut kept = Vec::new();
    let mut first_refusal = None;
    let mut number = 0_u64;
    while number < HEAD_LINES {
        let Some(line) = lines.next_line()? else { break };
        number += 1;
        let Line::Whole(line) = line else { continue };
        match parser.line(line) {
            Ok(Some(_)) => return Ok(line.to_vec()),
            Ok(None) => {}
            Err(Refusal::NoYear) => {
                let zone = settings.zone.clone().unwrap_or(jiff::tz::TimeZone::UTC);
                let year = source.tail().and_then(|tail| year::proven(args.format, &zone, line, &tail));
                let Some(year) = year else { bail!("line {number}: {}", Refusal::NoYear) };
                notes.push(format!(
                    "the year {year} follows from the file's time of modification, which agrees with its last line; \
                     give --year if it is another"
                ));
                settings.year = Some(year);
                return Ok(line.to_vec());
            }
            // These have one remedy for the whole log, so no line is tried further.
            Err(reason @ Refusal::NoZone) => bail!("line {number}: {reason}"),
            Err(reason) => {
                first_refusal.get_or_insert((number, reason));
                if kept.len() < 100 {
                    kept.push(line.to_vec());
                }
            }
        }
    }
    let name = args.files[0].display();
    let Some((number, reason)) = first_refusal else { bail!("{name} has no line that tells of a flow") };
    match Format::of_lines(&kept) {
        Some(other) if other != args.format => Err(anyhow!(
            "{name} is no {} log (line {number}: {reason}); its lines look like --format {other}",
            args.format
        )),
        _ => Err(anyhow!(
            "{name} has no line that could be read as --format {}; line {number}: {reason}",
            args.format
        )),
    }
}

/// Reads the log and writes its flows. The first `skip` bytes are only read for the flows that are still open after them.
fn read(
    args: &Args,
    source: &Source,
    settings: Settings,
    stream: &str,
    directory: &Path,
    skip: u64,
    tally: &mut Tally,
) -> Result<Extent, Failure> {
    let on_ledger = |error: LedgerError| Failure::with_exit(5, error);
    let mut store = Store::open(directory, stream).map_err(on_ledger)?;
    let mut pairer = Pairer::new(Origin::new(stream, ""), Pairer::MAX_OPEN);
    let mut parser = Parser::new(args.format, settings);
    let mut lines = Lines::new(BufReader::with_capacity(1 << 18, Hashed::new(source.open())));
    let bar = progress::bar(source.size_on_disk(), "importing");
    let mut is_replay = skip > 0;
    loop {
        if is_replay && lines.bytes() >= skip {
            is_replay = false;
            store.resume(&mut pairer);
        }
        let Some(line) = lines.next_line()? else { break };
        tally.lines += 1;
        let sighting = match line {
            Line::Whole(line) => parser.line(line),
            Line::TooLong => Err(Refusal::TooLong),
        };
        match sighting {
            Ok(Some(sighting)) => {
                if let Some(time) = sighting.instant() {
                    store.advance(time, &mut pairer, is_replay);
                }
                pairer.push(&sighting, &mut |paired| put(&mut store, &paired, tally, is_replay));
            }
            Err(reason) if !is_replay => tally.refuse(reason),
            Ok(None) | Err(_) => {}
        }
        if tally.lines.is_multiple_of(LINES_PER_TICK) {
            bar.set_position(source.read_from_disk());
            store.flush().map_err(on_ledger)?;
        }
    }
    pairer.finish(&mut |paired| put(&mut store, &paired, tally, false));
    bar.set_message("sealing");
    tally.stored = Some(store.finish().map_err(on_ledger)?.run_bytes);
    bar.finish_and_clear();
    Ok(lines.into_inner().into_inner().extent())
}

fn put(store: &mut Store, paired: &Paired, tally: &mut Tally, is_replay: bool) {
    let is_there = paired.is_known && matches!(paired.flow.end, Bound::Unknown | Bound::Open);
    if !is_replay && !is_there {
        tally.flow(&paired.flow);
        store.put(paired);
    }
}
