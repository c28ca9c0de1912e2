//! The configuration file, `/etc/unmasq/unmasq.toml`: what it may say, and how it is read.
//!
//! ```text
//!  text ──toml──► tables with places ──Section──► Config          (Record::read, Control::read)
//!                                        ├──────► problems, all of them, each with line, column and remedy
//!                                        └──────► About: what was asked for = example, documentation
//! ```
//!
//! `Record::read` and `Control::read` are the only definition of the keys: their names, defaults,
//! explanations and limits. The commented example (`unmasq config example`), `packaging/unmasq.toml` and the
//! table in `docs/configuration.md` are made from it or tested against it.

mod example;
mod form;
mod honeypot;
mod plan;
mod rules;
mod section;
pub(crate) use unmasq_diagnostic::units;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use unmasq_control::tls::Identity;
use unmasq_flow::{DestinationPolicy, ScopeKind};

pub(crate) use example::example;
pub(crate) use honeypot::{
    Bounds as HoneypotBounds, DELAY, Honeypot, Outputs as HoneypotOutputs, SET_TIMEOUT,
    Tarpit as HoneypotTarpit,
};
pub(crate) use plan::{DEFAULT_HISTORY, Plan};
pub(crate) use rules::Rules;
pub(crate) use section::About;
pub(crate) use unmasq_diagnostic::{ConfigError, Invalid};

use crate::control::tls;
use section::{Refused, Section};
use unmasq_diagnostic::Problem;

/// Where the file is unless told otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/unmasq/unmasq.toml";

/// Everything the file says, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `[record]`.
    pub(crate) record: Record,
    /// `[control]`.
    pub(crate) control: Control,
    /// `[plan]`.
    pub(crate) plan: Plan,
    /// `[rules]`.
    pub(crate) rules: Rules,
    /// `[honeypot]`.
    pub(crate) honeypot: Honeypot,
}

/// `[record]`: the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Directory of the ledger.
    pub(crate) ledger: PathBuf,
    /// Name of the stream; `None` for the host's name.
    pub(crate) stream: Option<String>,
    /// Which network namespaces.
    pub(crate) netns: Netns,
    /// Which flows.
    pub(crate) scope: ScopeKind,
    /// What is kept of destinations.
    pub(crate) destinations: DestinationPolicy,
    /// How long hours are kept; `None` for ever.
    pub(crate) keep: Option<Duration>,
    /// How large the stream may grow, in bytes; `None` for no limit.
    pub(crate) max_size: Option<u64>,
    /// Receive buffer of each namespace's event socket, in bytes (the kernel doubles it for its own
    /// overhead).
    pub(crate) receive_buffer: u64,
    /// Does the kernel keep DESTROY events while the recorder lags?
    pub(crate) reliable: Reliable,
    /// Most memory for the flows that are alive, in bytes.
    pub(crate) book: u64,
    /// How long a flow that has ended stays in the book.
    pub(crate) keep_ended: Duration,
    /// The user that the recorder becomes once its sockets are open; `None` for `unmasq`, if there is one.
    pub(crate) user: Option<String>,
}

/// Which network namespaces are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Netns {
    /// The one that the recorder is started in.
    Own,
    /// Those of these names in /run/netns, in the file's order, each once; never empty.
    Named(Vec<String>),
    /// All in /run/netns, those that come later included.
    All,
}

/// Reliable delivery of events (`NETLINK_BROADCAST_ERROR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reliable {
    /// On while there is room: the watchdog switches it off before it can cost the users' traffic.
    Auto,
    /// Never.
    Off,
}

/// `[control]`: the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its path.
    pub(crate) socket: PathBuf,
    /// Its group; `None` for the daemon's own.
    pub(crate) group: Option<String>,
    /// Its mode, `0o000` to `0o777`.
    pub(crate) mode: u32,
    /// Where other hosts may ask, and by which certificates.
    pub(crate) tls: Option<tls::Place>,
}

impl Config {
    /// Reads a file.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let bytes = fs::read(file).map_err(|reason| ConfigError::Read { file: file.to_owned(), reason })?;
        Self::parse_bytes(file, &bytes)
    }

    /// Reads what a file of that name holds.
    pub(crate) fn parse_bytes(file: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        match str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text),
            Err(error) => {
                let at = error.valid_up_to();
                let problem = Problem::error(at..at + 1, "not UTF-8 from here on");
                let text = String::from_utf8_lossy(bytes);
                Err(ConfigError::Invalid(Invalid::new(file, &text, vec![problem])))
            }
        }
    }

    /// Reads a text; `file` is for messages only. All that is wrong is reported at once.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let (config, _, problems) = read(text);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Invalid(Invalid::new(file, text, problems)))
    }

    /// The sections and keys there are.
    pub(crate) fn about() -> Vec<About> {
        read("").1
    }
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        read("").0
    }
}

