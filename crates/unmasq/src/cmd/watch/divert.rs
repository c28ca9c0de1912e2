//! `unmasq watch divert`: SSH clients into a set by their software.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use unmasq_diagnostic::units;
use unmasq_entry::format::Format;
use unmasq_netfilter::ipset;
use unmasq_netfilter::sets::SetId;
use unmasq_watch::journal_log::Level;

use super::run::run_watch;
use crate::failure::Outcome;
use crate::watch::build::{Origin, Plan};
use crate::watch::divert::{CONTAINING, Divert, Events, Sets, Told};
use crate::watch::sources::Once;

/// Put SSH clients into a set by their software, so that the firewall sends them to a honeypot
///
/// Reads Suricata's events (eve.json of 2.0 to 8.0), or sees connections begin itself (--sensor), and puts the client's address into
/// the set if its software version matches. Addresses of this host, those that stand for others, and --allow are never diverted.
/// It runs the engine of `unmasq watch` with a configuration of its own, which --print-chain prints.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The sets must be there: `unmasq rules piece divert-ssh` brings them with the rule that diverts. For IPv6 there is one beside: of the same \
name in the table of family ip6 where the set's is of family ip, else NAME6.

Exit status: 0 stopped as asked, or the file was read; 1 it failed, or with --once a set did not take a client; 2 wrong usage.

Examples:
  unmasq watch divert --sensor nflog:5 --set 'ip nat libssh'
      No Suricata needed; `unmasq rules piece log-ssh-banner --group 5` prints the rule that feeds it.
  unmasq watch divert --set 'inet filter honeypot' --match '^OpenSSH' --invert --timeout 1w
      Whoever is no OpenSSH, by Suricata's events.
  unmasq watch divert --set 'ip nat libssh' --once eve.json.1
      What is in an older file, and stop.
  unmasq watch bans list --control /run/unmasq/divert.sock
      Who is diverted, until when?

docs/divert-ssh-clients.md shows the whole, with a honeypot.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Args {
    /// Suricata's events, followed through rotation
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/log/suricata/eve.json",
        conflicts_with = "sensor"
    )]
    file: PathBuf,
    /// In place of a file: packets that rules log to a group (nflog:5), or that pass an interface (packet:eth0)
    #[arg(long, value_name = "PLACE")]
    sensor: Option<SensorArg>,
    /// The servers' ports, for the sensor [default: any for nflog, 22 for packet]
    #[arg(long, value_name = "PORTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..), requires = "sensor",
          conflicts_with_all = ["file", "once"])]
    ports: Vec<u16>,
    /// Read what the file has already, if it was never read before
    #[arg(long, conflicts_with = "sensor")]
    from_start: bool,
    /// Read this file to its end, and stop
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sensor", "from_start", "file"])]
    once: Option<PathBuf>,
    #[command(flatten)]
    sets: SetArgs,
    /// Clients in whose software version this regular expression (Python's dialect) is found
    #[arg(long = "match", value_name = "REGEX", default_value = "libssh")]
    pattern: String,
    /// Clients in whose software version it is not found
    #[arg(long)]
    invert: bool,
    /// How long a client is diverted after its last connection that was seen: 90s, 12h, 1d; or `never` for no end
    #[arg(long, value_name = "TIME", default_value = "1d")]
    timeout: Timeout,
    /// Never divert these: addresses, networks, names of hosts
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    allow: Vec<String>,
    /// Nor these, which stand for others: proxies, NAT gateways; what the kernel was seen to translate need not be named
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    masking: Vec<String>,
    /// Bits of an IPv6 address that are diverted together; below 128 the set needs `flags interval`
    #[arg(long, value_name = "BITS", default_value_t = 128, value_parser = clap::value_parser!(u8).range(16..=128))]
    prefix6: u8,
    /// Directory of the state
    #[arg(long, value_name = "DIR", default_value = "/var/lib/unmasq/divert")]
    storage: PathBuf,
    /// The socket at which `unmasq watch bans` asks
    #[arg(long, value_name = "SOCKET", default_value = "/run/unmasq/divert.sock")]
    control: PathBuf,
    /// Tell on standard error, not in the journal
    #[arg(long)]
    stderr: bool,
    /// Print the configuration, for `unmasq watch --config`, and do nothing
    #[arg(long)]
    print_chain: bool,
}

/// The sets.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct SetArgs {
    /// The set of nftables: family, table, name
    #[arg(long, value_name = "SET", conflicts_with = "ipset")]
    set: Option<SetId>,
    /// The one for IPv6 [default: the one beside]
    #[arg(long, value_name = "SET", requires = "set")]
    set6: Option<SetId>,
    /// The ipset
    #[arg(long, value_name = "NAME")]
    ipset: Option<ipset::Name>,
    /// The one for IPv6 [default: NAME6]
    #[arg(long, value_name = "NAME", requires = "ipset")]
    ipset6: Option<ipset::Name>,
}

impl SetArgs {
    fn sets(&self) -> anyhow::Result<Sets> {
        match (&self.set, &self.ipset) {
            (Some(ipv4), _) => Sets::nft(ipv4, self.set6.as_ref()),
            (None, Some(ipv4)) => Sets::ipset(ipv4, self.ipset6.as_ref()),
            (None, None) => anyhow::bail!("name the set with --set or --ipset"),
        }
    }
}

/// How long an address stays in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timeout(Option<Duration>);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let duration = units::parse_duration(text).map_err(|error| error.to_string())?;
        if duration < Duration::from_secs(1) {
            return Err("is less than a second; for no end write `never`".to_owned());
        }
        Ok(Self(Some(duration)))
    }
}

/// Where packets are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SensorArg {
    Nflog(u16),
    Packet(String),
}

impl FromStr for SensorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("nflog", group)) => {
                group.parse().map(Self::Nflog).map_err(|_| format!("{group:?} is no group: write nflog:5"))
            }
            Some(("packet", name)) if !name.is_empty() => Ok(Self::Packet(name.to_owned())),
            _ => Err("write nflog:GROUP or packet:INTERFACE".to_owned()),
        }
    }
}

impl Args {
    fn divert(&self) -> anyhow::Result<Divert> {
        let events = match &self.sensor {
            None => Events::File { path: std::path::absolute(&self.file)?, from_start: self.from_start },
            Some(SensorArg::Nflog(group)) => Events::Nflog { group: *group, ports: self.ports.clone() },
            Some(SensorArg::Packet(name)) => {
                Events::Interface { name: name.clone(), ports: self.ports.clone() }
            }
        };
        Ok(Divert {
            events,
            sets: self.sets.sets()?,
            pattern: self.pattern.clone(),
            is_inverted: self.invert,
            timeout: self.timeout.0,
            allow: self.allow.clone(),
            masking: self.masking.clone(),
            prefix6: self.prefix6,
            storage: std::path::absolute(&self.storage)?,
            control: std::path::absolute(&self.control)?,
            log: Told { identifier: "unmasq", is_journal: !self.stderr, file: None, level: Level::Info },
        })
    }
}

/// Runs it.
pub(super) fn run(args: &Args) -> Outcome {
    let text = args.divert()?.configuration();
    let origin = Origin::Made { name: "the configuration of --print-chain".into(), text: text.clone() };
    if args.print_chain {
        // What is wrong is told now, and not to whom it is handed.
        Plan::of(&origin)?;
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    run_watch(origin, args.once.clone().map(once))
}

/// An EVE file that is read once.
pub(crate) fn once(path: PathBuf) -> Once {
    Once { path, format: Some(Format::JsonLines), containing: Some(CONTAINING.to_owned()) }
}
