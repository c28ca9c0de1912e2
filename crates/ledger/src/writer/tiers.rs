//! Which runs of an hour to merge, and when. Pure.
//!
//! Runs are merged eight at a time with others of about their size, the newest first, so that a flow is written about
//! three times in all: when its journal is sealed, once or twice on the way, and when its hour is over.

use unmasq_flow::Timestamp;

/// So many runs of one size become one.
const FAN_IN: usize = 8;
/// Runs below this size are of the lowest tier; each tier is [`FAN_IN`] times as large.
const SMALLEST: u64 = 64 << 10;
/// How long after its end an hour is left alone: DESTROY events come up to a minute late.
const SETTLE_SECONDS: i64 = 5 * 60;
/// Late rows are merged into a finished hour when they make up this part of it, or are as many runs as [`FAN_IN`] / 2.
const LATE_PART: u64 = 16;

/// A run of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

fn tier(bytes: u64) -> u32 {
    (bytes / SMALLEST).max(1).ilog(FAN_IN as u64)
}

/// Has the hour ended so long ago that hardly any row will come?
pub(super) fn is_settled(hour: i64, now: Timestamp) -> bool {
    now.as_seconds() >= (hour + 1).saturating_mul(3600).saturating_add(SETTLE_SECONDS)
}

/// Where an hour stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// More runs will come.
    Live,
    /// It is settled and has not been looked at since: it becomes one run.
    Ending,
    /// It was one run, and late rows came.
    Finished,
}

/// The runs to merge next: always the newest ones, so that the order of numbers stays the order of writing.
/// `pieces` are sorted by number.
pub(super) fn plan(pieces: &[Piece], phase: Phase) -> Option<&[Piece]> {
    if pieces.len() < 2 {
        return None;
    }
    if phase == Phase::Ending {
        return Some(pieces);
    }
    if phase == Phase::Finished {
        let all: u64 = pieces.iter().map(|p| p.bytes).sum();
        let largest = pieces.iter().map(|p| p.bytes).max().unwrap_or(0);
        let is_worth_it = pieces.len() > FAN_IN / 2 || (all - largest) * LATE_PART >= largest;
        return is_worth_it.then_some(pieces);
    }
    let highest = pieces.iter().map(|p| tier(p.bytes)).max().unwrap_or(0);
    (0..=highest).find_map(|level| {
        let start = pieces.iter().rposition(|p| tier(p.bytes) > level).map_or(0, |n| n + 1);
        let of_level = pieces[start..].iter().filter(|p| tier(p.bytes) == level).count();
        (of_level >= FAN_IN).then(|| &pieces[start..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seals `count` runs of a size, merges as planned, and says (bytes written in all, runs left, most at once).
    fn simulate(count: u64, bytes: u64) -> (u64, usize, usize) {
        let (mut pieces, mut written, mut most) = (Vec::new(), 0, 0);
        let mut number = 0;
        let merge = |pieces: &mut Vec<Piece>, number: &mut u64, phase: Phase| {
            let mut written = 0;
            while let Some(inputs) = plan(pieces, phase) {
                let bytes = inputs.iter().map(|p| p.bytes).sum();
                let left = pieces.len() - inputs.len();
                pieces.truncate(left);
                *number += 1;
                pieces.push(Piece { number: *number, bytes });
                written += bytes;
            }
            written
        };
        for _ in 0..count {
            number += 1;
            pieces.push(Piece { number, bytes });
            written += bytes + merge(&mut pieces, &mut number, Phase::Live);
            most = most.max(pieces.len());
        }
        written += merge(&mut pieces, &mut number, Phase::Ending);
        (written, pieces.len(), most)
    }

    #[test]
    fn a_finished_hour_is_one_run_and_was_written_few_times() {
        // Runs below the smallest size are merged more often, and cost nearly nothing.
        for (count, bytes, times) in [(60, 2_000_000, 3), (60, 10_000, 7), (1400, 2_000_000, 5)] {
            let (written, left, most) = simulate(count, bytes);
            assert_eq!(left, 1);
            assert!(written <= count * bytes * times, "{count} runs: {} times", written / (count * bytes));
            assert!(most <= 32, "{most} runs at once");
        }
    }

    #[test]
    fn a_few_late_rows_do_not_rewrite_a_finished_hour() {
        let big = Piece { number: 1, bytes: 100 << 20 };
        let late = |number| Piece { number, bytes: 10_000 };
        assert_eq!(plan(&[big, late(2)], Phase::Finished), None);
        assert!(plan(&[big, late(2), late(3), late(4), late(5)], Phase::Finished).is_some());
        assert!(plan(&[big, Piece { number: 2, bytes: 10 << 20 }], Phase::Finished).is_some());
    }

    #[test]
    fn an_hour_is_settled_five_minutes_after_its_end() {
        let end = Timestamp::from_seconds(498_681 * 3600);
        assert!(!is_settled(498_680, end));
        assert!(is_settled(498_680, Timestamp::from_seconds(end.as_seconds() + 300)));
    }
}
