//! Makes a history of many port plans, for benches of look-ups in one.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use unmasq_flow::Timestamp;
use unmasq_plan::history::{Format, HistoryWriter, Moment, NewRevision};
use unmasq_plan::{ClientNetwork, EVEN_PORTS, Layout, Spec};

/// Writes a history in which every revision gives two clients each other's ports, an hour apart
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-plans", version)]
struct Args {
    /// Folder of the history
    directory: PathBuf,
    /// The clients, with ports of 203.0.113.1
    #[arg(long, default_value = "100.64.0.0/18")]
    network: ClientNetwork,
    /// How many plans
    #[arg(long, default_value_t = 5_000)]
    revisions: u64,
    /// When the first came into force, as a Unix time
    #[arg(long, default_value_t = 1_600_000_000)]
    since: i64,
}

fn main() -> ExitCode {
    match write(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unmasq-lab-plans: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut writer = HistoryWriter::open(&args.directory)?;
    let mut plan = Spec {
        layout: Layout::Even,
        networks: vec![args.network.clone()],
        leave_out: Vec::new(),
        public: vec![Ipv4Addr::new(203, 0, 113, 1).into()],
        ports: EVEN_PORTS,
        exclude: Vec::new(),
        ports_per_client: None,
        growth: 0,
        overflow: None,
    }
    .make(None)?;
    for revision in 0..args.revisions {
        let now = Moment::wall_only(Timestamp::from_seconds(args.since + 3_600 * revision as i64));
        let begun = writer.begin(
            NewRevision {
                plan: &plan,
                // Look-ups read the rows; the rules are for people.
                rules: "# not kept here\n",
                format: Format::Nft,
                keeps_flows: false,
                longest_timeout: Duration::from_secs(432_000),
            },
            now,
        )?;
        writer.applied(begun, now)?;
        let count = plan.allocations.len();
        let (one, other) = (revision as usize % count, (revision as usize + 1) % count);
        let blocks = (plan.allocations[one].block, plan.allocations[other].block);
        (plan.allocations[other].block, plan.allocations[one].block) = blocks;
    }
    Ok(())
}
