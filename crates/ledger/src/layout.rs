//! Where everything lies in a ledger, and what its setting files say.
//!
//! ```text
//! ledger.toml                        format version, resolution
//! gw1/stream.toml                    recorder or import, what of destinations
//! gw1/lock                           held (flock) by the writer, with its process id
//! gw1/secret                         key of the destinations' hashes, mode 0600
//! gw1/journal.000012                 see `journal`; the highest number is the live one
//! gw1/coverage, gw1/chain            see `coverage`, `chain`
//! gw1/hold/NAME.toml                 legal holds
//! gw1/2026/11/21/08/000017.run       see `run`
//! gw1/2026/11/21/08/carried          every flow alive at the beginning of the hour has a row in it
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use unmasq_flow::DestinationPolicy;

use crate::LedgerError;
use crate::storage::Storage;

/// The version of the ledger's layout that this program writes; older ones it reads.
pub const VERSION: u32 = 1;

pub(crate) const LEDGER: &str = "ledger.toml";
pub(crate) const STREAM: &str = "stream.toml";
pub(crate) const LOCK: &str = "lock";
pub(crate) const SECRET: &str = "secret";
pub(crate) const COVERAGE: &str = "coverage";
pub(crate) const CHAIN: &str = "chain";
pub(crate) const HOLD: &str = "hold";
pub(crate) const CARRIED: &str = "carried";
const JOURNAL: &str = "journal.";
const RUN: &str = ".run";
/// Files under this ending are unfinished; a writer removes them when it opens the stream.
pub(crate) const UNFINISHED: &str = ".new";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerFile {
    format: u32,
    resolution: String,
}

#[derive(Deserialize)]
struct VersionOnly {
    format: u32,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamKind {
    /// Is it another program's log that was read in, and not a recorder's own stream?
    pub is_import: bool,
    /// What it keeps of destinations.
    pub destinations: DestinationPolicy,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamFile {
    kind: String,
    destinations: String,
}

/// Makes the ledger's directory and its settings file, or checks the one that is there.
pub(crate) fn create_ledger(storage: &dyn Storage, directory: &Path) -> Result<(), LedgerError> {
    match fs::metadata(directory.join(LEDGER)) {
        Ok(_) => return check_ledger(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(LedgerError::io("open", &directory.join(LEDGER))(error)),
    }
    create_dirs(storage, directory)?;
    let is_foreign = fs::read_dir(directory)
        .map_err(LedgerError::io("list", directory))?
        .filter_map(Result::ok)
        .any(|entry| !entry.file_name().to_string_lossy().ends_with(UNFINISHED));
    if is_foreign {
        return Err(LedgerError::NotALedger {
            path: directory.to_owned(),
            what: format!(
                "it has no {LEDGER} but other files; give an empty or a new directory (--ledger DIR)"
            ),
        });
    }
    let file = LedgerFile { format: VERSION, resolution: "1ms".to_owned() };
    let text = format!("# A ledger of unmasq: see docs/ledger-format.md.\n{}", toml_text(&file));
    replace(storage, &directory.join(LEDGER), text.as_bytes())
}

/// Checks that the directory is a ledger of a version that is understood here.
pub(crate) fn check_ledger(directory: &Path) -> Result<(), LedgerError> {
    let path = directory.join(LEDGER);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = if directory.is_dir() {
                format!("it has no {LEDGER}; check the path (--ledger DIR)")
            } else {
                "there is no such directory; check the path (--ledger DIR), or record something first"
                    .to_owned()
            };
            return Err(LedgerError::NotALedger { path: directory.to_owned(), what });
        }
        Err(error) => return Err(LedgerError::io("read", &path)(error)),
    };
    let settings =
        |error: toml::de::Error| LedgerError::Settings { path: path.clone(), message: error.to_string() };
    // The version first: what else a newer program wrote is not for this one to judge.
    let found = toml::from_str::<VersionOnly>(&text).map_err(settings)?.format;
    if found > VERSION {
        return Err(LedgerError::Version { path, found, supported: VERSION });
    }
    let file: LedgerFile = toml::from_str(&text).map_err(settings)?;
    if file.resolution != "1ms" {
        let message = format!("resolution = {:?} is not understood; it must be \"1ms\"", file.resolution);
        return Err(LedgerError::Settings { path, message });
    }
    Ok(())
}

fn toml_text(value: &impl Serialize) -> String {
    // A struct of numbers and texts always serialises.
    toml::to_string(value).unwrap_or_default()
}

/// Is it a directory name of its own, without a way out of the ledger?
pub(crate) fn check_stream_name(name: &str) -> Result<(), LedgerError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(LedgerError::StreamName(name.to_owned()));
    }
    Ok(())
}

