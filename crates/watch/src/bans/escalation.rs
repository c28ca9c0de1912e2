//! Longer bans for those who come back.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

/// How bans grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Escalation {
    /// Each further ban is so many times as long; at least 1.
    pub factor: f64,
    /// No ban gets longer than this (one that is configured longer stays so).
    pub max: Duration,
    /// For each such time without a ban, one offence is forgotten; zero: none ever is.
    pub decay: Duration,
}

impl Escalation {
    /// How long the ban of somebody with so many offences before lasts.
    pub fn duration(&self, base: Duration, before: u32) -> Duration {
        let grown = base.as_secs_f64() * self.factor.max(1.0).powf(f64::from(before));
        let max = self.max.max(base);
        // Not a number and infinity, too, end at the maximum.
        if grown < max.as_secs_f64() { Duration::from_secs_f64(grown) } else { max }
    }
}

/// What is remembered of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offence {
    /// How often banned.
    pub(crate) times: u32,
    /// End of the latest ban.
    pub(crate) until: Timestamp,
}

impl Offence {
    fn remembered(&self, decay: Duration, now: Timestamp) -> u32 {
        let decayed = match decay.as_nanos() {
            0 => 0,
            decay => now.since(self.until).as_nanos() / decay,
        };
        self.times.saturating_sub(u32::try_from(decayed).unwrap_or(u32::MAX))
    }
}

/// Everybody's offences, bounded.
#[derive(Debug)]
pub(crate) struct Offences {
    held: BTreeMap<IpNet, Offence>,
    most: usize,
    /// Where the search for one that gives way goes on.
    hand: Option<IpNet>,
}

impl Offences {
    pub(crate) fn new(most: usize) -> Self {
        Self { held: BTreeMap::new(), most: most.max(1), hand: None }
    }

    /// How many offences count before one at `now`. What happens while the latest ban holds is the same offence: lines
    /// that were on their way when the ban was placed, or a second set that the same step bans in.
    pub(crate) fn before(&self, target: &IpNet, decay: Duration, now: Timestamp) -> u32 {
        self.held.get(target).map_or(0, |offence| {
            if offence.until > now { offence.times.saturating_sub(1) } else { offence.remembered(decay, now) }
        })
    }

    /// Remembers a ban. Of a few others, the one with the fewest and oldest offences gives way where there are too many.
    pub(crate) fn note(&mut self, target: IpNet, offence: Offence) {
        if self.held.len() >= self.most && !self.held.contains_key(&target) {
            const SAMPLE: usize = 8;
            let from = self.hand.take();
            let ahead = self.held.range((
                from.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
                std::ops::Bound::Unbounded,
            ));
            let seen: Vec<_> = ahead.chain(self.held.iter()).take(SAMPLE).collect();
            self.hand = seen.last().map(|(target, _)| **target);
            let lightest = seen.iter().min_by_key(|(_, offence)| (offence.times, offence.until));
            if let Some(lightest) = lightest.map(|(target, _)| **target) {
                self.held.remove(&lightest);
            }
        }
        self.held.insert(target, offence);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, Offence)> {
        self.held.iter().map(|(target, offence)| (*target, *offence))
    }

    /// Begins the search anew, as after loading.
    pub(crate) fn rewind(&mut self) {
        self.hand = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn bans_grow_to_their_maximum() {
        let escalation = Escalation { factor: 4.0, max: 24 * HOUR, decay: HOUR };
        let hours: Vec<u64> =
            (0..5).map(|before| escalation.duration(HOUR, before).as_secs() / 3600).collect();
        assert_eq!(hours, [1, 4, 16, 24, 24]);
        assert_eq!(escalation.duration(HOUR, u32::MAX), 24 * HOUR);
        assert_eq!(escalation.duration(48 * HOUR, 3), 48 * HOUR, "never shorter than configured");
    }

    #[test]
    fn offences_are_forgotten_one_by_one_from_the_end_of_the_ban() {
        let target: IpNet = "192.0.2.7/32".parse().unwrap();
        let mut offences = Offences::new(10);
        let end = Timestamp::from_seconds(10_000);
        offences.note(target, Offence { times: 3, until: end });
        assert_eq!(offences.before(&target, HOUR, Timestamp::from_seconds(0)), 2, "the third goes on");
        assert_eq!(offences.before(&target, HOUR, end), 3);
        assert_eq!(offences.before(&target, HOUR, end + HOUR - Duration::from_nanos(1)), 3);
        assert_eq!(offences.before(&target, HOUR, end + HOUR), 2);
        assert_eq!(offences.before(&target, HOUR, end + 30 * HOUR), 0);
        assert_eq!(offences.before(&target, Duration::ZERO, end + 30 * HOUR), 3);
    }

    #[test]
    fn a_flood_of_first_offenders_does_not_push_out_a_repeated_one() {
        let mut offences = Offences::new(100);
        let old: IpNet = "192.0.2.7/32".parse().unwrap();
        offences.note(old, Offence { times: 5, until: Timestamp::from_seconds(1) });
        for n in 0..10_000u32 {
            let target = IpNet::from(std::net::IpAddr::from(n.wrapping_mul(0x9e37_79b1).to_be_bytes()));
            offences.note(target, Offence { times: 1, until: Timestamp::from_seconds(100) });
        }
        assert_eq!(offences.iter().count(), 100);
        assert_eq!(offences.before(&old, HOUR, Timestamp::from_seconds(1)), 5);
    }
}
