//! Runs nft and the programs of iptables, without a shell.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

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
        source: io::Error,
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
        .stdin(whole(input).map_err(cannot)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let package = if program == "nft" { "nftables" } else { "iptables" };
            return Err(ProgramError::Missing { program: program.to_owned(), package });
        }
        other => other.map_err(cannot)?,
    };
    let output = child.wait_with_output().map_err(cannot)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(MOST_SHOWN).collect();
        let said = if said.is_empty() { output.status.to_string() } else { said };
        return Err(ProgramError::Refused { command: command(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A text as a standard input that is whole before the program begins. A pipe takes 64 KiB at once: who is killed while writing the
/// rest leaves the program with the first part of a ruleset, and the end of what it reads.
fn whole(text: &str) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("ruleset", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(Stdio::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_all_of_its_input_there_when_it_begins() {
        let text = "x".repeat(1 << 20);
        assert_eq!(
            run("stat", &["--dereference", "--format", "%s", "/dev/stdin"], &text).unwrap(),
            "1048576\n"
        );
        assert_eq!(run("cat", &[], &text).unwrap(), text);
        assert_eq!(run("true", &[], &text).unwrap(), "", "it need not read it");
    }
}
