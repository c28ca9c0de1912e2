//! A watch under test: its configuration, its mails, its bans, and how it is stopped.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use unmasq_flow::Timestamp;
use unmasq_lab::command::guarded;
use unmasq_lab::{Journald, Lab, Node, Running};

use crate::support::{PATIENCE, PROGRAM, eventually, text};

/// The sets that the examples ban in.
pub(crate) const SETS: &str = "table inet unmasq {
  set banned4 { type ipv4_addr; flags timeout; }
  set banned6 { type ipv6_addr; flags timeout,interval; }
}";

/// A watch, in a folder of its own.
pub(crate) struct Watching {
    pub(crate) folder: PathBuf,
    pub(crate) config: PathBuf,
    socket: PathBuf,
    running: Option<Running>,
}

impl Watching {
    /// A watch that is not started. `top` and `rest` are lines of its configuration, before and after the first table;
    /// where the state, the socket and the mails are is said here.
    pub(crate) fn new(lab: &Lab, top: &str, rest: &str) -> Self {
        let folder = lab.scratch().join("watch");
        fs::create_dir_all(folder.join("mails")).expect("a folder");
        let watch = Self {
            config: folder.join("watch.toml"),
            socket: folder.join("watch.sock"),
            running: None,
            folder,
        };
        // A mail appears whole or not at all.
        let script = format!(
            "#!/bin/sh\nf=$(mktemp '{0}/.XXXXXX') && cat >\"$f\" && mv \"$f\" '{0}/mail.'\"${{f##*.}}\"\n",
            text(&watch.folder.join("mails"))
        );
        let sendmail = watch.folder.join("sendmail");
        fs::write(&sendmail, script).expect("a script");
        fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).expect("its mode");
        watch.configure(top, rest);
        watch
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, top: &str, rest: &str) {
        let folder = text(&self.folder);
        // The day's report, which takes what the next one would tell, is half a day away.
        let rest = rest.replace("[report]\nhour = 6\n", "");
        let hour = (Timestamp::now().hour() + 12).rem_euclid(24);
        let lines = format!(
            "storage = '{folder}/state'\n{top}\n{rest}\n[report]\nhour = {hour}\n[control]\nsocket = '{folder}/watch.sock'\n\
             [email]\nfrom = 'watch@example.org'\nto = ['admin@example.org']\nsubject = 'The report'\n\
             sendmail = ['{folder}/sendmail']\n"
        );
        fs::write(&self.config, lines).expect("the configuration is written");
    }

    /// The command that runs it in a namespace, as a service of a host with this journal.
    pub(crate) fn command(&self, node: &Node, journald: Option<&Journald>) -> Command {
        let mut command = enter(node, journald);
        command.arg(PROGRAM).args(["watch", "--config"]).arg(&self.config).stdin(Stdio::null());
        command.env("TZ", "UTC");
        let said = fs::File::options().create(true).append(true).open(self.folder.join("said"));
        command.stderr(said.expect("a file for what it says"));
        command
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&mut self, node: &Node, journald: Option<&Journald>) {
        self.start_unawaited(node, journald);
        self.await_ready();
    }

    pub(crate) fn await_ready(&mut self) {
        eventually("the watch answers", || {
            let ended = self.running.as_mut().expect("it was started").ended().expect("it is our child");
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.said());
            (self.ask(&["bans", "list", "--json"]).1 == 0).then_some(())
        });
    }

    pub(crate) fn start_unawaited(&mut self, node: &Node, journald: Option<&Journald>) {
        self.running = Some(Running::start(&mut self.command(node, journald)).expect("the watch starts"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it runs").signal(signal).expect("it takes the signal");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.running.take().expect("it runs").wait(PATIENCE).expect("it dies");
    }

    /// SIGTERM, and nothing may have gone wrong.
    pub(crate) fn stop(&mut self) {
        let status = self.running.take().expect("it runs").stop(PATIENCE).expect("it leaves");
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// What it said on standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("said")).unwrap_or_default()).into_owned()
    }

    /// `unmasq watch …` over its socket: what it printed, and the exit status.
    pub(crate) fn ask(&self, words: &[&str]) -> (String, i32) {
        let mut all = vec!["watch"];
        all.extend(words);
        all.extend(["--control", text(&self.socket)]);
        let output = Command::new(PROGRAM).args(all).output().expect("the program runs");
        let out = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&out).into_owned(), output.status.code().unwrap_or(-1))
    }

    /// The bans as the watch lists them.
    pub(crate) fn bans(&self) -> Vec<Value> {
        let (out, code) = self.ask(&["bans", "list", "--json"]);
        assert_eq!(code, 0, "{out}");
        out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// Whom the watch holds for banned, sorted.
    pub(crate) fn banned(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.bans().iter().map(|ban| ban["target"].as_str().unwrap_or_default().to_owned()).collect();
        all.sort();
        all
    }

    /// The mails that were sent.
    pub(crate) fn mails(&self) -> Vec<String> {
        let folder = fs::read_dir(self.folder.join("mails")).expect("the folder is there");
        let mut names: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
        names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mail.")));
        names.sort();
        names.iter().map(|path| mail(path)).collect()
    }

    /// Has the report sent, and gives its text.
    pub(crate) fn report(&self) -> String {
        let (out, code) = self.ask(&["report", "--now"]);
        assert_eq!(code, 0, "{out}");
        let id = out.split(['(', ')']).nth(1).expect("it names the report");
        eventually("the report is sent", || {
            self.mails().into_iter().find(|mail| message_id(mail).trim_matches(['<', '>']).starts_with(id))
        })
    }

    /// Waits until reports have told of so many lines that begin so. What a report tells, the next one does not.
    pub(crate) fn await_told(&self, begin: &str, count: u64) -> BTreeMap<String, u64> {
        let mut told = BTreeMap::<String, u64>::new();
        let began = Instant::now();
        while told.values().sum::<u64>() < count {
            assert!(began.elapsed() < PATIENCE, "not {count} lines within {PATIENCE:?}: {told:#?}");
            for (line, count) in Self::told(&self.report(), begin) {
                *told.entry(line).or_default() += count;
            }
        }
        told
    }

    /// How often the report tells each message, of its lines that begin with these words.
    pub(crate) fn told(report: &str, begin: &str) -> BTreeMap<String, u64> {
        let rows = report.lines().filter_map(|line| {
            let (count, message) = line.strip_prefix('|')?.split_once('|')?;
            let count = count.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
            message.starts_with(begin).then(|| (message.to_owned(), count))
        });
        rows.collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (mails, bans) = (self.mails().len(), self.ask(&["bans", "list"]).0);
            eprintln!(
                "the watch said: {}\nit sent {mails} mails; {} bans",
                self.said(),
                bans.lines().count()
            );
        }
    }
}

