//! The program that is shown, by its command line.

use std::error::Error;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use unmasq_flow::Timestamp;
use unmasq_lab::command::guarded;
use unmasq_lab::{Conversation, PATIENCE, Running};

/// A running `unmasq record`.
pub(crate) struct Recorder {
    process: Running,
    command_line: String,
}

impl Recorder {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(
        unmasq: &Path,
        ledger: &Path,
        namespace: &str,
        scratch: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let log = scratch.join("record.log");
        let output = File::create(&log)?;
        let mut command = guarded(unmasq);
        command
            .args(["record", "--stream", "gw1", "--control", "none", "--netns", namespace, "--ledger"])
            .arg(ledger)
            .stdout(output.try_clone()?)
            .stderr(output);
        let process = Running::start_service(&mut command, scratch, PATIENCE)
            .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
        let command_line = format!(
            "unmasq record --stream gw1 --netns {namespace} --control none --ledger {}",
            ledger.display()
        );
        Ok(Self { process, command_line })
    }

    /// As a user would type it.
    pub(crate) fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Asks it to leave.
    pub(crate) fn stop(self) -> Result<ExitStatus, Box<dyn Error>> {
        Ok(self.process.stop(PATIENCE)?)
    }
}

/// A `unmasq trace`.
pub(crate) struct Question {
    words: Vec<String>,
}

/// What it said.
pub(crate) struct Answer {
    /// As a user sees it.
    pub(crate) text: String,
    /// The clients, as `address:port`.
    pub(crate) clients: Vec<String>,
}

impl Question {
    /// What the report about a conversation allows to ask.
    pub(crate) fn of(reported: &Conversation, window: Duration, ledger: &Path) -> Self {
        let second = Timestamp::from_seconds(reported.at.as_seconds());
        let option = |name: &str, value: String| [name.to_owned(), value];
        let mut words = vec!["trace".to_owned(), SocketAddr::to_string(&reported.masked)];
        words.extend(option("--at", second.to_string()));
        words.extend(option("--window", format!("{}s", window.as_secs())));
        words.extend(option("--proto", reported.protocol.to_string()));
        words.extend(option("--to", reported.server.to_string()));
        words.extend(option("--ledger", ledger.display().to_string()));
        Self { words }
    }

    /// The words after `unmasq`.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// Asks it, for people and for programs. What was just recorded may take a second to be seen.
    pub(crate) fn ask(&self, unmasq: &Path) -> Result<Answer, Box<dyn Error>> {
        let began = Instant::now();
        loop {
            let json = Command::new(unmasq).args(&self.words).arg("--json").output()?;
            let status = json.status;
            if !status.success() && began.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(200));
                continue;
            }
            let text = Command::new(unmasq).args(&self.words).output()?;
            let text = String::from_utf8_lossy(&text.stdout).into_owned();
            if !status.success() {
                let complaint = String::from_utf8_lossy(&json.stderr);
                return Err(format!(
                    "`unmasq {}` ends with {status}:\n{text}{complaint}",
                    self.words.join(" ")
                )
                .into());
            }
            let answer: Value = serde_json::from_slice(&json.stdout)?;
            let candidates = answer["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
            let clients = candidates.iter().filter_map(|c| c["client"].as_str().map(str::to_owned)).collect();
            return Ok(Answer { text, clients });
        }
    }
}
