//! Who was behind a masked endpoint, from the files of one stream.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;
use unmasq_flow::{Endpoint, Period, Protocol, Timestamp};

use super::same::{is_same, tuples, unite};
use super::source::{Found, Hour, Live, Place, Stream, note};
use crate::LedgerError;
use crate::run::Filter;

/// How many hours that have anything are read before the asked one, where nothing was carried into it.
const HOURS_BACK: usize = 48;
/// A final row may begin up to a minute after the row that it ends was read.
const LATE_SECONDS: i64 = 61;

fn later(time: Timestamp) -> Timestamp {
    time + std::time::Duration::from_secs(LATE_SECONDS.unsigned_abs())
}

/// The hour that tells of every flow alive when `hour` began: itself if it was carried, otherwise the newest carried one
/// before it. `None` if nothing before it need be read.
pub(super) fn base_hour(
    stream: &Stream,
    hour: i64,
    live: &Live,
    damage: &mut Vec<String>,
) -> Result<Option<i64>, LedgerError> {
    if stream.hour(hour, live, damage)?.is_carried {
        return Ok(None);
    }
    let mut base = None;
    for before in stream.hours(i64::MIN, hour - 1, live).into_iter().rev().take(HOURS_BACK) {
        base = Some(before);
        if stream.hour(before, live, damage)?.is_carried {
            break;
        }
    }
    Ok(base)
}

/// The hours from the base of `from` up to `to`.
pub(super) fn hours_of(
    stream: &Stream,
    period: Period,
    live: &Live,
    damage: &mut Vec<String>,
) -> Result<Vec<i64>, LedgerError> {
    let (from, to) = (period.from.hour(), period.to.hour());
    let base = if period.from.is_finite() { base_hour(stream, from, live, damage)? } else { None };
    Ok(stream.hours(base.unwrap_or(from), to, live))
}

/// The flows on the endpoint that can have been alive in the period, with their ends as far as any hour knows them.
pub(super) fn find(
    stream: &Stream,
    masked: Endpoint,
    protocol: Option<Protocol>,
    period: Period,
    live: &Live,
    damage: &mut Vec<String>,
) -> Result<Vec<Found>, LedgerError> {
    let filter = Filter::masked(masked, protocol, period);
    let mut found = Vec::new();
    // Hours with rows in several files: there, the end of a flow may lie in another file, and before the period.
    let mut split = BTreeSet::new();
    let hours = hours_of(stream, period, live, damage)?;
    for hour in &hours {
        let files = stream.hour(*hour, live, damage)?;
        files.find(&filter, masked, period, live, damage, &mut |one| found.push(one));
        if !files.is_united(live) {
            split.insert(*hour);
        }
    }
    unite(&mut found);
    let from = hours.first().copied().unwrap_or(period.from.hour());
    let skip = |hour: i64| hour <= period.to.hour() && !split.contains(&hour);
    follow(stream, &filter, masked, from, &skip, live, damage, &mut found)?;
    found.retain(|one| one.row.flow.overlaps(period));
    found.sort_by_key(|one| (one.row.flow.start.earliest(), one.row.flow.end.latest()));
    Ok(found)
}

