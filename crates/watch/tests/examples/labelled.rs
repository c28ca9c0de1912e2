//! fail2ban's labelled lines. For a line that is labelled a failure, an example blames exactly the labelled
//! address, or nobody where a reason is given here; for any other line nobody; and never another address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use unmasq_entry::format::Format;
use unmasq_watch::enforce::canonical;

use crate::harness::Example;

/// Where the package has them.
const LOGS: &str = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs";

/// A line, and what the file says about it in any mode of fail2ban's filter.
#[derive(Debug, Default)]
struct Label {
    /// Whom it may be attributed to; none if it is no failure in any mode.
    hosts: BTreeSet<String>,
}

/// Lines that are labelled failures and blame nobody here: a part of the line, and the reason.
type Exceptions<'e> = &'e [(&'e str, &'e str)];

fn labels(name: &str) -> BTreeMap<String, Label> {
    let text = std::fs::read(Path::new(LOGS).join(name)).unwrap_or_else(|error| {
        panic!("{LOGS}/{name}: {error}; the package fail2ban is needed: scripts/setup test")
    });
    let text = String::from_utf8_lossy(&text);
    let mut labels: BTreeMap<String, Label> = BTreeMap::new();
    let mut pending: Option<serde_json::Value> = None;
    // A filter that looks for one thing only, and calls other failures none.
    let mut is_narrow = false;
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(options) = comment.trim_start().strip_prefix("filterOptions:") {
                is_narrow = options.trim() == r#"[{"mode": "errors"}]"#;
            }
            if let Some(json) = comment.trim_start().strip_prefix("failJSON:") {
                pending = Some(serde_json::from_str(json).unwrap_or_else(|error| panic!("{line}: {error}")));
            }
        } else if let Some(label) = pending.take().filter(|label| label["match"] == true || !is_narrow) {
            let entry = labels.entry(line.to_owned()).or_default();
            if label["match"] == true {
                let host = ["host", "ip4", "ip6"].iter().find_map(|key| label[key].as_str());
                entry.hosts.insert(host.unwrap_or("?").to_owned());
            }
        }
    }
    labels
}

/// An address in its one spelling; `None` for a name.
fn address(text: &str) -> Option<String> {
    let address: IpAddr = text.parse().ok()?;
    Some(canonical(address.into()).addr().to_string())
}

/// The reason that holds for any example.
fn general(line: &str, hosts: &BTreeSet<String>) -> Option<&'static str> {
    if hosts.iter().any(|host| !line.contains(host.as_str())) {
        return Some("the address is in another line");
    }
    hosts.iter().any(|host| address(host).is_none()).then_some("a name, or no valid address")
}

