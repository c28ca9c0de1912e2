//! Rows into a run.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unmasq_flow::record::Record;
use unmasq_flow::{Flow, Timestamp};

use super::row::Row;
use super::{Reconciled, Run, RunError, reconcile};

/// How a run is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Rows in a block, at most 65,536.
    pub block_rows: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { block_rows: 8192 }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the run.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file up to the place where the file itself states it, which is [`Header::sha256`](super::Header).
    pub sha256: [u8; 32],
    /// Rows that were left out, as others say more.
    pub reconciled: Reconciled,
    /// The earliest possible start of a flow in it.
    pub min_start: Timestamp,
    /// The latest possible start of a flow in it.
    pub max_start: Timestamp,
}

/// Collects rows of one hour, in any order and packed (64 bytes a row), and writes them as a run.
#[derive(Debug)]
pub struct Builder {
    hour: i64,
    rows: Vec<Row>,
}

impl Builder {
    /// Nothing yet. `hour` counts UTC hours since the Unix epoch.
    pub fn new(hour: i64, _options: &WriteOptions) -> Self {
        Self { hour, rows: Vec::new() }
    }

    /// Adds a row. `continues` as in [`Row::continues`].
    pub fn push(&mut self, flow: &Flow, continues: bool) {
        self.rows.push(Row { flow: flow.clone(), continues }.as_stored());
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is there no row yet?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of memory that the rows and their dictionaries take.
    pub fn memory(&self) -> usize {
        self.rows.len() * 64
    }

    /// Sorts, reconciles (see [`reconcile`]) and writes. The caller flushes and syncs.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<Summary> {
        let reconciled = reconcile(&mut self.rows);
        self.rows.sort_by_key(|r| {
            (r.flow.masked.address, r.flow.protocol, r.flow.masked.selector, r.flow.start.earliest())
        });
        let stored = Stored {
            hour: self.hour,
            continues: self.rows.iter().map(|r| r.continues).collect(),
            rows: self.rows.iter().map(|r| Record::from(&r.flow)).collect(),
        };
        let text = toml::to_string(&stored).map_err(io::Error::other)?;
        out.write_all(text.as_bytes())?;
        Ok(Summary {
            rows: self.rows.len() as u64,
            bytes: text.len() as u64,
            sha256: Sha256::digest(text.as_bytes()).into(),
            reconciled,
            min_start: self.rows.iter().map(|r| r.flow.start.earliest()).min().unwrap_or(Timestamp::MAX),
            max_start: self.rows.iter().map(|r| r.flow.start.latest()).max().unwrap_or(Timestamp::MIN),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) hour: i64,
    pub(super) continues: Vec<bool>,
    pub(super) rows: Vec<Record>,
}

/// Writes the rows as a run: [`Builder`] in one call.
pub fn write(
    rows: impl IntoIterator<Item = Row>,
    hour: i64,
    options: &WriteOptions,
    out: &mut impl Write,
) -> io::Result<Summary> {
    let mut builder = Builder::new(hour, options);
    for row in rows {
        builder.push(&row.flow, row.continues);
    }
    builder.finish(out)
}

/// Makes one run of several of the same hour, reconciled (see [`reconcile`]; of equals, the one in the later input wins).
///
/// Damage in an input is an error: merging must not turn a damaged block into a missing one.
pub fn merge(inputs: &[Run], options: &WriteOptions, out: &mut impl Write) -> Result<Summary, RunError> {
    let mut builder = Builder::new(inputs.first().map_or(0, |run| run.header().hour), options);
    for run in inputs {
        let expected = builder.hour;
        if run.header().hour != expected {
            return Err(RunError::OtherHour {
                path: run.path().to_owned(),
                found: run.header().hour,
                expected,
            });
        }
        let damage = run.scan(&super::Filter::default(), &mut |row, _| {
            builder.push(&row.flow, row.continues);
            std::ops::ControlFlow::Continue(())
        });
        if let Some(damage) = damage.into_iter().next() {
            return Err(damage.into());
        }
    }
    builder.finish(out).map_err(|e| RunError::io(std::path::Path::new("merged run"), "write it", e))
}
