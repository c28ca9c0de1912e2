//! `sources`: where entries come from.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::form::{self, not};
use super::node::Node;
use super::section::{Refused, map, nearest};

/// Where entries come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// The journal.
    Journal(JournalPlace),
    /// A file that is followed.
    File {
        /// Its path.
        path: PathBuf,
        /// What its records are.
        format: RecordFormat,
        /// A file that was never read is read from its first record, not from what is written next.
        from_start: bool,
        /// Only lines with this text are looked at, of a file of JSON objects.
        containing: Option<String>,
    },
    /// A sensor of SSH connections.
    Sensor {
        /// Where packets are captured.
        place: SensorPlace,
        /// The servers' ports; empty for any.
        ports: Vec<u16>,
    },
    /// A syslog socket that we listen on.
    Syslog(SyslogSocket),
    /// Standard input.
    Stdin {
        /// What its records are.
        format: RecordFormat,
    },
}

/// Which journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalPlace {
    /// The system's.
    System,
    /// The files of a directory, such as systemd-journal-remote's.
    Directory(PathBuf),
    /// A namespace's.
    Namespace(String),
}

/// Where a sensor captures packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SensorPlace {
    /// What rules log to this netlink group.
    Nflog(u16),
    /// What passes this interface.
    Interface(String),
}

/// A syslog socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogSocket {
    /// Datagrams at a path.
    Unix(PathBuf),
    /// Datagrams at an address.
    Udp(SocketAddr),
    /// Connections at an address.
    Tcp(SocketAddr),
}

/// What the records of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// A line is a message.
    Plain,
    /// A line is a JSON object.
    JsonLines,
    /// A line is of syslog's form.
    Syslog,
    /// `journalctl -o export`.
    JournalExport,
    /// `journalctl -o json`.
    JournalJson,
}

/// The words for the formats.
const FORMATS: [(&str, RecordFormat); 5] = [
    ("plain", RecordFormat::Plain),
    ("json", RecordFormat::JsonLines),
    ("syslog", RecordFormat::Syslog),
    ("journal-export", RecordFormat::JournalExport),
    ("journal-json", RecordFormat::JournalJson),
];

/// The kinds of source, by their key.
const KINDS: [&str; 5] = ["journal", "file", "syslog", "stdin", "sensor"];

/// Most ports of a sensor.
const MOST_PORTS: usize = 32;

/// A list of sources.
pub(super) fn read(value: &Node) -> Result<Vec<SourceConfig>, Refused> {
    let sources = form::list(value, "a list of sources, such as [{ journal = true }],", source)?;
    if sources.is_empty() {
        return Err("there is no source; leave the key out for the system's journal".into());
    }
    let is_stdin = |source: &&SourceConfig| matches!(source, SourceConfig::Stdin { .. });
    if sources.iter().filter(is_stdin).count() > 1 {
        return Err("standard input can be read by one source only".into());
    }
    Ok(sources)
}

fn source(value: &Node) -> Result<SourceConfig, Refused> {
    let entries = map(value)?;
    let mut kinds = entries.iter().filter(|(key, _)| KINDS.contains(&key.value.as_str()));
    let Some((kind, given)) = kinds.next() else {
        return Err(match entries.first() {
            Some((key, _)) => {
                let advice = nearest(&key.value, KINDS.into_iter()).map_or_else(
                    || "a source has one of journal, file, syslog, stdin, sensor".to_owned(),
                    |meant| format!("did you mean {meant:?}?"),
                );
                Refused::at(&key.span, format!("no such kind of source; {advice}"))
            }
            None => "a source has one of journal, file, syslog, stdin, sensor".into(),
        });
    };
    if let Some((other, _)) = kinds.next() {
        return Err(Refused::at(
            &other.span,
            format!("the source has {:?} already; make it another source", kind.value),
        ));
    }
    let beside: &[&str] = if kind.value == "file" { &["format", "from_start", "containing"] } else { &[] };
    for (key, _) in entries {
        if key.value != kind.value && !beside.contains(&key.value.as_str()) {
            let message =
                format!("unknown key {:?} beside {:?}", super::section::cut(&key.value), kind.value);
            return Err(Refused::at(&key.span, message));
        }
    }
    let within = |refused: Refused| refused.within(&given.span);
    match kind.value.as_str() {
        "journal" => journal(&given.value).map(SourceConfig::Journal).map_err(within),
        "file" => {
            let path = form::path(&given.value).map_err(within)?;
            let format =
                beside_file(value, "format", form::choice(&FORMATS))?.unwrap_or(RecordFormat::Syslog);
            let from_start = beside_file(value, "from_start", form::flag)?.unwrap_or(false);
            let containing = beside_file(value, "containing", plain_text)?;
            if containing.is_some() && format != RecordFormat::JsonLines {
                return Err("\"containing\" is for a file of format \"json\" only; take it away".into());
            }
            Ok(SourceConfig::File { path, format, from_start, containing })
        }
        "sensor" => sensor(&given.value).map_err(within),
        "syslog" => syslog(&given.value).map(SourceConfig::Syslog).map_err(within),
        _ => {
            form::choice(&FORMATS)(&given.value).map(|format| SourceConfig::Stdin { format }).map_err(within)
        }
    }
}

