//! Asks, and asks again while the record of the last second is still being written.

use std::time::Duration;

use unmasq_flow::{GapReason, Period};
use unmasq_trace::{Answer, Inquiry, Shortfall, Witness, answer};

/// A recorder that runs has stated so within this time.
const STATED_WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
const PAUSES: u32 = 20;

/// The answer to an inquiry. If all that is missing is the last moment before now, and the recorder stated a moment ago that it
/// runs, it gets two seconds to state it again: what it had not written yet is written then.
pub(super) fn until_settled(inquiry: &Inquiry, witnesses: &mut [Box<dyn Witness>]) -> Answer {
    let mut last = answer(inquiry, witnesses);
    if !is_late(&last) {
        return last;
    }
    let lately = Period { from: inquiry.now - STATED_WITHIN, to: inquiry.now };
    let probe = answer(&Inquiry { windows: vec![lately], ..inquiry.clone() }, witnesses);
    let was_running = gaps(&probe).all(|gap| gap.from > lately.from);
    for _ in 0..PAUSES {
        if !was_running || !is_late(&last) {
            break;
        }
        std::thread::sleep(PAUSE);
        last = answer(inquiry, witnesses);
    }
    last
}

/// Is all that is missing a gap in the last moment before now?
fn is_late(answer: &Answer) -> bool {
    let recently = answer.inquiry.now - STATED_WITHIN;
    let is_down = |shortfall: &Shortfall| match shortfall {
        Shortfall::NotCovered(missing) => missing.gap.reason == GapReason::Down && !missing.stream.is_empty(),
        _ => false,
    };
    !answer.shortfalls.is_empty()
        && answer.shortfalls.iter().all(is_down)
        && gaps(answer).all(|gap| gap.from >= recently)
        && answer.damage.is_empty()
}

fn gaps(answer: &Answer) -> impl Iterator<Item = Period> {
    answer.shortfalls.iter().filter_map(|shortfall| match shortfall {
        Shortfall::NotCovered(missing) => Some(missing.gap.period),
        _ => None,
    })
}
