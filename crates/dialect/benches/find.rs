//! What patterns and templates cost: `cargo bench -p unmasq-dialect`. Prints nanoseconds a line, and lines a
//! second, over a log of sshd of which one line in twenty matches; with a file's name as argument, over that
//! file's lines.

use std::hint::black_box;

use jiff::tz::TimeZone;
use unmasq_dialect::{Captures, Hits, Pattern, PatternSet, Template};
use unmasq_entry::{Entry, Fields, Value};

const LINES: usize = 400_000;

/// As `ripgrep` is given it.
const FAILED: &str = "Failed password for (.*) from ([^ ]+) port ([^ ]+)";

fn main() {
    // Cargo says `--bench`.
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let log = match file {
        Some(file) => std::fs::read_to_string(file).expect("the file can be read"),
        None => made_up(),
    };
    let lines: Vec<&str> = log.lines().collect();
    println!("{} lines, {} bytes each", lines.len(), log.len() / lines.len());

    for (what, pattern) in [
        ("captures", FAILED),
        ("captures, look-ahead", "Failed password for (?!invalid )(.*) from ([^ ]+) port ([^ ]+)"),
        ("anchored", r"^Failed password for (?:invalid user )?(?P<user>\S*) from (?P<ip>\S+) port \d+ ssh2$"),
        (
            "unanchored, case ignored",
            r"(?i)(authentication failure|failed password|invalid user) .* from (\S+)",
        ),
        ("any of three", r"\b(?:Accepted|Disconnected|Invalid) \w+ (\S+)"),
    ] {
        let pattern = Pattern::new(pattern).expect("a pattern of this file");
        let mut captures = Captures::new(&pattern);
        measure(what, &lines, |line| usize::from(pattern.find(line, &mut captures) == Ok(true)));
    }

    let patterns = [
        FAILED,
        r"Invalid user (?P<user>.*) from (?P<ip>\S+)",
        r"Received disconnect from (?P<ip>\S+) port \d+:3: .*Auth fail",
        r"maximum authentication attempts exceeded for .* from (?P<ip>\S+)",
        r"Unable to negotiate with (?P<ip>\S+) port \d+: no matching (?:cipher|key exchange method|MAC)",
        r"Did not receive identification string from (?P<ip>\S+)",
        r"User (?P<user>\S+) from (?P<ip>\S+) not allowed because",
        r"Bad protocol version identification .* from (?P<ip>\S+)",
    ];
    let patterns = patterns.map(|pattern| Pattern::new(pattern).expect("a pattern of this file"));
    let mut captures = Captures::new(&patterns[0]);
    measure("8 patterns in turn", &lines, |line| {
        patterns.iter().filter(|pattern| pattern.find(line, &mut captures) == Ok(true)).count()
    });
    let set = PatternSet::new(&patterns);
    let mut hits = Hits::new(&set);
    measure("8 patterns as a set", &lines, |line| {
        set.matches(line, &mut hits);
        hits.iter().filter(|&hit| patterns[hit].find(line, &mut captures) == Ok(true)).count()
    });

    let mut fields = Fields::default();
    let (ip, count) = (fields.slot("ip"), fields.slot("n"));
    let template = Template::parse("{ip:>15} failed {n:^9d} times", &mut fields).expect("of this file");
    let mut entry = Entry::new(&fields);
    entry.set(ip, Value::Text("192.0.2.7"));
    entry.set(count, Value::Integer(12));
    let mut out = String::new();
    measure("a template", &lines, |_| {
        out.clear();
        usize::from(template.render(&entry, &TimeZone::UTC, &mut out).is_ok())
    });
}

/// Seconds that this thread has run: a busy machine makes it wait, but that is not counted.
fn on_processor() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanos = statistics.split(' ').next().and_then(|field| field.parse::<f64>().ok());
    nanos.expect("its first field is a number") * 1e-9
}

/// The best of three runs over all lines.
fn measure(what: &str, lines: &[&str], mut one: impl FnMut(&str) -> usize) {
    let mut best = f64::INFINITY;
    let mut found = 0;
    for _ in 0..3 {
        let started = on_processor();
        found = lines.iter().map(|line| one(black_box(line))).sum();
        best = best.min(on_processor() - started);
    }
    let each = best / lines.len() as f64;
    println!("{what:<26}{:>7.0} ns{:>8.2} M/s{found:>10} found", each * 1e9, 1e-6 / each);
}

fn made_up() -> String {
    let mut log = String::new();
    for i in 0..LINES {
        let (a, b, port) = (i / 256 % 256, i % 256, 1024 + i % 60_000);
        let line = match i % 20 {
            0 => format!("Failed password for invalid user admin{b} from 198.51.{a}.{b} port {port} ssh2"),
            1..6 => {
                format!("Connection closed by authenticating user root 198.51.{a}.{b} port {port} [preauth]")
            }
            6..12 => format!("pam_unix(sshd:session): session opened for user user{b}(uid=1000) by (uid=0)"),
            12..16 => format!(
                "Accepted publickey for user{b} from 192.0.2.{b} port {port} ssh2: ED25519 SHA256:abc{i}"
            ),
            _ => format!("Disconnected from user user{b} 192.0.2.{b} port {port}"),
        };
        log.push_str(&line);
        log.push('\n');
    }
    log
}
