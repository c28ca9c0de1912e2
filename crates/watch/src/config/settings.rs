//! The sections that Pyruse does not have.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use unmasq_diagnostic::Problem;

use super::form::{self, not};
use super::node::Node;
use super::section::{Refused, Section, cut};
use crate::journal_log::Level;

/// A year has 365 days here: no limit that anybody needs.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The book: which translations are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookConfig {
    /// Which network namespaces' translations are read from the kernel.
    pub conntrack: Conntrack,
    /// Whose book is asked, too.
    pub from: Option<BookAddress>,
    /// How long a translation is kept after its end.
    pub keep: Duration,
}

/// Which network namespaces' translations are read from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conntrack {
    /// None.
    Off,
    /// The one that unmasq is started in, where it may.
    Own,
    /// Those of these names in /run/netns; never empty.
    Named(Vec<String>),
}

/// Where another book is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookAddress {
    /// A recorder's control socket on this host.
    Unix(PathBuf),
    /// A gateway's recorder; both sides show certificates.
    Tls {
        /// Its name, which its certificate must bear, or its address.
        host: String,
        /// Its port.
        port: u16,
        /// PEM file with our certificate.
        certificate: PathBuf,
        /// PEM file with its key.
        key: PathBuf,
        /// PEM file with the authority that the gateway's certificate comes from.
        authority: PathBuf,
    },
}

/// The guard: what no action bans or diverts.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardConfig {
    /// Never touched: addresses and networks.
    pub allow: Vec<IpNet>,
    /// Never touched: what these names stand for.
    pub allow_names: Vec<String>,
    /// A file with more of both, one a line.
    pub allow_file: Option<PathBuf>,
    /// Known to stand for other clients.
    pub masking: Vec<IpNet>,
    /// Are the host's own addresses never touched?
    pub local: bool,
    /// Most different targets in a minute, of all steps together; 0 for no limit.
    pub bans_per_minute: u32,
    /// A step is stopped if more than this share of its targets is on the allow list: 0 to 1, and 1 for
    /// never.
    pub allow_share: f64,
}

/// Bans.
#[derive(Clone, Debug, PartialEq)]
pub struct BanConfig {
    /// How they grow for those who come back, where a step asks for it.
    pub escalation: EscalationConfig,
    /// Bits of an IPv4 prefix that is banned as a whole: 8 to 32.
    pub ipv4: u8,
    /// Bits of an IPv6 prefix: 16 to 128.
    pub ipv6: u8,
}

/// How bans grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EscalationConfig {
    /// Each further ban is so many times as long: 1 to 1000.
    pub factor: f64,
    /// None gets longer than this.
    pub max: Duration,
    /// For each such time without a ban one offence is forgotten; zero: none ever is.
    pub decay: Duration,
}

/// The daily report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportConfig {
    /// The hour, in local time, at which it is sent: 0 to 23.
    pub hour: u8,
}

/// How much is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Most keys of one category of counters.
    pub counters: usize,
    /// Most raises, of one category, that expire at different moments.
    pub raises: usize,
    /// Most captured translations.
    pub captures: usize,
    /// Most entries that wait for their client.
    pub waits: usize,
    /// Most bans.
    pub bans: usize,
}

/// Where `action_log` and the watch itself write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// SYSLOG_IDENTIFIER.
    pub identifier: String,
    /// Into the journal or syslog; else to standard error.
    pub journal: bool,
    /// Into this file, in place of both.
    pub file: Option<PathBuf>,
    /// What is less grave is not written.
    pub level: Level,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Its path.
    pub socket: PathBuf,
    /// Its group; `None` for the process's own.
    pub group: Option<String>,
    /// Its mode, `0o000` to `0o777`.
    pub mode: u32,
}