impl Record {
    fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            ledger: keys.value(
                "ledger",
                r#""/var/lib/unmasq/ledger""#,
                "Directory of the ledger. It is made if it is not there.",
                form::path,
            ),
            stream: keys.optional(
                "stream",
                r#""gw1""#,
                "Name of this recorder's stream in the ledger. Without it: the host's name.\n\
                 One stream has one writer; give each gateway that shares a ledger its own.",
                form::name,
            ),
            netns: keys.value(
                "netns",
                "[]",
                "Network namespaces to record: names in /run/netns, such as [\"vpn0\", \"vpn1\"],\n\
                 or \"all\" for every one, those that come later included. An empty list is the one\n\
                 that unmasq is started in.",
                netns,
            ),
            scope: keys.value(
                "scope",
                r#""translated+local""#,
                "Which flows: \"translated\" (source or destination), \"translated+local\" (those, and\n\
                 flows whose source is an address of the gateway itself), or \"all\".",
                form::choice(
                    &[ScopeKind::TranslatedLocal, ScopeKind::Translated, ScopeKind::All]
                        .map(|s| (s.word(), s)),
                ),
            ),
            destinations: keys.value(
                "destinations",
                r#""keep""#,
                "What is kept of where the clients went: \"keep\", \"hash\" (16 keyed bits: enough to\n\
                 check a given destination, useless to browse), or \"drop\" (RFC 6888, REQ-12). With\n\
                 \"drop\", clients that shared a masked port at the same time cannot be told apart.",
                form::choice(
                    &[DestinationPolicy::Keep, DestinationPolicy::Hash, DestinationPolicy::Drop]
                        .map(|d| (d.word(), d)),
                ),
            ),
            keep: keys.optional(
                "keep",
                r#""180d""#,
                "How long flows are kept, such as \"180d\" or \"26w\"; whole hours are pruned.\n\
                 Without it: for ever.",
                form::duration(Duration::from_secs(3600)..=Duration::from_secs(100 * 365 * 86_400)),
            ),
            max_size: keys.optional(
                "max_size",
                r#""50GiB""#,
                "How large the stream may grow before its oldest hours are pruned, such as\n\
                 \"50GiB\" or \"2TB\". Without it: no limit.",
                form::size(1 << 20..=u64::MAX),
            ),
            receive_buffer: keys.value(
                "receive_buffer",
                r#""64MiB""#,
                "Receive buffer of each namespace's event socket: what the kernel can hold while\n\
                 the recorder is busy.",
                // SO_RCVBUFFORCE takes an int and the kernel doubles it (net/core/sock.c, __sock_set_rcvbuf).
                form::size(64 << 10..=1 << 30),
            ),
            reliable: keys.value(
                "reliable",
                r#""auto""#,
                "Should the kernel keep the ends of flows while the recorder lags? \"auto\": yes, until\n\
                 that could cost the users' traffic (80 % of nf_conntrack_max, or five seconds without\n\
                 progress); or \"off\".",
                form::choice(&[("auto", Reliable::Auto), ("off", Reliable::Off)]),
            ),
            book: keys.value(
                "book",
                r#""1GiB""#,
                "Most memory for the flows that are alive: about 200 bytes each, so 1GiB is room for five million.",
                form::size(1 << 20..=1 << 40),
            ),
            keep_ended: keys.value(
                "keep_ended",
                r#""5s""#,
                "How long a flow that has ended stays in memory, where commands and other hosts ask about\n\
                 the present. Longer than it takes a log line to reach a watch that asks: \"1m\" where it\n\
                 asks from another host. A thousand ends a second kept for a minute take 12 MiB.",
                form::duration(Duration::from_secs(1)..=Duration::from_secs(3600)),
            ),
            user: keys.optional(
                "user",
                r#""unmasq""#,
                "The user that the recorder becomes once its sockets are open. It must own the ledger.\n\
                 Without it: \"unmasq\" if there is such an account, else the user that started it.",
                form::name,
            ),
        }
    }
}

