//! `unmasq rules zones` and `unmasq rules piece` as far as they touch no kernel.

use std::fs;

use assert_cmd::Command;

use crate::support::{Said, run, said};

fn zones(words: &[&str], input: &str) -> Said {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    said(command.args(["rules", "zones"]).args(words).write_stdin(input))
}

fn piece(words: &[&str]) -> Said {
    run(&[&["rules", "piece"], words].concat())
}

#[test]
fn the_example_is_a_file_that_is_taken() {
    let example = zones(&["--example"], "");
    assert_eq!(example.status, 0, "{example:?}");
    for (format, sign) in
        [("nft", "table inet unmasq_zones {"), ("iptables", "*filter"), ("ip6tables", "-s fd00:65::/64")]
    {
        let printed = zones(&["-", "--format", format], &example.out);
        assert!(printed.status == 0 && printed.out.contains(sign), "{printed:?}");
        assert!(printed.err.is_empty(), "{printed:?}");
    }
    let routing = zones(&["-", "--routing"], &example.out);
    assert_eq!((routing.status, routing.out.lines().count()), (0, 10), "{routing:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_shown_with_its_line() {
    let wrong = zones(&["-"], "[zone.intra]\ninterfaces = [\"lan0\"]\nproxy = [\"http\"]\n");
    assert_eq!(wrong.status, 1, "{wrong:?}");
    assert!(wrong.out.is_empty());
    assert!(wrong.err.contains("<stdin>:3:10: there is no service \"http\""), "{wrong:?}");
    assert!(wrong.err.contains("^^^^^^") && wrong.err.contains("1 error"), "{wrong:?}");
}

#[test]
fn wrong_usage_is_told_from_a_wrong_file() {
    for words in [
        &[][..],
        &["--example", "zones.toml"],
        &["--example", "--routing"],
        &["-", "--format", "pf"],
        &["-", "--routing", "--format", "nft"],
        &["/nonexistent/zones.toml"],
    ] {
        let said = zones(words, "");
        assert_eq!(said.status, 2, "{words:?}: {said:?}");
        assert!(!said.err.is_empty());
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("iptables.conf.new");
    let name = new.to_str().unwrap();
    let file = "[zone.intra]\ninterfaces = [\"lan0\"]\n";
    fs::write(&new, "what was there").unwrap();
    let said = zones(&["-", "--format", "iptables", "-o", name], file);
    assert_eq!((said.status, said.out.as_str()), (0, ""), "{said:?}");
    assert_eq!(fs::read_to_string(&new).unwrap(), zones(&["-", "--format", "iptables"], file).out);
    assert_eq!(zones(&["-", "-o", name], "[zone]\n").status, 1);
    assert!(fs::read_to_string(&new).unwrap().contains("*filter"), "it is as before");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    let said = zones(&["-", "-o", "/nonexistent/new"], file);
    assert!(said.status == 2 && said.err.contains("cannot write /nonexistent/new"), "{said:?}");
}

#[test]
fn nothing_proxied_needs_no_policy_routing() {
    let said = zones(&["-", "--routing"], "[zone.intra]\ninterfaces = [\"lan0\"]\n");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert!(said.err.contains("no policy routing is needed"), "{said:?}");
}

#[test]
fn every_piece_is_listed_and_has_a_help_of_its_own() {
    let list = piece(&[]);
    assert_eq!(list.status, 0, "{list:?}");
    let json = piece(&["--json"]).json();
    let names: Vec<_> =
        json.as_array().unwrap().iter().map(|piece| piece["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "log-dnat",
            "log-nflog",
            "log-ssh-banner",
            "divert-ssh",
            "ips",
            "masquerade",
            "traceable",
            "tproxy",
            "box"
        ]
    );
    for name in names {
        assert!(list.out.lines().any(|line| line.starts_with(name)), "{name}");
        let help = piece(&[name, "--help"]);
        assert_eq!(help.status, 0);
        for part in ["It needs", "To see that it works", "Exit status", "Example:"] {
            assert!(help.out.contains(part), "{name}: {}", help.out);
        }
    }
}

#[test]
fn no_text_gets_into_a_piece_that_could_be_a_rule() {
    for words in [
        &["masquerade", "--out", "wan\" accept; #"][..],
        &["masquerade", "--out", "sixteencharacter"],
        &["masquerade", "--out", "wan", "--network", "10.0.0.1/8"],
        &["log-nflog", "--prefix", "a\" accept; \""],
        &["log-nflog", "--group", "65536"],
        &["divert-ssh", "--to", "192.168.1.1"],
        &["divert-ssh", "--to", "2200", "--set", "a; flush ruleset"],
        &["tproxy", "--in", "lan0", "--port", "0", "--listen", "1"],
        &["tproxy", "--in", "lan0", "--port", "80", "--listen", "3129", "--table", "254"],
        &["tproxy", "--in", "lan0", "--port", "80", "--listen", "3129", "--mark", "0"],
        &["ips", "--queues", "3-0"],
        &["box", "--multicast", "192.0.2.1"],
        &["divert-ssh", "--to", "[fd00::5]:2200", "--format", "iptables"],
        &["nothing"],
    ] {
        let said = piece(words);
        assert!(said.status == 2 && said.out.is_empty() && !said.err.is_empty(), "{words:?}: {said:?}");
    }
}

#[test]
fn a_traceable_piece_is_what_the_plan_prints() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let words = [
        "--network",
        "10.8.0.0/24",
        "--public",
        "192.0.2.1",
        "--exclude",
        "none",
        "--history",
        history.to_str().unwrap(),
    ];
    let of_plan = run(&[&["plan", "rules"][..], &words].concat());
    let of_piece = piece(&[&["traceable"][..], &words].concat());
    let without_time =
        |said: &Said| said.out.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!((of_piece.status, without_time(&of_piece)), (0, without_time(&of_plan)), "{of_piece:?}");
    assert!(of_piece.out.contains("map clients"), "{}", of_piece.out);
}