/// Gives how many lines were blamed on the right one and how many have an exception.
fn check(
    example: &str,
    logs: &[&str],
    format: Format,
    cut: fn(&str) -> String,
    exceptions: Exceptions<'_>,
) -> (usize, usize) {
    let mut example = Example::impatient(example);
    let (mut right, mut excepted, mut wrong) = (0, 0, Vec::new());
    let mut used = BTreeSet::new();
    for (line, label) in logs.iter().flat_map(|log| labels(log)) {
        example.record(format, &cut(&line), &[]);
        let banned: BTreeSet<String> = example.deeds().banned.into_iter().collect();
        let hosts: BTreeSet<String> = label.hosts.iter().filter_map(|host| address(host)).collect();
        if banned.iter().any(|address| !hosts.contains(address)) {
            wrong.push(format!("blames {banned:?}, labelled {:?}: {line}", label.hosts));
        } else if !banned.is_empty() {
            right += 1;
        } else if !label.hosts.is_empty() {
            let special = exceptions.iter().find(|(part, _)| line.contains(part));
            used.extend(special.map(|(part, _)| *part));
            if special.is_none() && general(&line, &label.hosts).is_none() {
                wrong.push(format!("blames nobody, labelled {:?}: {line}", label.hosts));
            } else {
                excepted += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{logs:?}:\n{}", wrong.join("\n"));
    let unused: Vec<_> = exceptions.iter().filter(|(part, _)| !used.contains(part)).collect();
    assert!(unused.is_empty(), "{logs:?}: no line needs these exceptions: {unused:?}");
    (right, excepted)
}

fn whole(line: &str) -> String {
    line.to_owned()
}

#[test]
fn sshd() {
    let ended = "a connection that ended is no failure of its own; what was tried before is in other lines";
    let details = "a name with blanks or details of a key: not to be told apart here";
    // As fail2ban shows the journal's entries: without a time.
    let stamped = |line: &str| {
        if line.starts_with("srv ") { format!("Nov 21 08:00:00 {line}") } else { line.to_owned() }
    };
    let exceptions: &[(&str, &str)] = &[
        ("kernel:", "no sshd writes so: a kernel's line under sshd's name"),
        ("sshd[2716]: Connection closed by", ended),
        ("sshd[424228]: Connection closed by", ended),
        ("sshd[2717]: Connection closed by", ended),
        ("sshd[8148]: Connection closed by", ended),
        ("sshd[32310]: Connection closed by", ended),
        ("Connection reset by 192.0.2.39", ended),
        ("sshd[2101]: Disconnected from", ended),
        ("sshd[19320]: Disconnected from authenticating user", ended),
        (": 11: Bye Bye [preauth]", ended),
        (":11: Bye Bye [preauth]", ended),
        (": 11: Normal Shutdown", ended),
        ("Accepted password for known", "a success, after failures that other lines tell of"),
        (
            "pam_unix(sshd:auth): authentication failure",
            "one of several ways to be let in; sshd says how it ended",
        ),
        (
            "ROOT from aaaa:bbbb:cccc:1234::1:1",
            "without the port that sshd writes, a name could end like this",
        ),
        (" [sshd]", "no program's tag: nothing says that it is sshd's"),
        ("ssh1: ruser", "protocol 1, which sshd no longer has"),
        ("ssh2: from 10.10.1.2", details),
    ];
    let counts = check("sshd.toml", &["sshd", "sshd-journal"], Format::Syslog, stamped, exceptions);
    assert_eq!(counts, (118, 68));
}

#[test]
fn postfix() {
    let gone = "a connection that was given up: a mail server that was in a hurry does that, too";
    let exceptions: &[(&str, &str)] = &[
        ("HANGUP after 16", gone),
        ("lost connection after CONNECT", gone),
        ("lost connection after STARTTLS", gone),
        ("Invalid authentication mechanism", "a program that was set up wrongly; nothing was guessed"),
    ];
    let counts = check("postfix.toml", &["postfix"], Format::Syslog, whole, exceptions);
    assert_eq!(counts, (44, 4));
}

#[test]
fn dovecot() {
    let untried = "nothing was tried";
    let exceptions: &[(&str, &str)] = &[
        ("(no auth attempts", untried),
        ("disconnected before auth was ready", untried),
        ("client didn't finish SASL auth", untried),
        ("@400000004c91b044077a9e94", "multilog's stamp, which no source here gives"),
    ];
    let counts = check("dovecot.toml", &["dovecot"], Format::Syslog, whole, exceptions);
    assert_eq!(counts, (36, 12));
}

#[test]
fn haproxy() {
    let counts = check("haproxy.toml", &["haproxy-http-auth"], Format::Syslog, whole, &[]);
    assert_eq!(counts, (3, 0));
}

#[test]
fn nginx() {
    let forged: &[(&str, &str)] = &[(
        "\"localhost:8443\"\": was not found",
        "two clients in one line of the error log: the access log has its line as well",
    )];
    let logs: [(&str, Exceptions<'_>); 4] = [
        ("nginx-http-auth", forged),
        ("nginx-botsearch", &[]),
        ("nginx-bad-request", &[]),
        ("nginx-limit-req", &[]),
    ];
    let counts = logs.map(|(log, exceptions)| check("nginx.toml", &[log], Format::Plain, whole, exceptions));
    assert_eq!(counts, [(8, 1), (12, 0), (8, 0), (4, 0)]);
}

/// fail2ban's own log has a date and no host in front of the message, which the example is not given: its
/// source is the journal, or syslog.
#[test]
fn recidive() {
    let cut = |line: &str| match line.split_once(" fail2ban.actions") {
        Some((_, rest)) if line.starts_with("2006") => format!(
            "Feb 13 15:52:30 gw fail2ban.actions: {}",
            rest.split_once(": ").map_or(rest, |(_, rest)| rest)
        ),
        _ => line.to_owned(),
    };
    let counts = check("recidive.toml", &["recidive"], Format::Syslog, cut, &[]);
    assert_eq!(counts, (6, 0));
}
