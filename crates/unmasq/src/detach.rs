//! Leaving the terminal: for programs whose `-D` did.

use std::ffi::OsString;
use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::Context;

/// Tells the program that was started again that it is the daemon.
const MARK: &str = "UNMASQ_DETACHED";

/// Who goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who was started at the terminal, and has nothing left to do.
    Parent,
    /// The daemon.
    Daemon,
}

/// Starts this program again with the same arguments, in a session of its own, with nothing to read and standard error in the
/// log, if one is given. (A fork would leave the parent's threads and locks in an unknown state.)
pub(crate) fn detach(log: Option<&File>) -> anyhow::Result<Side> {
    if std::env::var_os(MARK).is_some() {
        // It fails only for the leader of a group, which a child of a program is not.
        rustix::process::setsid().context("cannot leave the terminal")?;
        return Ok(Side::Daemon);
    }
    let stderr = match log {
        Some(log) => log.try_clone().context("cannot write to the log")?.into(),
        None => Stdio::null(),
    };
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    Command::new("/proc/self/exe")
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("cannot start the daemon")?;
    Ok(Side::Parent)
}
