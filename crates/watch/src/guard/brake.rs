//! The burst brake: a step that bans too many, or too many of those it must not, is stopped for a while.
//!
//! What counts is how many *different* targets there were in the last minute. A client that fails again and again, and
//! is banned again each time, is one; so is a monitor on the allow list.

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use ipnet::IpNet;
use unmasq_flow::Timestamp;

use super::{Refusal, RefusalKind};

const MINUTE: Duration = Duration::from_secs(60);

/// Targets that have to be seen in a minute before the share of allowed ones says anything.
const SAMPLE: usize = 10;

/// Targets of the last minute that are remembered where nothing limits their number.
const MEMORY: usize = 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Targets in a minute; 0 for no limit.
    pub(super) most: u32,
    /// Of them on the allow list, 0 to 1.
    pub(super) allow_share: f64,
    pub(super) cool_down: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Brake {
    /// When, what, and was it on the allow list?
    recent: VecDeque<(Timestamp, IpNet, bool)>,
    known: HashSet<(IpNet, bool), RandomState>,
    allowed: usize,
    stopped: Option<Stop>,
}

/// A brake that has tripped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stop {
    cause: Cause,
    until: Timestamp,
    /// Just now?
    is_news: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    Many { most: u32 },
    Allowed { allowed: usize, of: usize },
}

impl Stop {
    pub(super) fn refusal(self, who: &str) -> Refusal {
        let until = self.until;
        let reason = match self.cause {
            Cause::Many { most } => format!(
                "the brake has stopped {who} until {until}: more than {most} different targets in a minute"
            ),
            Cause::Allowed { allowed, of } => format!(
                "the brake has stopped {who} until {until}: {allowed} of {of} targets in a minute were on the \
                 allow list"
            ),
        };
        Refusal { kind: RefusalKind::Brake, reason, is_news: self.is_news }
    }
}

impl Brake {
    /// Notes a target that is about to be touched, or would have been but for the allow list.
    pub(super) fn note(
        &mut self,
        target: IpNet,
        is_allowed: bool,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Stop> {
        if let Some(stop) = self.stopped {
            if now < stop.until {
                return Err(Stop { is_news: false, ..stop });
            }
            *self = Self::default();
        }
        self.forget(now, limits);
        if self.known.insert((target, is_allowed)) {
            self.recent.push_back((now, target, is_allowed));
            self.allowed += usize::from(is_allowed);
        }
        let Some(cause) = self.cause(limits) else { return Ok(()) };
        let stop = Stop { cause, until: now + limits.cool_down, is_news: true };
        self.stopped = Some(stop);
        Err(stop)
    }

    fn cause(&self, limits: &Limits) -> Option<Cause> {
        let of = self.recent.len();
        if limits.most > 0 && of - self.allowed > limits.most as usize {
            return Some(Cause::Many { most: limits.most });
        }
        let is_over = self.allowed as f64 > limits.allow_share * of as f64;
        (of >= SAMPLE && is_over).then_some(Cause::Allowed { allowed: self.allowed, of })
    }

    /// What is older than a minute, and what is too much to remember.
    fn forget(&mut self, now: Timestamp, limits: &Limits) {
        let most = MEMORY.max(limits.most as usize + SAMPLE);
        while let Some((time, target, is_allowed)) = self.recent.front().copied() {
            if now.since(time) < MINUTE && self.recent.len() < most {
                break;
            }
            self.recent.pop_front();
            self.known.remove(&(target, is_allowed));
            self.allowed -= usize::from(is_allowed);
        }
    }
}
