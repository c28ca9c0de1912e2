//! How long a server makes a client wait after a failure.

use std::sync::LazyLock;
use std::time::Duration;

use ring::hmac;

use crate::random::{self, NoRandomness};

/// How long an answer to a failure takes, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Where a password is tried: ascending, at least one.
    pub password: Vec<u32>,
    /// Where nothing is: ascending, at least one.
    pub other: Vec<u32>,
    /// Least and most of the unit that a user name has, if delays are rounded up to it, doubled as often as needed.
    pub unit: Option<[u32; 2]>,
    /// From connection to identification: ascending; none at all if it comes at once.
    pub greeting: Vec<u32>,
}

/// One of two distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Password,
    Other,
}

/// What took longer is not rounded (`MAX_FAIL_DELAY_SECONDS` of auth2.c).
const MOST_ROUNDED: u64 = 5_000_000;

impl Delays {
    /// How long the identification takes.
    pub(crate) fn draw_greeting(&self) -> Result<Duration, NoRandomness> {
        draw(&self.greeting).map(Duration::from_micros)
    }

    /// One, drawn evenly between neighbouring values, and rounded up for the user name.
    pub(crate) fn draw(&self, failure: Failure, user: &[u8]) -> Result<Duration, NoRandomness> {
        let measured = match failure {
            Failure::Password => &self.password,
            Failure::Other => &self.other,
        };
        let drawn = draw(measured)?;
        let Some([least, most]) = self.unit.filter(|_| drawn <= MOST_ROUNDED) else {
            return Ok(Duration::from_micros(drawn));
        };
        // A unit of zero would never reach anything.
        let mut rounded = between(least, most, share(user)?).max(1);
        while rounded < drawn {
            rounded *= 2;
        }
        Ok(Duration::from_micros(rounded))
    }
}

/// One, evenly between neighbouring values.
fn draw(measured: &[u32]) -> Result<u64, NoRandomness> {
    let drawn = u64::from(u32::from_le_bytes(random::bytes()?));
    // A place in the list, with 32 bits behind the point.
    let place = drawn * measured.len().saturating_sub(1) as u64;
    let at = (place >> 32) as usize;
    let low = measured.get(at).copied().unwrap_or(0);
    let high = measured.get(at + 1).copied().unwrap_or(low);
    Ok(between(low, high, place as u32))
}

/// `part` of 2^32 of the way.
fn between(low: u32, high: u32, part: u32) -> u64 {
    u64::from(low) + ((u64::from(high.saturating_sub(low)) * u64::from(part)) >> 32)
}

/// A number that a user name keeps until the program ends, as with sshd's `timing_secret`.
fn share(user: &[u8]) -> Result<u32, NoRandomness> {
    static SECRET: LazyLock<Result<hmac::Key, NoRandomness>> =
        LazyLock::new(|| random::bytes::<32>().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret)));
    let tag = hmac::sign(SECRET.as_ref().map_err(|reason| *reason)?, user);
    Ok(tag.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_drawn_within_what_was_measured() {
        let delays =
            Delays { password: vec![1000, 2000, 9000], other: vec![7], unit: None, greeting: vec![] };
        let drawn: Vec<_> =
            (0..200).map(|_| delays.draw(Failure::Password, b"x").unwrap().as_micros()).collect();
        assert!(drawn.iter().all(|micros| (1000..=9000).contains(micros)));
        assert!(drawn.iter().any(|micros| *micros < 2000) && drawn.iter().any(|micros| *micros > 3000));
        assert_eq!(delays.draw(Failure::Other, b"x").unwrap(), Duration::from_micros(7));
    }

    #[test]
    fn a_user_has_a_unit_and_delays_are_powers_of_two_of_it() {
        let delays = Delays {
            password: vec![1_000_000, 3_000_000],
            other: vec![100],
            unit: Some([5000, 9200]),
            greeting: vec![],
        };
        let unit = |user: &[u8]| delays.draw(Failure::Other, user).unwrap().as_micros();
        for user in [&b"root"[..], b"admin", b""] {
            assert!((5000..=9200).contains(&unit(user)));
            assert_eq!(unit(user), unit(user));
            for _ in 0..50 {
                let delay = delays.draw(Failure::Password, user).unwrap().as_micros();
                assert!(delay.is_multiple_of(unit(user)) && (delay / unit(user)).is_power_of_two());
                // Never sooner than drawn, and not twice as late as the last.
                assert!((1_000_000..6_000_000).contains(&delay));
            }
        }
        let units: std::collections::HashSet<_> = (0..50u8).map(|user| unit(&[user])).collect();
        assert!(units.len() > 40);
    }
}
