//! `unmasq watch` and what it must not forget: killed at any moment, told to reload, started on a host whose sets are
//! empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use unmasq_lab::random::Random;
use unmasq_lab::{Journald, Lab, Node};

use crate::support::{eventually, text};
use crate::watching::{SETS, Watching, await_bans, elements, message_id};

/// Counts guesses, tells of each, and bans with a mail from the third on. Others' lines are nothing.
fn chains(threshold: u32) -> String {
    format!(
        r#"
[guard]
bans_per_minute = 0
[book]
conntrack = false
[[actions."Guesses"]]
filter = "filter_pcre"
args = {{ field = "MESSAGE", re = '^guess from (\S+)$', save = ["thatIP"] }}
else = "Others"
[[actions."Guesses"]]
action = "action_counterRaise"
args = {{ counter = "guesses", for = "thatIP", keepSeconds = 3600, save = "guesses" }}
[[actions."Guesses"]]
action = "action_dailyReport"
args = {{ level = "INFO", message = "guess from {{thatIP}}", details = "FIRSTLAST" }}
[[actions."Guesses"]]
filter = "filter_greaterOrEquals"
args = {{ field = "guesses", value = {threshold} }}
else = "Others"
[[actions."Guesses"]]
action = "action_nftBan"
args = {{ IP = "thatIP", nftSetIPv4 = "inet unmasq banned4", nftSetIPv6 = "inet unmasq banned6", banSeconds = 86400 }}
[[actions."Guesses"]]
action = "action_email"
args = {{ subject = "banned", message = "whom: {{thatIP}}" }}
[[actions."Others"]]
action = "action_noop"
"#
    )
}

fn host(lab: &Lab) -> Node {
    let node = lab.node("host").expect("a namespace");
    node.nft(SETS).expect("its sets");
    node
}

/// A watch that follows a file, and says on standard error what there is to say.
fn following(lab: &Lab, rest: &str) -> (Watching, File) {
    let path = lab.scratch().join("guesses.log");
    let file = File::create(&path).expect("a file");
    let top = top(&path);
    (Watching::new(lab, &top, &with_log(rest)), file)
}

fn top(log: &Path) -> String {
    format!("sources = [{{ file = '{}', format = 'plain' }}]", text(log))
}

fn with_log(rest: &str) -> String {
    format!("{rest}\n[log]\njournal = false\n")
}

