//! Delays from what was measured.
//!
//! sshd rounds the time that a refusal takes up to the user's unit, doubled as often as needed, so that each measured value
//! only says between which two the time was. From many such intervals, of users with different units, the distribution is
//! estimated (Turnbull 1976: the self-consistent one, found by iteration).

use std::time::Duration;

use crate::profile::Delays;

/// An answer to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// What it took.
    pub(super) took: Duration,
    /// Whose it was: names of the same number are the same.
    pub(super) user: u32,
}

/// Parts into which the range of delays is cut.
const PARTS: usize = 100;
/// Values that a profile has of a distribution.
const VALUES: usize = 21;
/// How far beyond the longest delay that is certain the distribution goes.
const MARGIN: f64 = 1.1;
/// Iterations; beyond, nothing changes that a network would not hide.
const ITERATIONS: usize = 200;
/// How far from a power of two a ratio of two rounded delays may be: they are seconds, scheduling and network milliseconds.
const TOLERANCE: f64 = 0.015;

/// The delays of a server. `None` if nothing was measured.
pub(super) fn estimate(passwords: &[Measured], others: &[Measured]) -> Option<Delays> {
    if others.is_empty() {
        return None;
    }
    // Without passwords these are refused as anything else.
    let passwords = if passwords.is_empty() { others } else { passwords };
    let Some(units) = units(passwords, others) else {
        return Some(Delays {
            password: ascending(passwords),
            other: ascending(others),
            unit: None,
            greeting: Vec::new(),
        });
    };
    let (least, most) =
        (units.iter().copied().fold(f64::MAX, f64::min), units.iter().copied().fold(0.0, f64::max));
    let interval = |measured: &Measured| {
        let high = measured.took.as_secs_f64();
        if high < 2.0 * least { (0.0, high) } else { (high / 2.0, high) }
    };
    // Those of all users spread a little further than those that were seen.
    let margin = (most - least) / (units.len().max(2) - 1) as f64;
    Some(Delays {
        password: distribution(&passwords.iter().map(interval).collect::<Vec<_>>()),
        other: distribution(&others.iter().map(interval).collect::<Vec<_>>()),
        unit: Some([micros((least - margin).max(least / 2.0)).max(1), micros(most + margin)]),
        greeting: Vec::new(),
    })
}

/// How long the server was silent, of measured times with the way there and back twice: TCP's handshake, and the greeting's.
pub(super) fn greetings(measured: &[Duration], round_trip: Duration) -> Vec<u32> {
    let mut all: Vec<u32> =
        measured.iter().map(|took| micros(took.saturating_sub(2 * round_trip).as_secs_f64())).collect();
    all.sort_unstable();
    // Not more values than say something.
    let last = all.len().saturating_sub(1);
    let kept = all.len().min(VALUES);
    (0..kept).map(|nth| all[nth * last / (kept - 1).max(1)]).collect()
}

/// Each user's unit in seconds, if passwords' delays are powers of two apart.
fn units(passwords: &[Measured], others: &[Measured]) -> Option<Vec<f64>> {
    let least = |measured: &[Measured], user: u32| {
        let its = measured.iter().filter(|measured| measured.user == user);
        its.map(|measured| measured.took.as_secs_f64().max(1e-6)).min_by(f64::total_cmp)
    };
    let mut users: Vec<u32> = passwords.iter().map(|measured| measured.user).collect();
    users.dedup();
    let mut rounded = 0;
    let mut units = Vec::with_capacity(users.len());
    for user in users {
        let Some(shortest) = least(passwords, user) else { continue };
        let is_double = |measured: &&Measured| {
            let exponent = (measured.took.as_secs_f64() / shortest).log2();
            measured.user == user && (exponent - exponent.round()).abs() < TOLERANCE
        };
        rounded += passwords.iter().filter(is_double).count();
        // What was refused at once took about one unit; the slow refusals say exactly which.
        if let Some(about) = least(others, user) {
            units.push(shortest / (shortest / about).log2().round().exp2());
        }
    }
    // A few may have been late. Two users at least, as one value is always a power of two of itself.
    if rounded * 10 < passwords.len() * 9 || passwords.len() < 2 * units.len() || units.len() < 2 {
        return None;
    }
    // A busy server took two units at once for some; sshd's are less than twice apart.
    let shortest = units.iter().copied().fold(f64::MAX, f64::min);
    for unit in &mut units {
        while *unit >= 2.0 * shortest {
            *unit /= 2.0;
        }
    }
    Some(units)
}

