//! Each flow once, from the files of one stream: what exports and "all that a client did" read.
//!
//! Hours are read in order. A flow is given in the hour of its end. A row without an end waits, and goes on waiting as
//! long as the hours that follow have a row of the flow; where one that was carried has none, the end was never seen,
//! and the flow is given as it is. So memory holds the flows that were alive at the end of an hour and pass the filter.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use unmasq_flow::{Period, Timestamp};

use super::find::hours_of;
use super::same::{Waiting, unite};
use super::source::{Found, Hour, Live, Place, Stream, note};
use crate::LedgerError;
use crate::journal::end_hour;
use crate::run::{self, Builder, Filter, Run, RunError, WriteOptions};

/// So many rows of an hour that lies in several files are united in memory; more of them in a file.
const ROWS_IN_MEMORY: usize = 200_000;

type Each<'a> = &'a mut dyn FnMut(Found) -> ControlFlow<()>;

/// Gives each flow that passes the filter once.
pub(super) fn flows(
    stream: &Stream,
    filter: &Filter,
    live: &Live,
    damage: &mut Vec<String>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, LedgerError> {
    let last = filter.period.to.hour();
    let mut waiting = Waiting::default();
    for hour in hours_of(stream, filter.period, live, damage)? {
        let files = stream.hour(hour, live, damage)?;
        let is_carried = files.is_carried;
        // What has ended before the period must still end what waits, or what another file says of it.
        let period =
            if waiting.is_empty() && files.is_united(live) { filter.period } else { widened(filter.period) };
        let mut alive = Waiting::default();
        let done = scan(stream, files, &Filter { period, ..*filter }, live, damage, &mut |one| {
            if !one.row.is_final() {
                alive.add(one);
                return ControlFlow::Continue(());
            }
            waiting.end(&one.row);
            if end_hour(&one.row.flow) == Some(hour) {
                give(one, filter, each)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if done.is_break() {
            return Ok(done);
        }
        for one in waiting.take(|one| !alive.has(&one.row)) {
            if !is_carried {
                alive.add(one);
            } else if give(one, filter, each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        waiting = alive;
    }
    wait_on(stream, filter, last, waiting, live, damage, each)
}

/// Reads on behind the period for the ends of the flows that wait.
fn wait_on(
    stream: &Stream,
    filter: &Filter,
    from: i64,
    mut waiting: Waiting,
    live: &Live,
    damage: &mut Vec<String>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, LedgerError> {
    let wide = Filter { period: widened(filter.period), ..*filter };
    for hour in stream.hours(from.saturating_add(1), i64::MAX, live) {
        if waiting.is_empty() {
            break;
        }
        let files = stream.hour(hour, live, damage)?;
        let is_carried = files.is_carried;
        let mut still = Waiting::default();
        let done = scan(stream, files, &wide, live, damage, &mut |one| {
            if one.row.is_final() {
                if waiting.end(&one.row).is_some() {
                    return give(one, filter, each);
                }
            } else if waiting.has(&one.row) {
                still.add(one);
            }
            ControlFlow::Continue(())
        })?;
        if done.is_break() {
            return Ok(done);
        }
        if is_carried {
            // Carried, and not there: gone by then, and nobody saw when.
            for one in waiting.take(|one| !still.has(&one.row)) {
                if give(one, filter, each).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    for one in waiting.into_rest() {
        if give(one, filter, each).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn widened(period: Period) -> Period {
    Period { from: Timestamp::MIN, to: period.to + std::time::Duration::from_secs(61) }
}

fn give(one: Found, filter: &Filter, each: Each<'_>) -> ControlFlow<()> {
    if filter.matches(&one.row.flow) { each(one) } else { ControlFlow::Continue(()) }
}

/// Rows of an hour that pass the filter, those of one flow united.
fn scan(
    stream: &Stream,
    files: Hour,
    filter: &Filter,
    live: &Live,
    damage: &mut Vec<String>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, LedgerError> {
    if files.is_united(live) {
        return Ok(scan_each(&files, filter, damage, each));
    }
    let mut rows = Vec::new();
    let gathered = scan_each(&files, filter, damage, &mut |one| {
        rows.push(one);
        if rows.len() > ROWS_IN_MEMORY { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if gathered.is_break() {
        drop(rows);
        return scan_merged(stream, files, filter, live, damage, each);
    }
    rows.extend(live.of_hour(files.number).filter(|one| filter.matches(&one.row.flow)).cloned());
    unite(&mut rows);
    Ok(rows.into_iter().try_for_each(each))
}

/// Rows of an hour's runs, one run after the other.
fn scan_each(files: &Hour, filter: &Filter, damage: &mut Vec<String>, each: Each<'_>) -> ControlFlow<()> {
    for (number, run) in files.numbered() {
        let mut result = ControlFlow::Continue(());
        let found = run.scan(filter, &mut |row, place| {
            result = each(Found { row, place: Place::Run { hour: files.number, number, row: place } });
            result
        });
        note(found, damage);
        result?;
    }
    ControlFlow::Continue(())
}

/// A file that goes when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<(Self, File), LedgerError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("unmasq-hour-{}-{number}.run", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((Self(path), file)),
                // Of a process of this number that was killed; in a container each has the same.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LedgerError::io("create", &path)(error)),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The same for an hour too large to unite in memory: its files are merged into a temporary one first, as the writer
/// will do. Places are then those of the hour as a whole.
fn scan_merged(
    stream: &Stream,
    mut files: Hour,
    filter: &Filter,
    live: &Live,
    damage: &mut Vec<String>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, LedgerError> {
    let options = WriteOptions::default();
    let (unsealed, mut out) = Temporary::new()?;
    let mut builder = Builder::new(files.number, &options);
    live.of_hour(files.number).for_each(|one| builder.push(&one.row.flow, one.row.continues));
    if !builder.is_empty() {
        builder.finish(&mut out).map_err(LedgerError::io("write", &unsealed.0))?;
        files.runs.push(Run::open(&unsealed.0, &stream.name)?);
        files.numbers.push(0);
    }
    let (merged, out) = Temporary::new()?;
    let mut out = BufWriter::new(out);
    match run::merge(&files.runs, &options, &mut out) {
        Ok(_) => {
            out.flush().map_err(LedgerError::io("write", &merged.0))?;
            files.runs = vec![Run::open(&merged.0, &stream.name)?];
            files.numbers = vec![0];
        }
        // What is whole of them is given run by run: a flow may come twice, as open and as ended, but none is missing.
        Err(RunError::Damaged(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(scan_each(&files, filter, damage, each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_of_the_same_number_left_is_in_nobodys_way() {
        let (first, _) = Temporary::new().unwrap();
        let number: u64 = first.0.to_str().unwrap().rsplit(['-', '.']).nth(1).unwrap().parse().unwrap();
        let left = first.0.with_file_name(format!("unmasq-hour-{}-{}.run", std::process::id(), number + 1));
        std::fs::write(&left, "a run").unwrap();
        let (next, _) = Temporary::new().unwrap();
        assert_ne!(next.0, left);
        assert_eq!(std::fs::read(&left).unwrap(), b"a run");
        std::fs::remove_file(left).unwrap();
    }
}
