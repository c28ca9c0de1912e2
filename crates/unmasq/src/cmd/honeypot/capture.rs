//! `unmasq honeypot capture`: what a real server looks like.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use unmasq_honeypot::capture::{Capture, CaptureError, Options};

use crate::failure::{Failure, Outcome};

/// SSH's port.
const PORT: u16 = 22;
/// Bytes read at once.
const BUFFER: usize = 16 << 10;

/// Write down what a real SSH server looks like, so that the honeypot looks like it
///
/// Connects several times: what does it say to nonsense, which lists, texts, methods and host keys has it, how often and how slowly
/// does it refuse? Host keys themselves are not copied: nobody has their private parts.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Capture from a server that is yours: it tries made-up passwords for a user that is not there until it is sent away, which that server logs,
and may ban you for. With PAM each connection takes about 15 seconds; --rounds 0 tries no passwords, and the delays are then guessed.

Exit status: 0 captured; 1 the server could not be captured, or has what the honeypot cannot speak; 2 wrong usage.

Examples:
  unmasq honeypot capture gw1.example.net --output gw1.toml
  unmasq honeypot capture 192.0.2.9:2222 --rounds 0
  unmasq honeypot --profile gw1.toml --json attempts.json")]
pub(super) struct Args {
    /// The server: a name or an address, and a port [default port: 22]
    #[arg(value_name = "HOST[:PORT]")]
    server: String,
    /// File for the profile [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Connections that try wrong passwords, to measure how long refusals take
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    rounds: u32,
    /// The user name to try; a number is put behind it for each connection
    #[arg(long, value_name = "NAME", default_value = "unmasq-capture")]
    user: String,
    /// How long the server may be silent
    #[arg(long, value_name = "TIME", value_parser = crate::config::units::parse_duration, default_value = "30s")]
    timeout: Duration,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Outcome {
    let address = resolve(&args.server)?;
    let profile = match capture(args, address) {
        Ok(profile) => profile,
        Err(error) => return Err(failure(error, args)),
    };
    match &args.output {
        Some(file) => {
            fs::write(file, profile).with_context(|| format!("cannot write {}", file.display()))?;
            eprintln!(
                "unmasq: captured {}; try it with: unmasq honeypot --profile {}",
                args.server,
                file.display()
            );
        }
        None => io::stdout().write_all(profile.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All connections, one after the other.
fn capture(args: &Args, address: SocketAddr) -> anyhow::Result<String> {
    let mut capture = Capture::new(Options { user: args.user.clone(), rounds: args.rounds })?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = 0;
    let shows = io::stderr().is_terminal();
    while capture.connect(Instant::now()) {
        connections += 1;
        if shows {
            eprint!("\rconnection {connections} …");
        }
        let broken = || format!("the connection to {address}");
        let mut stream = TcpStream::connect_timeout(&address, args.timeout).with_context(broken)?;
        stream.set_nodelay(true).with_context(broken)?;
        stream.set_read_timeout(Some(args.timeout)).with_context(broken)?;
        stream.set_write_timeout(Some(args.timeout)).with_context(broken)?;
        while !capture.is_closing() {
            while !capture.output().is_empty() {
                match stream.write(capture.output()) {
                    Ok(length) => capture.sent(length),
                    // It has closed already; what it said before is still to be read.
                    Err(error)
                        if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
                    {
                        capture.sent(capture.output().len());
                    }
                    Err(error) => return Err(error).with_context(broken),
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) => capture.end_of_input()?,
                Ok(length) => capture.receive(&buffer[..length], Instant::now())?,
                // A server that closes with something unread sends a reset.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => capture.end_of_input()?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    anyhow::bail!("{address} has said nothing for {:?}", args.timeout)
                }
                Err(error) => return Err(error).with_context(broken),
            }
        }
    }
    if shows {
        eprintln!("\r{connections} connections");
    }
    Ok(capture.finish()?.to_string())
}

/// What cannot be spoken is saved all the same, if there is a file for it: it can be mended by hand.
fn failure(error: anyhow::Error, args: &Args) -> Failure {
    if let (Some(CaptureError::NotSpoken { text, .. }), Some(file)) = (error.downcast_ref(), &args.output)
        && fs::write(file, text).is_ok()
    {
        let told = format!("{}: what was captured is there, and is to be mended by hand", file.display());
        return Failure::with_exit(1, error.context(told));
    }
    Failure::with_exit(1, error.context(format!("cannot capture {}", args.server)))
}

/// The first address of a name, or the address itself.
fn resolve(server: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = server.parse() {
        return Ok(SocketAddr::new(address, PORT));
    }
    let is_whole = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let wanted = if is_whole { server.to_owned() } else { format!("{server}:{PORT}") };
    wanted
        .to_socket_addrs()
        .with_context(|| format!("cannot find {server:?}"))?
        .next()
        .with_context(|| format!("{server:?} has no address"))
}
