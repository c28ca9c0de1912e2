//! Rows out of a run.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use unmasq_flow::{Endpoint, Flow, Origin, Period, Protocol, Timestamp};

use super::builder::Stored;
use super::{Damage, FORMAT_VERSION, Filter, Row, RunError};

/// What a run says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format it is written in.
    pub version: u16,
    /// The UTC hour, counted since the Unix epoch.
    pub hour: i64,
    /// Rows.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// The earliest possible start of a flow in it ([`Timestamp::MAX`] if it is empty).
    pub min_start: Timestamp,
    /// The latest possible start of a flow in it ([`Timestamp::MIN`] if it is empty).
    pub max_start: Timestamp,
    /// SHA-256 of the file up to the place where this is stated. [`Run::verify`] computes it again.
    pub sha256: [u8; 32],
}

/// The rows next to a time at which nobody was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The row with the latest start that is not after the time, and its place.
    pub before: Option<(Row, u64)>,
    /// The row with the earliest start after the time, and its place.
    pub after: Option<(Row, u64)>,
}

/// An open run. Reading takes `&self` and is safe from several threads.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    header: Header,
    rows: Vec<Row>,
}

impl Run {
    /// Opens a run and reads its index. `stream` becomes the stream of its flows' origins.
    pub fn open(path: &Path, stream: &str) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).map_err(|e| RunError::io(path, "read it", e))?;
        let damaged = |what| RunError::NotARun { path: path.to_owned(), what };
        let stored: Stored = toml::from_str(&text).map_err(|_| damaged("no rows"))?;
        let mut rows = Vec::new();
        for (record, continues) in stored.rows.iter().zip(&stored.continues) {
            let mut flow = Flow::try_from(record).map_err(|_| damaged("bad row"))?;
            flow.origin = Origin { stream: stream.into(), ..Origin::clone(&flow.origin) }.shared();
            rows.push(Row { flow, continues: *continues });
        }
        let header = Header {
            version: FORMAT_VERSION,
            hour: stored.hour,
            rows: rows.len() as u64,
            bytes: text.len() as u64,
            min_start: rows.iter().map(|r| r.flow.start.earliest()).min().unwrap_or(Timestamp::MAX),
            max_start: rows.iter().map(|r| r.flow.start.latest()).max().unwrap_or(Timestamp::MIN),
            sha256: Sha256::digest(text.as_bytes()).into(),
        };
        Ok(Self { path: path.to_owned(), header, rows })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows on a masked endpoint (an open selector means every selector) that can have been alive in the period, sorted
    /// by (protocol, selector, start), each with its place: its number in the run. Returns what could not be read.
    #[must_use = "the rows are not all if something could not be read"]
    pub fn find(
        &self,
        masked: Endpoint,
        protocol: Option<Protocol>,
        period: Period,
        on_row: &mut dyn FnMut(Row, u64),
    ) -> Vec<Damage> {
        self.scan(&Filter::masked(masked, protocol, period), &mut |row, place| {
            on_row(row, place);
            ControlFlow::Continue(())
        })
    }

    /// The rows on a masked endpoint whose starts are next to a time. Adds to `damage` what could not be read.
    pub fn neighbours(
        &self,
        masked: Endpoint,
        protocol: Option<Protocol>,
        at: Timestamp,
        damage: &mut Vec<Damage>,
    ) -> Neighbours {
        let mut found = Neighbours::default();
        damage.extend(self.find(masked, protocol, Period::ALWAYS, &mut |row, place| {
            let start = row.flow.start.earliest();
            if start <= at {
                if found.before.as_ref().is_none_or(|(b, _)| b.flow.start.earliest() <= start) {
                    found.before = Some((row, place));
                }
            } else if found.after.as_ref().is_none_or(|(a, _)| start < a.flow.start.earliest()) {
                found.after = Some((row, place));
            }
        }));
        found
    }

    /// Rows that pass the filter, in the run's order, until `on_row` breaks. Returns what could not be read.
    #[must_use = "the rows are not all if something could not be read"]
    pub fn scan(&self, filter: &Filter, on_row: &mut dyn FnMut(Row, u64) -> ControlFlow<()>) -> Vec<Damage> {
        for (row, place) in self.rows.iter().zip(0..) {
            if filter.matches(&row.flow) && on_row(row.clone(), place).is_break() {
                break;
            }
        }
        Vec::new()
    }

    /// Reads everything, compares every checksum, and says what is damaged.
    pub fn verify(&self) -> Vec<Damage> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{WriteOptions, write};
    use unmasq_flow::Bound;

    #[test]
    fn rows_come_back() {
        let origin = Origin::new("gw1", "").shared();
        let mut flow = Flow::new(
            origin,
            Protocol::TCP,
            (Endpoint::v4([10, 0, 0, 1], 4000), Endpoint::v4([198, 51, 100, 7], 80)),
            (Endpoint::v4([198, 51, 100, 7], 80), Endpoint::v4([203, 0, 113, 1], 4000)),
        );
        flow.start = Bound::Exact(Timestamp::from_millis(1_795_000_000_000));
        flow.end = Bound::Exact(Timestamp::from_millis(1_795_000_000_500));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.run");
        let mut file = std::fs::File::create(&path).unwrap();
        write([Row::new(flow.clone())], 498_611, &WriteOptions::default(), &mut file).unwrap();
        let run = Run::open(&path, "gw1").unwrap();
        let mut rows = Vec::new();
        assert!(run.find(flow.masked, None, Period::ALWAYS, &mut |row, _| rows.push(row)).is_empty());
        assert_eq!(rows, [Row::new(flow)]);
    }
}
