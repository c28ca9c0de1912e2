//! `unmasq honeypot` itself.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ipnet::IpNet;
use unmasq_watch::client::remote::Place;
use unmasq_watch::enforce::{SetKind, SetName};
use unmasq_watch::journal_log;

use crate::config::{Config, DELAY, Honeypot as Settings, SET_TIMEOUT, units};
use crate::failure::{Failure, Outcome};
use crate::honeypot::{Honeypot, Style};
use crate::watch::target;
use crate::wishes::Wishes;

/// Where attempts are written unless told otherwise: standard output.
const STDOUT: &str = "-";

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// Take everything from the section `honeypot` of this configuration file, but what other flags say
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; repeatable. `[::]` is every address of IPv4 and IPv6 [default: `[::]:2222`]
    #[arg(long, short, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Take connections that TPROXY brings here, whatever address they were meant for
    #[arg(long)]
    transparent: bool,
    /// File for attempts and connections, a JSON object a line; `-` for standard output [default: -]
    #[arg(long, short, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File for the same as Suricata's EVE events
    #[arg(long, value_name = "FILE")]
    eve: Option<PathBuf>,
    /// Tell the system's log of each attempt, too
    #[arg(long, value_name = "LOG", value_enum)]
    log: Option<LogArg>,
    /// Put each address that tries something into this set of nftables, such as 'inet filter attackers'
    #[arg(long, value_name = "SET", value_parser = |text: &str| SetName::parse(SetKind::Nft, text))]
    set: Option<SetName>,
    /// The same as an ipset
    #[arg(long, value_name = "NAME", conflicts_with = "set", value_parser = |text: &str| SetName::parse(SetKind::Ipset, text))]
    ipset: Option<SetName>,
    /// How long an address stays in the set
    #[arg(long, value_name = "TIME", value_parser = |text: &str| within(text, &SET_TIMEOUT))]
    set_timeout: Option<Duration>,
    /// Address or network that never goes into the set; repeatable
    #[arg(long, value_name = "NETWORK", value_parser = target)]
    allow: Vec<IpNet>,
    /// Write a keyed hash of each password in its place
    #[arg(long)]
    hash_passwords: bool,
    /// The server that it looks like: a file of `unmasq honeypot capture` [default: OpenSSH 9.2p1 of Debian 12]
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Folder of the host keys, made at the first start [default: /var/lib/unmasq/honeypot]
    #[arg(long, value_name = "DIR")]
    host_keys: Option<PathBuf>,
    /// Address or network that begins connections with the PROXY protocol and is believed; repeatable
    #[arg(long, value_name = "NETWORK", value_parser = target)]
    proxy: Vec<IpNet>,
    /// Whose book knows the client when a gateway masquerades: unix:/path of a recorder's control socket
    #[arg(long, value_name = "PLACE")]
    book: Option<Place>,
    /// Hold up a source after so many attempts
    #[arg(long, value_name = "ATTEMPTS")]
    tarpit_after: Option<u32>,
    /// How long each refusal takes, such as 0s [default: as long as the captured server takes]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| within(text, &DELAY))]
    delay: Option<Duration>,
    /// Most connections at once [default: 10000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: Option<u32>,
    /// Most connections at once of one address [default: 100]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections_by_address: Option<u32>,
    /// Threads that serve [default: one a processor]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Option<u32>,
    /// Offer metrics for Prometheus here
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Account to become once it listens [default: unmasq, or nobody if there is no such account]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogArg {
    Journal,
    Syslog,
}

/// A time that the configuration takes, too.
fn within(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = units::parse_duration(text).map_err(|error| error.to_string())?;
    if range.contains(&time) {
        return Ok(time);
    }
    let [least, most] = [range.start(), range.end()].map(|end| units::format_duration(*end));
    Err(format!("must be {least} to {most}"))
}

/// Runs it.
pub(super) fn run(args: &RunArgs) -> Outcome {
    let settings = settings(args)?;
    serve(&settings, Style::Own)
}

/// Serves with these settings until asked to stop.
pub(crate) fn serve(settings: &Settings, style: Style) -> Outcome {
    let wishes = Wishes::of_signals()?;
    let honeypot = Honeypot::start(settings, style)?;
    honeypot.run(&wishes).map_err(|error| Failure::with_exit(1, error))?;
    Ok(ExitCode::SUCCESS)
}

/// What the file says (the defaults without one), and the flags over it.
fn settings(args: &RunArgs) -> Result<Settings, Failure> {
    let mut settings = match &args.config {
        Some(file) => {
            let settings = Config::load(file)?.honeypot;
            if settings.listen.is_empty() && args.listen.is_empty() {
                let told = format!(
                    "{}: [honeypot] has no `listen`; write it there, or give --listen",
                    file.display()
                );
                return Err(anyhow::anyhow!(told).into());
            }
            settings
        }
        None => Settings { listen: vec![([0_u16; 8], 2222).into()], ..Config::default().honeypot },
    };
    if !args.listen.is_empty() {
        settings.listen.clone_from(&args.listen);
    }
    settings.transparent |= args.transparent;
    settings.hash_passwords |= args.hash_passwords;
    settings.proxies.extend(&args.proxy);
    let Settings { outputs, bounds, tarpit, host_keys, profile, book, threads, user, .. } = &mut settings;
    outputs.allow.extend(&args.allow);
    replace(host_keys, args.host_keys.as_ref());
    replace(&mut outputs.set_timeout, args.set_timeout.as_ref());
    replace(&mut bounds.connections, args.connections.as_ref());
    replace(&mut bounds.connections_by_address, args.connections_by_address.as_ref());
    replace_optional(profile, args.profile.as_ref());
    replace_optional(book, args.book.as_ref());
    replace_optional(threads, args.threads.as_ref());
    replace_optional(user, args.user.as_ref());
    replace_optional(&mut outputs.json, args.json.as_ref());
    replace_optional(&mut outputs.eve, args.eve.as_ref());
    replace_optional(&mut outputs.set, args.set.as_ref().or(args.ipset.as_ref()));
    replace_optional(&mut outputs.metrics, args.metrics.as_ref());
    replace_optional(&mut outputs.log, args.log.map(LogArg::target).as_ref());
    replace_optional(&mut bounds.delay, args.delay.as_ref());
    replace_optional(&mut tarpit.after, args.tarpit_after.as_ref());
    if outputs.json.is_none() && outputs.eve.is_none() && outputs.log.is_none() {
        outputs.json = Some(STDOUT.into());
    }
    if let (Some(json), Some(eve)) = (&settings.outputs.json, &settings.outputs.eve)
        && json == eve
    {
        let told = format!(
            "{} is named for attempts and for EVE events; give each a file of its own",
            json.display()
        );
        return Err(anyhow::anyhow!(told).into());
    }
    Ok(settings)
}

fn replace<T: Clone>(place: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        *place = given.clone();
    }
}

fn replace_optional<T: Clone>(place: &mut Option<T>, given: Option<&T>) {
    if given.is_some() {
        *place = given.cloned();
    }
}

impl LogArg {
    fn target(self) -> journal_log::Target {
        match self {
            Self::Journal => journal_log::Target::Journal(journal_log::NATIVE.into()),
            Self::Syslog => journal_log::Target::Syslog(journal_log::SYSLOG.into()),
        }
    }
}
