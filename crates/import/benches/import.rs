//! Lines per second of each format, beside `grep -c` and `zstd` over the same file, in one run.
//!
//! `cargo bench -p unmasq-import [-- LINES]`; two million lines of `conntrack -E` text by default (some 380 MB in the
//! temporary folder, removed afterwards), a quarter of that for the other formats.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use unmasq_flow::Origin;
use unmasq_import::{Format, Line, Lines, Pairer, Parser, Settings};

fn main() {
    let lines = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(2_000_000_u64);
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("{:<34} {:>12} {:>10} {:>9}", "what, one core", "lines/s", "MB/s", "seconds");
    for (format, count) in [
        (Format::Conntrack, lines),
        (Format::UlogdJson, lines / 4),
        (Format::UlogdEmu, lines / 4),
        (Format::Natlog, lines / 4),
    ] {
        let path = folder.path().join(format.word());
        write_log(format, count, &path);
        let bytes = path.metadata().expect("the log just written").len();
        let show = |what: &str, took: Duration| {
            let seconds = took.as_secs_f64();
            println!(
                "{what:<34} {:>12.0} {:>10.0} {seconds:>9.2}",
                count as f64 / seconds,
                bytes as f64 / seconds / 1e6
            );
        };
        // Once before, so that every measurement reads from the page cache.
        timed(|| command("grep", &["-c", "", path.to_str().expect("a plain path")]));
        show(&format!("{format}: read, parse, pair"), timed(|| import(format, &path, true)));
        show(&format!("{format}: read and parse"), timed(|| import(format, &path, false)));
        if format == Format::Conntrack {
            let name = path.to_str().expect("a plain path");
            show("  grep -c dport=", timed(|| command("grep", &["-c", "dport=", name])));
            show(
                "  grep -cE 'dport=4000[0-9] '",
                timed(|| command("grep", &["-cE", "dport=4000[0-9] ", name])),
            );
            show(
                "  zstd -1 (one thread)",
                timed(|| command("zstd", &["-1", "-q", "--single-thread", "-c", name])),
            );
            show("  wc -l", timed(|| command("wc", &["-l", name])));
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn command(program: &str, arguments: &[&str]) {
    // Into a pipe that is read: grep stops at its first match when it sees /dev/null.
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect(program);
    let mut output = child.stdout.take().expect("a pipe");
    std::io::copy(&mut output, &mut std::io::sink()).expect("readable output");
    // grep's 1 means that no line matched.
    assert!(child.wait().is_ok_and(|s| s.code().is_some_and(|c| c <= 1)), "{program} {arguments:?} failed");
}

fn import(format: Format, path: &Path, is_paired: bool) {
    let settings = Settings { zone: Some(jiff::tz::TimeZone::UTC), year: Some(2026), seen_at: None };
    let mut parser = Parser::new(format, settings);
    let mut pairer = Pairer::new(Origin::new("bench", ""), Pairer::MAX_OPEN);
    let file = File::open(path).expect("the log just written");
    let mut lines = Lines::new(BufReader::with_capacity(1 << 18, file));
    let (mut sightings, mut flows) = (0_u64, 0_u64);
    while let Some(line) = lines.next_line().expect("a readable log") {
        let Line::Whole(line) = line else { panic!("a line that is too long") };
        if let Some(sighting) = parser.line(line).unwrap_or_else(|e| panic!("{e}: {}", line.escape_ascii())) {
            sightings += 1;
            if is_paired {
                pairer.push(&sighting, &mut |_| flows += 1);
            }
        }
    }
    pairer.finish(&mut |_| flows += 1);
    assert!(sightings > 0 && (flows > 0) == is_paired);
}

/// NEW and, 20,000 flows later, DESTROY: what a gateway with some hundred clients writes.
fn write_log(format: Format, count: u64, path: &Path) {
    let mut out = BufWriter::new(File::create(path).expect("a file in the temporary folder"));
    let alive = 20_000;
    for n in 0..count / 2 + alive {
        let mut line = |n: u64, is_new: bool| {
            let (client, port, server) = (n % 250 + 2, 1024 + n % 64_000, n * 7 % 250 + 1);
            let masked = 1024 + n * 31 % 64_000;
            let micros = 1_795_000_000_000_000 + n * 200 + if is_new { 0 } else { alive * 200 };
            let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let id = n.wrapping_mul(2_654_435_761) as u32;
            let event = if is_new { "[NEW]" } else { "[DESTROY]" };
            let (clock, start) = (seconds % 60, seconds - 4);
            match format {
                Format::Conntrack => writeln!(
                    out,
                    "[{seconds}.{fraction:06}]\t{event:>9} tcp      6 120 SYN_SENT src=192.168.101.{client} dst=198.51.100.{server} \
                     sport={port} dport=443 [UNREPLIED] src=198.51.100.{server} dst=203.0.113.1 sport=443 dport={masked} id={id}"
                ),
                Format::UlogdJson => writeln!(
                    out,
                    "{{\"timestamp\": \"2026-11-18T11:06:{clock:02}\", \"dvc\": \"Netfilter\", \"orig.ip.protocol\": 6, \
                     \"orig.l4.sport\": {port}, \"orig.l4.dport\": 443, \"orig.raw.pktlen\": 269, \"orig.raw.pktcount\": 5, \
                     \"reply.ip.protocol\": 6, \"reply.l4.sport\": 443, \"reply.l4.dport\": {masked}, \"reply.raw.pktlen\": 288, \
                     \"reply.raw.pktcount\": 5, \"ct.mark\": 0, \"ct.id\": {id}, \"ct.event\": {}, \"flow.start.sec\": {start}, \
                     \"flow.start.usec\": {fraction}, \"flow.end.sec\": {seconds}, \"flow.end.usec\": {fraction}, \
                     \"oob.family\": 2, \"oob.protocol\": 0, \"src_ip\": \"192.168.101.{client}\", \
                     \"dest_ip\": \"198.51.100.{server}\", \"reply.ip.saddr.str\": \"198.51.100.{server}\", \
                     \"reply.ip.daddr.str\": \"203.0.113.1\"}}",
                    if is_new { 1 } else { 4 }
                ),
                Format::UlogdEmu => writeln!(
                    out,
                    "Nov 18 11:06:{clock:02} gw {event} ORIG: SRC=192.168.101.{client} DST=198.51.100.{server} PROTO=TCP \
                     SPT={port} DPT=443 PKTS=5 BYTES=269 , REPLY: SRC=198.51.100.{server} DST=203.0.113.1 PROTO=TCP SPT=443 \
                     DPT={masked} PKTS=5 BYTES=288 "
                ),
                Format::Natlog => writeln!(
                    out,
                    "from {start}:{fraction:06} thru {seconds}:{fraction:06}:  tcp 192.168.101.{client:03},{port} (via: \
                     203.000.113.001,{masked}) to 198.051.100.{server:03},443;  sent:        269, received:        288"
                ),
            }
            .expect("room in the temporary folder");
        };
        if n < count / 2 {
            line(n, true);
        }
        if n >= alive {
            line(n - alive, false);
        }
    }
    out.flush().expect("room in the temporary folder");
}