/// Makes a stream's directory and settings, or checks those that are there.
pub(crate) fn create_stream(
    storage: &dyn Storage,
    ledger: &Path,
    name: &str,
    kind: StreamKind,
) -> Result<PathBuf, LedgerError> {
    check_stream_name(name)?;
    let stream = ledger.join(name);
    storage.create_dir(&stream).map_err(LedgerError::io("create", &stream))?;
    storage.sync_dir(ledger).map_err(LedgerError::io("sync", ledger))?;
    let path = stream.join(STREAM);
    if let Some(there) = read_stream(&stream)? {
        if there.is_import != kind.is_import {
            let what = if there.is_import {
                "says that this stream holds an import; record into another one (--stream NAME)"
            } else {
                "says that this stream belongs to a recorder; import into another one (--stream NAME)"
            };
            return Err(LedgerError::StreamKind { path, what: what.to_owned() });
        }
        if there.destinations == kind.destinations {
            return Ok(stream);
        }
    }
    write_stream(storage, &path, kind)?;
    Ok(stream)
}

fn write_stream(storage: &dyn Storage, path: &Path, kind: StreamKind) -> Result<(), LedgerError> {
    let file = StreamFile {
        kind: if kind.is_import { "import" } else { "recorder" }.to_owned(),
        destinations: kind.destinations.word().to_owned(),
    };
    replace(storage, path, toml_text(&file).as_bytes())
}

/// What a stream's settings file says; `None` if it has none, which means that it is no stream (yet).
pub(crate) fn read_stream(stream: &Path) -> Result<Option<StreamKind>, LedgerError> {
    let path = stream.join(STREAM);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("read", &path)(error)),
    };
    let wrong = |message: String| LedgerError::Settings { path: path.clone(), message };
    let file: StreamFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let is_import = match file.kind.as_str() {
        "recorder" => false,
        "import" => true,
        other => return Err(wrong(format!("kind = {other:?} must be \"recorder\" or \"import\""))),
    };
    let destinations = [DestinationPolicy::Keep, DestinationPolicy::Hash, DestinationPolicy::Drop]
        .into_iter()
        .find(|policy| policy.word() == file.destinations)
        .ok_or_else(|| wrong(format!("destinations = {:?} must be keep, hash or drop", file.destinations)))?;
    Ok(Some(StreamKind { is_import, destinations }))
}

/// Names of the streams, sorted.
pub(crate) fn streams(ledger: &Path) -> Result<Vec<String>, LedgerError> {
    let mut names: Vec<String> = fs::read_dir(ledger)
        .map_err(LedgerError::io("list", ledger))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(STREAM).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_stream_name(name).is_ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The right to write a stream; given back when dropped, or when the process dies however it dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(stream: &Path) -> Result<Self, LedgerError> {
        let path = stream.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(LedgerError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let is_pid = file.take(20).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if is_pid { holder.trim().to_owned() } else { "unknown".to_owned() };
                return Err(LedgerError::Locked { path: stream.to_owned(), holder });
            }
            Err(error) => return Err(LedgerError::io("lock", &path)(error.into())),
        }
        // For the one who is refused; a disk too full for it does not make the lock less of one.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// A file with these bytes under its name, or as it was before: written aside, synced, renamed, synced.
pub(crate) fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(UNFINISHED);
    let aside = PathBuf::from(aside);
    let file = storage.create(&aside).map_err(LedgerError::io("create", &aside))?;
    let written = file.write_all(bytes).and_then(|()| file.sync());
    if let Err(error) = written {
        let _ = storage.remove(&aside);
        return Err(LedgerError::io("write", &aside)(error));
    }
    storage.rename(&aside, path).map_err(LedgerError::io("rename to", path))?;
    sync_parent(storage, path)
}

