//! What stands after the colon: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.

use super::Template;

/// A format specification, for all but times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spec {
    fill: Option<char>,
    pub(super) align: Option<Align>,
    pub(super) sign: Option<Sign>,
    /// `z`: no negative zero.
    pub(super) positive_zero: bool,
    /// `#`
    pub(super) alternate: bool,
    /// `0` before the width.
    zero: bool,
    /// In characters.
    pub(super) width: usize,
    /// `,` or `_`.
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

/// Where the padding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// `<`: after.
    Left,
    /// `>`: before.
    Right,
    /// `^`: on both sides.
    Middle,
    /// `=`: between sign and digits.
    Inner,
}

/// What stands before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// `+`: always a sign.
    Both,
    /// A blank where there is no minus.
    Blank,
    /// `-`: as without it.
    Minus,
}

/// Why a specification cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpecError {
    /// Width or precision beyond [`Template::WIDEST`].
    TooWide,
    /// In words.
    Wrong(String),
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Self, SpecError> {
        let wrong = |message: &str| SpecError::Wrong(message.into());
        let mut spec = Self::default();
        let mut rest = text;
        let mut letters = text.chars();
        let (first, second) = (letters.next(), letters.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(Align::new)) {
            spec.fill = Some(fill);
            spec.align = Some(align);
            rest = letters.as_str();
        } else if let Some(align) = first.and_then(Align::new) {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        spec.sign = match rest.chars().next() {
            Some('+') => Some(Sign::Both),
            Some(' ') => Some(Sign::Blank),
            Some('-') => Some(Sign::Minus),
            _ => None,
        };
        rest = &rest[usize::from(spec.sign.is_some())..];
        spec.positive_zero = take(&mut rest, 'z');
        spec.alternate = take(&mut rest, '#');
        // After a fill it is a digit of the width.
        spec.zero = spec.fill.is_none() && take(&mut rest, '0');
        spec.width = number(&mut rest).unwrap_or(0);
        let comma = take(&mut rest, ',');
        let underscore = take(&mut rest, '_');
        if underscore && (comma || rest.starts_with(',')) {
            return Err(wrong("`,` and `_` exclude each other"));
        }
        spec.grouping = if comma { Some(',') } else { underscore.then_some('_') };
        if take(&mut rest, '.') {
            spec.precision = Some(number(&mut rest).ok_or_else(|| wrong("after `.` comes a number"))?);
        }
        spec.kind = rest.chars().next();
        if rest.chars().count() > 1 {
            return Err(SpecError::Wrong(format!("`{}` is no format", text.escape_debug())));
        }
        if let (Some(mark), Some(kind)) = (spec.grouping, spec.kind) {
            let suits = matches!(kind, 'd' | 'e' | 'f' | 'g' | 'E' | 'F' | 'G' | '%')
                || (mark == '_' && matches!(kind, 'b' | 'o' | 'x' | 'X'));
            if !suits {
                return Err(SpecError::Wrong(format!("`{mark}` does not go with `{}`", kind.escape_debug())));
            }
        }
        if spec.width.max(spec.precision.unwrap_or(0)) > Template::WIDEST {
            return Err(SpecError::TooWide);
        }
        Ok(spec)
    }

    /// What is the padding, and where it goes for values that are aligned so without being told.
    pub(super) fn padding(&self, default: Align) -> (char, Align) {
        let inner = self.zero && default == Align::Right;
        let align = self.align.unwrap_or(if inner { Align::Inner } else { default });
        (self.fill.unwrap_or(if self.zero { '0' } else { ' ' }), align)
    }

    /// The letter for the kind of value is not one of its letters.
    pub(super) fn unknown_kind(&self, value: &str) -> String {
        format!("`{}` is no format for {value}", self.kind.unwrap_or_default().escape_debug())
    }
}

impl Align {
    fn new(c: char) -> Option<Self> {
        Some(match c {
            '<' => Self::Left,
            '>' => Self::Right,
            '^' => Self::Middle,
            '=' => Self::Inner,
            _ => return None,
        })
    }
}

/// A number that is to be written: it is padded, and its digits are grouped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'n> {
    pub(super) is_negative: bool,
    /// `0x` and the like.
    pub(super) prefix: &'n str,
    /// ASCII, those that are grouped.
    pub(super) digits: &'n str,
    /// What comes after them.
    pub(super) rest: &'n str,
    /// How many digits go together.
    pub(super) group: usize,
}

impl Number<'_> {
    pub(super) fn write(self, out: &mut String, spec: &Spec) {
        let sign = match spec.sign {
            _ if self.is_negative => "-",
            Some(Sign::Both) => "+",
            Some(Sign::Blank) => " ",
            Some(Sign::Minus) | None => "",
        };
        let (fill, align) = spec.padding(Align::Right);
        let others = sign.len() + self.prefix.len() + self.rest.chars().count();
        let mut digits = String::new();
        if !self.digits.is_empty() {
            let zeros = fill == '0' && align == Align::Inner;
            let least = if zeros { spec.width.saturating_sub(others) } else { 0 };
            digits = grouped(self.digits, spec.grouping, self.group, least);
        }
        let padding = spec.width.saturating_sub(others + digits.len());
        let (before, inner, after) = match align {
            Align::Left => (0, 0, padding),
            Align::Right => (padding, 0, 0),
            Align::Middle => (padding / 2, 0, padding - padding / 2),
            Align::Inner => (0, padding, 0),
        };
        pad(out, fill, before);
        out.push_str(sign);
        out.push_str(self.prefix);
        pad(out, fill, inner);
        out.push_str(&digits);
        out.push_str(self.rest);
        pad(out, fill, after);
    }
}

/// Digits with a mark between groups, and zeros in front until there are `least` characters: no mark comes
/// first, so that there can be one more.
fn grouped(digits: &str, mark: Option<char>, group: usize, least: usize) -> String {
    let mut reversed = String::with_capacity(least.max(digits.len()) * 2);
    let mut digits = digits.bytes().rev();
    let mut written = 0;
    loop {
        let next = digits.next();
        if next.is_none() && reversed.len() >= least {
            return reversed.chars().rev().collect();
        }
        if let Some(mark) = mark.filter(|_| written > 0 && written % group == 0) {
            reversed.push(mark);
        }
        reversed.push(next.map_or('0', char::from));
        written += 1;
    }
}

/// Writes padding.
pub(super) fn pad(out: &mut String, fill: char, times: usize) {
    out.extend(std::iter::repeat_n(fill, times));
}

fn take(rest: &mut &str, c: char) -> bool {
    let stripped = rest.strip_prefix(c);
    *rest = stripped.unwrap_or(rest);
    stripped.is_some()
}

/// `None` if there is no digit; what is too large for anything is the largest there is.
fn number(rest: &mut &str) -> Option<usize> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(length);
    *rest = after;
    (length > 0).then(|| digits.parse().unwrap_or(usize::MAX))
}
