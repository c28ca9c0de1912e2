//! Sends flows at the kernel's limit into a firing range that `unmasq-lab-range` holds.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use unmasq_lab::{Blast, Range};

/// Raw batched SYNs and, some flows later, their RSTs: one NEW and one DESTROY event each
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-blast", version)]
struct Args {
    /// Namespace to send from, as `unmasq-lab-range` names it
    #[arg(long)]
    netns: String,
    /// Interface to send out of
    #[arg(long, default_value = "lan")]
    interface: String,
    /// Flows a second; 0: as fast as it goes
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Seconds during which new flows begin
    #[arg(long, required_unless_present = "count")]
    seconds: Option<f64>,
    /// How many flows
    #[arg(long)]
    count: Option<u64>,
    /// Flows alive at a time before the oldest gets its RST; 0: they are left alone
    #[arg(long, default_value_t = 50_000)]
    window: usize,
    /// The first client's address
    #[arg(long, default_value = "100.64.0.1")]
    first_client: Ipv4Addr,
    /// Client addresses, from the first on
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// All clients and ports in turn, instead of by Zipf's law and at random
    #[arg(long)]
    in_turn: bool,
    /// Seed of all that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let defaults = Range::blast();
    let blast = Blast {
        clients: (args.first_client, args.clients),
        zipf: !args.in_turn,
        rate: (args.rate > 0.0).then_some(args.rate),
        duration: args.seconds.map(Duration::from_secs_f64),
        count: args.count,
        window: (args.window > 0).then_some(args.window),
        seed: args.seed,
        ..defaults
    };
    match blast.run_in(&args.netns, &args.interface) {
        Ok(sent) => {
            let seconds = sent.duration.as_secs_f64();
            println!(
                "flows {} rst {} secs {seconds:.3} rate {:.0} user {:.2} sys {:.2}",
                sent.flows,
                sent.resets,
                sent.flows as f64 / seconds,
                sent.user.as_secs_f64(),
                sent.system.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("unmasq-lab-blast: {error}");
            ExitCode::FAILURE
        }
    }
}
