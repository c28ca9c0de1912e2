//! Encapsulation of Streamlined NTRU Prime with p = 761, q = 4591 and weight 286 (ntruprime-20201007, section 5).
//!
//! A server only encapsulates. The crates that have the whole are larger than this, use `unsafe`, and bring another
//! generation of hashes.

use ring::digest;

use super::Refused;
use crate::random;

/// Length of a public key in bytes.
pub(super) const PUBLIC_KEY: usize = 1158;

const P: usize = 761;
const Q: i32 = 4591;
/// (q - 1) / 2.
const Q_HALF: i32 = 2295;
const WEIGHT: usize = 286;

/// A ciphertext and the secret in it. Every 1158 bytes are a public key.
pub(super) fn encapsulate(public_key: &[u8]) -> Result<(Vec<u8>, [u8; 32]), Refused> {
    if public_key.len() != PUBLIC_KEY {
        return Err(Refused::Value);
    }
    Ok(encapsulate_with(public_key, &short()?))
}

/// With given coefficients of -1, 0 and 1.
fn encapsulate_with(public_key: &[u8], short: &[i8; P]) -> (Vec<u8>, [u8; 32]) {
    let key = decode(public_key, &[Q as u32; P]);
    let key: [i32; P] = std::array::from_fn(|i| key[i] as i32 - Q_HALF);
    let rounded = multiply(&key, short).map(round);
    let short = encode_short(short);
    let mut ciphertext = encode(rounded.to_vec(), vec![(Q as u32).div_ceil(3); P]);
    let short_hash = hash(3, &[&short]);
    let confirmation = hash(2, &[&short_hash, &hash(4, &[public_key])]);
    ciphertext.extend(confirmation);
    let secret = hash(1, &[&short_hash, &ciphertext]);
    (ciphertext, secret)
}

/// 286 coefficients of -1 or 1, the others 0, in random order: sorted by random numbers whose lowest bits are the
/// coefficients.
fn short() -> Result<[i8; P], Refused> {
    let mut bytes = [0; P * 4];
    random::fill(&mut bytes)?;
    let mut order: Vec<u32> =
        bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    for (i, number) in order.iter_mut().enumerate() {
        *number = if i < WEIGHT { *number & !1 } else { *number & !3 | 1 };
    }
    order.sort_unstable();
    Ok(std::array::from_fn(|i| (order[i] & 3) as i8 - 1))
}

/// The product modulo x^761 - x - 1 and q.
fn multiply(key: &[i32; P], short: &[i8; P]) -> [i32; P] {
    // At most 286 terms of 2295 each: far from overflow.
    let mut product = [0i32; P * 2 - 1];
    for (i, &coefficient) in short.iter().enumerate() {
        let sum = product[i..i + P].iter_mut().zip(key);
        match coefficient {
            1 => sum.for_each(|(sum, key)| *sum += key),
            -1 => sum.for_each(|(sum, key)| *sum -= key),
            _ => {}
        }
    }
    // x^(761 + i) is x^(i + 1) + x^i.
    for i in (P..P * 2 - 1).rev() {
        product[i - P] += product[i];
        product[i - P + 1] += product[i];
    }
    std::array::from_fn(|i| (product[i] + Q_HALF).rem_euclid(Q) - Q_HALF)
}

/// To the nearest multiple of three, then as a number from 0: (x + 2295) / 3.
fn round(coefficient: i32) -> u32 {
    let remainder = (coefficient + 1).rem_euclid(3) - 1;
    ((coefficient - remainder + Q_HALF) / 3) as u32
}

/// Four coefficients a byte.
fn encode_short(short: &[i8; P]) -> Vec<u8> {
    let four = |coefficients: &[i8]| {
        coefficients.iter().rev().fold(0, |byte, coefficient| byte << 2 | (coefficient + 1) as u8)
    };
    short.chunks(4).map(four).collect()
}