/// What stands beside the file.
fn beside_file<T>(
    source: &Node,
    key: &str,
    read: impl Fn(&Node) -> Result<T, Refused>,
) -> Result<Option<T>, Refused> {
    let given = source.find(key);
    given.map(|given| read(&given.value).map_err(|refused| refused.within(&given.span))).transpose()
}

/// A text that JSON has no second way to write, but for escapes of any character.
fn plain_text(value: &Node) -> Result<String, Refused> {
    let text = form::text(value)?;
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        return Ok(text);
    }
    Err(format!("{:?} is not made of letters, digits, '_', '-' and '.'", super::section::cut(&text)).into())
}

fn sensor(value: &Node) -> Result<SourceConfig, Refused> {
    const WANTED: &str = "a sensor has an \"nflog\" group or an \"interface\", and maybe \"ports\"";
    let Node::Map(entries) = value else {
        return Err(not(value, "{ nflog = 5 } or { interface = \"eth0\" }"));
    };
    let (mut place, mut ports) = (None, None);
    for (key, given) in entries {
        let within = |refused: Refused| refused.within(&given.span);
        match key.value.as_str() {
            "nflog" | "interface" if place.is_some() => {
                return Err(Refused::at(
                    &key.span,
                    "a sensor has one place; make it another source".to_owned(),
                ));
            }
            "nflog" => {
                let group = form::integer(0..=u16::MAX)(&given.value).map_err(within)?;
                place = Some(SensorPlace::Nflog(group));
            }
            "interface" => {
                place = Some(SensorPlace::Interface(interface(&given.value).map_err(within)?));
            }
            "ports" => {
                let list =
                    form::list(&given.value, "a list of ports, such as [22],", form::integer(1..=u16::MAX));
                let list = list.map_err(within)?;
                if list.len() > MOST_PORTS {
                    return Err(Refused::at(&given.span, format!("a sensor has at most {MOST_PORTS} ports")));
                }
                ports = Some(list);
            }
            other => {
                let message = format!("unknown key {:?}; {WANTED}", super::section::cut(other));
                return Err(Refused::at(&key.span, message));
            }
        }
    }
    let place = place.ok_or(WANTED)?;
    // The rule that logs to a group has chosen already.
    let ports = ports.unwrap_or_else(|| match place {
        SensorPlace::Nflog(_) => Vec::new(),
        SensorPlace::Interface(_) => vec![22],
    });
    Ok(SourceConfig::Sensor { place, ports })
}

/// `IFNAMSIZ` of linux/if.h, its final NUL included.
const LONGEST_INTERFACE: usize = 16;

fn interface(value: &Node) -> Result<String, Refused> {
    let name = form::text(value)?;
    let is_name = name.len() < LONGEST_INTERFACE
        && !name.contains(['/', ':', '\0'])
        && !name.contains(char::is_whitespace);
    if is_name {
        Ok(name)
    } else {
        Err(format!("{:?} cannot name an interface", super::section::cut(&name)).into())
    }
}

fn journal(value: &Node) -> Result<JournalPlace, Refused> {
    match value {
        Node::Bool(true) => return Ok(JournalPlace::System),
        Node::Map(_) => {}
        other => return Err(not(other, "true, or a \"directory\" or \"namespace\",")),
    }
    match map(value)?.as_slice() {
        [(key, value)] if key.value == "directory" => form::path(&value.value)
            .map(JournalPlace::Directory)
            .map_err(|refused| refused.within(&value.span)),
        [(key, value)] if key.value == "namespace" => form::name(&value.value)
            .map(JournalPlace::Namespace)
            .map_err(|refused| refused.within(&value.span)),
        _ => Err("a journal is true, or has a \"directory\" or a \"namespace\"".into()),
    }
}

fn syslog(value: &Node) -> Result<SyslogSocket, Refused> {
    const WANTED: &str = "write \"udp://127.0.0.1:514\", \"tcp://[::]:601\" or \"unix:/run/unmasq/log\"";
    let text = form::text(value)?;
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let socket = if let Some(rest) = text.strip_prefix("udp://") {
        address(rest).map(SyslogSocket::Udp)
    } else if let Some(rest) = text.strip_prefix("tcp://") {
        address(rest).map(SyslogSocket::Tcp)
    } else {
        text.strip_prefix("unix:")
            .filter(|path| path.starts_with('/') && !path.contains('\0'))
            .map(|path| SyslogSocket::Unix(path.into()))
    };
    socket.ok_or_else(|| format!("{:?} is not a syslog socket; {WANTED}", super::section::cut(&text)).into())
}