impl BookConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child_or(
            "book",
            Some("from"),
            "Which translations are known besides those that log lines tell of. `book = \
             \"tls://gateway:7443\"` is short for the key \"from\".",
        );
        let conntrack = keys.value(
            "conntrack",
            "true",
            "Read the kernel's translations: true for the network namespace that unmasq is started in (where \
             it may), a list of names in /run/netns, or false.",
            conntrack,
        );
        let from = keys.optional(
            "from",
            r#""tls://gateway.example.org:7443""#,
            "Ask another recorder's book as well: \"tls://host:port\" of a gateway, or \
             \"unix:/run/unmasq/control.sock\" of this host.",
            from,
        );
        let mut file =
            |name, default, help| (keys.value(name, default, help, form::path), keys.place(name), name);
        let files = [
            file(
                "certificate",
                r#""/etc/unmasq/watch.pem""#,
                "PEM file with our certificate, for \"tls://\".",
            ),
            file("key", r#""/etc/unmasq/watch.key""#, "PEM file with its key."),
            file(
                "authority",
                r#""/etc/unmasq/gateways-ca.pem""#,
                "PEM file with the authority of the gateway's certificate.",
            ),
        ];
        let keep = keys.value(
            "keep",
            r#""15m""#,
            "How long a translation is known after its end: log lines can come late.",
            form::duration(Duration::from_secs(1)..=Duration::from_secs(86_400)),
        );
        let from = match from {
            Some(From::Tls(host, port)) => {
                let [certificate, key, authority] = files.map(|(file, ..)| file);
                Some(BookAddress::Tls { host, port, certificate, key, authority })
            }
            other => {
                for (_, place, name) in files {
                    if let Some(place) = place {
                        let message =
                            format!("{name}: is for a book \"from\" \"tls://…\" only; take it away");
                        keys.report(Problem::error(place, message));
                    }
                }
                other.and_then(|other| match other {
                    From::Unix(path) => Some(BookAddress::Unix(path)),
                    From::Tls(..) => None,
                })
            }
        };
        keys.close();
        Self { conntrack, from, keep }
    }
}

fn conntrack(value: &Node) -> Result<Conntrack, Refused> {
    match value {
        Node::Bool(true) => Ok(Conntrack::Own),
        Node::Bool(false) => Ok(Conntrack::Off),
        Node::List(_) => {
            let names = form::list(value, "a list of names", form::name)?;
            Ok(if names.is_empty() { Conntrack::Off } else { Conntrack::Named(names) })
        }
        other => Err(not(other, "true, false, or a list of names in /run/netns,")),
    }
}

/// What "from" says.
enum From {
    Unix(PathBuf),
    Tls(String, u16),
}

fn from(value: &Node) -> Result<From, Refused> {
    let text = form::text(value)?;
    if let Some(path) =
        text.strip_prefix("unix:").filter(|path| path.starts_with('/') && !path.contains('\0'))
    {
        return Ok(From::Unix(path.into()));
    }
    let parts = text.strip_prefix("tls://").and_then(|rest| rest.rsplit_once(':'));
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)));
    if let Some((host, port)) = parts {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = bare.is_some_and(|bare| bare.parse::<std::net::Ipv6Addr>().is_ok());
        if is_address || is_host(host) {
            return Ok(From::Tls(bare.unwrap_or(host).to_owned(), port));
        }
    }
    Err(format!("{:?} is no book; write \"tls://host:port\" or \"unix:/path\"", cut(&text)).into())
}

/// Can it be a host's name, or an IPv4 address?
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

impl GuardConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child("guard", "What no action ever bans, and how many bans are too many.");
        let allowed = keys.value(
            "allow",
            "[]",
            "Addresses, networks and names of hosts that are never banned; names are resolved again and \
             again.",
            |value| form::list(value, "a list of addresses, networks and names", allowed),
        );
        let config = Self {
            allow: allowed.iter().filter_map(|allowed| allowed.clone().ok()).collect(),
            allow_names: allowed.into_iter().filter_map(Result::err).collect(),
            allow_file: keys.optional(
                "allow_file",
                r#""/etc/unmasq/allow""#,
                "A file with more of them, one a line; what follows a # is a comment.",
                form::path,
            ),
            masking: keys.value(
                "masking",
                "[]",
                "Addresses and networks that stand for others: proxies, NAT gateways, pools of CGNAT. What \
                 the book knows as such need not be listed.",
                |value| form::list(value, "a list of addresses and networks", form::network),
            ),
            local: keys.value("local", "true", "Never ban an address of this host.", form::flag),
            bans_per_minute: keys.value(
                "bans_per_minute",
                "6000",
                "Most different addresses that are banned within a minute; 0 for no limit.",
                form::integer(0..=u32::MAX),
            ),
            allow_share: keys.value(
                "allow_share",
                "0.2",
                "A step of whose targets within a minute more than this share is on the allow list is \
                 stopped: it is a rule that has run away. 1 for never.",
                form::number(0.0..=1.0),
            ),
        };
        keys.close();
        config
    }
}