/// Numbers below their moduli as bytes, by pairs (section 5.2).
fn encode(mut numbers: Vec<u32>, mut moduli: Vec<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while numbers.len() > 1 {
        let pair = |i: usize| -> (u32, u32) {
            match (numbers.get(i + 1), moduli.get(i + 1)) {
                (Some(number), Some(modulus)) => (numbers[i] + number * moduli[i], modulus * moduli[i]),
                _ => (numbers[i], moduli[i]),
            }
        };
        let mut halves = Vec::with_capacity(numbers.len().div_ceil(2));
        for i in (0..numbers.len()).step_by(2) {
            let (mut number, mut modulus) = pair(i);
            while i + 1 < numbers.len() && modulus >= LIMIT {
                bytes.push(number as u8);
                number >>= 8;
                modulus = modulus.div_ceil(256);
            }
            halves.push((number, modulus));
        }
        (numbers, moduli) = halves.into_iter().unzip();
    }
    if let (Some(&number), Some(&modulus)) = (numbers.first(), moduli.first()) {
        let (mut number, mut modulus) = (number, modulus);
        while modulus > 1 {
            bytes.push(number as u8);
            number >>= 8;
            modulus = modulus.div_ceil(256);
        }
    }
    bytes
}

/// Moduli from here on give bytes away.
const LIMIT: u32 = 16384;

/// The numbers that bytes stand for; missing bytes are zeros.
fn decode(bytes: &[u8], moduli: &[u32]) -> Vec<u32> {
    if let [modulus] = moduli {
        let number = bytes.iter().take(2).rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        return vec![number % modulus];
    }
    let mut rest = bytes.iter();
    // Of each pair: the bytes that it gave away, as a number, and their range.
    let mut low = Vec::with_capacity(moduli.len().div_ceil(2));
    let mut halves = Vec::with_capacity(moduli.len().div_ceil(2));
    for pair in moduli.chunks(2) {
        let (mut modulus, mut number, mut range) = (pair.iter().product::<u32>(), 0, 1);
        while pair.len() == 2 && modulus >= LIMIT {
            number += u32::from(rest.next().copied().unwrap_or(0)) * range;
            range <<= 8;
            modulus = modulus.div_ceil(256);
        }
        low.push((number, range));
        halves.push(modulus);
    }
    let high = decode(rest.as_slice(), &halves);
    let mut numbers = Vec::with_capacity(moduli.len());
    for ((pair, (number, range)), high) in moduli.chunks(2).zip(low).zip(high) {
        let number = number + high * range;
        numbers.push(number % pair[0]);
        if let Some(second) = pair.get(1) {
            numbers.push(number / pair[0] % second);
        }
    }
    numbers
}

/// The first half of SHA-512, with a prefix for each use.
fn hash(prefix: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA512);
    context.update(&[prefix]);
    for part in parts {
        context.update(part);
    }
    std::array::from_fn({
        let hash = context.finish();
        move |i| hash.as_ref()[i]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(numbers in prop::collection::vec(0u32..Q as u32, P)) {
            let bytes = encode(numbers.clone(), vec![Q as u32; P]);
            prop_assert_eq!(bytes.len(), PUBLIC_KEY);
            prop_assert_eq!(decode(&bytes, &[Q as u32; P]), numbers);
        }

        #[test]
        fn any_bytes_are_a_public_key(bytes in prop::collection::vec(any::<u8>(), PUBLIC_KEY)) {
            let (ciphertext, _) = encapsulate(&bytes).unwrap();
            prop_assert_eq!(ciphertext.len(), 1039);
        }
    }

    #[test]
    fn short_polynomials_have_their_weight() {
        let short = short().unwrap();
        assert_eq!(short.iter().filter(|coefficient| **coefficient != 0).count(), WEIGHT);
        assert!(short.contains(&1) && short.contains(&-1));
    }

    #[test]
    fn coefficients_are_rounded_to_the_nearest_multiple_of_three() {
        assert_eq!(
            (round(-2295), round(-1), round(0), round(1), round(2), round(2295)),
            (0, 765, 765, 765, 766, 1530)
        );
    }
}
