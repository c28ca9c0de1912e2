//! `unmasq rules check` against nft, iptables-restore and a kernel.

#![allow(clippy::unwrap_used, reason = "a test whose preparations fail has failed")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use unmasq_lab::{Lab, Node};

use crate::support::{PROGRAM, text};

struct Gate {
    lab: Lab,
    node: Node,
}

struct Said {
    out: String,
    err: String,
    status: i32,
}

impl Gate {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let (node, far) = (lab.node("gate").unwrap(), lab.node("far").unwrap());
        node.link("gate0", &["10.9.0.1/24"], (&far, "far0", &["10.9.0.2/24"])).unwrap();
        Self { lab, node }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.lab.scratch().join(name);
        fs::write(&file, content).unwrap();
        file
    }

    fn check(&self, words: &[&str], ssh: Option<&str>) -> Said {
        let mut command = self.node.command(PROGRAM);
        command.args(["rules", "check"]).args(words).env("NO_COLOR", "1").env_remove("SSH_CONNECTION");
        command.envs(ssh.map(|ssh| ("SSH_CONNECTION", ssh)));
        let output = command.output().unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code().unwrap(),
        }
    }
}

const GOOD: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\
    \t\tct state established,related accept\n\t\tiif \"lo\" accept\n\t\tiifname \"gate0\" tcp dport 22 accept\n\t}\n}\n";

#[test]
fn a_good_ruleset_is_clean_and_nothing_is_loaded() {
    let gate = Gate::new();
    let file = gate.file("good.nft", GOOD);
    let said = gate.check(&[text(&file)], Some("10.9.0.2 50022 10.9.0.1 22"));
    assert_eq!(
        (said.status, said.out.trim_end()),
        (0, format!("{}: nothing to say of 3 rules (nft)", file.display()).as_str()),
        "{}",
        said.err
    );
    assert_eq!(gate.node.exec(&["nft", "list", "ruleset"]).unwrap(), "");
    let said = gate.check(&["--json", text(&file)], Some("10.9.0.2 50022 10.9.0.1 22"));
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        json["files"][0]["session"],
        serde_json::json!({ "established": "accepted", "new": "accepted" })
    );
    assert_eq!(json["files"][0]["refused"], Value::Null);
}

#[test]
fn the_ssh_session_of_the_caller_is_not_cut_unheard() {
    let gate = Gate::new();
    let file =
        gate.file("cut.nft", &GOOD.replace("gate0", "other0").replace("established,related", "related"));
    let said = gate.check(&[text(&file)], Some("10.9.0.2 50022 10.9.0.1 22"));
    assert_eq!(said.status, 1, "{}{}", said.out, said.err);
    assert!(
        said.out.contains(": [cuts-session] the session from 10.9.0.2 to 10.9.0.1:22 would be cut off"),
        "{}",
        said.out
    );
    assert_eq!(gate.check(&[text(&file)], None).status, 0, "without a session there is none to be cut");
    let said = gate.check(&["--session", "10.9.0.2:1,10.9.0.1:22", text(&file)], None);
    assert!(said.out.contains("[cuts-session]"), "{}", said.out);
}

#[test]
fn what_the_kernel_refuses_is_shown_with_its_line() {
    let gate = Gate::new();
    let nft = gate.file("bad.nft", &GOOD.replace("tcp dport 22 accept", "tcp dport 22 jump nowhere"));
    let iptables = gate
        .file("rules.v4", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 99999 -j ACCEPT\nCOMMIT\n");
    let said = gate.check(&[text(&nft), text(&iptables)], None);
    assert_eq!(said.status, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("bad.nft:6:"), "{}", said.out);
    assert!(said.out.contains("6 | \t\tiifname \"gate0\" tcp dport 22 jump nowhere\n"), "{}", said.out);
    assert!(said.out.contains("rules.v4:3:1: invalid port/service `99999' specified"), "{}", said.out);
    let said = gate.check(&["--json", text(&nft)], None);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["files"][0]["refused"][0]["line"], 6);
}

#[test]
fn warnings_have_the_lines_of_the_file() {
    let gate = Gate::new();
    let nft = gate.file(
        "warn.nft",
        "flush ruleset\ntable inet t {\n chain pre {\n  type filter hook prerouting priority mangle;\n\n  # to the proxy\n\
         \x20 tcp dport 80 tproxy ip to 127.0.0.1:3129 meta mark set 1 accept\n  udp dport 53 accept; udp dport 53 drop\n }\n}\n",
    );
    let iptables = gate.file(
        "fw.conf",
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j NFQUEUE --queue-num 1\n-A INPUT -j DROP\nCOMMIT\n",
    );
    let said = gate.check(&[text(&nft), "--format", "nft"], None);
    let codes: Vec<&str> = said.out.lines().filter_map(|line| line.strip_prefix(text(&nft))).collect();
    assert_eq!(codes.len(), 3, "{}{}", said.out, said.err);
    for (line, start) in codes.iter().zip([
        ":1: [flush-ruleset]",
        ":7: [tproxy-fails-open] inet t pre:",
        ":8: [unreachable-rule]",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(said.status, 1);
    let said = gate.check(&[text(&iptables)], None);
    assert!(
        said.out.contains("fw.conf:3: [queue-without-bypass]")
            && said.out.contains("fw.conf:4: [unreachable-rule]"),
        "{}",
        said.out
    );
}

#[test]
fn what_needs_the_machines_own_tables_is_judged_as_written() {
    let gate = Gate::new();
    gate.node.nft("table inet mine {\n}\n").unwrap();
    let file =
        gate.file("own.nft", "delete table inet mine\ntable inet mine {\n chain c {\n  queue to 1\n }\n}\n");
    let said = gate.check(&[text(&file)], None);
    // Where the kernel has no queue for nft, it is refused; it is judged all the same.
    assert!(said.out.contains("own.nft:4: [queue-without-bypass]"), "{}{}", said.out, said.err);
    let file =
        gate.file("own.nft", "delete table inet mine\ntable inet mine {\n chain c {\n  accept\n }\n}\n");
    let said = gate.check(&[text(&file)], None);
    assert!(
        said.out.contains("note: some warnings need the ruleset as the kernel has it"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(said.status, 0);
}

#[test]
fn who_may_not_ask_the_kernel_is_told_so() {
    let gate = Gate::new();
    let nft = gate.file("fw.nft", GOOD);
    let iptables = gate.file("rules.v4", "*filter\n-A INPUT -j DROP\nCOMMIT\n");
    for file in [nft, iptables] {
        let mut command = gate.node.command("setpriv");
        command.args(["--bounding-set", "-net_admin", PROGRAM, "rules", "check"]).arg(&file);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    }
}
