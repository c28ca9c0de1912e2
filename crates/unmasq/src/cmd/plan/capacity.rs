//! `unmasq plan capacity`: how many ports a client can have, and how many it needs.

mod json;
mod live;
mod measure;
mod show;

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::value_parser;
use jiff::tz::TimeZone;
use unmasq_plan::capacity::{Advice, Capacity, Chart, Table, Toward};
use unmasq_plan::{ClientNetwork, Layout, PublicRange};
use unmasq_trace::time;

use self::measure::Used;
use super::spec::{SpecArgs, warn};
use crate::failure::Outcome;
use crate::plan::choice::PublicChoice;

/// Blocks whose sufficiency is told, beside those that were asked about.
const SIZES: [u32; 7] = [64, 128, 256, 512, 1024, 2048, 4096];

/// Show how many ports a client can have, and how many it needs
///
/// The table gives the ports that each client gets with the layout `even`, by the number of clients and of public addresses. What
/// clients really use is counted in a ledger: the most ports that each had at once, of the protocol of which it had the most. Linux
/// gives one port to flows toward different servers, so a block is exhausted only by flows toward a single server; that is counted
/// too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status:
  0  shown
  2  wrong usage, or the picture cannot be written
  5  a part of the ledger is damaged or unreadable: what could be read was counted

Examples:
  unmasq plan capacity
      For the plan of the configuration file, and the usual ledger.
  unmasq plan capacity --live
      How full each client's range is now, for the plan in force.
  unmasq plan capacity --clients 253 --addresses 1
  unmasq plan capacity --network 10.8.0.0/21 --public 203.0.113.0/30 --addresses 8 --svg capacity.svg
  unmasq plan capacity --clients 253 --since '1 Nov 2026 00:00' --until '8 Nov 2026 00:00' --tz Europe/Berlin
  unmasq plan capacity --clients 253 --ledger /srv/ledger --json | jq .usage.any")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// Show how full each client's range is now, for the plan in force; those that are 80 % full and more are counted
    #[arg(long, conflicts_with_all = ["clients", "addresses", "ledger", "since", "until", "tz", "svg"])]
    live: bool,
    /// With --live, list every client
    #[arg(long, requires = "live")]
    all: bool,
    /// How many clients there are [default: those of the plan]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1 << 24))]
    clients: Option<u64>,
    /// How many public addresses there could be, beside those of the plan; can be given more than once
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u64).range(1..=65_536))]
    addresses: Vec<u64>,
    /// The ledger to count in [default: /var/lib/unmasq/ledger, if it is there]
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// Count from this time on; without it, from the ledger's beginning
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Count until this time; without it, until now
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The zone of times that name none: an IANA name, UTC, or an offset such as +01:00
    #[arg(long, value_name = "ZONE", value_parser = time::zone)]
    tz: Option<TimeZone>,
    /// Write the picture as an SVG file too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spec: SpecArgs,
}

/// What was asked, by flags and configuration.
struct Question {
    capacity: Capacity,
    clients: Option<u64>,
    /// Numbers of public addresses, ascending.
    public: Vec<u64>,
    /// Ports of each client, if they were said.
    ports_per_client: Option<u32>,
    /// Whose flows are counted; everybody's if empty.
    networks: Vec<ClientNetwork>,
}

/// All that is shown.
struct Answer {
    question: Question,
    table: Table,
    used: Option<Used>,
    advice: Option<Advice>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if args.live {
        return live::run(&args.spec.history()?, args.all, args.json);
    }
    let question = question(args)?;
    let used = measure::measure(args, &question.networks)?;
    let answer = answer(question, used);
    if let Some(path) = &args.svg {
        let svg = answer.chart().svg();
        fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json::value(&answer))?;
        writeln!(out)?;
    } else {
        show::page(&mut out, &answer)?;
        if let Some(path) = &args.svg {
            writeln!(out, "\nthe picture is in {}", path.display())?;
        }
    }
    let damage = answer.used.map_or(Vec::new(), |used| used.damage);
    for what in &damage {
        // Nothing is left to tell if standard error is gone too.
        let _ = writeln!(anstream::stderr(), "unmasq: {what}");
    }
    Ok(if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

/// For a public address that was not given: one of documentation's (RFC 5737).
const STAND_IN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same for a client.
const STAND_IN_CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn question(args: &Args) -> anyhow::Result<Question> {
    let mut wanted = args.spec.wanted()?;
    if wanted.0.layout != Layout::Even {
        warn(&[
            "the table is of the layout even; eduvpn gives each client a power of two below that".to_owned()
        ]);
        wanted.0.layout = Layout::Even;
    }
    // How much room there is can be asked without a plan: what then is not given has a stand-in.
    let has_networks = wanted.0.is_configured();
    if !has_networks {
        wanted.0.networks = vec![ClientNetwork::new(STAND_IN_CLIENT.into())];
    }
    let has_public = !wanted.0.public.is_empty() || (has_networks && args.addresses.is_empty());
    if !has_public {
        wanted.0.public = vec![PublicChoice::Range(PublicRange::from(STAND_IN))];
    }
    let (spec, warnings) = wanted.resolve()?;
    warn(&warnings);
    let planned = Capacity::counts(&spec)?;
    let mut public = args.addresses.clone();
    public.extend(has_public.then_some(planned.public));
    public.sort_unstable();
    public.dedup();
    Ok(Question {
        capacity: Capacity::from(&spec),
        clients: args.clients.or(has_networks.then_some(planned.clients)),
        public,
        ports_per_client: spec.ports_per_client,
        networks: if has_networks { spec.networks } else { Vec::new() },
    })
}

fn answer(mut question: Question, used: Option<Used>) -> Answer {
    let summary = used.as_ref().and_then(|used| used.measured.summary(Toward::Any));
    if question.clients.is_none() {
        // Then those that were seen are meant.
        let seen = used.as_ref().map(|used| used.measured.clients.len() as u64);
        question.clients = seen.filter(|seen| *seen > 0);
    }
    let advice =
        question.clients.zip(summary).map(|(clients, usage)| question.capacity.advise(clients, usage));
    let table = question.capacity.table(question.clients, &question.public);
    Answer { question, table, used, advice }
}

impl Answer {
    fn chart(&self) -> Chart<'_> {
        let usage = self.used.as_ref().and_then(|used| used.measured.summary(Toward::Any));
        Chart::new(&self.question.capacity, &self.table, usage)
    }

    /// Sizes of blocks to tell about: usual ones, those that were asked about, and what is recommended.
    fn sizes(&self) -> Vec<u32> {
        let Question { capacity, clients, public, ports_per_client, .. } = &self.question;
        let given = clients.iter().flat_map(|clients| {
            public.iter().map(move |public| capacity.ports_per_client(*clients, *public))
        });
        let advised = self.advice.map(|advice| advice.ports);
        // Usual sizes up to the first that was enough for everybody.
        let busiest =
            self.used.as_ref().and_then(|used| used.measured.clients.first()).map_or(0, |c| c.any.ports);
        let usual = SIZES.into_iter().take_while(|size| size / 2 < busiest);
        let all = usual.chain(given).chain(*ports_per_client).chain(advised);
        let mut sizes: Vec<u32> = all.filter(|size| *size > 0).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}
