//! Is the system clock synchronised? The kernel's own answer, whoever keeps the time (chrony, ntpd,
//! timesyncd).

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::{Reading, SettingError};

/// The state of the system clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `STA_UNSYNC` is clear.
    pub is_synchronised: bool,
    /// The largest error that the kernel expects; it grows while nobody corrects the clock.
    pub max_error: Duration,
}

impl Clock {
    /// Asks adjtimex(2). Changes nothing and needs no privilege.
    pub fn read() -> Reading<Self> {
        let mut state = MaybeUninit::<libc::timex>::zeroed();
        // SAFETY: `timex` is plain integers, for which zero is valid; with `modes` 0 the kernel only writes
        // into it.
        let (result, state) = unsafe { (libc::adjtimex(state.as_mut_ptr()), state.assume_init()) };
        if result == -1 {
            return Err(SettingError::System { call: "adjtimex", reason: io::Error::last_os_error() });
        }
        Ok(Self {
            is_synchronised: state.status & libc::STA_UNSYNC == 0,
            max_error: Duration::from_micros(u64::try_from(state.maxerror).unwrap_or(0)),
        })
    }
}
