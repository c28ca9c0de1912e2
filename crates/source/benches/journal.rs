//! What it costs to read a journal: `cargo bench -p unmasq-source --bench journal [DIRECTORY]`. Prints entries a
//! second of processor time, best of several runs, for the bare library and for the source on top of it, which chains of few and of many
//! fields use. Without a directory, systemd-journal-remote makes a journal of an attack's lines first.

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use unmasq_entry::format::Encoding;
use unmasq_entry::{Entry, Fields};
use unmasq_journal::Where;
use unmasq_source::journal::{Hosts, Journal, Options};
use unmasq_source::{Read, Source, Start};

const ENTRIES: u64 = 200_000;
const RUNS: usize = 5;

/// What a chain for sshd and HAProxy uses.
const FEW: [&str; 6] =
    ["MESSAGE", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "PRIORITY", "_HOSTNAME", "__REALTIME_TIMESTAMP"];

/// All that the entries have.
const MANY: [&str; 30] = [
    "MESSAGE",
    "SYSLOG_IDENTIFIER",
    "_SYSTEMD_UNIT",
    "PRIORITY",
    "_HOSTNAME",
    "__REALTIME_TIMESTAMP",
    "__MONOTONIC_TIMESTAMP",
    "_BOOT_ID",
    "_MACHINE_ID",
    "_RUNTIME_SCOPE",
    "_UID",
    "_GID",
    "_PID",
    "_CAP_EFFECTIVE",
    "_TRANSPORT",
    "SYSLOG_FACILITY",
    "SYSLOG_TIMESTAMP",
    "SYSLOG_PID",
    "_COMM",
    "_EXE",
    "_CMDLINE",
    "_SYSTEMD_CGROUP",
    "_SYSTEMD_SLICE",
    "_SYSTEMD_INVOCATION_ID",
    "_SELINUX_CONTEXT",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_AUDIT_SESSION",
    "_AUDIT_LOGINUID",
    "ERRNO",
    "CODE_LINE",
];

fn main() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    // cargo bench adds a flag of its own.
    let given = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let folder = given.as_deref().map_or(scratch.path(), Path::new);
    if given.is_none() {
        make(folder);
    }
    let place = Where::Directory(folder.to_owned());
    let bare = measure("library: next", || bare(&place, |_| ()));
    let message = measure("library: next, MESSAGE", || {
        self::bare(&place, |journal| {
            black_box(journal.field(c"MESSAGE").expect("a readable journal"));
        })
    });
    let all = measure("library: next, each field", || {
        self::bare(&place, |journal| {
            let each = |name: &[u8], value: &[u8]| {
                black_box((name, value));
            };
            journal.each_field(each).expect("a readable journal");
        })
    });
    println!("{:<28}{:>10.2} of bare, {:.2} of MESSAGE alone", "", all / bare, all / message);
    for names in [&["MESSAGE"][..], &FEW, &MANY] {
        let source = measure(&format!("source: {} fields", names.len()), || source(&place, names));
        println!("{:<28}{:>10.2} of MESSAGE alone, {:.2} of each field", "", source / message, source / all);
    }
    let hosts = measure("journals of hosts: 6 fields", || {
        let hosts = Hosts::open(folder, &Start::Head, Encoding::default(), None);
        entries(&mut hosts.expect("a folder of journals"), &FEW)
    });
    println!("{:<28}{:>10.2} of each field", "", hosts / all);
}

/// Of this thread: what other processes do does not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Seconds of the fastest run.
fn measure(what: &str, mut run: impl FnMut() -> u64) -> f64 {
    let mut best = Duration::MAX;
    let mut entries = 0;
    for _ in 0..RUNS {
        let begun = cpu_time();
        entries = run();
        best = best.min(cpu_time().saturating_sub(begun));
    }
    println!("{what:<28}{:>10.0} entries/s", entries as f64 / best.as_secs_f64());
    best.as_secs_f64()
}

fn bare(place: &Where, mut each: impl FnMut(&mut unmasq_journal::Journal)) -> u64 {
    let mut journal = unmasq_journal::Journal::open(place).expect("a journal");
    let mut entries = 0;
    while journal.next().expect("a readable journal") {
        each(&mut journal);
        entries += 1;
    }
    entries
}

fn source(place: &Where, names: &[&str]) -> u64 {
    let options =
        Options { place: place.clone(), start: Start::Head, encoding: Encoding::default(), follow: false };
    entries(&mut Journal::open(options).expect("a journal"), names)
}

fn entries(source: &mut impl Source, names: &[&str]) -> u64 {
    let mut fields = Fields::default();
    for name in names {
        fields.slot(name);
    }
    let mut entry = Entry::new(&fields);
    let mut entries = 0;
    loop {
        entry.clear();
        if source.read(&mut entry, &fields).expect("a readable journal") == Read::End {
            return entries;
        }
        black_box(&entry);
        entries += 1;
    }
}

/// Entries with the fields that a service of systemd has, each with a message of its own.
fn make(folder: &Path) {
    let mut remote = Command::new("/lib/systemd/systemd-journal-remote")
        .arg("-o")
        .arg(folder.join("remote-bench.journal"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is installed");
    let mut input = std::io::BufWriter::new(remote.stdin.take().expect("a pipe"));
    for number in 0..ENTRIES {
        let micros = 1_795_251_448_000_000 + number * 50;
        let pid = 1000 + number % 5000;
        let (a, b) = (number % 250, number / 250 % 20);
        let port = 1024 + number % 60_000;
        write!(
            input,
            "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={number}\n\
             _BOOT_ID=e206869ed1174622a80e3fb595ec0d7a\n_MACHINE_ID=3d1219c7c4c5404aaa1f6d2a48adfda4\n\
             _HOSTNAME=gateway\n_RUNTIME_SCOPE=system\nPRIORITY=6\n_UID=0\n_GID=0\n_CAP_EFFECTIVE=1fffeffffff\n\
             _TRANSPORT=syslog\nSYSLOG_IDENTIFIER=sshd\nSYSLOG_FACILITY=4\n_COMM=sshd\n_EXE=/usr/sbin/sshd\n\
             _SYSTEMD_CGROUP=/system.slice/ssh.service\n_SYSTEMD_UNIT=ssh.service\n_SYSTEMD_SLICE=system.slice\n\
             _SYSTEMD_INVOCATION_ID=0f3a5c1f2b6d4c0e9a7b1d2e3f405162\n_SELINUX_CONTEXT=unconfined\n\
             SYSLOG_PID={pid}\n_PID={pid}\n_CMDLINE=sshd: root [priv]\nSYSLOG_TIMESTAMP=Nov 21 08:57:28 \n\
             MESSAGE=Failed password for invalid user u{number} from 198.51.{b}.{a} port {port} ssh2\n\
             _SOURCE_REALTIME_TIMESTAMP={micros}\n\n",
        )
        .expect("systemd-journal-remote reads");
    }
    drop(input);
    assert!(remote.wait().expect("its status").success(), "systemd-journal-remote failed");
}
