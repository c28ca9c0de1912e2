//! The clocks, read together.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::{ClockReading, Timestamp};
use unmasq_netfilter::settings::Clock;

/// Wall clock, boot clock and synchronisation state at one moment.
pub(super) fn read() -> ClockReading {
    let boot = clock_gettime(ClockId::Boottime);
    ClockReading {
        wall: Timestamp::now(),
        boot: Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec as u32),
        is_synchronised: Clock::read().is_ok_and(|clock| clock.is_synchronised),
    }
}
