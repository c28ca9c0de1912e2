//! The watch's configuration: Pyruse's JSON as it is, or the same in TOML or YAML.
//!
//! ```text
//!  pyruse.json ─┐
//!  watch.toml  ─┼─► Node (a tree with places) ─┬─► chains, as written ──────────► Config
//!  watch.yaml  ─┘                              └─► Section, key by key ──────────►
//!                                                     └──► About: what was asked for = documentation
//!                                         problems, all of them, with line, column and remedy
//! ```
//!
//! The functions that read a section are the only definition of its keys: names, defaults, explanations and
//! limits. What steps and their arguments mean is not looked at here, but by the program.
//!
//! ```
//! use std::path::Path;
//! use unmasq_watch::config::{Config, Spelling};
//!
//! let text = r#"
//!     [[actions."Nothing is worth a mail"]]
//!     action = "action_noop"
//! "#;
//! let loaded = Config::parse(Path::new("watch.toml"), text, Spelling::Toml)?;
//! assert_eq!(loaded.config.chains[0].steps[0].name.value, "action_noop");
//!
//! let refusal = Config::parse(Path::new("watch.toml"), "gaurd.local = false", Spelling::Toml).unwrap_err();
//! assert!(refusal.to_string().contains("watch.toml:1:1: unknown key \"gaurd\"; did you mean"));
//! # Ok::<(), unmasq_diagnostic::ConfigError>(())
//! ```

mod chains;
mod email;
mod form;
mod json;
mod node;
mod reference;
mod section;
mod settings;
mod sources;
mod toml;
mod yaml;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unmasq_diagnostic::{ConfigError, Invalid, Problem};

pub use chains::{Chain, Kind, Step};
pub use email::{Email, Password, Smtp, Tls, Transport};
pub use node::{Entries, Node, Spanned};
pub use reference::reference;
pub use section::{About, Key};
pub use settings::{
    BanConfig, BookAddress, BookConfig, Conntrack, ControlConfig, EscalationConfig, GuardConfig,
    LimitsConfig, LogConfig, ReportConfig,
};
pub use sources::{JournalPlace, RecordFormat, SensorPlace, SourceConfig, SyslogSocket};

use section::{Reading, Section};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Everything the file says, defaults filled in. The same configuration is equal in all spellings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The chains, in the file's order.
    pub chains: Vec<Chain>,
    /// Where entries come from; never empty.
    pub sources: Vec<SourceConfig>,
    /// How far the clocks of several sources may be apart.
    pub skew: Duration,
    /// What a MESSAGE is decoded with that is not UTF-8: a name such as "iso-8859-15".
    pub encoding: String,
    /// Where state is kept.
    pub storage: PathBuf,
    /// Captured translations are kept as long as Pyruse keeps them, in powers of two.
    pub compat: bool,
    /// More is told of what goes on.
    pub debug: bool,
    /// Mail.
    pub email: Email,
    /// The daily report.
    pub report: ReportConfig,
    /// Bans.
    pub ban: BanConfig,
    /// The guard.
    pub guard: GuardConfig,
    /// The book.
    pub book: BookConfig,
    /// How much is kept in memory.
    pub limits: LimitsConfig,
    /// Where Prometheus metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// Where is written to.
    pub log: LogConfig,
    /// The control socket.
    pub control: ControlConfig,
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What it can be used with, but probably does not mean.
    pub warnings: Vec<Problem>,
    /// The file.
    pub file: PathBuf,
    /// Its text, for [`Loaded::show`].
    pub text: String,
}

impl Loaded {
    /// Problems with this file, as they are printed: those of [`Loaded::warnings`], or a program's.
    pub fn show(&self, problems: Vec<Problem>) -> Invalid {
        Invalid::new(&self.file, &self.text, problems)
    }
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Pyruse's.
    Json,
    /// As the rest of unmasq.
    Toml,
    /// As many are used to.
    Yaml,
}

