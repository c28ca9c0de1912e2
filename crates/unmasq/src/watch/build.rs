//! From a configuration to the parts of a watch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ipnet::IpNet;
use unmasq_control::tls::Identity;
use unmasq_diagnostic::{ConfigError, Problem};
use unmasq_flow::Timestamp;
use unmasq_netfilter::netns::Namespace;
use unmasq_watch::bans::Escalation;
use unmasq_watch::client::remote::{Place, RemoteBook};
use unmasq_watch::client::{Captures, Waits};
use unmasq_watch::config::{BookAddress, Config, Conntrack, Loaded, Spelling};
use unmasq_watch::counters;
use unmasq_watch::guard::{self, Guard};
use unmasq_watch::machine::Machine;
use unmasq_watch::program::Program;
use unmasq_watch::report::{self, Schedule};
use unmasq_watch::state::{Limits, State};

use super::effect::Hands;
use super::feed::Feed;
use super::users::Users;
use super::world::{Own, Surroundings};

/// How long a question to another host's book may take.
const BOOK_PATIENCE: Duration = Duration::from_secs(2);

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file, which is read again when that is asked for.
    File(PathBuf),
    /// A text in TOML that another command made, and what it is called in messages.
    Made { name: PathBuf, text: String },
}

impl Origin {
    /// Its name, for messages.
    pub(crate) fn name(&self) -> &Path {
        match self {
            Self::File(path) | Self::Made { name: path, .. } => path,
        }
    }
}

/// A configuration, read and compiled.
pub(crate) struct Plan {
    pub(crate) loaded: Loaded,
    pub(crate) program: Arc<Program>,
    /// Of the file and of its chains.
    pub(crate) warnings: Vec<Problem>,
}

impl Plan {
    /// Reads and compiles a file. What is wrong is reported at once, with places.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::compile(Config::load(file)?)
    }

    /// Reads and compiles what comes from there.
    pub(crate) fn of(origin: &Origin) -> Result<Self, ConfigError> {
        match origin {
            Origin::File(file) => Self::load(file),
            Origin::Made { name, text } => Self::compile(Config::parse(name, text, Spelling::Toml)?),
        }
    }

    fn compile(loaded: Loaded) -> Result<Self, ConfigError> {
        match Program::compile(&loaded) {
            Ok(compiled) => {
                let warnings = loaded.warnings.iter().cloned().chain(compiled.warnings).collect();
                Ok(Self { program: Arc::new(compiled.program), warnings, loaded })
            }
            Err(mut problems) => {
                problems.extend(loaded.warnings.iter().cloned());
                Err(ConfigError::Invalid(loaded.show(problems)))
            }
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Limits of what is kept.
    pub(crate) fn limits(&self) -> Limits {
        let limits = &self.config().limits;
        Limits {
            counters: counters::Limits { keys: limits.counters, ticks: limits.raises },
            report: report::Limits::default(),
            bans: limits.bans,
            ..Limits::default()
        }
    }

    /// When the report is due, in the system's time zone; `None` if no step reports anything.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        if !self.program.steps().any(|(_, info)| &*info.name == "action_dailyReport") {
            return None;
        }
        Schedule::new(self.config().report.hour, jiff::tz::TimeZone::system())
    }

    /// What the guard protects.
    pub(crate) fn guard_options(&self) -> anyhow::Result<guard::Options> {
        let guard = &self.config().guard;
        let mut options = guard::Options {
            allow: guard.allow.clone(),
            allow_names: guard.allow_names.clone(),
            masking: guard.masking.clone(),
            local: guard.local,
            bans_per_minute: guard.bans_per_minute,
            step_bans_per_minute: guard.bans_per_minute,
            allow_share: guard.allow_share,
            ..guard::Options::default()
        };
        if let Some(file) = &guard.allow_file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the allow list {}", file.display()))?;
            for (nth, line) in text.lines().enumerate() {
                let word = line.split('#').next().unwrap_or_default().trim();
                if word.is_empty() {
                    continue;
                }
                match (word.parse::<IpNet>(), word.parse::<std::net::IpAddr>()) {
                    (Ok(net), _) => options.allow.push(net),
                    (_, Ok(address)) => options.allow.push(address.into()),
                    _ if is_host_name(word) => options.allow_names.push(word.to_owned()),
                    _ => anyhow::bail!(
                        "{}:{}: {word:?} is neither an address nor a network nor a name",
                        file.display(),
                        nth + 1
                    ),
                }
            }
        }
        Ok(options)
    }

    /// How bans grow.
    pub(crate) fn escalation(&self) -> Escalation {
        let grow = self.config().ban.escalation;
        Escalation { factor: grow.factor, max: grow.max, decay: grow.decay }
    }

    /// The kernel's translations, where they are to be read. `Own` is taken where it may be.
    pub(crate) fn feed(&self) -> anyhow::Result<Option<Feed>> {
        let book = &self.config().book;
        match &book.conntrack {
            Conntrack::Off => Ok(None),
            Conntrack::Own => Feed::start(vec![Namespace::current()], book.keep).map(Some),
            Conntrack::Named(names) => {
                let named = names.iter().map(|name| Namespace::named(name)).collect::<Result<_, _>>()?;
                Feed::start(named, book.keep).map(Some)
            }
        }
    }

    /// Another host's book, if one is named.
    pub(crate) fn remote(&self) -> anyhow::Result<Option<RemoteBook>> {
        let (place, identity) = match &self.config().book.from {
            None => return Ok(None),
            Some(BookAddress::Unix(path)) => (Place::Unix(path.clone()), None),
            Some(BookAddress::Tls { host, port, certificate, key, authority }) => (
                Place::Tls { host: host.clone(), port: *port },
                Some(Identity {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    authority: authority.clone(),
                }),
            ),
        };
        Ok(Some(RemoteBook::connect(place, identity.as_ref(), BOOK_PATIENCE)?))
    }

    /// The machine and what surrounds it; no sources, no book.
    pub(crate) fn surroundings<H: Hands>(
        &self,
        hands: H,
        mut state: State,
    ) -> anyhow::Result<(Machine, Surroundings<H>)> {
        let config = self.config();
        state.bind_categories(self.program.categories());
        let world = Surroundings {
            hands,
            captures: Captures::new(&self.program.asked(), config.limits.captures),
            waits: Waits::new(config.limits.waits),
            guard: Guard::new(self.guard_options()?),
            feed: None,
            remote: None,
            ask_again: Vec::new(),
            set_names: Vec::new(),
            most_captures: config.limits.captures,
            users: Users::default(),
            sources: Vec::new(),
            current: 0,
            place: String::new(),
            clock: state.clock().max(Timestamp::default()),
            caused: Timestamp::default(),
            captured: Vec::new(),
            escalation: Some(self.escalation()),
            refused: 0,
            has_acted: false,
            errors: 0,
            own: Own::Not,
            is_quiet: false,
            waits_for_known: !config.guard.masking.is_empty(),
            program: Arc::clone(&self.program),
            state,
        };
        Ok((Machine::new(Arc::clone(&self.program)), world))
    }
}

fn is_host_name(word: &str) -> bool {
    word.len() <= 253 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
