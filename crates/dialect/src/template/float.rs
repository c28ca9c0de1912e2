//! Numbers with a fraction as a specification asks, and as `repr` gives them.

use std::fmt::Write as _;

use super::spec::{Number, Spec};

/// Appends a number.
pub(super) fn write(out: &mut String, value: f64, spec: &Spec) -> Result<(), String> {
    let (scaled, percent) = if spec.kind == Some('%') { (value * 100.0, "%") } else { (value, "") };
    let size = scaled.abs();
    if !matches!(spec.kind, None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%')) {
        return Err(spec.unknown_kind("a number"));
    }
    let mut text = match spec.kind {
        _ if !size.is_finite() => if size.is_nan() { "nan" } else { "inf" }.to_owned(),
        None => match spec.precision {
            None => shortest(size, spec.alternate),
            Some(precision) => general(size, precision, spec.alternate, true),
        },
        Some('e' | 'E') => scientific(size, spec.precision.unwrap_or(6), spec.alternate),
        Some('g' | 'G' | 'n') => general(size, spec.precision.unwrap_or(6), spec.alternate, false),
        Some(_) => fixed(size, spec.precision.unwrap_or(6), spec.alternate),
    };
    let is_zero = text.bytes().take_while(|b| *b != b'e').all(|b| matches!(b, b'0' | b'.'));
    if matches!(spec.kind, Some('E' | 'F' | 'G')) {
        text.make_ascii_uppercase();
    }
    text.push_str(percent);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = Number {
        is_negative: value.is_sign_negative() && !value.is_nan() && !(spec.positive_zero && is_zero),
        prefix: "",
        digits: &text[..digits],
        rest: &text[digits..],
        group: 3,
    };
    number.write(out, spec);
    Ok(())
}

/// As `repr` gives it.
pub(super) fn write_repr(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    out.push_str(&shortest(value.abs(), false));
}

/// The significant digits of a number, and where its point is.
struct Digits {
    digits: String,
    /// The power of ten of the first digit.
    exponent: i32,
}

impl Digits {
    /// Of what `{:e}` wrote.
    fn new(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        Self { digits: mantissa.replace('.', ""), exponent: exponent.parse().unwrap_or(0) }
    }

    /// `1.5e+07`.
    fn with_exponent(&self, keeps_point: bool) -> String {
        let (first, others) = self.digits.split_at(1);
        let point = if others.is_empty() && !keeps_point { "" } else { "." };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        format!("{first}{point}{others}e{sign}{:02}", self.exponent.unsigned_abs())
    }

    /// `15000000`, `0.00015`, with `.` or `.0` at the end where there is no fraction and that is asked for.
    fn plain(&self, end: &str) -> String {
        let mut text = String::new();
        match usize::try_from(self.exponent) {
            Err(_) => {
                text.push_str("0.");
                text.extend((1..self.exponent.unsigned_abs()).map(|_| '0'));
                text.push_str(&self.digits);
            }
            Ok(exponent) => {
                let whole = exponent + 1;
                if self.digits.len() <= whole {
                    let _ = write!(text, "{:0<whole$}{end}", self.digits);
                } else {
                    let _ = write!(text, "{}.{}", &self.digits[..whole], &self.digits[whole..]);
                }
            }
        }
        text
    }
}

/// As few digits as tell it from every other number.
fn shortest(size: f64, alternate: bool) -> String {
    let digits = Digits::new(&format!("{size:e}"));
    if (-4..16).contains(&digits.exponent) { digits.plain(".0") } else { digits.with_exponent(alternate) }
}

fn scientific(size: f64, precision: usize, alternate: bool) -> String {
    Digits::new(&format!("{size:.precision$e}")).with_exponent(alternate)
}

fn fixed(size: f64, precision: usize, alternate: bool) -> String {
    let point = if alternate && precision == 0 { "." } else { "" };
    format!("{size:.precision$}{point}")
}

/// `g`: `precision` significant digits, with an exponent where that is shorter. `always_point`: a number
/// without a fraction gets `.0`.
fn general(size: f64, precision: usize, alternate: bool, always_point: bool) -> String {
    let precision = precision.max(1);
    let mut digits = Digits::new(&format!("{size:.*e}", precision - 1));
    let most = precision as i64 - i64::from(always_point);
    let has_exponent = digits.exponent < -4 || i64::from(digits.exponent) >= most;
    if !alternate {
        let kept = digits.digits.trim_end_matches('0').len().max(1);
        digits.digits.truncate(kept);
    }
    if has_exponent {
        return digits.with_exponent(alternate);
    }
    digits.plain(match (always_point, alternate) {
        (true, _) => ".0",
        (false, true) => ".",
        (false, false) => "",
    })
}