pub(crate) fn sync_parent(storage: &dyn Storage, path: &Path) -> Result<(), LedgerError> {
    // The parent of `ledger` is the empty path, which no system call takes for the current directory.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    storage.sync_dir(parent).map_err(LedgerError::io("sync", parent))
}

/// Makes a directory and those above it, each durable before the next.
pub(crate) fn create_dirs(storage: &dyn Storage, directory: &Path) -> Result<(), LedgerError> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_dirs(storage, parent)?;
    }
    storage.create_dir(directory).map_err(LedgerError::io("create", directory))?;
    sync_parent(storage, directory)
}

/// `gw1/journal.000012`.
pub(crate) fn journal_path(stream: &Path, number: u64) -> PathBuf {
    stream.join(format!("{JOURNAL}{number:06}"))
}

/// The journals of a stream, by number, lowest first.
pub(crate) fn journals(stream: &Path) -> Result<Vec<u64>, LedgerError> {
    let mut numbers: Vec<u64> = fs::read_dir(stream)
        .map_err(LedgerError::io("list", stream))?
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(JOURNAL)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The UTC hour (counted since the Unix epoch) as `2026/11/21/08`.
pub(crate) fn hour_name(hour: i64) -> String {
    let (year, month, day) = civil(hour.div_euclid(24));
    format!("{year:04}/{month:02}/{day:02}/{:02}", hour.rem_euclid(24))
}

pub(crate) fn hour_path(stream: &Path, hour: i64) -> PathBuf {
    stream.join(hour_name(hour))
}

/// Year, month and day of a day counted since the Unix epoch (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil(day: i64) -> (i64, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The hour's number since the Unix epoch, if there is such an hour.
pub(crate) fn hour_number(year: i64, month: i64, day: i64, hour: i64) -> Option<i64> {
    let is_one = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour);
    is_one.then(|| day_of(year, month, day) * 24 + hour)
}

fn numbers_in(directory: &Path, digits: usize) -> Vec<i64> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut numbers: Vec<i64> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (name.len() == digits && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The hours from `from` to `to` (both included) that have a directory, lowest first. Reads only the directories of the
/// years, months and days in question.
pub(crate) fn hours(stream: &Path, from: i64, to: i64) -> Vec<i64> {
    let mut found = Vec::new();
    for year in numbers_in(stream, 4) {
        if !touches(day_of(year, 1, 1), day_of(year + 1, 1, 1), from, to) {
            continue;
        }
        let of_year = stream.join(format!("{year:04}"));
        for month in numbers_in(&of_year, 2).into_iter().filter(|m| (1..=12).contains(m)) {
            let next = if month == 12 { day_of(year + 1, 1, 1) } else { day_of(year, month + 1, 1) };
            if !touches(day_of(year, month, 1), next, from, to) {
                continue;
            }
            let of_month = of_year.join(format!("{month:02}"));
            for day in numbers_in(&of_month, 2).into_iter().filter(|d| (1..=31).contains(d)) {
                let number = day_of(year, month, day);
                if touches(number, number + 1, from, to) {
                    let hours = numbers_in(&of_month.join(format!("{day:02}")), 2);
                    let inside = hours.into_iter().filter(|h| *h < 24).map(|h| number * 24 + h);
                    found.extend(inside.filter(|hour| (from..=to).contains(hour)));
                }
            }
        }
    }
    found
}

/// Do the days from `first` to before `next` have an hour in the range?
fn touches(first: i64, next: i64, from: i64, to: i64) -> bool {
    first.saturating_mul(24) <= to && from < next.saturating_mul(24)
}

/// `000017.run` in the hour's directory.
pub(crate) fn run_path(stream: &Path, hour: i64, number: u64) -> PathBuf {
    hour_path(stream, hour).join(format!("{number:06}{RUN}"))
}

/// What an hour's directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HourFiles {
    /// Numbers of the runs, lowest first.
    pub(crate) runs: Vec<u64>,
    /// Has every flow alive at its beginning a row in it?
    pub(crate) is_carried: bool,
}