/// A network, or a name.
fn allowed(value: &Node) -> Result<Result<IpNet, String>, Refused> {
    let text = form::text(value)?;
    if let Some(net) = form::parse_network(&text) {
        return Ok(Ok(net));
    }
    // What looks like an address and is none is not looked up: the typing error would stay hidden.
    if is_host(&text) && text.contains(|c: char| c.is_ascii_alphabetic()) {
        return Ok(Err(text));
    }
    Err(format!("{:?} is not an address, a network or a name", cut(&text)).into())
}

impl BanConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child("ban", "How long bans last for those who come back, and how wide they are.");
        let mut inner = keys.child("escalation", "Longer bans, for steps with `escalate`.");
        let escalation = EscalationConfig {
            factor: inner.value(
                "factor",
                "2.0",
                "Each further ban of the same address is so many times as long.",
                form::number(1.0..=1000.0),
            ),
            max: inner.value(
                "max",
                r#""4w""#,
                "No ban gets longer than this.",
                form::duration(Duration::from_secs(1)..=LONGEST),
            ),
            decay: inner.value(
                "decay",
                r#""4w""#,
                "For each such time without a ban one offence is forgotten; 0 for never.",
                form::duration(Duration::ZERO..=LONGEST),
            ),
        };
        inner.close();
        let mut inner = keys.child("prefix", "How much of the network around an address is banned with it.");
        let ipv4 = inner.value("ipv4", "32", "Bits of an IPv4 address that count.", form::integer(8..=32));
        let ipv6 = inner.value(
            "ipv6",
            "64",
            "Bits of an IPv6 address that count: one client usually has a whole /64. The set must take \
             prefixes (flags interval); with 128 it need not.",
            form::integer(16..=128),
        );
        inner.close();
        keys.close();
        Self { escalation, ipv4, ipv6 }
    }
}

impl ReportConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child("report", "The daily report.");
        let hour =
            keys.value("hour", "0", "The hour, in local time, at which it is sent.", form::integer(0..=23));
        keys.close();
        Self { hour }
    }
}

impl LimitsConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys =
            top.child("limits", "How much is kept in memory; past it, the oldest goes and is counted.");
        let mut limit =
            |name, default, help| keys.value(name, default, help, form::integer(1..=100_000_000i64));
        let [counters, raises, captures, waits, bans] = [
            limit("counters", "131072", "Most keys of one category of counters; one takes about 60 bytes."),
            limit(
                "raises",
                "524288",
                "Most raises of one category that expire at different moments; one takes 16 bytes.",
            ),
            limit("captures", "100000", "Most translations that log lines told of."),
            limit("waits", "10000", "Most entries that wait for their client."),
            limit("bans", "1000000", "Most bans."),
        ]
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        keys.close();
        Self { counters, raises, captures, waits, bans }
    }
}

impl LogConfig {
    /// `identifier` is the default, in TOML.
    pub(super) fn read(top: &mut Section<'_, '_>, identifier: &'static str) -> Self {
        let mut keys = top.child("log", "Where `action_log` and the watch itself write.");
        let config = Self {
            identifier: keys.value(
                "identifier",
                identifier,
                "What the entries are marked with (SYSLOG_IDENTIFIER); \"pyruse\" in a file called \
                 pyruse.json.",
                form::name,
            ),
            journal: keys.value(
                "journal",
                "true",
                "Into the journal, or syslog where there is none; false for standard error.",
                form::flag,
            ),
            file: keys.optional(
                "file",
                r#""/var/log/unmasq.log""#,
                "Into this file, in place of both: time, identifier, level and message, a line each. SIGHUP opens it anew.",
                form::path,
            ),
            level: keys.value(
                "level",
                r#""DEBUG""#,
                "What is less grave than this is not written: \"ERR\", \"WARNING\", \"NOTICE\", \"INFO\", \"DEBUG\" and so on.",
                form::choice(&Level::NAMES),
            ),
        };
        keys.close();
        config
    }
}

impl ControlConfig {
    pub(super) fn read(top: &mut Section<'_, '_>) -> Self {
        let mut keys = top.child("control", "The socket through which `unmasq watch bans` and the like ask.");
        let config = Self {
            socket: keys.value("socket", r#""/run/unmasq/watch.sock""#, "Its path.", form::path),
            group: keys.optional(
                "group",
                r#""unmasq""#,
                "Its group. Without it: the process's own.",
                form::name,
            ),
            mode: keys.value(
                "mode",
                r#""0660""#,
                "Its mode, in octal. Who may connect may also ban.",
                form::mode,
            ),
        };
        keys.close();
        config
    }
}
