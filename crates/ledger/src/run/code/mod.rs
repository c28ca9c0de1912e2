//! Columns of numbers into few bytes and back.
//!
//! One code serves every column, as sorting and dictionaries leave them all alike: numbers of which small or certain
//! values are frequent and whose high bits have a shape and low bits have none. A number becomes a *token* (its value if
//! it is small, else its exponent and the highest bits below) and *extra bits* (the rest). Tokens are coded by a range
//! variant of asymmetric numeral systems with the token frequencies of the column, extra bits are written as they are.
//! It comes within 1 % of the entropy on the columns of flows, several times as fast as a general numeric codec.
//!
//! ```text
//!  column::encode ── constant? divisor? distinct values? ──► tokens ──► ans (states, words) + bits
//! ```
//!
//! Decoding takes hostile bytes: every length is checked, memory is bounded by the number of values that the caller asks for.

mod ans;
mod bits;
mod column;
mod token;

pub(super) use bits::{put_varint, put_zigzag, take_varint, take_zigzag};
pub(super) use column::{Decoder, Encoder, Tables};

/// Zero bytes that must follow a column in its buffer, so that its reader can load eight bytes at once.
pub(super) const PADDING: usize = 8;

/// Bytes that no encoder wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Corrupt(pub(super) &'static str);
