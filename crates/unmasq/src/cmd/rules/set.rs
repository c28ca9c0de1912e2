//! `unmasq rules set`: elements of sets and maps, whose types are checked before the kernel is asked.

mod by_netlink;
mod by_nft;
mod element;
mod place;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use unmasq_diagnostic::units;
use unmasq_netfilter::ipset::LONGEST_TIMEOUT;

use self::element::Wanted;
use self::place::{Found, Table};
use crate::failure::Outcome;

/// Add, remove and list elements of sets and maps (nftables), and of ipsets
///
/// The elements are checked against the set's type first: a wrong one changes nothing. TABLE is `inet:filter` (or 'inet filter' in
/// quotes), `filter` where only one family has a table of that name, or `ipset`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Elements, as nft writes them:
  192.0.2.1  2001:db8::1         an address
  192.0.2.0/24  192.0.2.1-192.0.2.9   a network, a range: in a set with `flags interval`
  443  8000-8099                 a port, a range of ports
  eth0                           an interface
  192.0.2.1:443  '192.0.2.1 . 443'    an address with a port ([2001:db8::1]:443)
  'eth0:jump LOintra'            in a map: the key, a colon, and what it gives; a colon between blanks if the key has some
To remove from a map, the key is enough.

Exit status: 0 it is as wanted, also if it was so before; 1 the kernel refused an element; 2 wrong usage, an element of the wrong \
type, or no such set.

Examples:
  unmasq rules set add inet:filter admins 192.0.2.7 198.51.100.0/24
  unmasq rules set add filter bans 203.0.113.9 --timeout 1h
  unmasq rules set add inet:filter jump_map 'eth0:jump LOintra'
  unmasq rules set remove inet:filter jump_map eth0
  unmasq rules set list ipset f2b-sshd --json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add elements; one that is there gets the new timeout, or in a map the new value
    Add {
        #[command(flatten)]
        place: Place,
        /// The elements
        #[arg(required = true, value_name = "ELEMENT")]
        elements: Vec<String>,
        /// For how long they stay, in a set with `flags timeout`: 90s, 15m, 1h30m [default: what the set says]
        #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
        timeout: Option<Duration>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove elements
    Remove {
        #[command(flatten)]
        place: Place,
        /// The elements
        #[arg(required = true, value_name = "ELEMENT")]
        elements: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List what a set holds
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The table: inet:filter, filter; or ipset
    #[arg(value_name = "TABLE")]
    table: Table,
    /// The set or map
    #[arg(value_name = "SET")]
    set: String,
}

/// What is to become of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// For a time; `None` for the set's own.
    Add(Option<Duration>),
    Remove,
}

/// What became of an element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Fate {
    Added,
    /// It was there before; its timeout is the new one.
    WasThere,
    /// It was there before, and the map gave something else for it.
    Changed,
    Removed,
    WasNotThere,
    Refused {
        reason: String,
    },
}

/// An element that a set holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Held {
    element: String,
    /// What a map gives for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Seconds that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_seconds: Option<u64>,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Add { place, elements, timeout, json } => {
            let found = Found::find(&place.table, &place.set)?;
            if let Some(timeout) = timeout {
                check_timeout(&found, *timeout)?;
            }
            let wanted = checked(&found, elements, true)?;
            let fates = match &found {
                Found::Nft(set) if !set.is_of_addresses() => by_nft::add(set, &wanted, *timeout)?,
                _ => by_netlink::change(&found, &wanted, Doing::Add(*timeout))?,
            };
            report(&found, &wanted, &fates, *json)
        }
        Command::Remove { place, elements, json } => {
            let found = Found::find(&place.table, &place.set)?;
            let wanted = checked(&found, elements, false)?;
            let fates = match &found {
                Found::Nft(set) if !set.is_of_addresses() => by_nft::remove(set, &wanted)?,
                _ => by_netlink::change(&found, &wanted, Doing::Remove)?,
            };
            report(&found, &wanted, &fates, *json)
        }
        Command::List { place, json } => {
            let found = Found::find(&place.table, &place.set)?;
            let held = match &found {
                Found::Nft(set) if !set.is_of_addresses() => by_nft::list(set)?,
                _ => by_netlink::list(&found)?,
            };
            list(&held, *json)
        }
    }
}

