//! What may go: whole hours, the oldest first, by age or by size, and never one that is held.

use std::time::Duration;

use unmasq_flow::{Gap, GapReason, Period, Timestamp};

use super::vault::Vault;
use crate::LedgerError;
use crate::coverage::{CoverageEvent, Mark};
use crate::hold::{self, Hold};

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Hours that ended longer ago go. `None`: no limit.
    pub keep: Option<Duration>,
    /// When the runs take more bytes, the oldest hours go. `None`: no limit.
    pub max_size: Option<u64>,
}

/// Why an hour may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Age,
    Size,
}

fn starts(hour: i64) -> Timestamp {
    Timestamp::from_seconds(hour.saturating_mul(3600))
}

/// The oldest hour that may go. `hours` with their bytes, oldest first.
fn oldest_due(
    hours: impl Iterator<Item = (i64, u64)>,
    total: u64,
    retention: Retention,
    holds: &[Hold],
    now: Timestamp,
) -> Option<(i64, Reason)> {
    let limit = retention.keep.map(|keep| now - keep);
    let is_too_large = retention.max_size.is_some_and(|max| total > max);
    for (hour, bytes) in hours {
        // The hour that is being written stays, whatever its size.
        if hour >= now.hour() {
            return None;
        }
        let is_too_old = limit.is_some_and(|limit| starts(hour + 1) <= limit);
        if !is_too_old && !is_too_large {
            return None;
        }
        if holds.iter().any(|hold| hold.holds(hour)) {
            continue;
        }
        if is_too_old {
            return Some((hour, Reason::Age));
        }
        if bytes > 0 {
            return Some((hour, Reason::Size));
        }
    }
    None
}

impl Vault {
    /// Removes every hour that is due. Says how many.
    pub(super) fn prune(&mut self, retention: Retention, now: Timestamp) -> Result<u64, LedgerError> {
        if retention == Retention::default() {
            return Ok(0);
        }
        let mut removed = 0;
        let mut holds = None;
        loop {
            let sizes = self.hours.iter().map(|(hour, pieces)| (*hour, pieces.iter().map(|p| p.bytes).sum()));
            // Looked for without holds first: nearly always nothing is due, and no file need be read.
            let Some(held) = &holds else {
                if oldest_due(sizes, self.tally.bytes, retention, &[], now).is_none() {
                    break;
                }
                holds = Some(hold::read(&self.stream)?);
                continue;
            };
            let Some((hour, reason)) = oldest_due(sizes, self.tally.bytes, retention, held, now) else {
                break;
            };
            let text = match reason {
                Reason::Age => format!("older than {} s", retention.keep.unwrap_or_default().as_secs()),
                Reason::Size => format!("more than {} bytes", retention.max_size.unwrap_or_default()),
            };
            // First, so that at no time, not even after a power cut in between, the hour is missing and said to be complete.
            self.state_pruned(hour)?;
            self.prune_hour(hour, &text, now)?;
            removed += 1;
        }
        self.forget_old_coverage(retention, now)?;
        Ok(removed)
    }

    fn state_pruned(&mut self, hour: i64) -> Result<(), LedgerError> {
        let mark = if self.hours.keys().next().is_none_or(|oldest| *oldest >= hour) {
            Mark::Pruned(starts(hour + 1))
        } else {
            // An older hour is held: what lies before this one is still there.
            Mark::Event(CoverageEvent::Gap(Gap {
                period: Period::new(starts(hour), starts(hour + 1)),
                namespace: None,
                reason: GapReason::Pruned,
            }))
        };
        self.state(&[mark])
    }

    /// Hours in which nothing happened have no directory, but their coverage goes as well.
    fn forget_old_coverage(&mut self, retention: Retention, now: Timestamp) -> Result<(), LedgerError> {
        let Some(keep) = retention.keep else { return Ok(()) };
        let until = starts((now - keep).hour());
        let is_old = self.coverage.timeline().begins().is_some_and(|begins| begins < until);
        let is_held = self.hours.keys().next().is_some_and(|oldest| starts(*oldest) < until);
        if is_old && !is_held && self.coverage.timeline().pruned_until() < Some(until) {
            self.state(&[Mark::Pruned(until)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(hours: &[(i64, u64)], retention: Retention, held: &[i64]) -> Option<i64> {
        let holds: Vec<Hold> = held
            .iter()
            .map(|hour| Hold {
                name: hour.to_string(),
                period: Period::at(starts(*hour)),
                masked: None,
                client: None,
                reason: String::new(),
                who: String::new(),
                since: starts(0),
            })
            .collect();
        let total = hours.iter().map(|h| h.1).sum();
        oldest_due(hours.iter().copied(), total, retention, &holds, starts(100)).map(|(hour, _)| hour)
    }

    #[test]
    fn the_oldest_hour_goes_first_and_a_held_one_not_at_all() {
        let hours = [(10, 5), (11, 5), (98, 5), (100, 5)];
        let keep = |hours: u64| Retention { keep: Some(Duration::from_secs(hours * 3600)), max_size: None };
        assert_eq!(due(&hours, keep(50), &[]), Some(10));
        assert_eq!(due(&hours, keep(50), &[10]), Some(11));
        assert_eq!(due(&hours, keep(50), &[10, 11]), None);
        assert_eq!(due(&hours, keep(90), &[]), None);
        assert_eq!(due(&hours, keep(89), &[]), Some(10));
    }

    #[test]
    fn by_size_all_but_the_hour_being_written_can_go() {
        let size = |max| Retention { keep: None, max_size: Some(max) };
        assert_eq!(due(&[(98, 5), (100, 5)], size(10), &[]), None);
        assert_eq!(due(&[(98, 5), (100, 5)], size(9), &[]), Some(98));
        assert_eq!(due(&[(100, 500)], size(9), &[]), None);
        assert_eq!(due(&[(98, 5), (99, 5), (100, 5)], size(9), &[98]), Some(99));
    }
}