/// Lists an hour's directory. One that is not there is empty.
pub(crate) fn hour_files(stream: &Path, hour: i64) -> Result<HourFiles, LedgerError> {
    let path = hour_path(stream, hour);
    let mut files = HourFiles::default();
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(LedgerError::io("list", &path)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(LedgerError::io("list", &path))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name == CARRIED {
            files.is_carried = true;
        } else if let Some(number) = name.strip_suffix(RUN).and_then(|n| n.parse().ok()) {
            files.runs.push(number);
        }
    }
    files.runs.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;
    use unmasq_flow::Timestamp;

    #[test]
    fn an_hour_has_the_name_of_its_date() {
        assert_eq!(hour_name(Timestamp::from_seconds(1_795_251_448).hour()), "2026/11/21/08");
        assert_eq!(hour_name(-1), "1969/12/31/23");
        assert_eq!(hour_name(Timestamp::from_seconds(951_827_696).hour()), "2000/02/29/12");
    }

    #[test]
    fn every_day_reads_back() {
        for day in (-110_000..110_000).step_by(17) {
            let (year, month, of_month) = civil(day);
            assert_eq!(day_of(year, i64::from(month), i64::from(of_month)), day);
        }
    }

    #[test]
    fn hours_are_found_without_reading_other_years() {
        let directory = tempfile::tempdir().unwrap();
        let all = [-5, 0, 23, 24, 8759, 8760, 498_680, 498_681, 498_704];
        for hour in all {
            fs::create_dir_all(hour_path(directory.path(), hour)).unwrap();
        }
        assert_eq!(hours(directory.path(), i64::MIN, i64::MAX), all);
        assert_eq!(hours(directory.path(), 1, 8760), [23, 24, 8759, 8760]);
        assert_eq!(hours(directory.path(), 498_681, 498_703), [498_681]);
    }

    #[test]
    fn a_second_writer_is_refused_with_the_first_ones_process() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        let message = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_ledger_of_a_newer_version_or_no_ledger_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/ledger");
        assert!(matches!(check_ledger(&path), Err(LedgerError::NotALedger { .. })));
        create_ledger(&Disk, &path).unwrap();
        create_ledger(&Disk, &path).unwrap();
        fs::write(path.join(LEDGER), "format = 2\nresolution = \"1us\"\nmore = 1\n").unwrap();
        assert!(matches!(check_ledger(&path), Err(LedgerError::Version { found: 2, .. })));
        fs::write(path.join(LEDGER), "format = 1\nresolution = \"1ms\"\nmore = 1\n").unwrap();
        assert!(check_ledger(&path).unwrap_err().to_string().contains("line 3"));
        fs::remove_file(path.join(LEDGER)).unwrap();
        fs::write(path.join("photo.jpg"), "").unwrap();
        assert!(matches!(create_ledger(&Disk, &path), Err(LedgerError::NotALedger { .. })));
    }

    #[test]
    fn a_stream_name_cannot_leave_the_ledger() {
        for name in ["", "..", "a/b", ".hidden", "a b", &"x".repeat(65)] {
            assert!(check_stream_name(name).is_err(), "{name:?}");
        }
        check_stream_name("import-1f2e3d4c").unwrap();
    }
}
