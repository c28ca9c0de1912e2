//! Diffie-Hellman over the groups of RFC 3526, and over those of a moduli file.

use std::sync::LazyLock;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd, Resize};

use super::{Answer, Refused, groups, mpint};
use crate::random;

/// A group; the generator is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Modp2048,
    Modp3072,
    Modp4096,
    Modp6144,
    Modp8192,
}

/// Bytes of a private exponent. 256 bits are what the curves have too; OpenSSH takes up to 512, which cannot be seen from
/// outside and costs twice the time.
const EXPONENT: usize = 32;

/// Bits that are set in a public value, at least.
const LEAST_BITS_SET: u32 = 4;

/// A prime and a generator, made ready.
#[derive(Clone, Debug)]
pub(crate) struct Prime {
    params: BoxedMontyParams,
    /// p - 1: with it and above, a public value is out of range.
    top: BoxedUint,
    bytes: Vec<u8>,
    generator: u8,
}

impl Prime {
    /// `None` if the number is even.
    pub(super) fn new(bytes: Vec<u8>, generator: u8) -> Option<Self> {
        let prime = BoxedUint::from_be_slice(&bytes, bytes.len() as u32 * 8).ok()?;
        let top = prime.wrapping_sub(BoxedUint::one());
        let params = BoxedMontyParams::new_vartime(Odd::new(prime).into_option()?);
        Some(Self { params, top, bytes, generator })
    }

    fn bits(&self) -> u32 {
        self.bytes.len() as u32 * 8
    }

    /// The prime, big-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is raised to private exponents.
    pub(crate) const fn generator(&self) -> u8 {
        self.generator
    }

    /// Base to the exponent, big-endian.
    fn power(&self, base: &BoxedUint, exponent: &BoxedUint) -> Vec<u8> {
        let form = BoxedMontyForm::new(base.clone(), &self.params);
        form.pow_bounded_exp(exponent, EXPONENT as u32 * 8).retrieve().to_be_bytes().into_vec()
    }

    /// A private exponent, and the bytes of the public value's `mpint`.
    fn pair(&self) -> Result<(BoxedUint, Vec<u8>), Refused> {
        let mut bytes = random::bytes::<EXPONENT>()?;
        // Never zero, and of full length.
        bytes[0] |= 0x80;
        let exponent = BoxedUint::from_be_slice(&bytes, EXPONENT as u32 * 8).map_err(|_| Refused::Value)?;
        let generator = BoxedUint::from(self.generator).resize(self.bits());
        let public = mpint(&self.power(&generator, &exponent)).split_off(4);
        Ok((exponent, public))
    }

    /// A server's answer to a client's value, given as the bytes of its `mpint`.
    pub(crate) fn answer(&self, client: &[u8]) -> Result<Answer, Refused> {
        // In this order, so that a value out of range costs nothing.
        let client = self.public_value(client)?;
        let (exponent, public) = self.pair()?;
        Ok(Answer { public, shared: mpint(&self.power(&client, &exponent)) })
    }

    /// Within 2 to p - 2 (RFC 4253, section 8, says 1 to p - 1; with both ends the secret is known), and with four bits set, as
    /// sshd wants it (`dh_pub_is_valid` of dh.c).
    fn public_value(&self, mpint: &[u8]) -> Result<BoxedUint, Refused> {
        if mpint.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Refused::Value);
        }
        let zeros = mpint.iter().take_while(|byte| **byte == 0).count();
        let value = BoxedUint::from_be_slice(&mpint[zeros..], self.bits()).map_err(|_| Refused::Value)?;
        let bits_set: u32 = mpint.iter().map(|byte| byte.count_ones()).sum();
        let is_within = value > BoxedUint::one().resize(self.bits()) && value < self.top;
        (is_within && bits_set >= LEAST_BITS_SET).then_some(value).ok_or(Refused::Value)
    }
}

static PRIMES: LazyLock<[Option<Prime>; 5]> = LazyLock::new(|| {
    [groups::GROUP_14, groups::GROUP_15, groups::GROUP_16, groups::GROUP_17, groups::GROUP_18]
        .map(|hexadecimal| Prime::new(hex::decode(hexadecimal).ok()?, 2))
});

/// A client's private exponent and its public value.
pub(crate) struct DhKey {
    prime: &'static Prime,
    exponent: BoxedUint,
    /// What the other side is sent: the bytes of the `mpint`.
    pub(crate) public: Vec<u8>,
}

impl Group {
    const ALL: [Self; 5] = [Self::Modp2048, Self::Modp3072, Self::Modp4096, Self::Modp6144, Self::Modp8192];

    /// Length of the prime in bits.
    const fn bits(self) -> u32 {
        match self {
            Self::Modp2048 => 2048,
            Self::Modp3072 => 3072,
            Self::Modp4096 => 4096,
            Self::Modp6144 => 6144,
            Self::Modp8192 => 8192,
        }
    }

    /// The group for a group exchange without a moduli file: the smallest of at least `wanted` bits that is within the
    /// bounds, else the largest within them.
    pub(crate) fn of_size(least: u32, wanted: u32, most: u32) -> Option<Self> {
        let within = || Self::ALL.into_iter().filter(|group| (least..=most).contains(&group.bits()));
        within().find(|group| group.bits() >= wanted).or_else(|| within().next_back())
    }

    /// Its prime.
    ///
    /// # Errors
    /// Never, as the primes are part of the program and read in the tests.
    pub(crate) fn prime(self) -> Result<&'static Prime, Refused> {
        PRIMES[self as usize].as_ref().ok_or(Refused::Value)
    }

    /// A client's new key pair.
    pub(crate) fn key(self) -> Result<DhKey, Refused> {
        let prime = self.prime()?;
        let (exponent, public) = prime.pair()?;
        Ok(DhKey { prime, exponent, public })
    }
}

impl DhKey {
    /// The shared secret with the other side's value, given as the bytes of its `mpint`.
    pub(crate) fn agree(&self, other: &[u8]) -> Result<Vec<u8>, Refused> {
        let other = self.prime.public_value(other)?;
        Ok(mpint(&self.prime.power(&other, &self.exponent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_know_the_same() {
        for group in Group::ALL {
            let client = group.key().unwrap();
            let answer = group.prime().unwrap().answer(&client.public).unwrap();
            assert_eq!(client.agree(&answer.public).unwrap(), answer.shared, "{group:?}");
        }
    }

    #[test]
    fn values_that_make_the_secret_known_are_refused() {
        let group = Group::Modp2048.prime().unwrap();
        let prime = group.bytes();
        let with_last = |byte: u8| {
            let mut bytes = vec![0];
            bytes.extend(prime);
            *bytes.last_mut().unwrap() = byte;
            bytes
        };
        // 0, 1, p - 1, p, a negative number, one too long, and one of three bits.
        let mut long = vec![1];
        long.extend(prime);
        for value in [vec![], vec![1], with_last(0xfe), with_last(0xff), vec![0x80], long, vec![7]] {
            assert_eq!(group.answer(&value).err(), Some(Refused::Value), "{value:02x?}");
        }
        assert!(group.answer(&[15]).is_ok());
        assert!(group.answer(&with_last(0xfd)).is_ok());
    }

    #[test]
    fn a_group_is_chosen_by_size() {
        assert_eq!(Group::of_size(2048, 2048, 8192), Some(Group::Modp2048));
        assert_eq!(Group::of_size(2048, 7680, 8192), Some(Group::Modp8192));
        assert_eq!(Group::of_size(1024, 8192, 4096), Some(Group::Modp4096));
        assert_eq!(Group::of_size(1024, 1024, 1536), None);
    }
}