/// Kills the watch at random moments while `write` is called for each of these lines, and compares the end with what
/// one that was never killed has done.
fn killed_again_and_again(
    watch: &mut Watching,
    node: &Node,
    journald: Option<&Journald>,
    mut write: impl FnMut(&str) + Send,
) {
    // 30 with three guesses, 30 with two: neither a lost nor a doubled one goes unnoticed.
    let guesses = |n: u32| -> u32 { if n.is_multiple_of(2) { 3 } else { 2 } };
    let mut lines = Vec::new();
    for round in 0..3 {
        lines.extend((0..60).filter(|n| round < guesses(*n)).map(|n| format!("10.1.0.{n}")));
    }
    watch.start(node, journald);
    let is_done = AtomicBool::new(false);
    let mut kills = 0;
    let seed = u64::from(std::process::id());
    let mut random = Random::new(seed);
    thread::scope(|scope| {
        scope.spawn(|| {
            for address in &lines {
                write(&format!("guess from {address}"));
                thread::sleep(Duration::from_millis(15));
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis((random.unit() * 400.0) as u64));
            watch.kill();
            kills += 1;
            watch.start_unawaited(node, journald);
        }
    });
    watch.await_ready();
    let expected: BTreeSet<String> =
        (0..60).filter(|n| guesses(*n) == 3).map(|n| format!("10.1.0.{n}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    await_bans(watch, node, &expected);
    let mut told = BTreeMap::new();
    for n in 0..60 {
        told.insert(format!("guess from 10.1.0.{n}"), u64::from(guesses(n)));
    }
    assert_eq!(Watching::told(&watch.report(), "guess "), told, "seed {seed}, {kills} kills");
    // A mail may come twice, and then says so by its id.
    let mails: BTreeMap<String, BTreeSet<String>> = eventually("each ban is mailed", || {
        let mut mails = BTreeMap::<String, BTreeSet<String>>::new();
        for mail in watch.mails().iter().filter(|mail| mail.contains("Subject: banned\n")) {
            let address = mail.split("whom: ").nth(1).and_then(|rest| rest.lines().next());
            let ids = mails.entry(address.unwrap_or_default().to_owned()).or_default();
            ids.insert(message_id(mail).to_owned());
        }
        (mails.len() >= expected.len()).then_some(mails)
    });
    assert!(mails.keys().eq(expected.iter()), "{mails:#?}");
    assert!(mails.values().all(|ids| ids.len() == 1), "seed {seed}, {kills} kills: {mails:#?}");
    let ids: BTreeSet<&String> = mails.values().flatten().collect();
    assert_eq!(ids.len(), mails.len(), "each mail has an id of its own");
    watch.stop();
}

#[test]
fn killed_at_any_moment_it_counts_each_line_of_a_file_once() {
    let lab = Lab::new().unwrap();
    let node = host(&lab);
    let (mut watch, mut file) = following(&lab, &chains(3));
    killed_again_and_again(&mut watch, &node, None, move |line| writeln!(file, "{line}").unwrap());
}

#[test]
fn killed_at_any_moment_it_counts_each_entry_of_the_journal_once() {
    let lab = Lab::new().unwrap();
    let node = host(&lab);
    let journald = Journald::start(&lab, "").unwrap();
    let mut watch = Watching::new(&lab, "", &with_log(&chains(3)));
    killed_again_and_again(&mut watch, &node, Some(&journald), |line| {
        journald.send(&[("MESSAGE", line.as_bytes()), ("SYSLOG_IDENTIFIER", b"login")]).unwrap();
    });
}

#[test]
fn a_good_configuration_is_taken_up_with_all_counters_and_a_bad_one_is_refused() {
    let lab = Lab::new().unwrap();
    let node = host(&lab);
    let (mut watch, mut file) = following(&lab, &chains(9));
    watch.start(&node, None);
    let mut seen = BTreeMap::<String, u64>::new();
    let mut guess = |watch: &Watching, times: u64| {
        let before: u64 = seen.values().sum();
        for _ in 0..times {
            writeln!(file, "guess from 192.0.2.7").expect("it is written");
        }
        eventually("the guesses are counted", || {
            for (line, count) in Watching::told(&watch.report(), "guess ") {
                *seen.entry(line).or_default() += count;
            }
            (seen.values().sum::<u64>() == before + times).then_some(())
        });
    };
    guess(&watch, 2);
    let top = top(&lab.scratch().join("guesses.log"));
    watch.configure(&top, &with_log(&chains(4).replace("action_nftBan", "action_nftBam")));
    let place = fs::read_to_string(&watch.config).unwrap();
    let line = place.lines().position(|line| line.contains("action_nftBam")).unwrap() + 1;
    watch.signal(Signal::HUP);
    eventually("the bad one is refused, with its place", || {
        let said = watch.said();
        (said.contains("is refused") && said.contains(&format!("watch.toml:{line}:"))).then_some(())
    });
    guess(&watch, 1);
    assert!(watch.banned().is_empty(), "the old one, which waits for nine, goes on");
    watch.configure(&top, &with_log(&chains(5)));
    watch.signal(Signal::HUP);
    eventually("the good one is taken up", || watch.said().contains("took up").then_some(()));
    guess(&watch, 1);
    assert!(watch.banned().is_empty(), "four of five");
    guess(&watch, 1);
    await_bans(&watch, &node, &["192.0.2.7"]);
    watch.stop();
}

#[test]
fn twenty_thousand_bans_are_in_force_again_after_a_start() {
    const COUNT: u32 = 20_000;
    let lab = Lab::new().unwrap();
    let node = host(&lab);
    let quiet = chains(1).replace(r#"action = "action_email""#, r#"action = "action_noop""#);
    let quiet = quiet.replace(r#"args = { subject = "banned", message = "whom: {thatIP}" }"#, "");
    let (mut watch, mut file) = following(&lab, &quiet);
    watch.start(&node, None);
    let lines: Vec<String> =
        (0..COUNT).map(|n| format!("guess from 10.{}.{}.1\n", n / 256, n % 256)).collect();
    file.write_all(lines.concat().as_bytes()).unwrap();
    let held = || elements(&node, "banned4").len();
    eventually("all are banned", || (held() == COUNT as usize).then_some(()));
    watch.kill();
    node.exec(&["nft", "flush", "set", "inet", "unmasq", "banned4"]).unwrap();
    watch.start(&node, None);
    eventually("all are banned again", || (held() == COUNT as usize).then_some(()));
    assert_eq!(watch.bans().len(), COUNT as usize);

    // By hand.
    let set = ["--set", "inet unmasq banned4"];
    let (said, code) = watch.ask(&["bans", "add", "192.0.2.7", set[0], set[1], "--for", "1h"]);
    assert_eq!(code, 0, "{said}");
    eventually("it is banned", || elements(&node, "banned4").contains(&"192.0.2.7".to_owned()).then_some(()));
    assert!(watch.banned().contains(&"192.0.2.7".to_owned()));
    let (said, code) = watch.ask(&["bans", "remove", "192.0.2.7"]);
    assert_eq!(code, 0, "{said}");
    eventually("it is free", || (held() == COUNT as usize).then_some(()));
    let (said, code) = watch.ask(&["bans", "remove", "192.0.2.7"]);
    assert_eq!((code, said.contains("is not banned")), (1, true), "{said}");
    let (said, code) = watch.ask(&["bans", "add", "127.0.0.1", set[0], set[1]]);
    assert_eq!((code, said.contains("127.0.0.1 is not banned")), (1, true), "{said}");
    watch.stop();
    assert_eq!(held(), COUNT as usize, "what is banned stays so without the watch");
}