/// A mail as its reader sees it: lines that quoted-printable broke are whole again.
fn mail(path: &Path) -> String {
    let raw = fs::read_to_string(path).expect("a mail").replace("\r\n", "\n").replace("=\n", "");
    raw.replace("=3D", "=")
}

/// The ids of mails.
pub(crate) fn message_id(mail: &str) -> &str {
    mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("each mail has an id")
}

/// A command in a namespace, which sees this journal as its own.
pub(crate) fn enter(node: &Node, journald: Option<&Journald>) -> Command {
    let mut command = guarded("nsenter");
    if let Some(journald) = journald {
        command.arg(format!("--mount=/proc/{}/ns/mnt", journald.id()));
    }
    command.arg(format!("--net=/run/netns/{}", node.name())).arg("--");
    command
}

/// The elements of a set as the kernel has them, sorted.
pub(crate) fn elements(node: &Node, set: &str) -> Vec<String> {
    let text = node.exec(&["nft", "-j", "list", "set", "inet", "unmasq", set]).expect("the set is there");
    let json: Value = serde_json::from_str(&text).expect("nft prints JSON");
    let objects = json["nftables"].as_array().expect("a list").iter();
    let set = objects.map(|object| &object["set"]).find(|set| set.is_object()).expect("a set");
    let mut all: Vec<String> = set["elem"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|element| {
            let value = if element["elem"].is_object() { &element["elem"]["val"] } else { element };
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect();
    all.sort();
    all
}

/// Waits until these, and no others, are in the kernel's set and among the bans of the watch.
pub(crate) fn await_bans(watch: &Watching, node: &Node, expected: &[&str]) {
    eventually(&format!("{expected:?} are banned"), || {
        let held = elements(node, "banned4");
        let is_all = expected.iter().all(|address| held.iter().any(|one| one == address));
        is_all.then_some(())
    });
    assert_eq!(elements(node, "banned4"), expected);
    assert_eq!(watch.banned(), expected);
}
