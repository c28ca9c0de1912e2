//! Wall clock and boot clock at one moment.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::Timestamp;

/// Two readings of the boot clock that are this close have the wall clock's between them, close enough to tell a step by.
const CLOSE: Duration = Duration::from_millis(1);
/// How often to read again when another process came in between.
const ATTEMPTS: usize = 16;

/// Both clocks. On a busy machine a thread can be put aside between two readings for longer than the step that they are to
/// tell: so the boot clock is read before and after, and again if time passed in between.
pub(crate) fn together() -> (Timestamp, Duration) {
    let mut best = (Duration::MAX, Timestamp::MIN, Duration::ZERO);
    for _ in 0..ATTEMPTS {
        let before = boot();
        let wall = Timestamp::now();
        let took = boot().saturating_sub(before);
        if took < best.0 {
            best = (took, wall, before + took / 2);
        }
        if took < CLOSE {
            break;
        }
    }
    (best.1, best.2)
}

fn boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // The kernel's times since boot are never negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_on_together() {
        let (first, second) = (together(), together());
        assert!(first.0 <= second.0 && first.1 <= second.1);
        let (wall, boot) = (second.0.since(first.0), second.1.saturating_sub(first.1));
        // Nobody sets the clock while a test runs; what is between them is how far apart they were read.
        assert!(wall.abs_diff(boot) < Duration::from_millis(100), "{wall:?} {boot:?}");
    }
}
