//! What Pyruse saved, taken over: its bans and the events of its next report.
//!
//! Pyruse writes the end of a ban as `utcnow().timestamp()`: the UTC clock read as if it were local time, so off by the
//! zone's offset (seconds since the epoch − offset). The zone that Pyruse ran in must be given to set that right; it
//! cannot be where the UTC clock showed an hour that the zone skips (one hour a year, which then ends an hour late).
//!
//! Both files may be cut short or damaged, as Pyruse neither replaces nor syncs them; what can be read is taken, and the
//! rest is reported line by line.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::Deserialize;
use unmasq_flow::Timestamp;

use crate::bans::{Ban, Full, SetKind, canonical};
use crate::report::{Details, Event, Level};
use crate::state::State;

/// An event of a report, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedEvent {
    /// Its section.
    pub level: Level,
    /// Which times are shown.
    pub details: Details,
    /// The text.
    pub message: String,
    /// When it happened.
    pub time: Timestamp,
}

/// Something that could not be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {what}", .file.display())]
pub struct Problem {
    /// In which file.
    pub file: PathBuf,
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Bans that hold.
    pub bans: Vec<Ban>,
    /// How many bans were over.
    pub expired: usize,
    /// The report's events, in the order in which they were written.
    pub events: Vec<ImportedEvent>,
    /// What could not be taken over.
    pub problems: Vec<Problem>,
    /// The files that were there.
    pub files: Vec<PathBuf>,
}

/// The files of bans, and the kinds of their sets.
const BANS: [(&str, SetKind); 2] =
    [("action_nftBan.py.json", SetKind::Nft), ("action_ipsetBan.py.json", SetKind::Ipset)];
const REPORT: &str = "action_dailyReport.py.journal";

/// Reads Pyruse's storage directory. `zone` is the one that Pyruse ran in.
pub fn pyruse(directory: &Path, zone: &TimeZone, now: Timestamp) -> Imported {
    let mut imported = Imported::default();
    for (name, kind) in BANS {
        if let Some((file, bytes)) = read(directory, name, &mut imported) {
            bans(&file, &bytes, kind, zone, now, &mut imported);
        }
    }
    if let Some((file, bytes)) = read(directory, REPORT, &mut imported) {
        events(&file, &bytes, &mut imported);
    }
    imported
}

impl Imported {
    /// Puts it into the state.
    pub fn apply(&self, state: &mut State, now: Timestamp) -> Result<(), Full> {
        for ban in &self.bans {
            state.place(ban, now)?;
        }
        for event in &self.events {
            let ImportedEvent { level, details, message, time } = event;
            state.report_event(&Event { level: *level, details: *details, message, time: *time }, now);
        }
        Ok(())
    }
}