impl Spelling {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Toml, Self::Yaml];

    /// By the ending of the file's name.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl Config {
    /// Reads a file; its name's ending says how it is spelt.
    pub fn load(file: &Path) -> Result<Loaded, ConfigError> {
        let failed = |reason| ConfigError::Read { file: file.to_owned(), reason };
        let spelling = Spelling::of(file).ok_or_else(|| {
            failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name ends in none of .json, .toml, .yaml and .yml, so its spelling is unknown",
            ))
        })?;
        if fs::metadata(file).map_err(failed)?.len() > LARGEST {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB")));
        }
        Self::parse_bytes(file, &fs::read(file).map_err(failed)?, spelling)
    }

    /// Reads what a file of that name holds.
    pub fn parse_bytes(file: &Path, bytes: &[u8], spelling: Spelling) -> Result<Loaded, ConfigError> {
        match str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text, spelling),
            Err(error) => {
                let at = error.valid_up_to();
                let problem = Problem::error(at..at + 1, "not UTF-8 from here on");
                let text = String::from_utf8_lossy(bytes);
                Err(ConfigError::Invalid(Invalid::new(file, &text, vec![problem])))
            }
        }
    }

    /// Reads a text; `file` is for messages, and a `pyruse.json` has Pyruse's own defaults. All that is wrong
    /// is reported at once.
    pub fn parse(file: &Path, text: &str, spelling: Spelling) -> Result<Loaded, ConfigError> {
        let mut reading = Reading { is_pyruse: spelling == Spelling::Json, ..Reading::default() };
        let is_own_name = file.file_name().is_some_and(|name| name == "pyruse.json");
        let defaults = if is_own_name { Defaults::PYRUSE } else { Defaults::OURS };
        let root = match spelling {
            Spelling::Json => json::read(text, &mut reading.problems),
            Spelling::Toml => toml::read(text, &mut reading.problems),
            Spelling::Yaml => yaml::read(text, &mut reading.problems),
        };
        let config = root.map(|root| read(&root, &defaults, &mut reading));
        match config {
            Some(config) if !reading.problems.iter().any(Problem::is_error) => Ok(Loaded {
                config,
                warnings: reading.problems,
                file: file.to_owned(),
                text: text.to_owned(),
            }),
            _ => Err(ConfigError::Invalid(Invalid::new(file, text, reading.problems))),
        }
    }

    /// The sections and keys there are.
    pub fn about() -> Vec<About> {
        let mut reading = Reading::default();
        read(&Spanned::new(Node::Map(Vec::new()), 0..0), &Defaults::OURS, &mut reading);
        reading.about
    }

    /// The file that is read when none is named: the first that is there of
    /// /etc/unmasq/watch.{toml,yaml,yml,json}, then Pyruse's places: pyruse.json in the current directory, in
    /// $PYRUSE_EXTRA, and in /etc/pyruse. One that is there and cannot be read is an error of
    /// [`Config::load`]; Pyruse goes on to the next.
    pub fn search() -> Option<PathBuf> {
        let extra = std::env::var_os("PYRUSE_EXTRA").filter(|extra| !extra.is_empty());
        let places = places(extra.map(PathBuf::from));
        // Not `exists`: that is false, too, where it cannot be told.
        places.into_iter().find(|place| place.symlink_metadata().is_ok_or_denied())
    }
}

/// Where a configuration may be, in order.
fn places(extra: Option<PathBuf>) -> Vec<PathBuf> {
    let ours = ["toml", "yaml", "yml", "json"].map(|ending| format!("/etc/unmasq/watch.{ending}").into());
    let folders = [Some(PathBuf::new()), extra, Some("/etc/pyruse".into())];
    ours.into_iter().chain(folders.into_iter().flatten().map(|folder| folder.join("pyruse.json"))).collect()
}

/// Is a file there?
trait Found {
    fn is_ok_or_denied(&self) -> bool;
}

