//! `[honeypot]`: the SSH server that lets nobody in.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;
use unmasq_control::tls::Identity;
use unmasq_watch::client::remote::Place;
use unmasq_watch::enforce::{SetKind, SetName};
use unmasq_watch::journal_log;

use super::form;
use super::section::{Refused, Section};
use crate::watch::target;

/// `[honeypot]`: the SSH server that lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Honeypot {
    /// Where it listens; empty if the section says nothing.
    pub(crate) listen: Vec<SocketAddr>,
    /// Take connections that were meant for other hosts.
    pub(crate) transparent: bool,
    /// A captured profile; the built-in one if `None`.
    pub(crate) profile: Option<PathBuf>,
    /// Folder of the host keys.
    pub(crate) host_keys: PathBuf,
    /// Files of host keys in their place.
    pub(crate) host_key_files: Vec<PathBuf>,
    /// What it says that it is, in place of the profile's.
    pub(crate) identification: Option<String>,
    /// Methods that it offers, in place of the profile's; empty for those.
    pub(crate) methods: Vec<String>,
    /// The file of primes for group exchanges; sshd's if it is there and this is `None`.
    pub(crate) moduli: Option<PathBuf>,
    /// Where what happened is written.
    pub(crate) outputs: Outputs,
    /// What a client may take.
    pub(crate) bounds: Bounds,
    /// Who is held up.
    pub(crate) tarpit: Tarpit,
    /// Who may tell the client's address by the PROXY protocol, and must.
    pub(crate) proxies: Vec<IpNet>,
    /// Whose book knows the client of a masked connection.
    pub(crate) book: Option<Place>,
    /// The certificates for a book over TLS.
    pub(crate) book_identity: Option<Identity>,
    /// Write a keyed hash in place of a password.
    pub(crate) hash_passwords: bool,
    /// Threads that serve; `None`: one a processor.
    pub(crate) threads: Option<u32>,
    /// The user that it becomes; `None` for `unmasq`, or `nobody` without one.
    pub(crate) user: Option<String>,
}

/// Where what happened is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outputs {
    /// A JSON object a line.
    pub(crate) json: Option<PathBuf>,
    /// EVE events.
    pub(crate) eve: Option<PathBuf>,
    /// A file is begun anew when it is as large as this, in bytes.
    pub(crate) file_size: u64,
    /// So many full files are kept of each.
    pub(crate) files: u32,
    /// The system's log.
    pub(crate) log: Option<journal_log::Target>,
    /// A set for the addresses that tried.
    pub(crate) set: Option<SetName>,
    /// How long an address stays in it.
    pub(crate) set_timeout: Duration,
    /// What never goes into it.
    pub(crate) allow: Vec<IpNet>,
    /// Where metrics are offered.
    pub(crate) metrics: Option<SocketAddr>,
}

/// What a client may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Connections at once.
    pub(crate) connections: u32,
    /// Of one address, or one IPv6 network of 64 bits.
    pub(crate) connections_by_address: u32,
    /// Time to authenticate in, which nobody manages.
    pub(crate) grace: Duration,
    /// Attempts of one connection; as many as the profile has if `None`.
    pub(crate) attempts: Option<u32>,
    /// Bytes of one connection.
    pub(crate) bytes: u64,
    /// Time before the answer to an attempt; as the profile has it if `None`.
    pub(crate) delay: Option<Duration>,
}

/// Who is held up, and how much that may cost us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tarpit {
    /// Sources after so many attempts.
    pub(crate) after: Option<u32>,
    /// Sources in these networks.
    pub(crate) networks: Vec<IpNet>,
    /// Clients whose software version begins so.
    pub(crate) software: Vec<String>,
    /// Connections at once.
    pub(crate) connections: u32,
    /// How long one is held.
    pub(crate) time: Duration,
}

/// Longest of all times here.
const DAY: Duration = Duration::from_secs(86_400);
/// How long an address may stay in the set.
pub(crate) const SET_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
/// How long a refusal may take.
pub(crate) const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

