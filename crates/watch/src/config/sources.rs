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
const KINDS: [&str; 4] = ["journal", "file", "syslog", "stdin"];

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
                    || "a source has one of journal, file, syslog, stdin".to_owned(),
                    |meant| format!("did you mean {meant:?}?"),
                );
                Refused::at(&key.span, format!("no such kind of source; {advice}"))
            }
            None => "a source has one of journal, file, syslog, stdin".into(),
        });
    };
    if let Some((other, _)) = kinds.next() {
        return Err(Refused::at(
            &other.span,
            format!("the source has {:?} already; make it another source", kind.value),
        ));
    }
    let has_format = kind.value == "file";
    for (key, _) in entries {
        if key.value != kind.value && !(has_format && key.value == "format") {
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
            let format = value.find("format").map_or(Ok(RecordFormat::Syslog), |format| {
                form::choice(&FORMATS)(&format.value).map_err(|refused| refused.within(&format.span))
            })?;
            Ok(SourceConfig::File { path, format })
        }
        "syslog" => syslog(&given.value).map(SourceConfig::Syslog).map_err(within),
        _ => {
            form::choice(&FORMATS)(&given.value).map(|format| SourceConfig::Stdin { format }).map_err(within)
        }
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
