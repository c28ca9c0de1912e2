//! What `make demo` runs: a gateway with clients and servers, real connections recorded from the kernel, and
//! one of them traced back from a made-up abuse report.
//!
//! It knows `unmasq` only by its command line, as a user does.

mod report;
mod unmasq;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use unmasq_flow::Timestamp;
use unmasq_lab::demo::{self, Flags, step};
use unmasq_lab::random::Random;
use unmasq_lab::{Lab, LabError, Network, Plan, Rule, Traffic};

/// Records real connections in network namespaces and traces one of them back
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-demo", version)]
struct Args {
    #[command(flatten)]
    flags: Flags,
}

const CLIENTS: u8 = 3;
const SERVERS: u8 = 2;
const CONVERSATIONS: usize = 24;
/// How far from the time of the report a connection may have been alive.
const WINDOW: Duration = Duration::from_secs(1);
/// The window about the report's time, which is cut to a whole second, must lie in the recorded time.
const MARGIN: Duration = Duration::from_millis(2_200);
/// What is recorded can be traced after a second at most.
const SEEN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    demo::run(&Args::parse().flags, show)
}

fn show(unmasq: &Path, lab: Lab) -> Result<(), Box<dyn Error>> {
    step("A gateway that masquerades three clients, in network namespaces of this machine");
    let rules = vec![Rule::Masquerade { out: "wan".into(), ports: Some(50_000..=59_999) }];
    let plan = Plan { clients: CLIENTS, servers: SERVERS, rules, overlapping: false };
    let network = Network::build(&lab, plan)?;
    for n in 0..CLIENTS {
        println!("   client {:<15} ─┐", network.client(n).to_string());
    }
    println!(
        "                           ├─ gateway {} ── servers 198.51.100.7, 198.51.100.8",
        Network::PUBLIC
    );

    step("unmasq records what the gateway's kernel translates");
    let ledger = lab.scratch().join("ledger");
    let recorder = unmasq::Recorder::start(unmasq, &ledger, network.gateway.name(), lab.scratch())?;
    println!("   $ {}", recorder.command_line());
    thread::sleep(MARGIN);

    step("The clients open real connections; only the servers' own logs are believed");
    let seed = u64::from(std::process::id()) ^ Timestamp::now().as_nanos().cast_unsigned();
    let mut traffic = Traffic::new(&network, SERVERS, seed)?;
    let conversations: Vec<_> = (0..CONVERSATIONS)
        .map(|n| if n % 2 == 0 { traffic.converse_tcp() } else { traffic.converse() })
        .collect::<Result<_, LabError>>()?;
    for seen in conversations.iter().take(4) {
        let server = seen.server.to_string();
        println!("   {server:<22} logged {} client {}", seen.protocol, seen.masked);
    }
    println!("   … {CONVERSATIONS} connections; every client looks like the gateway");
    thread::sleep(MARGIN);
    // The kernel's collector takes up to a minute to say that a flow has ended; deleting it says so at once.
    traffic.hang_up()?;
    network.gateway.forget_flows()?;
    thread::sleep(SEEN);

    let tcp: Vec<_> = conversations.iter().step_by(2).collect();
    let reported = *tcp[Random::new(seed).below(tcp.len() as u64) as usize];
    step("Next week, this arrives");
    print!("{}", report::mail(&reported));

    step("Who was it?");
    let question = unmasq::Question::of(&reported, WINDOW, &ledger);
    println!("   $ unmasq {}\n", question.words().join(" "));
    let answer = question.ask(unmasq)?;
    for line in answer.text.lines() {
        println!("   {line}");
    }

    step("Is that true?");
    println!("   The lab opened that connection from client{} {}.", reported.node, reported.client);
    if answer.clients != [reported.client.to_string()] {
        return Err(format!("unmasq said {:?}, the truth is {}", answer.clients, reported.client).into());
    }
    println!("   unmasq said {}: the same.", answer.clients[0]);
    let left = recorder.stop()?;
    drop((traffic, network, lab));

    step("On a real gateway");
    println!("{}", report::NEXT_STEPS);
    if !left.success() {
        return Err(format!("the recorder ended with {left}").into());
    }
    Ok(())
}
