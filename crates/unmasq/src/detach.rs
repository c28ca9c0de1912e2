//! Leaving the terminal: for programs whose `-D` did.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::Context;

/// Tells the program that was started again that it is the daemon.
const MARK: &str = "UNMASQ_DETACHED";

/// Ends what a daemon tells at the terminal, if it has started.
const STARTED: u8 = 0;

/// Who goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Who was started at the terminal, and has nothing left to do but to end so.
    Parent(ExitCode),
    /// The daemon.
    Daemon,
}

/// Starts this program again with the same arguments, in a session of its own, with nothing to read and standard error in the log. (A fork
/// would leave the parent's threads and locks in an unknown state.)
pub(crate) fn detach(log: &File) -> anyhow::Result<Side> {
    if is_daemon()? {
        return Ok(Side::Daemon);
    }
    spawn(log.try_clone().context("cannot write to the log")?.into())?;
    Ok(Side::Parent(ExitCode::SUCCESS))
}

/// The same, but the terminal is left only when the daemon has [started]: until then what it tells is told there, and if it ends, the
/// parent ends with its status.
pub(crate) fn detach_when_started() -> anyhow::Result<Side> {
    if is_daemon()? {
        return Ok(Side::Daemon);
    }
    let mut daemon = spawn(Stdio::piped())?;
    let mut told = Vec::new();
    if let Some(mut stderr) = daemon.stderr.take() {
        stderr.read_to_end(&mut told).context("cannot hear the daemon")?;
    }
    let has_started = told.pop_if(|last| *last == STARTED).is_some();
    // Nobody may be left to read it.
    let _ = io::stderr().write_all(&told);
    if has_started {
        return Ok(Side::Parent(ExitCode::SUCCESS));
    }
    let status = daemon.wait().context("cannot wait for the daemon")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(Side::Parent(ExitCode::from(code.unwrap_or(1))))
}

/// The daemon has started, and leaves the terminal: what it tells from now on goes into the log, if there is one.
pub(crate) fn started(log: Option<&File>) -> anyhow::Result<()> {
    // Whoever started it may have gone.
    let _ = io::stderr().write_all(&[STARTED]);
    let nothing;
    let stderr = if let Some(log) = log {
        log
    } else {
        nothing = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
        &nothing
    };
    rustix::stdio::dup2_stderr(stderr).context("cannot leave the terminal")
}

fn is_daemon() -> anyhow::Result<bool> {
    if std::env::var_os(MARK).is_none() {
        return Ok(false);
    }
    // It fails only for the leader of a group, which a child of a program is not.
    rustix::process::setsid().context("cannot leave the terminal")?;
    Ok(true)
}

fn spawn(stderr: Stdio) -> anyhow::Result<Child> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    Command::new("/proc/self/exe")
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("cannot start the daemon")
}
