//! How each kind of value is written in the file, as functions from the tree to the type.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use unmasq_diagnostic::units;

use super::node::Node;
use super::section::{Refused, cut, nearest};

/// Any text that is not empty.
pub(super) fn text(value: &Node) -> Result<String, Refused> {
    match value.as_text() {
        Some("") => Err("must not be empty; leave it out instead".into()),
        Some(text) => Ok(text.to_owned()),
        None => Err(not(value, "a text")),
    }
}

/// True or false.
pub(super) fn flag(value: &Node) -> Result<bool, Refused> {
    match value {
        Node::Bool(value) => Ok(*value),
        other => Err(not(other, "true or false")),
    }
}

/// An absolute path: a daemon has no directory of its own that a relative one could start from.
pub(super) fn path(value: &Node) -> Result<PathBuf, Refused> {
    let path = any_path(value)?;
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("{:?} is a relative path; write one that begins with /", cut(&path.to_string_lossy())).into())
}

/// A path of any kind.
pub(super) fn any_path(value: &Node) -> Result<PathBuf, Refused> {
    let text = text(value)?;
    if text.contains('\0') {
        return Err("a path cannot contain a zero byte".into());
    }
    Ok(PathBuf::from(text))
}

/// A name of a group or a namespace: what may stand in a file name without surprises.
pub(super) fn name(value: &Node) -> Result<String, Refused> {
    let name = text(value)?;
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_plain && name.len() <= 64 && !name.starts_with(['-', '.']) {
        return Ok(name);
    }
    Err(format!(
        "{:?} is not a name: up to 64 letters, digits, '-', '_' and '.', not beginning with '-' or '.'",
        cut(&name)
    )
    .into())
}

/// A duration within limits: a text such as "90s", or a number of seconds as Pyruse writes them.
pub(super) fn duration(limits: RangeInclusive<Duration>) -> impl Fn(&Node) -> Result<Duration, Refused> {
    move |value| {
        let duration = match value {
            Node::Text(text) => units::parse_duration(text).map_err(|error| error.to_string())?,
            Node::Integer(seconds) => u64::try_from(*seconds)
                .map(Duration::from_secs)
                .map_err(|_| format!("{seconds} is negative"))?,
            Node::Float(seconds) => Duration::try_from_secs_f64(*seconds)
                .map_err(|_| format!("{seconds} is not a number of seconds"))?,
            other => return Err(not(other, "a duration, such as \"90s\", or a number of seconds")),
        };
        if limits.contains(&duration) {
            return Ok(duration);
        }
        let [low, high] = [limits.start(), limits.end()].map(|d| units::format_duration(*d));
        Err(format!("{} is out of range; give {low} to {high}", units::format_duration(duration)).into())
    }
}

/// A whole number within limits.
pub(super) fn integer<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
    limits: RangeInclusive<T>,
) -> impl Fn(&Node) -> Result<T, Refused> {
    move |value| {
        let Node::Integer(number) = value else { return Err(not(value, "a whole number")) };
        let wanted = T::try_from(*number).ok().filter(|number| limits.contains(number));
        wanted.ok_or_else(|| {
            format!("{number} is out of range; give {} to {}", limits.start(), limits.end()).into()
        })
    }
}

/// A number within limits.
pub(super) fn number(limits: RangeInclusive<f64>) -> impl Fn(&Node) -> Result<f64, Refused> {
    move |value| {
        let number = match value {
            Node::Integer(number) => *number as f64,
            Node::Float(number) => *number,
            other => return Err(not(other, "a number")),
        };
        if limits.contains(&number) {
            return Ok(number);
        }
        Err(format!("{number} is out of range; give {} to {}", limits.start(), limits.end()).into())
    }
}

/// One of several words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Node) -> Result<T, Refused> {
    move |value| {
        let list = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let text = value.as_text().ok_or_else(|| not(value, &format!("one of {list}")))?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meant);
        }
        let meant = nearest(text, words.iter().map(|(word, _)| *word));
        let advice = meant.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default();
        Err(format!("{:?} is not one of {list}{advice}", cut(text)).into())
    }
}

/// The mode of a file, in octal digits within quotes: 0660 as a bare number is an error in one spelling,
/// decimal in the next.
pub(super) fn mode(value: &Node) -> Result<u32, Refused> {
    let text = value.as_text().ok_or_else(|| not(value, "octal digits in quotes, such as \"0660\""))?;
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() >= 3 && !text.starts_with('+') => Ok(mode),
        _ => {
            Err(format!("{:?} is not a mode; write octal digits from \"0000\" to \"0777\"", cut(text)).into())
        }
    }
}

/// An address and a port of ours.
pub(super) fn socket(value: &Node) -> Result<SocketAddr, Refused> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!("{:?} is not an address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"", cut(&text))
            .into()
    })
}

/// An address, or a network.
pub(super) fn network(value: &Node) -> Result<IpNet, Refused> {
    let text = text(value)?;
    parse_network(&text).ok_or_else(|| {
        format!("{:?} is not an address or a network, such as \"192.0.2.7\" or \"2001:db8::/32\"", cut(&text))
            .into()
    })
}

/// An address counts as the network of that one address.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A list of which each element is read likewise; each that is wrong is reported at its place.
pub(super) fn list<T>(
    value: &Node,
    what: &str,
    read: impl Fn(&Node) -> Result<T, Refused>,
) -> Result<Vec<T>, Refused> {
    let elements = value.as_list().ok_or_else(|| not(value, what))?;
    let mut wrong: Option<Refused> = None;
    let mut good = Vec::with_capacity(elements.len());
    for element in elements {
        match read(&element.value) {
            Ok(value) => good.push(value),
            Err(refused) => {
                let refused = refused.within(&element.span);
                wrong = Some(match wrong {
                    Some(others) => others.and(refused),
                    None => refused,
                });
            }
        }
    }
    wrong.map_or(Ok(good), Err)
}

/// The message for a value of another type.
pub(super) fn not(value: &Node, wanted: &str) -> Refused {
    format!("found {} where {wanted} is wanted", value.describe()).into()
}