impl Control {
    fn read(keys: &mut Section<'_, '_>) -> Self {
        let control = Self {
            tls: None,
            socket: keys.value(
                "socket",
                r#""/run/unmasq/control.sock""#,
                "Path of the socket through which `unmasq status` and `unmasq trace` ask the recorder.",
                form::path,
            ),
            group: keys.optional(
                "group",
                r#""unmasq""#,
                "Group of the socket: its members may ask. Without it: the daemon's own group.",
                form::name,
            ),
            mode: keys.value(
                "mode",
                r#""0660""#,
                "Mode of the socket, in octal. Who may connect may also trace.",
                form::mode,
            ),
        };
        Self { tls: read_tls(keys), ..control }
    }
}

/// Four keys that go together.
fn read_tls(keys: &mut Section<'_, '_>) -> Option<tls::Place> {
    const LISTEN: &str = "tls_listen";
    let listen = keys.optional(
        LISTEN,
        r#""[::]:7443""#,
        "Address and port at which other hosts ask over TLS: a watch on a service's host that\n\
         has `book = \"tls://gateway:7443\"`. Both sides show a certificate. Without it: none may.",
        form::socket_address,
    );
    let mut file = |name, sample, help| keys.optional(name, sample, help, form::path);
    let certificate = file(
        "tls_certificate",
        r#""/etc/unmasq/gateway.pem""#,
        "PEM file of our certificate, which must bear the name that those hosts use.",
    );
    let key = file(
        "tls_key",
        r#""/etc/unmasq/gateway.key""#,
        "PEM file of its private key. Read once, before the recorder becomes its user.",
    );
    let authority = file(
        "tls_clients",
        r#""/etc/unmasq/watches.pem""#,
        "PEM file of the authority that signs the certificates of those who may ask. Each of them\n\
         may ask about every client: have an authority for this alone.",
    );
    let listen = listen?;
    if let (Some(certificate), Some(key), Some(authority)) = (certificate, key, authority) {
        return Some(tls::Place { listen, identity: Identity { certificate, key, authority } });
    }
    for name in ["tls_certificate", "tls_key", "tls_clients"] {
        keys.need(name, LISTEN);
    }
    None
}

fn netns(value: &DeValue<'_>) -> Result<Netns, Refused> {
    match value.as_str() {
        Some("all") => return Ok(Netns::All),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            return Err(format!(
                "{shown:?} is neither \"all\" nor a list; write [{shown:?}] for one namespace"
            )
            .into());
        }
        None => {}
    }
    let names = form::list(value, "a list of names, or \"all\",", form::name)?;
    let mut unique: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if unique.contains(&name) {
            return Err(format!("{name:?} is named twice").into());
        }
        unique.push(name);
    }
    Ok(if unique.is_empty() { Netns::Own } else { Netns::Named(unique) })
}

/// Reads everything: the configuration (defaults where the file is wrong), the definition, and what is wrong.
fn read(text: &str) -> (Config, Vec<About>, Vec<Problem>) {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = syntax
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            Problem::error(span, format!("not TOML: {}", error.message()))
        })
        .collect();
    let is_toml = problems.is_empty();
    let document = document.get_ref();

    let mut section = Section::open(
        document,
        "record",
        "The recorder: which translations are kept, where, for how long.",
        &mut problems,
    );
    let record = Record::read(&mut section);
    let recorded = section.close();
    let mut section =
        Section::open(document, "control", "The control socket of the running daemon.", &mut problems);
    let control = Control::read(&mut section);
    let controlled = section.close();
    let mut section = Section::open(
        document,
        "plan",
        "The port plan: which client has which ports of which public address.",
        &mut problems,
    );
    let plan = Plan::read(&mut section);
    let planned = section.close();
    let mut section = Section::open(
        document,
        "rules",
        "Rulesets that are tested, committed and kept by `unmasq rules`.",
        &mut problems,
    );
    let rules = Rules::read(&mut section);
    let ruled = section.close();
    let mut section = Section::open(
        document,
        "honeypot",
        "The SSH server that lets nobody in, and writes down what they tried.",
        &mut problems,
    );
    let honeypot = Honeypot::read(&mut section);
    let sections = vec![recorded, controlled, planned, ruled, section.close()];
    // What the parser made of broken text has keys that nobody wrote.
    if is_toml {
        section::unknown(document, &sections, &mut problems);
    }
    (Config { record, control, plan, rules, honeypot }, sections, problems)
}

#[cfg(test)]
mod tests;
