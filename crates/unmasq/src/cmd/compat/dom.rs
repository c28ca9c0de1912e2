//! `unmasq compat dom`: DOM's flags, run by the watch.
//!
//! ```text
//!  -f -s -n -m -i -l -v ──► Divert ──► a watch's configuration ──► the engine of every watch
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgAction;
use unmasq_netfilter::ipset;
use unmasq_netfilter::sets::SetId;
use unmasq_watch::journal_log::Level;

use crate::cmd::watch::run::{run_watch, run_watch_then};
use crate::detach;
use crate::failure::Outcome;
use crate::watch::build::Origin;
use crate::watch::divert::{Divert, Events, Sets, Told};

/// Put SSH clients into a set by their software, as DOM (Deny On Monitoring) does
///
/// Follows Suricata's events from the start of the file, and adds the source of each SSH connection to a set of nftables (-n) or an ipset
/// if the client's software version matches.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_long_help = "\
Otherwise than DOM:
  Rotation and emptying of the file are followed, half lines are waited for, and events without a client do not end it.
  What is in the set is known: the kernel is not asked for each event. What somebody flushes is put back.
  The state is kept (--storage): a new start goes on in the file where the last one ended, and puts back what was in the set.
  IPv6 clients go into a set of their own: for `-n filter` the one of the same name in `ip6 filter`, else SET6. If it is not there, that is \
logged, and they are not diverted.
  Addresses of this host and those that stand for others (NAT gateways, proxies) are never added.
  -D starts the program anew, detached, in place of forking, and returns when it runs, or with its status when it cannot. From then on \
nothing is told at the terminal: name a file with -l.
  Without -l, lines go to standard error without time and level.

`unmasq watch divert` has time-outs, an allow list, and needs no Suricata.

Exit status: 0 stopped as asked; 1 it failed; 2 wrong usage.

Examples:
  unmasq compat dom -n 'inet filter' -s libssh -v -v -l /var/log/dom.log -D
  unmasq compat dom -f eve.json -i -m OpenSSH"
)]
pub(crate) struct Args {
    /// JSON file to watch for events
    #[arg(short, long, value_name = "FILE", default_value = "/var/log/suricata/eve.json")]
    file: PathBuf,
    /// Set that addresses are put into: an ipset, or with -n one of nftables
    #[arg(short = 's', long, value_name = "SET", default_value = "Sofitel")]
    ipset: String,
    /// Table of nftables that has the set: `filter`, `inet filter`
    #[arg(short, long, value_name = "TABLE")]
    nftables: Option<String>,
    /// Regular expression that the client's software version begins with
    #[arg(short, long, value_name = "REGEX", default_value = "libssh")]
    motif: String,
    /// Add clients that do not match
    #[arg(short, long)]
    invert: bool,
    /// Tell more: warnings, additions, everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Log to this file
    #[arg(short, long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Run in the background
    #[arg(short = 'D', long)]
    daemon: bool,
    /// Directory of the state [default: one for each set in /var/lib/unmasq/dom]
    #[arg(long, value_name = "DIR", help_heading = "What DOM has not")]
    storage: Option<PathBuf>,
}

impl Args {
    fn divert(&self) -> anyhow::Result<Divert> {
        let sets = if let Some(table) = &self.nftables {
            let set: SetId = format!("{} {}", table.trim(), self.ipset).parse()?;
            Sets::nft(&set, None)?
        } else {
            let name: ipset::Name = self.ipset.parse()?;
            Sets::ipset(&name, None)?
        };
        let storage = match &self.storage {
            Some(folder) => std::path::absolute(folder)?,
            None => Path::new("/var/lib/unmasq/dom").join(self.own_name()),
        };
        let level = match self.verbose {
            0 => Level::Err,
            1 => Level::Warning,
            2 => Level::Info,
            _ => Level::Debug,
        };
        Ok(Divert {
            events: Events::File { path: std::path::absolute(&self.file)?, from_start: true },
            sets,
            pattern: anchored(&self.motif),
            is_inverted: self.invert,
            timeout: None,
            allow: Vec::new(),
            masking: Vec::new(),
            prefix6: 128,
            control: storage.join("control.sock"),
            storage,
            log: Told {
                identifier: "DOM",
                is_journal: false,
                file: self.log.as_deref().map(std::path::absolute).transpose()?,
                level,
            },
        })
    }

    /// A name of its own for each set, so that several can run beside each other.
    fn own_name(&self) -> String {
        let words = self.nftables.iter().flat_map(|table| table.split_whitespace());
        let words: Vec<&str> = words.chain([self.ipset.as_str()]).collect();
        words.join("-").replace('/', "_")
    }
}

/// Python's `re.match` looks at the beginning only. Flags of the whole expression stay at its beginning.
fn anchored(motif: &str) -> String {
    let flags = motif.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    let is_flags = |flags: &str| !flags.is_empty() && flags.bytes().all(|flag| b"aiLmsux".contains(&flag));
    let (flags, rest) = match flags {
        Some((flags, rest)) if is_flags(flags) => (flags, rest),
        _ => ("", motif),
    };
    let all = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
    // With the flag x, what is behind a # would hide the bracket.
    let end = if flags.contains('x') { "\n" } else { "" };
    format!("{all}\\A(?:{rest}{end})")
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let text = args.divert()?.configuration();
    let origin = Origin::Made { name: "the configuration of compat dom".into(), text };
    // A log that cannot be written is found now: in the background there is nobody to tell.
    let log = args.log.as_deref().map(open_log).transpose()?;
    if !args.daemon {
        return run_watch(origin, None);
    }
    match detach::detach_when_started()? {
        detach::Side::Parent(status) => Ok(status),
        detach::Side::Daemon => run_watch_then(origin, None, || detach::started(log.as_ref())),
    }
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let log = File::options().append(true).create(true).open(path);
    log.with_context(|| format!("cannot write to the log {}", path.display()))
}

#[cfg(test)]
mod tests {
    use unmasq_dialect::Pattern;

    use super::*;

    #[test]
    fn a_motif_matches_where_re_match_does() {
        // (motif, text, what Python 3.11 says of re.match(motif, text))
        for (motif, text, is_match) in [
            ("libssh", "libssh_0.10.6", true),
            ("libssh", "my libssh", false),
            ("a|libssh", "libssh2_1.8", true),
            ("a|b", "xb", false),
            ("(?i)LIBSSH", "libssh", true),
            ("(?m)b", "a\nb", false),
            ("(?x)lib # ssh", "libfoo", true),
            ("(?:a)b", "ab", true),
            ("", "anything", true),
        ] {
            let pattern = Pattern::new(&anchored(motif)).unwrap();
            assert_eq!(pattern.is_match(text).unwrap(), is_match, "{motif} {text}");
        }
    }

    #[test]
    fn each_set_has_a_state_of_its_own() {
        let args = |table: Option<&str>, set: &str| Args {
            file: "eve.json".into(),
            ipset: set.into(),
            nftables: table.map(Into::into),
            motif: "libssh".into(),
            invert: false,
            verbose: 0,
            log: None,
            daemon: false,
            storage: None,
        };
        let storage = |table, set| args(table, set).divert().unwrap().storage;
        assert_eq!(storage(None, "Sofitel"), Path::new("/var/lib/unmasq/dom/Sofitel"));
        assert_eq!(storage(Some("inet filter"), "a"), Path::new("/var/lib/unmasq/dom/inet-filter-a"));
        assert!(args(Some("inet filter"), "a b").divert().is_err());
        assert!(args(None, "../a").divert().unwrap().storage.ends_with("dom/.._a"));
    }
}
