//! `unmasq watch` on a gateway: whoever guesses behind a translation or a proxy is banned, and nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use unmasq_flow::Timestamp;
use unmasq_lab::{Journald, Lab, client};

use crate::gateway::{
    Hosts, INNER, askpass, example, failed_at_prosody, guess, guess_over_ssh, haproxy, serve_lines, sshd,
};
use crate::support::{eventually, text};
use crate::watching::{Watching, await_bans};

const XMPP: ([u8; 4], u16) = ([10, 0, 0, 2], 5222);

/// Waits until the watch has written this into the journal. It does not wait for a journal that has no time.
fn await_written(journald: &Journald, what: &str) {
    eventually(&format!("{what:?} is written"), || {
        let written = journald.read(&["-o", "cat", "-t", "unmasq"]).expect("it can be read");
        written.contains(what).then_some(())
    });
}

fn from(host: u8) -> SocketAddr {
    ([203, 0, 113, host], 0).into()
}

/// The service that HAProxy forwards to, which logs into this journal.
fn prosody(hosts: &Hosts, journald: &Arc<Journald>) {
    let journald = Arc::clone(journald);
    serve_lines(&hosts.service, XMPP.into(), move |user, address, port| {
        let message = failed_at_prosody(user, address, port);
        journald
            .send(&[
                ("SYSLOG_IDENTIFIER", b"prosody".as_slice()),
                ("PRIORITY", b"6"),
                ("MESSAGE", message.as_bytes()),
            ])
            .expect("the journal takes it");
    });
}

#[test]
fn guessers_behind_masquerade_and_proxy_are_banned_and_nobody_else() {
    let lab = Lab::new().unwrap();
    // The ports are not the clients': only the kernel knows who is who.
    let hosts = Hosts::build(&lab, "random");
    let journald = Arc::new(Journald::start(&lab, "").unwrap());
    let log = format!("log {} local0 info", text(&journald.syslog()));
    let _haproxy = haproxy(&lab, &hosts.gateway, &log, "");
    let _sshd = sshd(&lab, &hosts.service, &journald.syslog());
    prosody(&hosts, &journald);
    // The example as it is.
    let chains = example("gateway.toml");
    let book = format!("\n[book]\nconntrack = ['{}']\n", hosts.gateway.name());
    let mut watch = Watching::new(&lab, "", &format!("{chains}{book}"));
    watch.start(&hosts.gateway, Some(&journald));

    // All at once: two user names that could be an address to a careless pattern among them.
    let forged_ssh = "x from 10.9.9.9 port 1 ssh2";
    let forged_xmpp = "x from IP: 10.9.9.9 port 1";
    let askpass = askpass(&lab);
    thread::scope(|scope| {
        for (host, user, times) in [(5, "root", 2), (6, "admin", 2), (7, forged_ssh, 2), (8, forged_ssh, 1)] {
            let (askpass, clients) = (&askpass, &hosts.clients);
            scope.spawn(move || {
                for _ in 0..times {
                    guess_over_ssh(askpass, clients, &format!("203.0.113.{host}"), user);
                }
            });
        }
        for (host, user, times) in
            [(9, "juliet", 5), (10, forged_xmpp, 5), (11, "romeo", 4), (12, forged_xmpp, 2)]
        {
            let clients = &hosts.clients;
            scope.spawn(move || {
                for _ in 0..times {
                    guess(clients, from(host), ([203, 0, 113, 1], 5222).into(), user);
                }
            });
        }
    });
    let expected = ["203.0.113.10", "203.0.113.5", "203.0.113.6", "203.0.113.7", "203.0.113.9"];
    await_bans(&watch, &hosts.gateway, &expected);

    // Each failure was counted for its client, once.
    let told = watch.await_told("", 37);
    let mut expected = BTreeMap::new();
    for (address, service, banned) in [
        ("203.0.113.5", "sshd", 2),
        ("203.0.113.6", "sshd", 2),
        ("203.0.113.7", "sshd", 2),
        ("203.0.113.9", "prosody", 1),
        ("203.0.113.10", "prosody", 1),
    ] {
        expected.insert(format!("Failed login from {address} at {service}"), 4);
        expected.insert(format!("{address} was banned for guessing at {service}"), banned);
    }
    for (address, count) in [("8 at sshd", 3), ("11 at prosody", 4), ("12 at prosody", 2)] {
        expected.insert(format!("Failed login from 203.0.113.{address}"), count);
    }
    assert_eq!(told, expected);
    // What it wrote into the journal is there to be read.
    await_written(&journald, "ban sshd 203.0.113.7\n");
    watch.stop();
}

