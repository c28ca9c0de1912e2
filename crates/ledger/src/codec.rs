//! Numbers, addresses and times as bytes, for the journal and the coverage file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unmasq_flow::{Bound, Selector, Timestamp};

/// Seven bits a byte, the lowest first; the eighth says that more follow.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A signed number such that small ones of either sign are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_varint(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// A text of at most 4 KiB, cut there if longer.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(4096);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    put_varint(out, end as u64);
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// Whole milliseconds, rounded down; the ends of time have a value of their own.
pub(crate) const fn millis(time: Timestamp) -> i64 {
    match time {
        Timestamp::MIN => i64::MIN,
        Timestamp::MAX => i64::MAX,
        _ => time.as_millis(),
    }
}

/// The inverse of [`millis`].
pub(crate) const fn from_millis(millis: i64) -> Timestamp {
    match millis {
        i64::MIN => Timestamp::MIN,
        i64::MAX => Timestamp::MAX,
        _ => Timestamp::from_millis(millis),
    }
}

/// A bound's kind in three bits.
pub(crate) const fn bound_kind(bound: Bound) -> u8 {
    match bound {
        Bound::Exact(_) => 0,
        Bound::Read(_) => 1,
        Bound::Between(..) => 2,
        Bound::Open => 3,
        Bound::Unknown => 4,
    }
}

/// A bound's times, as differences to `base`.
pub(crate) fn put_bound(out: &mut Vec<u8>, bound: Bound, base: i64) {
    match bound {
        Bound::Exact(t) | Bound::Read(t) => put_signed(out, millis(t).wrapping_sub(base)),
        Bound::Between(a, b) => {
            put_signed(out, millis(a).wrapping_sub(base));
            put_signed(out, millis(b).wrapping_sub(base));
        }
        Bound::Open | Bound::Unknown => {}
    }
}

/// What the times after a bound are counted from.
pub(crate) fn base_of(bound: Bound) -> i64 {
    match bound {
        Bound::Exact(t) | Bound::Read(t) | Bound::Between(_, t) if t.is_finite() => millis(t),
        _ => 0,
    }
}

/// Bytes being taken apart. Every method gives `None` where the bytes do not suffice or make no sense.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, tail) = self.0.split_first()?;
        self.0 = tail;
        Some(*first)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u16::from_le_bytes(*head))
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    pub(crate) fn address(&mut self, is_v6: bool) -> Option<IpAddr> {
        if is_v6 {
            let (head, tail) = self.0.split_first_chunk::<16>()?;
            self.0 = tail;
            return Some(Ipv6Addr::from(*head).into());
        }
        let (head, tail) = self.0.split_first_chunk::<4>()?;
        self.0 = tail;
        Some(Ipv4Addr::from(*head).into())
    }

    pub(crate) fn time(&mut self, base: i64) -> Option<Timestamp> {
        Some(from_millis(self.signed()?.wrapping_add(base)))
    }

    pub(crate) fn bound(&mut self, kind: u8, base: i64) -> Option<Bound> {
        match kind {
            0 => Some(Bound::Exact(self.time(base)?)),
            1 => Some(Bound::Read(self.time(base)?)),
            2 => {
                let a = self.time(base)?;
                Some(Bound::Between(a, self.time(base)?))
            }
            3 => Some(Bound::Open),
            4 => Some(Bound::Unknown),
            _ => None,
        }
    }
}

/// A selector's kind in two bits.
pub(crate) const fn selector_kind(selector: Selector) -> u16 {
    match selector {
        Selector::None => 0,
        Selector::Port(_) => 1,
        Selector::Id(_) => 2,
    }
}

/// The inverse of [`selector_kind`].
pub(crate) const fn selector(kind: u16, number: u16) -> Option<Selector> {
    match kind {
        0 => Some(Selector::None),
        1 => Some(Selector::Port(number)),
        2 => Some(Selector::Id(number)),
        _ => None,
    }
}
