//! From a configuration to open sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use unmasq_entry::format::{Context, Encoding, Format};
use unmasq_flow::Timestamp;
use unmasq_journal::Where;
use unmasq_source::journal::{self, Hosts, Journal};
use unmasq_source::merge::{Merge, Order};
use unmasq_source::sensor::{Place, Sensed};
use unmasq_source::{Address, Followed, Once as File, Position, Source, Start, Stdin, listen};
use unmasq_watch::config::{Config, JournalPlace, RecordFormat, SensorPlace, SourceConfig, SyslogSocket};

/// A log that is read once to its end.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    /// A file, a journal file, a folder of journal files, or `-`.
    pub(crate) path: PathBuf,
    /// `None`: by its first bytes.
    pub(crate) format: Option<Format>,
    /// Only lines with this text are looked at, of JSON.
    pub(crate) containing: Option<String>,
}

impl Once {
    /// Opens it.
    pub(crate) fn open(&self, config: &Config) -> anyhow::Result<Box<dyn Source>> {
        if self.format.is_none() && self.path.is_dir() {
            let hosts = Hosts::open(&self.path, &Start::Head, encoding(config), None)?;
            anyhow::ensure!(
                !hosts.is_empty(),
                "{}: a folder without journal files (*.journal); name a file to read another kind of log",
                self.path.display()
            );
            return Ok(Box::new(hosts));
        }
        if self.format.is_none() && is_journal(&self.path) {
            let options = journal::Options {
                place: Where::Files(vec![self.path.clone()]),
                start: Start::Head,
                encoding: encoding(config),
                follow: false,
            };
            return Ok(Box::new(Journal::open(options)?));
        }
        let file = File::open(&self.path, self.format, context(config))?;
        Ok(Box::new(file.containing(self.containing.as_deref())))
    }
}

/// A source, and what its place is saved under.
pub(crate) struct Opened {
    pub(crate) key: String,
    pub(crate) source: Box<dyn Source>,
}

/// Opens the sources of a configuration, each where `place` says it was left off; a source that was never read begins
/// with what is written from now on.
pub(crate) fn open(
    config: &Config,
    place: impl Fn(&str) -> anyhow::Result<Option<Position>>,
) -> anyhow::Result<Vec<Opened>> {
    if config.sources.len() == 1 || config.skew.is_zero() {
        return config
            .sources
            .iter()
            .map(|source| {
                let key = name_of(source);
                let start = place(&key)?.map_or_else(|| first_start(source), start_at);
                Ok(Opened { key, source: one(config, source, start)? })
            })
            .collect();
    }
    let saved = place(MERGED)?;
    let mut merge = Merge::new(MERGED, Order::Live { allowance: config.skew });
    for source in &config.sources {
        let name = name_of(source);
        let member = saved.as_ref().and_then(|saved| saved.member(&name));
        let start = member.map_or_else(|| first_start(source), |member| start_at(member.place.clone()));
        merge.add(name, one(config, source, start)?, member)?;
    }
    Ok(vec![Opened { key: MERGED.to_owned(), source: Box::new(merge) }])
}

/// The name of several sources that are read as one.
const MERGED: &str = "all sources";

/// Where a source begins that was never read.
fn first_start(source: &SourceConfig) -> Start {
    match source {
        SourceConfig::File { from_start: true, .. } => Start::Head,
        SourceConfig::File { .. }
        | SourceConfig::Journal(_)
        | SourceConfig::Sensor { .. }
        | SourceConfig::Stdin { .. }
        | SourceConfig::Syslog(_) => Start::Tail,
    }
}

fn start_at(position: Position) -> Start {
    match position {
        Position::None => Start::Tail,
        position => Start::At(position),
    }
}

fn one(config: &Config, source: &SourceConfig, start: Start) -> anyhow::Result<Box<dyn Source>> {
    let context = context(config);
    Ok(match source {
        SourceConfig::Journal(JournalPlace::Directory(folder)) => {
            // Each host's journal for itself, as what one sends late must not be passed over.
            let allowance = config.skew.max(Duration::from_millis(1));
            Box::new(Hosts::open(folder, &start, encoding(config), Some(allowance))?)
        }
        SourceConfig::Journal(place) => {
            let place = match place {
                JournalPlace::Namespace(name) => Where::Namespace(name.clone()),
                JournalPlace::System | JournalPlace::Directory(_) => Where::System,
            };
            let options = journal::Options { place, start, encoding: encoding(config), follow: true };
            Box::new(Journal::open(options)?)
        }
        SourceConfig::File { path, format, containing, .. } => {
            let file = Followed::open(path, format_of(*format), context, start)?;
            Box::new(file.containing(containing.as_deref()))
        }
        SourceConfig::Sensor { place, ports } => Box::new(Sensed::open(&place_of(place), ports)?),
        SourceConfig::Stdin { format } => Box::new(Stdin::open(format_of(*format), context)?),
        SourceConfig::Syslog(socket) => listen(&address(socket), context)?,
    })
}

/// What a source's place is saved under.
fn name_of(source: &SourceConfig) -> String {
    match source {
        SourceConfig::Journal(JournalPlace::System) => Where::System.to_string(),
        SourceConfig::Journal(JournalPlace::Namespace(name)) => Where::Namespace(name.clone()).to_string(),
        SourceConfig::Journal(JournalPlace::Directory(folder)) => format!("journals in {}", folder.display()),
        SourceConfig::File { path, .. } => format!("file {}", path.display()),
        SourceConfig::Stdin { .. } => "standard input".to_owned(),
        SourceConfig::Sensor { place, .. } => place_of(place).to_string(),
        SourceConfig::Syslog(socket) => format!("syslog {}", address(socket)),
    }
}

fn place_of(place: &SensorPlace) -> Place {
    match place {
        SensorPlace::Nflog(group) => Place::Group(*group),
        SensorPlace::Interface(name) => Place::Interface(name.clone()),
    }
}

fn address(socket: &SyslogSocket) -> Address {
    match socket {
        SyslogSocket::Unix(path) => Address::Unix { path: path.clone(), mode: 0o666 },
        SyslogSocket::Udp(address) => Address::Udp(*address),
        SyslogSocket::Tcp(address) => Address::Tcp(*address),
    }
}

fn format_of(format: RecordFormat) -> Format {
    match format {
        RecordFormat::Plain => Format::Plain,
        RecordFormat::JsonLines => Format::JsonLines,
        RecordFormat::Syslog => Format::Syslog,
        RecordFormat::JournalExport => Format::JournalExport,
        RecordFormat::JournalJson => Format::JournalJson,
    }
}

fn encoding(config: &Config) -> Encoding {
    // Its name was checked when the configuration was read.
    Encoding::named(&config.encoding).unwrap_or_default()
}

fn context(config: &Config) -> Context {
    Context { encoding: encoding(config), zone: jiff::tz::TimeZone::system(), latest: Timestamp::now() }
}

/// A file of systemd's journal begins with this (systemd, journal-def.h).
fn is_journal(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 8];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"LPKSHHRH"
}