fn ascending(measured: &[Measured]) -> Vec<u32> {
    let mut all: Vec<u32> = measured.iter().map(|measured| micros(measured.took.as_secs_f64())).collect();
    all.sort_unstable();
    all
}

fn micros(seconds: f64) -> u32 {
    (seconds * 1e6).round() as u32
}

/// Evenly spaced quantiles of the distribution behind intervals of seconds, open on the left.
fn distribution(intervals: &[(f64, f64)]) -> Vec<u32> {
    let longest = |side: fn(&(f64, f64)) -> f64| intervals.iter().map(side).fold(0.0, f64::max);
    let (low, high) = (longest(|interval| interval.0), longest(|interval| interval.1));
    // Nothing says how far beyond the longest that is certain: a little.
    let top = if low > 0.0 { high.min(low * MARGIN) } else { high };
    let width = top / PARTS as f64;
    // Is the middle of a part in an interval?
    let is_in = |part: usize, (low, high): (f64, f64)| {
        let middle = (part as f64 + 0.5) * width;
        low < middle && middle <= high
    };
    let mut weights = [1.0 / PARTS as f64; PARTS];
    for _ in 0..ITERATIONS {
        let mut next = [0.0; PARTS];
        for interval in intervals {
            let within: f64 =
                (0..PARTS).filter(|part| is_in(*part, *interval)).map(|part| weights[part]).sum();
            if within > 0.0 {
                for part in (0..PARTS).filter(|part| is_in(*part, *interval)) {
                    next[part] += weights[part] / within / intervals.len() as f64;
                }
            }
        }
        weights = next;
    }
    let mut quantiles = Vec::with_capacity(VALUES);
    let (mut part, mut below) = (0, 0.0);
    for value in 0..VALUES {
        let wanted = value as f64 / (VALUES - 1) as f64;
        while part + 1 < PARTS && (below + weights[part] < wanted || weights[part] < 1e-9) {
            below += weights[part];
            part += 1;
        }
        let share =
            if weights[part] > 0.0 { ((wanted - below) / weights[part]).clamp(0.0, 1.0) } else { 1.0 };
        quantiles.push(micros((part as f64 + share) * width));
    }
    quantiles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: f64) -> Duration {
        Duration::from_secs_f64(millis / 1000.0)
    }

    #[test]
    fn without_powers_of_two_delays_are_what_was_measured() {
        let measured = [311.0, 305.0, 498.0].map(|took| Measured { took: millis(took), user: 1 });
        let delays = estimate(&measured, &measured).unwrap();
        assert_eq!((delays.password, delays.unit), (vec![305_000, 311_000, 498_000], None));
        assert_eq!(estimate(&[], &[]), None);
        assert_eq!(greetings(&[millis(9.0), millis(5.0)], millis(2.0)), [1000, 5000]);
        assert_eq!(greetings(&[millis(9.0)], millis(2.0)), [5000]);
        assert!(greetings(&[], millis(2.0)).is_empty());
    }

    #[test]
    fn what_was_rounded_up_is_estimated_from_many_users() {
        // Evenly between one and three seconds, with units as sshd has them; a busy server takes two units at once for some.
        let unit = |user: u32| 5.0 + 4.2 * f64::from(user) / 20.0;
        let passwords: Vec<Measured> = (0..400u32)
            .map(|i| {
                let raw = 1000.0 + 2000.0 * f64::from(i * 7919 % 400) / 400.0;
                let mut took = unit(i / 20);
                while took < raw {
                    took *= 2.0;
                }
                Measured { took: millis(took + f64::from(i % 3)), user: i / 20 }
            })
            .collect();
        let others: Vec<Measured> = (0..20u32)
            .map(|user| {
                let twice = if user % 5 == 4 { 2.0 } else { 1.0 };
                Measured { took: millis(unit(user) * twice + 0.3), user }
            })
            .collect();
        let delays = estimate(&passwords, &others).unwrap();
        let [least, most] = delays.unit.unwrap();
        assert!((4500..=5000).contains(&least) && (8900..=9600).contains(&most), "{least} {most}");
        let median = delays.password[VALUES / 2];
        assert!((1_800_000..2_200_000).contains(&median), "{:?}", delays.password);
        assert!(delays.password.is_sorted());
    }
}