impl Honeypot {
    pub(super) fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            listen: keys
                .optional(
                    "listen",
                    r#"["[::]:2222"]"#,
                    "Addresses and ports of the honeypot; [::] is every address of IPv4 and IPv6. With this key,\n\
                     `unmasq daemon` runs a honeypot.",
                    |value| form::list(value, "a list of addresses with ports,", form::socket_address),
                )
                .unwrap_or_default(),
            transparent: keys.value(
                "transparent",
                "false",
                "Take connections that TPROXY brings here, whatever address they were meant for: one socket\n\
                 stands for a whole dark network. Rules: `unmasq rules piece tproxy`.",
                form::boolean,
            ),
            profile: keys.optional(
                "profile",
                r#""/etc/unmasq/honeypot-profile.toml""#,
                "The server that it looks like: a file that `unmasq honeypot capture HOST:PORT` wrote.\n\
                 Without it: OpenSSH 9.2p1 of Debian 12.",
                form::path,
            ),
            host_keys: keys.value(
                "host_keys",
                r#""/var/lib/unmasq/honeypot""#,
                "Folder of its host keys, in OpenSSH's form. They are made at the first start and kept: keys\n\
                 that change give a honeypot away.",
                form::path,
            ),
            host_key_files: keys.value(
                "host_key_files",
                "[]",
                "Files of host keys to use in their place, as ssh-keygen writes them, without a passphrase.",
                |value| form::list(value, "a list of paths,", form::path),
            ),
            identification: keys.optional(
                "identification",
                r#""SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10""#,
                "The line that it begins with. Without it: the profile's. One that does not fit the\n\
                 profile's lists gives a honeypot away.",
                form::text,
            ),
            methods: keys.value(
                "methods",
                "[]",
                "Methods of authentication that it offers in place of the profile's, such as [\"publickey\",\n\
                 \"password\", \"keyboard-interactive\"]: some clients try only the last. Debian's sshd has not.",
                |value| form::list(value, "a list of methods,", form::name),
            ),
            moduli: keys.optional(
                "moduli",
                r#""/etc/ssh/moduli""#,
                "sshd's file of primes for group exchanges. Without it: that one, if it is there.",
                form::path,
            ),
            outputs: Outputs::read(keys),
            bounds: Bounds::read(keys),
            tarpit: Tarpit::read(keys),
            proxies: keys.value(
                "proxies",
                "[]",
                "Addresses or networks that begin each connection with the PROXY protocol (version 1 or 2)\n\
                 and are believed. Nobody else is.",
                |value| form::list(value, "a list of networks,", network),
            ),
            book: keys.optional(
                "book",
                r#""unix:/run/unmasq/control.sock""#,
                "Whose book knows the client when a gateway masquerades: \"unix:/path\" of a recorder's\n\
                 control socket, or \"tls://gateway:port\". What it answers is written beside the address\n\
                 that connected.",
                form::parsed,
            ),
            book_identity: book_identity(keys),
            hash_passwords: keys.value(
                "hash_passwords",
                "false",
                "Write a keyed hash of each password in its place: the same password is known again, and a\n\
                 user's slip is not stored. The key is beside the host keys.",
                form::boolean,
            ),
            threads: keys.optional(
                "threads",
                "2",
                "Threads that serve clients. Without it: as many as there are processors.",
                form::number(1..=64),
            ),
            user: keys.optional(
                "user",
                r#""unmasq""#,
                "The user that the honeypot becomes once it listens. Without it: \"unmasq\" if there is such\n\
                 an account, else \"nobody\".",
                form::name,
            ),
        }
    }
}

impl Outputs {
    fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            json: keys.optional(
                "json",
                r#""/var/log/unmasq/honeypot.json""#,
                "File for what happened, a JSON object a line: each attempt, and the end of each connection.\n\
                 `unmasq honeypot report` reads it.",
                form::path,
            ),
            eve: keys.optional(
                "eve",
                r#""/var/log/unmasq/honeypot-eve.json""#,
                "File for the same as Suricata's EVE events: `ssh` as Suricata writes it, and `ssh_auth`.",
                form::path,
            ),
            file_size: keys.value(
                "file_size",
                r#""100MiB""#,
                "A file that is as large as this is put aside and begun anew.",
                form::size(1 << 16..=1 << 40),
            ),
            files: keys.value(
                "files",
                "9",
                "How many full files are kept of each: honeypot.json.1 is the newest. 0 keeps none.",
                form::number(0..=9999),
            ),
            log: keys.optional(
                "log",
                r#""journal""#,
                "Tell the system's log of each attempt, too: \"journal\" or \"syslog\".",
                log,
            ),
            set: set(keys),
            set_timeout: keys.value(
                "set_timeout",
                r#""1d""#,
                "How long an address stays in the set.",
                form::duration(SET_TIMEOUT),
            ),
            allow: keys.value(
                "allow",
                "[]",
                "Addresses and networks that never go into the set. Addresses of this host never do.",
                |value| form::list(value, "a list of networks,", network),
            ),
            metrics: keys.optional(
                "metrics",
                r#""127.0.0.1:9322""#,
                "Address and port at which metrics are offered for Prometheus. Without it: nowhere.",
                form::socket_address,
            ),
        }
    }
}

