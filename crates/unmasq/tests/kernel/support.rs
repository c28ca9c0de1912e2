//! A recorder under test, and how it is asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use unmasq_flow::Timestamp;
use unmasq_lab::command::guarded;
use unmasq_lab::{Conversation, Lab, Running};

/// Everything here happens within seconds; the machine may be slow, and busy with other things. Well below the ten minutes after
/// which a test is ended, so that it says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_unmasq");

/// A running recorder with a ledger of its own.
pub(crate) struct Recording {
    pub(crate) ledger: PathBuf,
    pub(crate) control: PathBuf,
    running: Option<Running>,
    lab: Lab,
}

impl Recording {
    /// Starts a recorder of these namespaces, and waits until it covers them all.
    pub(crate) fn start(lab: &Lab, namespaces: &[&str], flags: &[&str]) -> Self {
        let mut recording = Self::at(lab);
        recording.resume(namespaces, flags);
        recording
    }

    /// Where a recorder of this lab would write and listen.
    pub(crate) fn at(lab: &Lab) -> Self {
        Self {
            ledger: lab.scratch().join("ledger"),
            control: lab.scratch().join("control.sock"),
            running: None,
            lab: lab.clone(),
        }
    }

    /// Starts a recorder anew on the same ledger.
    pub(crate) fn resume(&mut self, namespaces: &[&str], flags: &[&str]) {
        let mut command = guarded(PROGRAM);
        command.args(["record", "--stream", "gw1", "--quiet", "--ledger"]).arg(&self.ledger);
        command.arg("--control").arg(&self.control).args(flags);
        for namespace in namespaces {
            command.args(["--netns", namespace]);
        }
        self.running = Some(Running::start(&mut command).expect("the recorder starts"));
        eventually("the recorder covers every namespace", || {
            let status = self.status()?;
            let covered =
                status["namespaces"].as_array()?.iter().filter(|n| n["covered_since"].is_string()).count();
            (covered >= namespaces.len()).then_some(())
        });
    }

    /// The recorder's own account of itself, if it answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = unmasq(&["status", "--json", "--control", text(&self.control)]);
        serde_json::from_str(&output.0).ok()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it runs").signal(signal).expect("it takes the signal");
    }

    /// SIGKILL, and not a word more.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.running.take().expect("it runs").wait(PATIENCE).expect("it dies");
    }

    /// SIGTERM, and nothing may have gone wrong.
    pub(crate) fn stop(&mut self) {
        let status = self.running.take().expect("it runs").stop(PATIENCE).expect("it leaves");
        assert!(status.success(), "{status}");
    }

    /// `unmasq trace --json` over this ledger, and the kernel of this lab alone: the answer and the exit status.
    pub(crate) fn trace(&self, words: &[&str]) -> (Value, i32) {
        let mut all =
            vec!["trace", "--json", "--ledger", text(&self.ledger), "--control", text(&self.control)];
        all.extend(words);
        let (out, code) = said(self.lab.command(PROGRAM).args(&all), words);
        let answer =
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{words:?}: exit {code}: {e}: {out}"));
        (answer, code)
    }

    /// The same, once the record is complete for what is asked. A trace waits for that itself, but for two seconds only.
    pub(crate) fn settled(&self, words: &[&str]) -> (Value, i32) {
        eventually("the record is complete", || Some(self.trace(words)).filter(|(_, code)| *code != 4))
    }

    /// All that a client did: the flows of `unmasq trace --client`, one JSON line each, without the closing line.
    pub(crate) fn client_flows(&self, address: &str) -> Vec<Value> {
        let (out, _) = unmasq(&[
            "trace",
            "--json",
            "--ledger",
            text(&self.ledger),
            "--client",
            address,
            "--since",
            "2020-01-01T00:00:00Z",
        ]);
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
        lines.filter(|line| line["masked"].is_string()).collect()
    }

    /// Who the ledger says was behind a conversation, asked with no more than an abuse report tells.
    pub(crate) fn clients(&self, talk: &Conversation, flags: &[&str]) -> Vec<String> {
        let (masked, at) = (talk.masked.to_string(), talk.at.to_string());
        let mut words = vec![masked.as_str(), "--at", &at, "--window", "1s"];
        words.extend(flags);
        clients(&self.trace(&words).0)
    }

    /// Waits until a flow that was seen by its server is in the ledger, for good, and the record of its time is complete.
    pub(crate) fn await_client(&self, talk: &Conversation) {
        self.await_witness(talk, "ledger");
    }

    /// Waits until this witness knows of a flow that was seen by its server, and the record of its time is complete. The kernel
    /// and the recorder's book know it before the ledger does.
    pub(crate) fn await_witness(&self, talk: &Conversation, witness: &str) {
        let (masked, at, to) = (talk.masked.to_string(), talk.at.to_string(), talk.server.to_string());
        let proto = talk.protocol.to_string();
        let words = [&masked, "--at", &at, "--window", "0s", "--to", &to, "--proto", &proto];
        eventually(&format!("{witness} knows of {talk:?}"), || {
            let (answer, code) = self.trace(&words);
            let is_known = code == 0 && clients(&answer) == [talk.client.to_string()];
            (is_known && is_told_by(&answer, witness)).then_some(())
        });
    }
}

/// Is this one of the witnesses that told of the first candidate?
pub(crate) fn is_told_by(answer: &Value, witness: &str) -> bool {
    let evidence = answer["candidates"][0]["evidence"].as_array();
    evidence.is_some_and(|all| all.iter().any(|evidence| evidence["witness"] == witness))
}

/// The candidates' clients, in the answer's order.
pub(crate) fn clients(answer: &Value) -> Vec<String> {
    let candidates = answer["candidates"].as_array().unwrap_or_else(|| panic!("no candidates in {answer}"));
    candidates.iter().map(|c| c["client"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Runs the program: standard output and exit status.
pub(crate) fn unmasq(words: &[&str]) -> (String, i32) {
    said(Command::new(PROGRAM).args(words), words)
}

fn said(command: &mut Command, words: &[&str]) -> (String, i32) {
    let output = command.output().expect("the program runs");
    let code = output.status.code().unwrap_or(-1);
    if !output.stderr.is_empty() && code > 1 && words[0] != "status" {
        eprintln!("{words:?}: exit {code}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (String::from_utf8_lossy(&output.stdout).into_owned(), code)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("lab paths are text")
}

pub(crate) fn now() -> String {
    Timestamp::now().to_string()
}

/// The lines of JSON that a program writes into a file: the whole ones, as another may be half written.
pub(crate) fn json_lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read(file).unwrap_or_default();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    whole
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

/// Waits until it gives a value.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
