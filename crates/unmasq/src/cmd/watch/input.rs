//! The log that a trial reads.

use std::path::PathBuf;

use clap::ValueEnum;
use unmasq_entry::format::Format;

use crate::watch::sources::Once;

/// What is read, and how it is written.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Input {
    /// The log to read: a file (also .gz, .zst), a journal file or a folder of them, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// How the file is written
    #[arg(long, value_enum, default_value_t = FormatArg::Auto)]
    format: FormatArg,
}

impl Input {
    pub(super) fn once(&self) -> Once {
        Once { path: self.input.clone(), format: self.format.format(), containing: None }
    }
}

/// How a log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FormatArg {
    /// By its first bytes.
    Auto,
    /// A line is a message.
    Plain,
    /// A line is a JSON object.
    Json,
    /// Lines of syslog, RFC 3164 or 5424, or as rsyslog writes them into files.
    Syslog,
    /// `journalctl -o export`.
    JournalExport,
    /// `journalctl -o json`.
    JournalJson,
}

impl FormatArg {
    /// `None`: by its first bytes.
    pub(super) fn format(self) -> Option<Format> {
        match self {
            Self::Auto => None,
            Self::Plain => Some(Format::Plain),
            Self::Json => Some(Format::JsonLines),
            Self::Syslog => Some(Format::Syslog),
            Self::JournalExport => Some(Format::JournalExport),
            Self::JournalJson => Some(Format::JournalJson),
        }
    }
}
