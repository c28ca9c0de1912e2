//! `unmasq plan adopt`: take over the files that eduVPN's script has left.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use unmasq_plan::history::{HistoryWriter, RulesFolder};

use super::spec::PlaceArgs;
use crate::failure::Outcome;
use crate::plan::moment;
use crate::plan::owner::share;

/// Take over the files rules.v4.TIME of eduVPN's vpn-generate-natfw
///
/// They are copied into the history, each in force from its time until the next one's. Done again, it takes over what is new. A file that
/// cannot be read is taken over as a gap: without it, the one before it would seem to have been in force for longer.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 all were taken over; 2 wrong usage, or a file does not fit into the history; 5 some could not be read.

Examples:
  unmasq plan adopt /etc/iptables
  unmasq trace 192.0.2.1:65300 --at 2020-12-26T13:37:42Z --proto tcp

To ask a folder without taking it over: unmasq trace … --plan /etc/iptables")]
pub(crate) struct Args {
    /// The folder, such as /etc/iptables
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let folder = RulesFolder::open(&args.directory)?;
    let directory = args.place.plan()?.history;
    let mut writer = HistoryWriter::open(&directory)?;
    share(&directory)?;
    let adopted = writer.adopt(&folder, moment::now().wall)?;
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "history": directory,
            "known": adopted.known,
            "files": adopted.files.iter().map(|f| json!({
                "file": f.path, "revision": f.number, "clients": f.clients, "damage": f.damage,
                "other_rules": f.others.iter().map(|o| json!({ "line": o.line, "text": o.text })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        for file in &adopted.files {
            writeln!(
                out,
                "revision {:>4}  {:>6} clients  {}",
                file.number,
                file.clients,
                file.path.display()
            )?;
            if let Some(damage) = &file.damage {
                writeln!(out, "               cannot be read, so its time is a gap: {damage}")?;
            }
            for other in &file.others {
                writeln!(
                    out,
                    "               line {} translates sources in another way: {}",
                    other.line, other.text
                )?;
            }
        }
        writeln!(
            out,
            "{} files taken over into {}, {} were there already",
            adopted.files.len(),
            directory.display(),
            adopted.known
        )?;
    }
    let is_whole = adopted.files.iter().all(|file| file.damage.is_none());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(5) })
}