/// sshd, as far as its log is concerned.
fn sshd_lines(hosts: &Hosts, journald: &Arc<Journald>) {
    let journald = Arc::clone(journald);
    serve_lines(&hosts.service, ([10, 0, 0, 2], 22).into(), move |user, address, port| {
        journald
            .send(&[
                ("SYSLOG_IDENTIFIER", b"sshd".as_slice()),
                ("PRIORITY", b"6"),
                ("MESSAGE", failed_at_sshd(user, address, port).as_bytes()),
            ])
            .expect("the journal takes it");
    });
}

fn failed_at_sshd(user: &str, address: &str, port: u16) -> String {
    format!("Failed password for invalid user {user} from {address} port {port} ssh2")
}

#[test]
fn the_kernels_line_tells_who_it_was_also_when_it_comes_late() {
    let lab = Lab::new().unwrap();
    let hosts = Hosts::build(&lab, "");
    let journald = Arc::new(Journald::start(&lab, "").unwrap());
    sshd_lines(&hosts, &journald);
    let kernel = lab.scratch().join("kernel.log");
    let mut log = fs::File::create(&kernel).unwrap();
    let top = format!(
        "sources = [{{ journal = true }}, {{ file = '{}', format = 'syslog' }}]\nskew = '100ms'",
        text(&kernel)
    );
    // Lines alone: nobody asks the kernel.
    let rest = format!("{}\n[book]\nconntrack = false\n", example("nftables-dnat.toml"));
    let mut watch = Watching::new(&lab, &top, &rest);
    watch.start(&hosts.gateway, Some(&journald));
    let mut line = |host: u8, port: u16| {
        let at = Timestamp::now();
        writeln!(
            log,
            "{at} gw kernel: [  100.5] DNAT/ssh: IN=wan OUT= MAC=02:00 SRC=203.0.113.{host} DST=203.0.113.1 LEN=60 \
             TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT={port} DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0 "
        )
        .expect("it is written");
    };
    let mut open = Vec::new();
    for (host, times) in [(5_u8, 3), (6, 3), (7, 2)] {
        for time in 0..times {
            let port = 40_000 + 10 * u16::from(host) + time;
            let is_late = time % 2 == 1;
            if !is_late {
                line(host, port);
            }
            let from = SocketAddr::from(([203, 0, 113, host], port));
            open.push(guess(&hosts.clients, from, ([203, 0, 113, 1], 22).into(), "root"));
            if is_late {
                line(host, port);
            }
        }
    }
    await_bans(&watch, &hosts.gateway, &["203.0.113.5", "203.0.113.6"]);
    let told = watch.await_told("Failed login as root from ", 8);
    let of = |host: u8| told.get(&format!("Failed login as root from 203.0.113.{host}")).copied();
    assert_eq!([of(5), of(6), of(7)], [Some(3), Some(3), Some(2)], "{told:?}");
    watch.stop();
}

/// Bans whomever a line names, at once.
const BAN_AT_SIGHT: &str = r#"
[[actions."sshd"]]
filter = "filter_pcre"
args = { field = "MESSAGE", re = '^Failed password for (?:invalid user )?(.*) from (\S+) port (\d+) ssh2$', save = ["user", "address", "port"] }
else = "Others"
[[actions."sshd"]]
action = "action_dailyReport"
args = { level = "INFO", message = "saw {address}", details = "FIRSTLAST" }
[[actions."sshd"]]
action = "action_nftBan"
args = { IP = "address", nftSetIPv4 = "inet unmasq banned4", nftSetIPv6 = "inet unmasq banned6", banSeconds = 600 }
[[actions."Others"]]
action = "action_noop"
"#;

