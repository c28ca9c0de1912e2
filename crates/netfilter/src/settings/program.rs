//! Runs the firewall's own programs, whose output is the only stable form of its rules. No shell.

use std::io;
use std::process::{Command, Output, Stdio};

use super::{Reading, SettingError};

/// Where they are when `PATH` is that of an ordinary user.
const PLACES: [&str; 3] = ["", "/usr/sbin/", "/sbin/"];

/// Runs a program in the calling thread's namespace and gives what it prints.
pub(super) fn output(program: &'static str, package: &'static str, arguments: &[&str]) -> Reading<String> {
    let command = || [&[program], arguments].concat().join(" ");
    for place in PLACES {
        let started = Command::new(format!("{place}{program}"))
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        return match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(SettingError::Program { command: command(), reason: error.to_string() }),
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(SettingError::Program { command: command(), reason: complaint(&output) }),
        };
    }
    Err(SettingError::NotInstalled { program, package })
}

/// The first line that it complained with, or its exit status.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => line.chars().take(200).collect(),
        None => output.status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted_and_one_that_is_missing_is_named() {
        let failed = output("ls", "coreutils", &["/no/such/directory"]).unwrap_err().to_string();
        assert!(failed.starts_with("ls /no/such/directory: ") && failed.contains("No such file"), "{failed}");
        let missing = output("no-such-program", "nothing", &[]).unwrap_err();
        assert_eq!(missing.to_string(), "no-such-program is not installed (apt-get install nothing)");
        assert_eq!(output("echo", "coreutils", &["a"]).ok().as_deref(), Some("a\n"));
    }
}