impl Bounds {
    fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            connections: keys.value(
                "connections",
                "10000",
                "Most connections at once; more are turned away as sshd does.",
                form::number(1..=1_000_000),
            ),
            connections_by_address: keys.value(
                "connections_by_address",
                "100",
                "Most connections at once of one IPv4 address, or one IPv6 network of 64 bits.",
                form::number(1..=1_000_000),
            ),
            grace: keys.value(
                "grace",
                r#""2m""#,
                "How long a connection may last (LoginGraceTime of sshd).",
                form::duration(Duration::from_secs(1)..=DAY),
            ),
            attempts: keys.optional(
                "attempts",
                "6",
                "Attempts of one connection (MaxAuthTries of sshd). Without it: as many as the captured server\n\
                 allows.",
                form::number(1..=1000),
            ),
            bytes: keys.value(
                "bytes",
                r#""1MiB""#,
                "Most bytes that are read of one connection.",
                form::size(64 << 10..=1 << 30),
            ),
            delay: keys.optional(
                "delay",
                r#""0s""#,
                "How long each refusal takes. Without it: as long as the captured server takes.",
                form::duration(DELAY),
            ),
        }
    }
}

impl Tarpit {
    fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            after: keys.optional(
                "tarpit_after",
                "100",
                "A source that has tried so often is held up: a line of nonsense every ten seconds in place\n\
                 of a server. Without it: none is for its attempts.",
                form::number(0..=1_000_000_000),
            ),
            networks: keys.value(
                "tarpit_networks",
                "[]",
                "Networks whose connections are held up from the first on.",
                |value| form::list(value, "a list of networks,", network),
            ),
            software: keys.value(
                "tarpit_software",
                "[]",
                "Clients whose software version begins so, such as [\"libssh\", \"Go\"], get each answer late.",
                |value| form::list(value, "a list of texts,", form::text),
            ),
            connections: keys.value(
                "tarpit_connections",
                "1000",
                "Most connections that are held up at once; others are served as usual.",
                form::number(0..=1_000_000),
            ),
            time: keys.value(
                "tarpit_time",
                r#""1h""#,
                "How long a connection is held up, at most.",
                form::duration(Duration::from_secs(1)..=7 * DAY),
            ),
        }
    }
}

/// A word for one of the system's logs.
fn log(value: &DeValue<'_>) -> Result<journal_log::Target, Refused> {
    let is_journal = form::choice(&[("journal", true), ("syslog", false)])(value)?;
    Ok(if is_journal {
        journal_log::Target::Journal(journal_log::NATIVE.into())
    } else {
        journal_log::Target::Syslog(journal_log::SYSLOG.into())
    })
}

/// Two keys of which one names the set.
fn set(keys: &mut Section<'_, '_>) -> Option<SetName> {
    let named = |kind| {
        move |value: &DeValue<'_>| {
            SetName::parse(kind, &form::text(value)?).map_err(|error| Refused::from(error.to_string()))
        }
    };
    let nft = keys.optional(
        "set",
        r#""inet filter attackers""#,
        "A set of nftables that each IPv4 address that tried something is put into: family, table, name.\n\
                 IPv6 addresses go into the set of that name with a 6 (in table ip6, where the family is ip).",
        named(SetKind::Nft),
    );
    let ipset = keys.optional("ipset", r#""attackers""#, "The same as an ipset.", named(SetKind::Ipset));
    nft.or(ipset)
}

/// Three keys that go together.
fn book_identity(keys: &mut Section<'_, '_>) -> Option<Identity> {
    let mut file = |name, sample, help| keys.optional(name, sample, help, form::path);
    let certificate = file(
        "book_certificate",
        r#""/etc/unmasq/honeypot.pem""#,
        "PEM file of our certificate, for a book over TLS.",
    );
    let key = file("book_key", r#""/etc/unmasq/honeypot.key""#, "PEM file of its private key.");
    let authority = file(
        "book_authority",
        r#""/etc/unmasq/gateways.pem""#,
        "PEM file of the authority that the gateway's certificate comes from.",
    );
    if let (Some(certificate), Some(key), Some(authority)) = (certificate, key, authority) {
        return Some(Identity { certificate, key, authority });
    }
    for name in ["book_certificate", "book_key", "book_authority"] {
        for because in ["book_certificate", "book_key", "book_authority"] {
            if name != because {
                keys.need(name, because);
            }
        }
    }
    None
}

/// A network, or an address.
fn network(value: &DeValue<'_>) -> Result<IpNet, Refused> {
    target(&form::text(value)?).map_err(Refused::from)
}
