//! `unmasq compat pshitt`: pshitt's command line.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::ArgAction;
use unmasq_watch::journal_log::Target;

use crate::cmd::honeypot::serve;
use crate::config::{Config, Honeypot as Settings};
use crate::detach;
use crate::failure::Outcome;
use crate::honeypot::Style;

/// How often `-v` is given for a line of each attempt in the log: pshitt's INFO.
const INFO: u8 = 2;

/// Write down the passwords of SSH intruders, as pshitt does
///
/// Serves SSH, lets nobody in, and writes a JSON object for each password that somebody tries, with pshitt's keys first.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    disable_version_flag = true,
    after_long_help = "\
Otherwise than pshitt:
  Without -k, the host keys are the honeypot's own, made at the first start and kept in /var/lib/unmasq/honeypot: pshitt's key is \
public, and gives every pshitt away.
  Passwords that are no UTF-8 are written (password_raw has the bytes in Base64). Answers to keyboard-interactive's prompts are \
passwords, too.
  More keys follow pshitt's: session, hassh, client_version, kex, dest_ip and others (docs/honeypot.md).
  Once it listens, it becomes an unprivileged user, who must be able to write in the folder of -o.
  -D works. The file of passwords is put aside at 100 MiB, and nine such files are kept.
  -t counts as in pshitt: twice as many connections at once.

Exit status: 0 stopped as asked; 1 it failed; 2 wrong usage, or it could not start.

Examples:
  unmasq compat pshitt
  unmasq compat pshitt -o /var/log/pshitt/passwords.log -l /var/log/pshitt/pshitt.log -p 2200 -vv -D

docs/honeypot.md says what `unmasq honeypot` does beyond that."
)]
pub(crate) struct Args {
    /// File to export collected data
    #[arg(short, long, value_name = "FILE", default_value = "passwords.log")]
    output: PathBuf,
    /// Host key, such as an RSA key in PEM [default: the honeypot's own]
    #[arg(short, long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// File to log info and error
    #[arg(short, long, value_name = "FILE", default_value = "pshitt.log")]
    log: PathBuf,
    /// TCP port to listen to
    #[arg(short, long, default_value_t = 2200, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Number of client threads
    #[arg(short, long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    threads: u32,
    /// SSH server version string
    #[arg(short = 'V', long, value_name = "TEXT", default_value = "SSH-2.0-OpenSSH_6.6.1p1 Debian-5")]
    version: String,
    /// Show verbose output, use multiple times increase verbosity
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Run as unix daemon
    #[arg(short = 'D', long)]
    daemon: bool,
    /// Account to become once it listens [default: unmasq, or nobody if there is no such account]
    #[arg(long, value_name = "NAME", help_heading = "What pshitt has not")]
    user: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    // Relative to where it is started, not to where a daemon is.
    let output = std::path::absolute(&args.output).context("cannot tell the current folder")?;
    let key =
        args.key.as_ref().map(std::path::absolute).transpose().context("cannot tell the current folder")?;
    let log = std::path::absolute(&args.log).context("cannot tell the current folder")?;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&log)
        .with_context(|| format!("cannot write to the log {}", log.display()))?;
    if args.daemon
        && let detach::Side::Parent(status) = detach::detach(&file)?
    {
        return Ok(status);
    }
    let mut settings = Settings {
        listen: vec![([0_u16; 8], args.port).into()],
        host_key_files: key.into_iter().collect(),
        identification: Some(args.version.clone()),
        user: args.user.clone(),
        ..Config::default().honeypot
    };
    settings.bounds.connections = args.threads.saturating_mul(2);
    settings.bounds.connections_by_address = settings.bounds.connections;
    settings.outputs.json = Some(output);
    // While it serves, standard error is the log; what it ends with is told where it was started.
    settings.outputs.log = (args.verbose >= INFO).then_some(Target::Stderr);
    let started_at = std::io::stderr().as_fd().try_clone_to_owned().context("cannot write to the log")?;
    rustix::stdio::dup2_stderr(&file).context("cannot write to the log")?;
    let served = serve(&settings, Style::Pshitt);
    if served.is_err() {
        rustix::stdio::dup2_stderr(&started_at).context("cannot write to standard error")?;
    }
    served
}