fn read(directory: &Path, name: &str, imported: &mut Imported) -> Option<(PathBuf, Vec<u8>)> {
    let file = directory.join(name);
    match fs::read(&file) {
        Ok(bytes) => {
            imported.files.push(file.clone());
            Some((file, bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            imported.problems.push(Problem { file, line: 1, what: format!("cannot be read: {error}") });
            None
        }
    }
}

/// A ban as Pyruse writes it; `nftSet` is version 1.
#[derive(Deserialize)]
struct SavedBan {
    #[serde(rename = "IP")]
    address: String,
    #[serde(rename = "nfSet", alias = "nftSet")]
    set: String,
    timestamp: f64,
}

fn bans(file: &Path, bytes: &[u8], kind: SetKind, zone: &TimeZone, now: Timestamp, imported: &mut Imported) {
    for (line, object) in objects(bytes) {
        let read = object.map_err(|error| error.to_string()).and_then(|object| {
            let saved: SavedBan = serde_json::from_value(object).map_err(|error| error.to_string())?;
            ban(&saved, kind, zone, now)
        });
        match read {
            Ok(ban) if ban.until.is_some_and(|until| until <= now) => imported.expired += 1,
            Ok(ban) => imported.bans.push(ban),
            Err(what) => imported.problems.push(Problem { file: file.to_owned(), line, what }),
        }
    }
}

fn ban(saved: &SavedBan, kind: SetKind, zone: &TimeZone, now: Timestamp) -> Result<Ban, String> {
    let text = saved.address.trim();
    let target = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
    let target = target.map_err(|_| format!("{text:?} is neither an address nor a network"))?;
    let until = if saved.timestamp == 0.0 {
        None
    } else {
        let written = seconds(saved.timestamp).and_then(|time| local_clock_as_utc(time, zone));
        Some(written.ok_or_else(|| format!("{} is no time", saved.timestamp))?)
    };
    Ok(Ban {
        kind,
        set: saved.set.as_str().into(),
        target: canonical(target),
        port: None,
        since: now,
        until,
        by: "imported from Pyruse".into(),
    })
}

/// The moment whose clock in UTC shows what the clock of `zone` shows at `time`.
fn local_clock_as_utc(time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok()?;
    let clock = zone.to_datetime(time);
    let meant = TimeZone::UTC.to_timestamp(clock).ok()?;
    Some(Timestamp::from_nanos(i64::try_from(meant.as_nanosecond()).ok()?))
}

/// Seconds since the epoch with a fraction; Pyruse has microseconds.
fn seconds(seconds: f64) -> Option<Timestamp> {
    let micros = (seconds * 1e6).round();
    let is_time = micros.is_finite() && micros > 0.0 && micros < i64::MAX as f64 / 1000.0;
    is_time.then(|| Timestamp::from_nanos(micros as i64 * 1000))
}

/// The objects of a JSON list of flat objects that may end anywhere, with their lines. Where one cannot be read, the
/// next begins with the next brace.
fn objects(bytes: &[u8]) -> impl Iterator<Item = (usize, serde_json::Result<serde_json::Value>)> {
    let (mut at, mut line, mut counted) = (0, 1, 0);
    std::iter::from_fn(move || {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'{')?;
        line += bytes[counted..at].split(|byte| *byte == b'\n').count() - 1;
        counted = at;
        let mut stream = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter();
        let read = stream.next()?;
        at += if read.is_ok() { stream.byte_offset() } else { 1 };
        Some((line, read))
    })
}

/// An event as Pyruse writes it.
#[derive(Deserialize)]
struct SavedEvent {
    #[serde(rename = "L")]
    level: u8,
    #[serde(rename = "T")]
    time: f64,
    #[serde(rename = "M")]
    message: String,
    #[serde(rename = "D")]
    details: Option<String>,
}

fn events(file: &Path, bytes: &[u8], imported: &mut Imported) {
    for (nth, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        let line = line.strip_suffix(b",").unwrap_or(line);
        // The list is opened by the first event and closed by `{}]` when the report is sent.
        if matches!(line, b"" | b"[" | b"]" | b"{}" | b"{}]") {
            continue;
        }
        let saved = serde_json::from_slice::<SavedEvent>(line).map_err(|error| error.to_string());
        match saved.and_then(event) {
            Ok(event) => imported.events.push(event),
            Err(what) => imported.problems.push(Problem { file: file.to_owned(), line: nth + 1, what }),
        }
    }
}

fn event(saved: SavedEvent) -> Result<ImportedEvent, String> {
    let level = match saved.level {
        0 => Level::Other,
        1 => Level::Warn,
        2 => Level::Info,
        other => return Err(format!("{other} is no level")),
    };
    let details = match saved.details.as_deref() {
        None => Details::All,
        Some(name) => Details::parse(name).ok_or_else(|| format!("{name:?} are no details"))?,
    };
    let time = seconds(saved.time).ok_or_else(|| format!("{} is no time", saved.time))?;
    Ok(ImportedEvent { level, details, message: saved.message, time })
}

/// For fuzzing: any bytes as either file.
pub fn fuzz_import(bytes: &[u8]) {
    let (mut imported, file) = (Imported::default(), Path::new("file"));
    bans(file, bytes, SetKind::Nft, &TimeZone::UTC, Timestamp::from_nanos(0), &mut imported);
    events(file, bytes, &mut imported);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn import(files: &[(&str, &str)], zone: &str, now: i64) -> Imported {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        pyruse(directory.path(), &TimeZone::get(zone).unwrap(), at(now))
    }

    #[test]
    fn the_end_of_a_ban_is_corrected_by_the_offset_of_its_moment() {
        // As Python 3.11 writes them there: datetime.utcfromtimestamp(T).timestamp() for T = 1795251448 (winter) and
        // 1784000000 (summer).
        for (zone, winter, summer) in [
            ("America/New_York", 1_795_269_448.0, 1_784_014_400.0),
            ("Europe/Paris", 1_795_247_848.0, 1_783_992_800.0),
            ("UTC", 1_795_251_448.0, 1_784_000_000.0),
        ] {
            let saved = format!(
                r#"[{{"IP": "1.2.3.4", "nfSet": "ip f b", "timestamp": {winter:.6}}}, {{"IP": "2001:db8::1", "nftSet": "ip6 f b", "timestamp": {summer:.1}}}]"#
            );
            let imported = import(&[("action_nftBan.py.json", &saved)], zone, 0);
            assert_eq!(imported.problems, []);
            let found: Vec<_> =
                imported.bans.iter().map(|b| (b.target.to_string(), &*b.set, b.until)).collect();
            let expected = [
                ("1.2.3.4/32".to_owned(), "ip f b", Some(at(1_795_251_448))),
                ("2001:db8::1/128".to_owned(), "ip6 f b", Some(at(1_784_000_000))),
            ];
            assert_eq!(found, expected, "{zone}");
        }
    }

    #[test]
    fn what_is_wrong_in_bans_is_reported_and_the_rest_taken() {
        let saved = r#"[{"IP": "1.2.3.4}; flush ruleset", "nfSet": "a", "timestamp": 0},
            {"IP": "192.0.2.0/24", "nfSet": "a", "timestamp": 0},
            {"IP": "1.2.3.4", "nfSet": "a", "timestamp": 50.5},
            {"IP": "1.2.3.5", "timestamp": 5000},
            {"IP": "1.2.3.6", "nfSet": "a", "timestamp": -5},
            {"IP": "1.2.3.7", "nfSet": "a", "timest"#;
        let imported = import(&[("action_ipsetBan.py.json", saved)], "UTC", 100);
        assert_eq!(imported.bans.len(), 1);
        assert_eq!((imported.bans[0].kind, imported.bans[0].until), (SetKind::Ipset, None));
        assert_eq!(imported.bans[0].target.to_string(), "192.0.2.0/24");
        assert_eq!(imported.expired, 1);
        let lines: Vec<_> = imported.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 4, 5, 6]);
        assert!(
            imported.problems[0].what.contains("neither an address nor a network"),
            "{}",
            imported.problems[0]
        );
    }

    #[test]
    fn the_journal_of_the_report_is_read_unfinished_and_damaged() {
        let journal = concat!(
            "[\n",
            "{\"L\": 1, \"T\": 1795251448.000007, \"M\": \"Caf\\u00e9 | \\\"x\\\"\", \"D\": \"FIRSTLAST\"},\n",
            "{\"L\": 2, \"T\": 1795251449.5, \"M\": \"old\"},\n",
            "{\"L\": 1, \"T\": 17952{\"L\": 0, \"T\": 1795251450.0, \"M\": \"lost\", \"D\": \"ALL\"},\n",
            "{\"L\": 0, \"T\": 1795251451.0, \"M\": \"other\", \"D\": \"NONE\"},\n",
            "{\"L\": 7, \"T\": 1795251451.0, \"M\": \"other\", \"D\": \"NONE\"},\n",
            "{\"L\": 0, \"T\": 1795251452.0, \"M\": \"cut sho",
        );
        let imported = import(&[("action_dailyReport.py.journal", journal)], "UTC", 0);
        let found: Vec<_> =
            imported.events.iter().map(|e| (e.level, e.details, &*e.message, e.time.as_nanos())).collect();
        assert_eq!(
            found,
            [
                (Level::Warn, Details::FirstLast, "Café | \"x\"", 1_795_251_448_000_007_000),
                (Level::Info, Details::All, "old", 1_795_251_449_500_000_000),
                (Level::Other, Details::None, "other", 1_795_251_451_000_000_000),
            ]
        );
        assert_eq!(imported.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [4, 6, 7]);
        assert_eq!(import(&[], "UTC", 0), Imported::default(), "no files are no problem");
    }

    #[test]
    fn what_was_imported_is_in_effect() {
        let bans = r#"[{"IP": "1.2.3.4", "nfSet": "ip f b", "timestamp": 0}]"#;
        let journal = "[\n{\"L\": 1, \"T\": 5.0, \"M\": \"m\", \"D\": \"ALL\"},\n";
        let imported =
            import(&[("action_nftBan.py.json", bans), ("action_dailyReport.py.journal", journal)], "UTC", 9);
        let mut state = State::in_memory(crate::state::Limits::default());
        imported.apply(&mut state, at(9)).unwrap();
        imported.apply(&mut state, at(9)).unwrap();
        assert_eq!(state.bans().list(at(10)), imported.bans, "twice is once");
        assert_eq!(state.report().count(Level::Warn), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'"'), Just(b','), Just(b'\n'), any::<u8>()], 0..200)) {
            fuzz_import(&bytes);
        }

        #[test]
        fn every_cut_of_a_journal_gives_its_whole_lines(cut: prop::sample::Index) {
            let journal: String = std::iter::once("[\n".to_owned())
                .chain((1..10).map(|n| format!("{{\"L\": 1, \"T\": {n}.5, \"M\": \"{{}}, {n}\", \"D\": \"ALL\"}},\n")))
                .collect();
            let cut = &journal[..cut.index(journal.len())];
            let imported = import(&[(REPORT, cut)], "UTC", 0);
            let whole = cut.matches("\"}").count();
            prop_assert_eq!(imported.events.len(), whole);
        }
    }
}
