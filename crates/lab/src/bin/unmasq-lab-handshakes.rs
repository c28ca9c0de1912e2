//! Sends a captured SSH connection many times over, each time from another client.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use unmasq_lab::Replay;

/// The first IPv4 connection of a capture, from as many clients as are wanted
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-handshakes", version)]
struct Args {
    /// Namespace to send from
    #[arg(long)]
    netns: String,
    /// Interface to send out of
    #[arg(long)]
    interface: String,
    /// Capture of Ethernet frames
    #[arg(long)]
    capture: PathBuf,
    /// How many connections
    #[arg(long, default_value_t = 100_000)]
    count: u32,
    /// Connections under way at once
    #[arg(long, default_value_t = 100)]
    at_once: u32,
    /// Seconds that it takes, at least
    #[arg(long, default_value_t = 50.0)]
    seconds: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let within = Duration::from_secs_f64(args.seconds.clamp(0.0, 86_400.0));
    let sent = std::fs::read(&args.capture).map_err(|error| error.to_string()).and_then(|capture| {
        let replay = Replay::read(&capture).map_err(|error| error.to_string())?;
        let took = replay.run_in(&args.netns, &args.interface, args.count, args.at_once, within);
        took.map(|took| (replay.frames(), took)).map_err(|error| error.to_string())
    });
    match sent {
        Ok((frames, took)) => {
            let seconds = took.as_secs_f64();
            println!(
                "connections {} frames {} secs {seconds:.3}",
                args.count,
                u64::from(args.count) * frames as u64
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("unmasq-lab-handshakes: {error}");
            ExitCode::FAILURE
        }
    }
}
