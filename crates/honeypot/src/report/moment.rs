//! When a line was written: the few forms that honeypots write, read without a look at a calendar's library.

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

const SECOND: i64 = 1_000_000;

impl Moment {
    /// Reads `2026-11-29T10:00:00`, with a fraction or without, with `Z`, an offset (`+01:00`, `+0100`) or nothing, which is UTC, as
    /// pshitt writes it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
        let year = number(&[y0, y1, y2, y3])?;
        let (month, day) = (number(&[m0, m1])?, number(&[d0, d1])?);
        let (clock, rest) = rest.split_at_checked(9)?;
        let [b'T' | b' ', h0, h1, b':', n0, n1, b':', s0, s1] = *clock else { return None };
        let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
        // A leap second is the one before it: Unix times have none.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days(year, month, day)?;
        let (micros, rest) = fraction(rest)?;
        let offset = offset(rest)?;
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second.min(59) - offset;
        Some(Self(seconds * SECOND + micros))
    }

    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Microseconds of a fraction, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    let kept = number(&digits[..length.min(6)])?;
    let missing = u32::try_from(6_usize.saturating_sub(length)).ok()?;
    (length > 0).then(|| (kept * 10_i64.pow(missing), rest))
}

/// Seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        b"" | b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [a, b, b':', c, d] | [a, b, c, d] => (number(&[a, b])?, number(&[c, d])?),
        [a, b] => (number(&[a, b])?, 0),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, by eras of 400 years that begin in March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_honeypots_write_are_read() {
        let seconds = |text: &str| Moment::parse(text.as_bytes()).map(|moment| moment.0);
        let zero = Some(1_403_779_685_000_000);
        assert_eq!(seconds("2014-06-26T10:48:05"), zero);
        assert_eq!(seconds("2014-06-26T10:48:05Z"), zero);
        assert_eq!(seconds("2014-06-26T12:48:05+02:00"), zero);
        assert_eq!(seconds("2014-06-26T12:48:05.000+0200"), zero);
        assert_eq!(seconds("2014-06-26T10:48:05.799316"), Some(1_403_779_685_799_316));
        assert_eq!(seconds("2014-06-26T10:48:05.7993169Z"), Some(1_403_779_685_799_316));
        for wrong in ["", "2014-06-26", "2014-02-29T00:00:00", "2014-06-26T24:00:00", "2014-06-26T10:48:05x"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_time_or_none(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Moment::parse(&text);
        }

        #[test]
        fn a_day_is_a_day_after_the_one_before_it(year in 1_i64..9999, month in 1_i64..=12, day in 1_i64..=31) {
            if let (Some(today), Some(tomorrow)) = (days(year, month, day), days(year, month, day + 1)) {
                prop_assert_eq!(today + 1, tomorrow);
            } else if days(year, month, day).is_some() {
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                prop_assert_eq!(days(year, month, 1), days(year, month - 1, day).or(days(year - 1, 12, day)).map(|d| d + 1));
            }
        }
    }
}
