//! Loads an SSH server with clients that try passwords, or that are there and say nothing; for benches of honeypots.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use unmasq_lab::LabError;
use unmasq_lab::ssh_load::{Done, Load};

/// Tries passwords at an SSH server, and prints as JSON how many there were
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-ssh-load", version)]
struct Args {
    /// The server
    server: SocketAddr,
    /// How many connections there are at once
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// How many passwords each tries
    #[arg(long, default_value_t = 3)]
    attempts: u32,
    /// For how long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Exchange keys, try nothing, print the line when all are there, and stay until standard input ends
    #[arg(long)]
    silent: bool,
    /// What the clients say that they are
    #[arg(long, default_value = "SSH-2.0-libssh_0.10.6")]
    identification: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unmasq-lab-ssh-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), LabError> {
    let load = Load {
        server: args.server,
        connections: args.connections,
        attempts: if args.silent { 0 } else { args.attempts },
        identification: args.identification.clone(),
    };
    let (begin, how_long) = (Instant::now(), Duration::from_secs_f64(args.seconds));
    if args.silent {
        load.stay_silent(64, how_long, |done| {
            print(&done, begin.elapsed());
            // Whoever measures closes it. What is read does not matter, nor does an error: both end it.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        })?;
    } else {
        print(&load.try_passwords(how_long)?, begin.elapsed());
    }
    Ok(())
}

fn print(done: &Done, took: Duration) {
    let line = serde_json::json!({
        "attempts": done.attempts,
        "accepted": done.accepted,
        "exchanges": done.exchanges,
        "broken": done.broken,
        "seconds": took.as_secs_f64(),
    });
    // Whoever started this and does not read has lost interest.
    let _ = writeln!(io::stdout(), "{line}");
}
