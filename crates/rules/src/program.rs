//! Runs nft and the programs of iptables, without a shell.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// What a program said on standard error is shown up to here.
const MOST_SHOWN: usize = 600;

/// A program that did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It is not there.
    #[error("{program} is not installed (apt-get install {package})")]
    Missing {
        /// The program.
        program: String,
        /// The package of Debian that has it.
        package: &'static str,
    },
    /// It could not be run, or not be written to.
    #[error("cannot run {command}")]
    Run {
        /// The program and its words.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("{command} refused: {said}")]
    Refused {
        /// The program and its words.
        command: String,
        /// What it said on standard error, cut; its exit status if nothing.
        said: String,
    },
}

/// Runs a program with a text for its standard input, in the calling thread's network namespace; what it printed.
pub fn run(program: &str, words: &[&str], input: &str) -> Result<String, ProgramError> {
    let command = || [&[program], words].concat().join(" ");
    let cannot = |source| ProgramError::Run { command: command(), source };
    let spawned = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let package = if program == "nft" { "nftables" } else { "iptables" };
            return Err(ProgramError::Missing { program: program.to_owned(), package });
        }
        other => other.map_err(cannot)?,
    };
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(cannot)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(MOST_SHOWN).collect();
        let said = if said.is_empty() { output.status.to_string() } else { said };
        return Err(ProgramError::Refused { command: command(), said });
    }
    // A program that is content without reading all of it has not refused.
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        return Err(cannot(error));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