/// nft would take 0 for "at once", and ipset for "for ever".
fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = units::parse_duration(text).map_err(|error| error.to_string())?;
    if timeout.is_zero() {
        return Err(
            "an element cannot be there for no time; leave it out for the set's own timeout".to_owned()
        );
    }
    Ok(timeout)
}

/// Can elements of this set have this timeout?
fn check_timeout(found: &Found, timeout: Duration) -> anyhow::Result<()> {
    let of_set = match found {
        Found::Nft(_) => "`flags timeout`",
        Found::Ipset { .. } => "`timeout`",
    };
    if !found.has_timeout() {
        bail!("{found} knows no timeouts: it was made without {of_set}");
    }
    if matches!(found, Found::Ipset { .. }) && timeout > LONGEST_TIMEOUT {
        let most = units::format_duration(LONGEST_TIMEOUT);
        bail!(
            "{found} keeps no element for longer than {most}, the most of every ipset; give a shorter time"
        );
    }
    Ok(())
}

/// All of them, or what is wrong with those that are wrong.
fn checked(found: &Found, elements: &[String], is_addition: bool) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted: Vec<Wanted> = Vec::with_capacity(elements.len());
    let mut wrong = Vec::new();
    for text in elements {
        match found.check(text, is_addition) {
            // No element comes twice in a transaction.
            Ok(element) if wanted.iter().any(|known| known.key == element.key) => {}
            Ok(element) => wanted.push(element),
            Err(message) => wrong.push(format!("{text:?} cannot be in {found}: {message}")),
        }
    }
    if wrong.is_empty() { Ok(wanted) } else { bail!("{}; nothing was changed", wrong.join("; ")) }
}

fn report(found: &Found, wanted: &[Wanted], fates: &[Fate], json: bool) -> Outcome {
    let mut out = anstream::stdout();
    if json {
        let entry = |(wanted, fate): (&Wanted, &Fate)| {
            let mut entry = serde_json::to_value(fate)?;
            entry["element"] = wanted.key.clone().into();
            Ok::<_, serde_json::Error>(entry)
        };
        let entries = wanted.iter().zip(fates).map(entry).collect::<Result<Vec<_>, _>>()?;
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
    } else {
        for (Wanted { key, .. }, fate) in wanted.iter().zip(fates) {
            match fate {
                Fate::Added => writeln!(out, "{key}: added to {found}")?,
                Fate::WasThere => writeln!(out, "{key}: was in {found} already")?,
                Fate::Changed => writeln!(out, "{key}: changed in {found}")?,
                Fate::Removed => writeln!(out, "{key}: removed from {found}")?,
                Fate::WasNotThere => writeln!(out, "{key}: was not in {found}")?,
                Fate::Refused { reason } => {
                    writeln!(anstream::stderr(), "{key}: refused by {found}: {reason}")?;
                }
            }
        }
    }
    Ok(ExitCode::from(u8::from(fates.iter().any(|fate| matches!(fate, Fate::Refused { .. })))))
}

fn list(held: &[Held], json: bool) -> Outcome {
    let mut out = anstream::stdout();
    if json {
        serde_json::to_writer_pretty(&mut out, held)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = |text: &dyn Fn(&Held) -> usize| held.iter().map(text).max().unwrap_or(0);
    let keys = width(&|held| held.element.chars().count());
    let values = width(&|held| held.value.as_ref().map_or(0, |value| value.chars().count()));
    for Held { element, value, expires_seconds } in held {
        let value = value.as_deref().unwrap_or_default();
        let expires = expires_seconds
            .map(|seconds| format!("for {} more", units::format_duration(Duration::from_secs(seconds))));
        let line = format!("{element:<keys$}  {value:<values$}  {}", expires.unwrap_or_default());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