#[test]
fn a_masking_address_is_never_banned_although_nothing_corrects_it() {
    let lab = Lab::new().unwrap();
    let hosts = Hosts::build(&lab, "random");
    let journald = Arc::new(Journald::start(&lab, "").unwrap());
    sshd_lines(&hosts, &journald);
    let book = format!("{BAN_AT_SIGHT}\n[book]\nconntrack = ['{}']\n", hosts.gateway.name());
    // On the service's host, of which 10.0.0.1 is no address: only the gateway's kernel tells that it stands for others.
    let mut watch = Watching::new(&lab, "", &book);
    watch.start(&hosts.service, Some(&journald));
    // The very first translation is known in time, and what stood before is listed at the start.
    let _silent = client::tcp(&hosts.clients, from(5), ([203, 0, 113, 1], 22).into()).unwrap();
    let first = guess(&hosts.clients, from(5), ([203, 0, 113, 1], 22).into(), "root");
    let direct = failed_at_sshd("root", "198.51.100.9", 4022);
    journald.send(&[("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", direct.as_bytes())]).unwrap();
    await_bans(&watch, &hosts.service, &["198.51.100.9"]);
    await_written(&journald, "10.0.0.1 is not banned");
    watch.kill();
    let told = failed_at_sshd("root", INNER, first.local_addr().unwrap().port());
    journald.send(&[("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", told.as_bytes())]).unwrap();
    let direct = failed_at_sshd("root", "198.51.100.10", 4022);
    journald.send(&[("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", direct.as_bytes())]).unwrap();
    watch.start(&hosts.service, Some(&journald));
    await_bans(&watch, &hosts.service, &["198.51.100.10", "198.51.100.9"]);
    let report = watch.report();
    assert_eq!(Watching::told(&report, "saw 10.0.0.1").values().sum::<u64>(), 2, "{report}");
    watch.stop();
}

/// HAProxy logs straight to the watch; the service's log is a file. `is_held`: the connections stay open.
fn proxied(to: &str, source: &str, defaults: &str, is_held: bool) {
    let lab = Lab::new().expect("a lab");
    let hosts = Hosts::build(&lab, "");
    let (here, service) = (lab.scratch().join("haproxy.sock"), lab.scratch().join("prosody.log"));
    let [to, source] = [to, source].map(|one| one.replace("HERE", text(&here)));
    let mut log = fs::File::create(&service).expect("a file");
    let top = format!(
        "sources = [{{ syslog = '{source}' }}, {{ file = '{}', format = 'syslog' }}]\nskew = '100ms'",
        text(&service)
    );
    let rest = format!("{}\n[book]\nconntrack = false\n", example("haproxy-xmpp.toml"));
    let mut watch = Watching::new(&lab, &top, &rest);
    watch.start(&hosts.gateway, None);
    let _haproxy = haproxy(&lab, &hosts.gateway, &format!("log {to} local0 info"), defaults);
    let write = Mutex::new(move |line: String| log.write_all(line.as_bytes()));
    serve_lines(&hosts.service, XMPP.into(), move |user, address, port| {
        let line =
            format!("{} xmpp prosody[7]: {}\n", Timestamp::now(), failed_at_prosody(user, address, port));
        write.lock().expect("no panic")(line).expect("it is written");
    });
    let mut held = Vec::new();
    for (host, times) in [(5, 3), (6, 2), (7, 3)] {
        for _ in 0..times {
            let stream = guess(&hosts.clients, from(host), ([203, 0, 113, 1], 5222).into(), "juliet");
            held.extend(Some(stream).filter(|_| is_held));
        }
    }
    await_bans(&watch, &hosts.gateway, &["203.0.113.5", "203.0.113.7"]);
    watch.stop();
}

#[test]
fn a_session_is_corrected_while_it_is_open_where_haproxy_logs_as_soon_as_it_can() {
    proxied("HERE", "unix:HERE", "option logasap", true);
}

#[test]
fn haproxys_own_log_over_udp_is_waited_for() {
    proxied("127.0.0.1:5514", "udp://127.0.0.1:5514", "", false);
}
