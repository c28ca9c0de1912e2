//! Which flows had not ended when a writer was cut off.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use rustc_hash::FxHashSet;
use unmasq_flow::Flow;

use super::same::tuples;
use super::source::note;
use crate::run::{Filter, Row, Run, reconcile};
use crate::{LedgerError, layout};

/// Without a carried hour (a stream that was never an hour old), so many of its last hours are read.
const HOURS_WITHOUT_CARRY: usize = 48;

/// The flows, and what could not be read.
#[derive(Debug, Default)]
pub(crate) struct Unended {
    pub(crate) flows: Vec<Flow>,
    pub(crate) damage: Vec<String>,
}

/// Reads the hours since the newest carried one, in the order of writing, in memory for the flows that are open (and
/// not for those that ended). `hours` are those that have anything; `journals` the rows that are not in runs.
pub(crate) fn open_flows(
    stream: &Path,
    name: &str,
    hours: &BTreeSet<i64>,
    carried: Option<i64>,
    journals: Vec<(i64, Row)>,
) -> Result<Unended, LedgerError> {
    let mut unended = Unended::default();
    let first = match carried {
        Some(hour) => hour,
        None => match hours.iter().rev().take(HOURS_WITHOUT_CARRY).min() {
            Some(hour) => *hour,
            None => return Ok(unended),
        },
    };
    let mut open = Open::default();
    for hour in hours.range(first..) {
        for number in layout::hour_files(stream, *hour)?.runs {
            match Run::open(&layout::run_path(stream, *hour, number), name) {
                Ok(run) => {
                    let damage = run.scan(&Filter::default(), &mut |row, _| {
                        open.push(row);
                        ControlFlow::Continue(())
                    });
                    note(damage, &mut unended.damage);
                }
                Err(error) => unended.damage.push(error.to_string()),
            }
        }
    }
    journals.into_iter().filter(|(hour, _)| *hour >= first).for_each(|(_, row)| open.push(row));
    open.unite();
    unended.flows = open.rows.into_iter().map(|row| row.flow).collect();
    Ok(unended)
}

#[derive(Debug, Default)]
struct Open {
    rows: Vec<Row>,
    tuples: FxHashSet<u64>,
    /// Rows after the last time that they were united.
    united: usize,
}

impl Open {
    fn push(&mut self, row: Row) {
        let key = tuples(&row.flow);
        if row.is_final() {
            // Nearly every final row is of a flow that was never open here: it is not kept.
            if !self.tuples.contains(&key) {
                return;
            }
        } else {
            self.tuples.insert(key);
        }
        self.rows.push(row);
        if self.rows.len() > self.united * 2 + (1 << 17) {
            self.unite();
        }
    }

    fn unite(&mut self) {
        reconcile(&mut self.rows);
        self.rows.retain(|row| !row.is_final());
        self.united = self.rows.len();
        self.tuples = self.rows.iter().map(|row| tuples(&row.flow)).collect();
    }
}
