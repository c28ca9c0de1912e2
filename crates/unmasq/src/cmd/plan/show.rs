//! `unmasq plan show`: who would get which ports, and how that differs from the plan in force.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use unmasq_plan::{Allocation, Move, Plan, Spec};

use super::spec::{SpecArgs, in_force, warn};
use super::table;
use crate::failure::Outcome;

/// Show who would get which ports, and what that changes; nothing is touched
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With the layout even, clients of the plan in force (--history) keep their ports as long as there is room.

Exit status: 0 shown; 2 wrong usage or configuration, or the plan does not fit.

Examples:
  unmasq plan show --network 192.168.101.0/24 --public 203.0.113.1
  unmasq plan show --network 10.8.0.0/22 10.9.0.0/24 --public 203.0.113.0/30 --all")]
pub(crate) struct Args {
    /// List every client
    #[arg(long)]
    all: bool,
    /// As if nobody had ports yet
    #[arg(long)]
    renumber: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spec: SpecArgs,
}

/// A plan, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    layout: &'static str,
    ports_per_client: u32,
    clients: usize,
    public_addresses: Vec<String>,
    overflow: Option<String>,
    allocations: Vec<AllocationReport>,
    added: usize,
    moved: usize,
    removed: usize,
    unchanged: usize,
}

/// Who has what, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct AllocationReport {
    client: String,
    public: String,
    first_port: u16,
    last_port: u16,
    protocols: Vec<String>,
}

impl From<&Allocation> for AllocationReport {
    fn from(allocation: &Allocation) -> Self {
        Self {
            client: allocation.client.to_string(),
            public: allocation.block.address.to_string(),
            first_port: allocation.block.ports.first(),
            last_port: allocation.block.ports.last(),
            protocols: allocation.protocols.iter().map(|p| p.to_string()).collect(),
        }
    }
}

/// Who moves, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct MoveReport {
    client: String,
    from: String,
    to: String,
}

impl From<&Move> for MoveReport {
    fn from(moved: &Move) -> Self {
        Self { client: moved.client.to_string(), from: moved.from.to_string(), to: moved.to.to_string() }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let wanted = args.spec.wanted()?;
    let (spec, warnings) = wanted.resolve()?;
    warn(&warnings);
    let former = in_force(&wanted)?;
    let plan = wanted.make(&spec, former.as_ref().filter(|_| !args.renumber))?;
    let changes = former.as_ref().unwrap_or(&Plan::default()).changes_to(&plan);
    let mut out = anstream::stdout();
    if args.json {
        let report = Report {
            layout: plan.layout.word(),
            ports_per_client: plan.ports_per_client,
            clients: plan.client_count(),
            public_addresses: plan.public_addresses().iter().map(ToString::to_string).collect(),
            overflow: plan.overflow.map(|block| block.to_string()),
            allocations: plan.allocations.iter().map(AllocationReport::from).collect(),
            added: changes.added.len(),
            moved: changes.moved.len(),
            removed: changes.removed.len(),
            unchanged: changes.unchanged,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{} clients with {} ports each, of {} public address{} (layout {})",
        plan.client_count(),
        plan.ports_per_client,
        plan.public_addresses().len(),
        if plan.public_addresses().len() == 1 { "" } else { "es" },
        plan.layout.word()
    )?;
    if let Some(room) = room(&spec, &plan) {
        writeln!(out, "{room}")?;
    }
    if let Some(overflow) = plan.overflow {
        writeln!(out, "overflow: {overflow}, shared and logged")?;
    }
    if former.is_some() {
        writeln!(out, "against the plan in force: {}", table::counts(&changes))?;
    }
    writeln!(out)?;
    let most = if args.all { usize::MAX } else { table::MOST_SHOWN };
    table::allocations(&mut out, &plan.allocations, most)?;
    if plan.ports_per_client < FEW {
        eprintln!(
            "unmasq: {} ports are few: a web page can open that many connections",
            plan.ports_per_client
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Fewer ports than this are felt by people (RFC 7422 and 6888 leave the number open; browsers do not).
const FEW: u32 = 64;

/// For how many more clients there is room.
fn room(spec: &Spec, plan: &Plan) -> Option<String> {
    let public: usize = spec.public.iter().map(|range| range.addresses().count()).sum();
    let blocks = spec.space().blocks(plan.ports_per_client.max(1)) as usize * public;
    let free = blocks.checked_sub(plan.client_count())?;
    (plan.layout == unmasq_plan::Layout::Even)
        .then(|| format!("room for {free} more clients before anyone has to move"))
}
