//! The clocks, read together.

use unmasq_flow::ClockReading;
use unmasq_netfilter::settings::Clock;

use crate::clocks;

/// Wall clock, boot clock and synchronisation state at one moment.
pub(super) fn read() -> ClockReading {
    let (wall, boot) = clocks::together();
    ClockReading { wall, boot, is_synchronised: Clock::read().is_ok_and(|clock| clock.is_synchronised) }
}
