//! A journal read from front to back: rows for their hours, statements about coverage, and what was damaged.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use unmasq_flow::{Endpoint, Gap, GapReason, Period, Timestamp};

use super::{Context, Item, expand, read, wall_of};
use crate::coverage::{CoverageEvent, Mark};
use crate::run::Row;

/// What a journal says besides its rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Statements about coverage, damage included.
    pub(crate) marks: Vec<Mark>,
    /// Hours into which all flows were carried.
    pub(crate) carried: Vec<i64>,
    /// Damaged stretches, in words.
    pub(crate) damage: Vec<String>,
    /// What was known at its end.
    pub(crate) context: Context,
}

/// Reads a journal and gives its rows, each with its hour and the place of its frame. `is_live`: a writer may be at
/// work, so that half a frame at the end is no damage.
pub(crate) fn fold(
    file: File,
    name: &str,
    stream: &str,
    masked: Option<Endpoint>,
    is_live: bool,
    each: &mut dyn FnMut(i64, Row, u64),
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut context = Context::default();
    // Damage reaches from the last clock before it to the first one behind it.
    let mut open_damage: Vec<(String, Timestamp)> = Vec::new();
    read(file, stream, masked, &mut |item| {
        match item {
            Item::Header(header) => context = header.context,
            Item::Flow(kind, flow, place) => {
                expand(kind, flow, context, &mut |hour, row| each(hour, row, place));
            }
            Item::Carried(hour) => {
                context.carried = context.carried.max(Some(hour));
                summary.carried.push(hour);
            }
            Item::Mark(mark) => {
                if let Some(now) = wall_of(&mark) {
                    context.now = Some(now);
                    let closed = open_damage.drain(..).map(|(what, from)| damage_mark(what, from, now));
                    summary.marks.extend(closed);
                }
                summary.marks.push(mark);
            }
            Item::Damage { is_tail: true, .. } if is_live => {}
            Item::Damage { from, to, is_tail } => {
                let how = if is_tail { "cut short" } else { "damaged" };
                let what = format!("{name} is {how} at byte {from} ({} bytes)", to - from);
                summary.damage.push(what.clone());
                if let Some(now) = context.now {
                    open_damage.push((what, now));
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    let rest = open_damage.into_iter().map(|(what, from)| damage_mark(what, from, from));
    summary.marks.extend(rest);
    summary.context = context;
    Ok(summary)
}

fn damage_mark(what: String, from: Timestamp, to: Timestamp) -> Mark {
    let reason = GapReason::Damaged(what);
    Mark::Event(CoverageEvent::Gap(Gap { period: Period::new(from, to), namespace: None, reason }))
}

/// Leaves out the statements that the ones around them imply: of a row of readings, the last.
pub(crate) fn condense(marks: Vec<Mark>) -> Vec<Mark> {
    let mut kept: Vec<Mark> = Vec::with_capacity(16);
    for mark in marks {
        if let (
            Some(Mark::Event(CoverageEvent::Alive { clock: last })),
            Mark::Event(CoverageEvent::Alive { clock }),
        ) = (kept.last(), &mark)
            && last.is_synchronised == clock.is_synchronised
            // A step is found between neighbouring readings: leave those that are no step apart.
            && clock.step_since(*last).unsigned_abs() < 1_000_000
            && kept.len() > 1
        {
            kept.pop();
        }
        kept.push(mark);
    }
    kept
}
