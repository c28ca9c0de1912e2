//! How fast records of each format become entries: `cargo bench -p unmasq-source`.
//!
//! Files are made in a temporary directory, read once to be in the page cache, then read five times; the best counts.
//! The time is the processor's.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use unmasq_entry::format::{Context, Format};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;
use unmasq_source::{Followed, Once, Read, Source, Start};

const LINES: u32 = 1_000_000;

/// A message of sshd's; one of twenty tells of a failure, as in a quiet log.
fn message(number: u32) -> String {
    let (low, high) = (number % 250, number / 250 % 250);
    match number % 20 {
        0 => format!(
            "Failed password for invalid user admin{low} from 198.51.{high}.{low} port {} ssh2",
            1024 + low
        ),
        n if n % 2 == 0 => {
            format!("pam_unix(sshd:session): session opened for user deploy{low}(uid=1{low}) by (uid=0)")
        }
        _ => format!(
            "Accepted publickey for deploy{low} from 10.0.{high}.{low} port {}: ED25519 SHA256:{number:043}",
            40_000 + low
        ),
    }
}

fn line(format: Format, number: u32, text: &mut Vec<u8>) {
    let (second, pid) = (number / 1000, number % 32_768);
    let clock = format!("{:02}:{:02}:{:02}", 8 + second / 3600, second / 60 % 60, second % 60);
    let message = message(number);
    let written = match format {
        Format::Plain | Format::Syslog => writeln!(text, "Nov 21 {clock} gw sshd[{pid}]: {message}"),
        Format::JsonLines => writeln!(
            text,
            r#"{{"timestamp":"2026-11-21T{clock}.000000+0000","flow_id":{number},"event_type":"ssh","src_ip":"203.0.113.5","src_port":{pid},"dest_ip":"10.0.0.2","dest_port":22,"proto":"TCP","ssh":{{"client":{{"proto_version":"2.0","software_version":"libssh_0.9.6"}}}}}}"#
        ),
        Format::JournalJson | Format::JournalExport => Ok(()),
    };
    written.expect("memory does not fail");
}

fn make(path: &Path, format: Format) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut text = Vec::new();
    let real = match format {
        Format::JournalExport => Some(&include_bytes!("../tests/data/gateway.journal.export")[..]),
        Format::JournalJson => Some(&include_bytes!("../tests/data/gateway.journal.json")[..]),
        _ => None,
    };
    if let Some(real) = real {
        // 208 entries each time.
        for _ in 0..LINES / 208 {
            file.write_all(real).expect("written");
        }
        return;
    }
    for number in 0..LINES {
        text.clear();
        line(format, number, &mut text);
        file.write_all(&text).expect("written");
    }
}

fn read_all(mut source: impl Source, names: &[&str]) -> (u64, u64) {
    let mut fields = Fields::default();
    for name in names {
        fields.slot(name);
    }
    let mut entry = Entry::new(&fields);
    loop {
        entry.clear();
        match source.read(&mut entry, &fields).expect("a good file") {
            Read::Entry => _ = std::hint::black_box(&entry),
            Read::Idle | Read::End => return (source.counts().entries, source.counts().bytes),
        }
    }
}

/// The processor's time, user's and system's: what others do on the machine counts for less.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(what: &str, names: &[&str], open: impl Fn() -> Box<dyn FnOnce(&[&str]) -> (u64, u64)>) {
    open()(names);
    let runs = (0..5).map(|_| {
        let start = cpu_seconds();
        let (entries, bytes) = open()(names);
        (cpu_seconds() - start, entries, bytes)
    });
    let best = runs.min_by(|a, b| a.0.total_cmp(&b.0)).expect("five runs");
    let (seconds, entries, bytes) = best;
    println!(
        "{what:<28} {entries:>9} entries {:>6.0} MB  {:>6.3} s  {:>6.2} M/s {:>6.2} GB/s",
        bytes as f64 / 1e6,
        seconds,
        entries as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e9
    );
}

fn main() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = || Context { latest: Timestamp::now(), ..Context::default() };
    let cases: [(Format, &[&str]); 5] = [
        (Format::Plain, &["MESSAGE"]),
        (Format::Syslog, &["MESSAGE", "SYSLOG_IDENTIFIER", "_HOSTNAME"]),
        (Format::JsonLines, &["event_type", "src_ip", "ssh.client.software_version"]),
        (Format::JournalJson, &["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT"]),
        (Format::JournalExport, &["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT"]),
    ];
    // `cargo bench -p unmasq-source -- journal-export`: that one alone.
    let wanted: Vec<_> = std::env::args().skip(1).filter_map(|name| Format::named(&name)).collect();
    for (format, names) in cases.into_iter().filter(|case| wanted.is_empty() || wanted.contains(&case.0)) {
        let path = folder.path().join(format.name());
        make(&path, format);
        measure(format.name(), names, || {
            let once = Once::open(&path, Some(format), context()).expect("a file");
            Box::new(move |names| read_all(once, names))
        });
        if format == Format::Plain {
            measure("plain, followed", names, || {
                let followed = Followed::open(&path, format, context(), Start::Head).expect("a file");
                Box::new(move |names| read_all(followed, names))
            });
        }
    }
}