/// Looks up the ends of the rows that have none, hour by hour, until each is found or its trail is lost.
#[allow(clippy::too_many_arguments, reason = "the parts of one look-up, used once")]
fn follow(
    stream: &Stream,
    filter: &Filter,
    masked: Endpoint,
    from: i64,
    skip: &dyn Fn(i64) -> bool,
    live: &Live,
    damage: &mut Vec<String>,
    found: &mut Vec<Found>,
) -> Result<(), LedgerError> {
    let unended = |found: &[Found]| -> FxHashSet<u64> {
        found.iter().filter(|one| !one.row.is_final()).map(|one| tuples(&one.row.flow)).collect()
    };
    let mut open = unended(found);
    if open.is_empty() {
        return Ok(());
    }
    let last = later(filter.period.to);
    for hour in stream.hours(from, i64::MAX, live).into_iter().filter(|hour| !skip(*hour)) {
        let files = stream.hour(hour, live, damage)?;
        let mut seen = FxHashSet::default();
        let mut has_end = false;
        // The ends lie at any time, but the flows began before the end of the period.
        let period = Period { from: Timestamp::MIN, to: last };
        files.find(filter, masked, period, live, damage, &mut |one| {
            let key = tuples(&one.row.flow);
            if open.contains(&key) {
                seen.insert(key);
                if one.row.is_final() {
                    has_end = true;
                    found.push(one);
                }
            }
        });
        if has_end {
            unite(found);
            let left = unended(found);
            open.retain(|key| left.contains(key));
        }
        // Carried, and not there: it was gone by then, and nobody saw when.
        if files.is_carried && hour > filter.period.to.hour() {
            open.retain(|key| seen.contains(key));
        }
        if open.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The flows next to a time at which nobody was found.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    pub(super) before: Option<Found>,
    pub(super) after: Option<Found>,
}

/// Looks for them in the hour of the time and up to `reach` hours (of those that have anything) to either side.
pub(super) fn neighbours(
    stream: &Stream,
    masked: Endpoint,
    protocol: Option<Protocol>,
    at: Timestamp,
    reach: usize,
    live: &Live,
    damage: &mut Vec<String>,
) -> Result<Nearest, LedgerError> {
    let mut nearest = Nearest::default();
    let before = stream.hours(i64::MIN, at.hour(), live);
    for hour in before.into_iter().rev().take(reach + 1) {
        look(&stream.hour(hour, live, damage)?, masked, protocol, at, live, damage, &mut nearest);
        // A carried row tells of a flow that began earlier: the hours down to that beginning may know a nearer one.
        if nearest.before.as_ref().is_some_and(|one| one.row.flow.start.earliest().hour() >= hour) {
            break;
        }
    }
    let after = stream.hours(at.hour(), i64::MAX, live);
    for hour in after.into_iter().take(reach + 1) {
        if nearest.after.is_some() {
            break;
        }
        look(&stream.hour(hour, live, damage)?, masked, protocol, at, live, damage, &mut nearest);
    }
    for side in [&mut nearest.before, &mut nearest.after] {
        let Some(one) = side.as_ref() else { continue };
        // The whole flow in place of the row that was nearest.
        let start = one.row.flow.start.latest();
        let start = if start.is_finite() { start } else { one.row.flow.start.earliest() };
        let all =
            find(stream, one.row.flow.masked, Some(one.row.flow.protocol), Period::at(start), live, damage)?;
        if let Some(whole) = all.into_iter().find(|other| is_same(&other.row, &one.row)) {
            *side = Some(whole);
        }
    }
    Ok(nearest)
}

fn look(
    files: &Hour,
    masked: Endpoint,
    protocol: Option<Protocol>,
    at: Timestamp,
    live: &Live,
    damage: &mut Vec<String>,
    nearest: &mut Nearest,
) {
    let start = |one: &Found| one.row.flow.start.earliest();
    let mut offer = |one: Found| {
        if start(&one) <= at {
            if nearest.before.as_ref().is_none_or(|best| start(best) < start(&one)) {
                nearest.before = Some(one);
            }
        } else if nearest.after.as_ref().is_none_or(|best| start(&one) < start(best)) {
            nearest.after = Some(one);
        }
    };
    for (number, run) in files.numbered() {
        let mut found = Vec::new();
        let next = run.neighbours(masked, protocol, at, &mut found);
        note(found, damage);
        for (row, place) in next.before.into_iter().chain(next.after) {
            offer(Found { row, place: Place::Run { hour: files.number, number, row: place } });
        }
    }
    let filter = Filter::masked(masked, protocol, Period::ALWAYS);
    live.of_hour(files.number).filter(|one| filter.matches(&one.row.flow)).cloned().for_each(offer);
}