impl Found for io::Result<fs::Metadata> {
    fn is_ok_or_denied(&self) -> bool {
        match self {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }
}

/// What differs for a `pyruse.json`, in TOML.
struct Defaults {
    storage: &'static str,
    identifier: &'static str,
}

impl Defaults {
    const OURS: Self = Self { storage: r#""/var/lib/unmasq/watch""#, identifier: r#""unmasq""# };
    const PYRUSE: Self = Self { storage: r#""/var/lib/pyruse""#, identifier: r#""pyruse""# };
}

/// What Python calls the encodings that can be asked for, and what they are called here.
const ENCODINGS: [(&str, &str); 14] = [
    ("iso-8859-1", "iso-8859-1"),
    ("iso8859-1", "iso-8859-1"),
    ("iso_8859_1", "iso-8859-1"),
    ("latin-1", "iso-8859-1"),
    ("latin1", "iso-8859-1"),
    ("iso-8859-15", "iso-8859-15"),
    ("iso8859-15", "iso-8859-15"),
    ("iso_8859_15", "iso-8859-15"),
    ("latin-9", "iso-8859-15"),
    ("windows-1252", "windows-1252"),
    ("cp1252", "windows-1252"),
    ("utf-8", "utf-8"),
    ("utf8", "utf-8"),
    ("ascii", "utf-8"),
];

fn read(root: &Spanned<Node>, defaults: &Defaults, reading: &mut Reading) -> Config {
    let chains = root.value.find("actions").map(|actions| chains::read(actions, reading));
    let mut top = Section::top(root, "What stands at the top of the file.", reading);
    // Read above: it is too large for one key.
    let seen = top.optional(
        "actions",
        r#"{ "All is well" = [{ action = "action_noop" }] }"#,
        "The chains: labels, each with its list of filters and actions. See docs/watch.md.",
        |_| Ok(()),
    );
    if seen.is_none() && root.value.as_map().is_some() {
        top.report(Problem::warning(
            root.span.start..root.span.start,
            "there are no \"actions\", so nothing is done",
        ));
    }
    let config = Config {
        chains: chains.unwrap_or_default(),
        sources: top.value(
            "sources",
            "[{ journal = true }]",
            "Where entries come from: a list of { journal = true }, { journal = { directory = \"/path\" } }, \
             { journal = { namespace = \"name\" } }, { file = \"/path\", format = \"syslog\" }, { syslog = \
             \"udp://127.0.0.1:514\" } (or \"tcp://…\", \"unix:/path\"), { stdin = \"plain\" }. Formats: \
             \"syslog\" (the default of a file), \"plain\", \"json\" (an object a line), \"journal-export\", \
             \"journal-json\". Beside a file, from_start = true reads one that was never read from its first record, and \
             containing = \"software_version\" passes over lines of JSON without that text. { sensor = { nflog = 5 } } or \
             { sensor = { interface = \"eth0\", ports = [22] } } sees SSH connections begin; see docs/sense-ssh.md.",
            sources::read,
        ),
        skew: top.value(
            "skew",
            r#""2s""#,
            "How far the clocks of several sources may be apart: an entry is held so long for earlier ones \
             of the others.",
            form::duration(Duration::ZERO..=Duration::from_secs(300)),
        ),
        encoding: top
            .value(
                "8bit-message-encoding",
                r#""iso-8859-1""#,
                "What a MESSAGE is decoded with that is not UTF-8: \"iso-8859-1\", \"iso-8859-15\", \
                 \"windows-1252\", or \"utf-8\", which replaces what is wrong.",
                |value| {
                    let lower = form::text(value)?.to_ascii_lowercase();
                    form::choice(&ENCODINGS)(&Node::Text(lower))
                },
            )
            .to_owned(),
        storage: top.value(
            "storage",
            defaults.storage,
            "Directory of the state; /var/lib/pyruse in a file called pyruse.json.",
            form::any_path,
        ),
        compat: top.value(
            "compat",
            "false",
            "Keep captured translations as long as Pyruse does: up to four times \"keepSeconds\", in powers \
             of two.",
            form::flag,
        ),
        debug: top.value("debug", "false", "Tell more of what goes on.", form::flag),
        metrics: top.optional(
            "metrics",
            r#""127.0.0.1:9464""#,
            "Address and port at which Prometheus metrics are served. Without it: they are not.",
            form::socket,
        ),
        email: Email::read(&mut top),
        report: ReportConfig::read(&mut top),
        ban: BanConfig::read(&mut top),
        guard: GuardConfig::read(&mut top),
        book: BookConfig::read(&mut top),
        limits: LimitsConfig::read(&mut top),
        log: LogConfig::read(&mut top, defaults.identifier),
        control: ControlConfig::read(&mut top),
    };
    if let Some(place) = top.place("storage").filter(|_| config.storage.is_relative()) {
        top.report(Problem::warning(place, "storage: a relative path depends on where unmasq is started"));
    }
    commands(&mut top);
    top.close();
    config
}

/// Pyruse's commands for the sets. They are read, checked and not run.
fn commands(top: &mut Section<'_, '_>) {
    for (module, key, help) in [
        ("nftBan", "nft", "Pyruse's command for nftables. It is not run: the kernel is asked directly."),
        ("ipsetBan", "ipset", "Pyruse's command for ipsets. It is not run: the kernel is asked directly."),
    ] {
        let mut keys = top.child(module, help);
        let sample =
            if key == "nft" { r#"["/usr/bin/nft"]"# } else { r#"["/usr/bin/ipset", "-exist", "-quiet"]"# };
        keys.optional(key, sample, "The command and its arguments.", |value| {
            form::list(value, "a list of texts", form::text)
        });
        if let Some(place) = keys.place(key) {
            let message = format!("{module}.{key}: this command is not run; bans go to the kernel directly");
            keys.report(Problem::warning(place, message));
        }
        keys.close();
    }
}

/// Reads any bytes in every spelling; for fuzzing.
pub fn fuzz_config(bytes: &[u8]) {
    for spelling in Spelling::ALL {
        match Config::parse_bytes(Path::new("fuzz"), bytes, spelling) {
            Ok(loaded) => drop(loaded.show(loaded.warnings.clone()).to_string()),
            Err(error) => drop(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
