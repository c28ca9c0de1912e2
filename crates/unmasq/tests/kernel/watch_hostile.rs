//! `unmasq watch` and entries that were made to harm it, or others through it.

use unmasq_lab::{Journald, Lab};

use crate::support::eventually;
use crate::watching::{SETS, Watching, await_bans, elements};

/// Whatever an entry says goes wherever it can, and a pattern that takes for ever stands before it.
const CHAINS: &str = r#"
[guard]
bans_per_minute = 0
[book]
conntrack = false
[[actions."Slow"]]
filter = "filter_pcre"
args = { field = "MESSAGE", re = '^(a+)+\1!$' }
then = "Others"
else = "Guess"
[[actions."Guess"]]
filter = "filter_pcre"
args = { field = "MESSAGE", re = '^guess by ((?s:.*)) from (\S+)$', save = ["who", "address"] }
else = "Others"
[[actions."Guess"]]
action = "action_dailyReport"
args = { level = "INFO", message = "by {who}", details = "FIRSTLAST" }
[[actions."Guess"]]
action = "action_log"
args = { level = "NOTICE", message = "by {who}" }
[[actions."Guess"]]
action = "action_email"
args = { subject = "guess", message = "by {who}" }
[[actions."Guess"]]
action = "action_nftBan"
args = { IP = "address", nftSetIPv4 = "inet unmasq banned4", nftSetIPv6 = "inet unmasq banned6", banSeconds = 600 }
[[actions."Others"]]
action = "action_noop"
"#;

#[test]
fn hostile_entries_are_one_entry_each_and_harm_nobody() {
    let lab = Lab::new().unwrap();
    let node = lab.node("host").unwrap();
    node.nft(SETS).unwrap();
    let journald = Journald::start(&lab, "").unwrap();
    let mut watch = Watching::new(&lab, "", CHAINS);
    watch.start(&node, Some(&journald));
    let long = format!("guess by {} from 10.2.0.4", "A".repeat(100_000));
    let slow = "a".repeat(50_000);
    let entries: [&[(&str, &[u8])]; 11] = [
        &[("MESSAGE", b"guess by a\0b from 10.2.0.1")],
        &[("MESSAGE", b"guess by x\r\nBcc: victim@example.org\r\n\r\n~!id\n.\n\x1b[2J from 10.2.0.2")],
        &[("MESSAGE", b"guess by \xff\xfe\xc3 from 10.2.0.3")],
        &[("MESSAGE", long.as_bytes())],
        &[("MESSAGE", slow.as_bytes())],
        // No message; two of them; none at all in it.
        &[("SYSLOG_IDENTIFIER", b"nobody")],
        &[("MESSAGE", b"guess by one from 10.2.0.66"), ("MESSAGE", b"guess by two from 10.2.0.67")],
        &[("MESSAGE", b"")],
        // What must not reach nft as text.
        &[("MESSAGE", b"guess by n from 10.2.0.5}; add element inet unmasq banned4 { 10.2.0.6 }")],
        &[("MESSAGE", b"guess by n from 10.2.0.5;flush")],
        &[("MESSAGE", b"guess by the last from 10.2.0.9")],
    ];
    for fields in entries {
        journald.send(fields).unwrap();
    }
    await_bans(&watch, &node, &["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.9"]);
    // One mail each, of those seven that guessed; none of them has a header that the attacker chose.
    let mails = eventually("the mails are sent", || {
        let mails = watch.mails();
        (mails.len() >= 6).then_some(mails)
    });
    for mail in &mails {
        let (head, body) = mail.split_once("\n\n").unwrap();
        assert!(!head.contains("victim") && head.contains("Subject: guess"), "{mail}");
        assert!(!body.contains('\x1b') && !body.contains('\0'), "{body:?}");
    }
    // One entry in the log each, whose text is whole. It does not wait for a journal that has no time.
    eventually("the guesses are in the log", || {
        let written = journald.read(&["-o", "json", "--all", "-t", "unmasq"]).unwrap();
        let told = written.lines().filter(|line| line.contains("UNMASQ_CHAIN\":\"Guess")).count();
        (told >= 6).then_some(())
    });
    assert!(!elements(&node, "banned4").iter().any(|one| one.starts_with("10.2.0.6")));
    watch.stop();
}

/// Fails for every line, and writes another one.
const ECHO: &str = r#"
[book]
conntrack = false
[[actions."Echo"]]
action = "action_dailyReport"
args = { level = "INFO", message = "{SYSLOG_IDENTIFIER}", details = "NONE" }
[[actions."Echo"]]
action = "action_log"
args = { level = "ERR", message = "saw {MESSAGE}" }
[[actions."Echo"]]
action = "action_counterRaise"
args = { counter = "missing", for = "OBJECT_PID", keepSeconds = 60 }
"#;

#[test]
fn what_the_watch_writes_and_reads_again_comes_to_an_end() {
    let lab = Lab::new().unwrap();
    let node = lab.node("host").unwrap();
    let journald = Journald::start(&lab, "").unwrap();
    let mut watch = Watching::new(&lab, "", ECHO);
    watch.start(&node, Some(&journald));
    for _ in 0..100 {
        journald.send(&[("MESSAGE", b"hello"), ("SYSLOG_IDENTIFIER", b"somebody")]).unwrap();
    }
    let mut report = String::new();
    let mut read_up_to = |name: &str| {
        journald.send(&[("MESSAGE", b"done"), ("SYSLOG_IDENTIFIER", name.as_bytes())]).unwrap();
        eventually(&format!("{name} is read"), || {
            report.push_str(&watch.report());
            Watching::told(&report, name).contains_key(name).then_some(())
        });
    };
    // Whatever was written because of a line stands before the next that is sent: the answers to all, and the answers to those.
    ["the last", "behind the answers", "behind their answers"].into_iter().for_each(&mut read_up_to);
    let lines = || journald.read(&["-o", "cat", "-t", "unmasq"]).unwrap().lines().count();
    // It has gone quiet: a further line of somebody else has no more than its own consequences.
    let before = lines();
    read_up_to("one more");
    let after = lines();
    assert!(after <= 1000 && after - before <= 50, "{before}, then {after}");
    watch.stop();
}
