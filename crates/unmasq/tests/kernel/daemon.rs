//! The supervisor: one configuration file, and a recorder that is started again whenever it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use unmasq_lab::command::guarded;
use unmasq_lab::{Lab, Network, Plan, Running, Traffic};

use crate::support::{PATIENCE, PROGRAM, Recording, eventually, text};

struct Daemon {
    running: Option<Running>,
    /// What it says on standard error.
    words: Option<BufReader<ChildStderr>>,
    file: PathBuf,
    recording: Recording,
}

impl Daemon {
    fn start(lab: &Lab, network: &Network) -> Self {
        let recording = Recording::at(lab);
        let file = lab.scratch().join("unmasq.toml");
        let daemon = Self { running: None, words: None, file, recording };
        daemon.configure(network, "180d");
        let mut command = guarded(PROGRAM);
        command.args(["daemon", "--config"]).arg(&daemon.file).stderr(Stdio::piped());
        let mut running = Running::start(&mut command).expect("the daemon starts");
        let words = running.child().stderr.take().map(BufReader::new);
        let daemon = Self { running: Some(running), words, ..daemon };
        daemon.await_recorder(0);
        daemon
    }

    fn configure(&self, network: &Network, keep: &str) {
        let lines = format!(
            "[record]\nledger = '{}'\nstream = 'gw1'\nnetns = ['{}']\nkeep = '{keep}'\n\n[control]\nsocket = '{}'\n",
            text(&self.recording.ledger),
            network.gateway.name(),
            text(&self.recording.control)
        );
        fs::write(&self.file, lines).expect("the configuration is written");
    }

    /// Waits for a recorder that covers its namespace and is another process than the one given.
    fn await_recorder(&self, before: i32) -> i32 {
        eventually("a recorder covers the namespace", || {
            let status = self.recording.status()?;
            let pid = status["pid"].as_i64()? as i32;
            (pid != before && status["namespaces"][0]["covered_since"].is_string()).then_some(pid)
        })
    }

    /// Reads what it says until a line has these words.
    fn await_words(&mut self, wanted: &str) {
        let words = self.words.as_mut().expect("its standard error is ours");
        let said = words.lines().map_while(Result::ok).any(|line| line.contains(wanted));
        assert!(said, "it never said {wanted:?}");
    }

    fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it runs").signal(signal).expect("it takes the signal");
    }
}

#[test]
fn a_recorder_that_dies_is_started_again_and_nothing_is_lost() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let daemon = Daemon::start(&lab, &network);
    let mut traffic = Traffic::new(&network, 1, 5).unwrap();
    let talk = traffic.converse_tcp().unwrap();
    daemon.recording.await_client(&talk);
    let first = daemon.await_recorder(0);
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    daemon.await_recorder(first);
    assert_eq!(daemon.recording.clients(&talk, &[]), [talk.client.to_string()]);
    let talk = traffic.converse_tcp().unwrap();
    daemon.recording.await_client(&talk);
}

#[test]
fn a_changed_configuration_is_taken_up_and_a_wrong_one_changes_nothing() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let mut daemon = Daemon::start(&lab, &network);
    let first = daemon.await_recorder(0);
    daemon.configure(&network, "not a time");
    daemon.signal(Signal::HUP);
    daemon.await_words("stays as it was");
    daemon.configure(&network, "90d");
    assert_eq!(daemon.await_recorder(0), first, "the wrong one is refused");
    daemon.signal(Signal::HUP);
    daemon.await_recorder(first);
    let status = daemon.running.take().unwrap().stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    assert!(
        !daemon.recording.control.exists(),
        "its recorder has left as well: {}",
        text(&daemon.recording.control)
    );
}

#[test]
fn the_port_plan_is_looked_after() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let gateway = &network.gateway;
    let recording = Recording::at(&lab);
    let file = lab.scratch().join("unmasq.toml");
    let history = lab.scratch().join("plan");
    let lines = format!(
        "[record]\nledger = '{}'\nstream = 'gw1'\n\n[control]\nsocket = '{}'\n\n\
         [plan]\nnetworks = ['192.168.101.0/24']\npublic = ['203.0.113.1']\nhistory = '{}'\ncheck_every = '1s'\n",
        text(&recording.ledger),
        text(&recording.control),
        text(&history)
    );
    fs::write(&file, lines).unwrap();
    let plan = |words: &[&str]| {
        let mut all = vec![PROGRAM, "plan"];
        all.extend(words);
        all.extend(["--config", text(&file)]);
        gateway.exec(&all).unwrap()
    };
    plan(&["apply"]);
    let mut command = gateway.command(PROGRAM);
    let running = Running::start(command.args(["daemon", "--config"]).arg(&file)).unwrap();
    // What it saw, and of which revision: it has begun to look.
    eventually("the guard looks", || fs::read_to_string(history.join("checked.json")).ok());
    gateway.exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    let drifts = || {
        let value: serde_json::Value = serde_json::from_str(&plan(&["history", "--json"])).unwrap();
        value["drifts"].as_array().unwrap().clone()
    };
    let drift = eventually("the drift is written down", || drifts().first().cloned());
    assert_eq!((drift["reason"].as_str(), drift["to"].as_str()), (Some("rules-missing"), None));
    plan(&["apply"]);
    eventually("the drift is over", || drifts().iter().all(|drift| drift["to"].is_string()).then_some(()));
    let status = running.stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
}
