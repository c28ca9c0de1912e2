//! That the shipped files are sound, say the same in all spellings, and ban when they say.

use std::fs;
use std::path::Path;

use unmasq_entry::format::Format;
use unmasq_watch::config::{Config, Spelling};
use unmasq_watch::program::Program;

use crate::harness::{Example, path};

#[test]
fn every_example_compiles_without_a_warning() {
    let mut names: Vec<_> = fs::read_dir(path("")).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|name| Spelling::of(name).is_some());
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    for file in names {
        let loaded = Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.show(loaded.warnings.clone()));
        let compiled =
            Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)));
        assert!(compiled.warnings.is_empty(), "{}", loaded.show(compiled.warnings));
    }
}

/// All that Pyruse has, in one file; only the two commands that are not run are warned of, and a field that
/// nothing sets.
#[test]
fn a_large_configuration_of_pyruses_kind_is_read_as_it_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pyruse-style.json");
    let loaded = Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let steps: usize = loaded.config.chains.iter().map(|chain| chain.steps.len()).sum();
    assert_eq!((loaded.config.chains.len(), steps), (29, 79));
    assert_eq!(loaded.config.encoding, "iso-8859-15");
    let said = loaded.show(loaded.warnings.clone()).to_string();
    assert_eq!(said.matches("this command is not run").count(), 2, "{said}");
    assert_eq!(loaded.warnings.len(), 2, "{said}");
    let compiled = Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)));
    let said = loaded.show(compiled.warnings).to_string();
    assert!(said.contains("nothing sets the field \"gateway\""), "{said}");
    assert_eq!(said.matches("warning:").count(), 1, "{said}");
}

#[test]
fn the_dnat_example_is_the_same_in_its_three_spellings() {
    let [json, toml, yaml] = ["json", "toml", "yaml"]
        .map(|ending| Config::load(&path(&format!("nftables-dnat.{ending}"))).unwrap().config);
    assert_eq!(json, toml);
    assert_eq!(yaml, toml);
}

#[test]
fn bans_come_at_the_threshold_and_not_before() {
    for (example, identifier, threshold, message) in [
        ("sshd.toml", "sshd", 6, "Failed password for root from 192.0.2.1 port 1 ssh2"),
        (
            "postfix.toml",
            "postfix/smtpd",
            5,
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
        ),
        ("dovecot.toml", "dovecot", 5, "auth: sql(x,192.0.2.1): unknown user"),
        ("haproxy.toml", "haproxy", 20, "192.0.2.1:1 [x] f b/<NOSRV> -1/-1/-1/-1/0 401 2 "),
        ("recidive.toml", "unmasq", 3, "ban sshd 192.0.2.1"),
        ("nftables-dnat.toml", "sshd", 3, "Failed password for root from 192.0.2.1 port 1 ssh2"),
        (
            "haproxy-xmpp.toml",
            "prosody",
            3,
            "c2s: Failed authentication attempt (not-authorized) for user x from IP: 192.0.2.1 port 1",
        ),
    ] {
        let mut example = Example::new(example);
        for _ in 1..threshold {
            example.journal(identifier, "sshd", 0, message);
        }
        assert_eq!(example.deeds().banned, [""; 0], "{identifier}");
        example.journal(identifier, "sshd", 0, message);
        let deeds = example.deeds();
        assert_eq!(deeds.banned, ["192.0.2.1"], "{identifier}");
        assert_eq!(deeds.troubles, [""; 0], "{identifier}");
        assert_eq!(deeds.logged.len(), 1, "{identifier}");
    }
}

/// Lines as Nextcloud 28 writes them, shortened.
#[test]
fn nextclouds_failures_are_those_of_remote_addr() {
    let mut example = Example::impatient("nextcloud.toml");
    let line = |message: &str| {
        format!(
            r#"{{"reqId":"x","level":2,"time":"2026-11-21T08:00:00+00:00","remoteAddr":"192.0.2.1","user":"--","app":"no app in context","method":"POST","url":"/login","message":"{message}","version":"28.0.1"}}"#
        )
    };
    for message in [
        "Login failed: admin (Remote IP: 192.0.2.1)",
        "Login failed: x (Remote IP: 203.0.113.66) (Remote IP: 192.0.2.1)",
        "Two-factor challenge failed: admin (Remote IP: 192.0.2.1)",
        "Trusted domain error. \\\"192.0.2.1\\\" tried to access using \\\"203.0.113.66\\\" as host.",
    ] {
        example.record(Format::JsonLines, &line(message), &[]);
        assert_eq!(example.deeds().banned, ["192.0.2.1"], "{message}");
    }
    example.record(Format::JsonLines, &line("User x says: Login failed: y (Remote IP: 203.0.113.66)"), &[]);
    assert_eq!(example.deeds().banned, [""; 0]);
}

/// The way from an example's ban to the chain for repeat offenders.
#[test]
fn what_the_examples_log_of_a_ban_is_what_recidive_counts() {
    let mut sshd = Example::impatient("sshd.toml");
    sshd.journal("sshd", "sshd", 0, "Failed password for root from 2001:db8::1 port 1 ssh2");
    let logged = sshd.deeds().logged;
    let mut recidive = Example::new("recidive.toml");
    for _ in 0..3 {
        recidive.journal("unmasq", "unmasq", 0, &logged[0]);
    }
    let deeds = recidive.deeds();
    assert_eq!(deeds.banned, ["2001:db8::1"]);
    // It does not count what it says itself.
    recidive.journal("unmasq", "unmasq", 0, &deeds.logged[0]);
    assert_eq!(recidive.deeds().counted, [""; 0]);
}
