//! How each kind of value is written in the file, as functions from TOML to the type.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::section::{Refused, nearest};
use super::units;

/// Any text that is not empty.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Refused> {
    match value.as_str() {
        Some("") => Err("must not be empty; leave the line out instead".into()),
        Some(text) => Ok(text.to_owned()),
        None => Err(not(value, "a text in quotes")),
    }
}

/// An absolute path: a daemon has no directory of its own that a relative one could start from.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Refused> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("{:?} is a relative path; write one that begins with /", path.display().to_string()).into())
}

/// A name of a user, group, stream or namespace: what may stand in a file name without surprises.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Refused> {
    let name = text(value)?;
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_plain && name.len() <= 64 && !name.starts_with(['-', '.']) {
        return Ok(name);
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!(
        "{shown:?} is not a name: up to 64 letters, digits, '-', '_' and '.', not beginning with '-' or '.'"
    )
    .into())
}

/// A duration within limits.
pub(super) fn duration(
    limits: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Result<Duration, Refused> {
    move |value| {
        let text = value.as_str().ok_or_else(|| not(value, "a duration in quotes, such as \"180d\""))?;
        let duration = units::parse_duration(text).map_err(|error| error.to_string())?;
        if limits.contains(&duration) {
            return Ok(duration);
        }
        let [low, high] = [limits.start(), limits.end()].map(|d| units::format_duration(*d));
        Err(format!("{text:?} is out of range; give {low} to {high}").into())
    }
}

/// A size within limits.
pub(super) fn size(limits: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<u64, Refused> {
    move |value| {
        let text = value.as_str().ok_or_else(|| not(value, "a size in quotes, such as \"50GiB\""))?;
        let size = units::parse_size(text).map_err(|error| error.to_string())?;
        if limits.contains(&size) {
            return Ok(size);
        }
        let [low, high] = [limits.start(), limits.end()].map(|s| units::format_size(*s));
        Err(format!("{text:?} is out of range; give {low} to {high}").into())
    }
}

/// An address with a port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Refused> {
    const WANTED: &str = "an address and a port in quotes, such as \"192.0.2.1:7443\" or \"[::]:7443\"";
    let text = value.as_str().ok_or_else(|| not(value, WANTED))?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(format!("{text:?} is not {WANTED}").into()),
    }
}

/// A text of a form that its type knows, such as a network or a range of ports.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, Refused> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string().into())
}

/// A whole number within limits.
pub(super) fn integer(value: &DeValue<'_>, limits: RangeInclusive<i64>) -> Result<i64, Refused> {
    let number = value.as_integer().ok_or_else(|| not(value, "a whole number"))?;
    let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
    parsed.filter(|number| limits.contains(number)).ok_or_else(|| {
        format!("{} is out of range; give {} to {}", number.as_str(), limits.start(), limits.end()).into()
    })
}

/// The same of numbers that are never negative.
pub(super) fn number(limits: RangeInclusive<u32>) -> impl Fn(&DeValue<'_>) -> Result<u32, Refused> {
    move |value| {
        let limits = i64::from(*limits.start())..=i64::from(*limits.end());
        // Within the limits, it fits.
        integer(value, limits).map(|number| number as u32)
    }
}

/// Yes or no.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Refused> {
    value.as_bool().ok_or_else(|| not(value, "true or false"))
}

/// One of several words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, Refused> {
    move |value| {
        let list = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let text = value.as_str().ok_or_else(|| not(value, &format!("one of {list}")))?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meant);
        }
        let meant =
            nearest(text, words.iter().map(|(word, _)| *word), |word| format!("; did you mean {word:?}?"));
        Err(format!("{text:?} is not one of {list}{}", meant.unwrap_or_default()).into())
    }
}

/// The mode of a file, in octal digits within quotes: as a bare number, TOML reads 0660 as an error and 660
/// as decimal.
pub(super) fn mode(value: &DeValue<'_>) -> Result<u32, Refused> {
    let text = value.as_str().ok_or_else(|| not(value, "octal digits in quotes, such as \"0660\""))?;
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() >= 3 && !text.starts_with('+') => Ok(mode),
        _ => Err(format!("{text:?} is not a mode; write octal digits from \"0000\" to \"0777\"").into()),
    }
}

/// A list of which each element is read likewise; an error marks the element.
pub(super) fn list<T>(
    value: &DeValue<'_>,
    what: &str,
    read: impl Fn(&DeValue<'_>) -> Result<T, Refused>,
) -> Result<Vec<T>, Refused> {
    let elements = value.as_array().ok_or_else(|| not(value, what))?;
    let marked = |element: &toml::Spanned<DeValue<'_>>| {
        read(element.get_ref()).map_err(|refused| Refused { span: Some(element.span()), ..refused })
    };
    elements.iter().map(marked).collect()
}

/// The message for a value of another type.
fn not(value: &DeValue<'_>, wanted: &str) -> Refused {
    let found = match value {
        DeValue::Integer(n) => format!("the number {n}"),
        DeValue::Float(n) => format!("the number {n}"),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    };
    format!("found {found} where {wanted} is wanted").into()
}
