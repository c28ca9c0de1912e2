//! What the machine costs: `cargo bench -p unmasq-watch --bench machine`. Prints entries a second on one core, from
//! memory, through chains of the size that a mail and web server has (about 90 chains, 220 steps): a quiet week's mix,
//! and sshd under attack by 5,000 addresses.
//!
//! `UNMASQ_BENCH_CONFIG=/etc/pyruse/pyruse.json` measures another configuration with the same entries.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unmasq_entry::{Entry, Fields, Slot, Value};
use unmasq_flow::Timestamp;
use unmasq_watch::client::{Answer, Capture, Question, Subset};
use unmasq_watch::config::{Config, Spelling};
use unmasq_watch::counters::{CategoryId, Counters, Key, Limits};
use unmasq_watch::machine::{Act, Machine, World};
use unmasq_watch::program::{Program, StepId};

const ENTRIES: usize = 2_000_000;
/// Different entries, taken in turn.
const DIFFERENT: usize = 20_000;
/// Addresses that attack.
const ATTACKERS: u32 = 5_000;

/// Counters are real; what acts would do is counted.
struct Counted {
    now: Timestamp,
    counters: Counters,
    acts: u64,
    bans: u64,
    bytes: usize,
    troubles: u64,
}

impl World for Counted {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn raise(
        &mut self,
        _step: StepId,
        category: CategoryId,
        key: Value<'_>,
        keep: Option<Duration>,
    ) -> Result<u64, String> {
        let key = Key::new(key).ok_or_else(|| "a list".to_owned())?;
        Ok(self.counters.raise(category, &key, keep, self.now))
    }

    fn reset(
        &mut self,
        _step: StepId,
        category: CategoryId,
        key: Value<'_>,
        grace: Option<Duration>,
    ) -> Result<(), String> {
        let key = Key::new(key).ok_or_else(|| "a list".to_owned())?;
        self.counters.reset(category, &key, grace, self.now);
        Ok(())
    }

    fn user_exists(&mut self, name: &str) -> Result<bool, String> {
        // As from a cache: the name service is asked once for a name.
        Ok(name == "root")
    }

    fn capture(&mut self, _step: StepId, _capture: Capture) -> Result<(), String> {
        Ok(())
    }

    fn replace(&mut self, _step: StepId, _asked: Subset, _question: &Question) -> Answer {
        Answer::Unknown
    }

    fn act(&mut self, _step: StepId, act: Act<'_>, _entry: &Entry) -> Result<(), String> {
        self.acts += 1;
        match act {
            Act::Noop => (),
            Act::Log { message, .. } | Act::Email { message, .. } | Act::Report { message, .. } => {
                self.bytes += black_box(message).len();
            }
            Act::Ban(order) => {
                black_box(order);
                self.bans += 1;
            }
        }
        Ok(())
    }

    fn trouble(&mut self, _step: StepId, message: &str) {
        self.troubles += 1;
        black_box(message);
    }
}

/// A record before it is an entry: identifier, priority, message.
type Record = (String, i64, String);

fn main() {
    // `cargo test --benches` runs this too; then a little is enough.
    let entries = if std::env::args().any(|arg| arg == "--bench") { ENTRIES } else { DIFFERENT };
    let (file, text) = match std::env::var_os("UNMASQ_BENCH_CONFIG").map(PathBuf::from) {
        Some(file) => {
            let text = std::fs::read_to_string(&file).expect("the file of UNMASQ_BENCH_CONFIG");
            (file, text)
        }
        None => (PathBuf::from("bench.json"), chains()),
    };
    let loaded = Config::parse(&file, &text, Spelling::of(Path::new(&file)).expect("json, toml or yaml"));
    let loaded = loaded.unwrap_or_else(|e| panic!("{e}"));
    let started = Instant::now();
    let compiled = Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)));
    let program = Arc::new(compiled.program);
    println!(
        "{} chains, {} steps, compiled in {:.1} ms",
        loaded.config.chains.len(),
        program.steps().len(),
        started.elapsed().as_secs_f64() * 1e3
    );
    measure("a quiet week", &program, &quiet(), entries);
    measure("sshd under attack", &program, &attack(), entries);
}

fn measure(what: &str, program: &Arc<Program>, records: &[Record], entries: usize) {
    let slots = Slots::of(program.fields());
    let mut world = Counted {
        now: Timestamp::from_seconds(1_700_000_000),
        counters: Counters::new(Limits::default()),
        acts: 0,
        bans: 0,
        bytes: 0,
        troubles: 0,
    };
    let mut machine = Machine::in_zone(Arc::clone(program), jiff::tz::TimeZone::UTC);
    let mut entry = Entry::new(program.fields());
    let mut best = f64::MAX;
    // The best of three, in this thread's own time: other programs run on the machine, too.
    for _ in 0..3 {
        let started = processor_time();
        for i in 0..entries {
            world.now = world.now + Duration::from_millis(1);
            slots.fill(&mut entry, &records[i % records.len()], world.now);
            black_box(machine.run(&mut entry, &mut world));
        }
        best = best.min(processor_time().saturating_sub(started).as_secs_f64());
    }
    let started = processor_time();
    for i in 0..entries {
        slots.fill(&mut entry, &records[i % records.len()], world.now);
        black_box(&entry);
    }
    let filling = processor_time().saturating_sub(started).as_secs_f64();
    let runs = 3.0 * entries as f64;
    println!(
        "{what:<20}{:>12.0} entries/s{:>8.0} ns each ({:.0} of them to fill the entry); {:.2} acts, {:.4} bans, {:.4} \
         troubles each; {:.0} steps",
        entries as f64 / best,
        best * 1e9 / entries as f64,
        filling * 1e9 / entries as f64,
        world.acts as f64 / runs,
        world.bans as f64 / runs,
        world.troubles as f64 / runs,
        machine.stats().iter().map(|s| s.seen).sum::<u64>() as f64 / runs,
    );
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Where a source puts what it reads; asked once, as sources do.
struct Slots(Vec<(Slot, Field)>);

/// The value of a field.
type Field = fn(&Record, Timestamp) -> Value<'_>;

impl Slots {
    fn of(fields: &Fields) -> Self {
        let all: [(&str, Field); 9] = [
            ("SYSLOG_IDENTIFIER", |record, _| Value::Text(&record.0)),
            ("PRIORITY", |record, _| Value::Integer(record.1)),
            ("MESSAGE", |record, _| Value::Text(&record.2)),
            ("_HOSTNAME", |_, _| Value::Text("mail.example.org")),
            ("_UID", |_, _| Value::Integer(0)),
            ("_GID", |_, _| Value::Integer(0)),
            ("_SYSTEMD_UNIT", |_, _| Value::Text("some.service")),
            ("_CMDLINE", |_, _| Value::Text("/usr/bin/some --flag")),
            ("__REALTIME_TIMESTAMP", |_, now| Value::Time(now)),
        ];
        Self(all.into_iter().filter_map(|(name, value)| Some((fields.find(name)?, value))).collect())
    }

    fn fill(&self, entry: &mut Entry, record: &Record, now: Timestamp) {
        entry.clear();
        entry.time = Some(now);
        for (slot, value) in &self.0 {
            entry.set(*slot, value(record, now));
        }
    }
}

/// Programs that write most of a quiet server's log, with their share in percent, and a message of theirs.
const QUIET: [(&str, u32, i64, &str); 14] = [
    (
        "haproxy",
        26,
        6,
        "192.0.2.7:50123 [21/Nov/2026:09:00:01.001] in~ web/s1 0/0/1/5/6 200 512 - - ---- 3/3/0/0/0 0/0",
    ),
    ("kernel", 12, 6, "IN=eth0 OUT= SRC=192.0.2.7 DST=198.51.100.1 LEN=60 PROTO=TCP SPT=50123 DPT=22 SYN"),
    (
        "nginx",
        12,
        6,
        "192.0.2.7 - - \"GET /apps/files/ HTTP/1.1\" 200 5123 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
    ),
    ("systemd", 9, 6, "Started Session 5123 of user alice."),
    ("prosody", 8, 6, "c2s55d0c5c8b0: Client connected"),
    ("dovecot", 7, 6, "imap(alice)<123><abc>: Logged out in=512 out=4096"),
    ("spamd", 6, 6, "spamd: clean message (0.1/5.0) for alice:1000 in 0.8 seconds, 2048 bytes."),
    (
        "uwsgi",
        5,
        6,
        "[pid: 12|app: 0|req: 5/9] 192.0.2.7 () {48 vars} [Sat] GET /index.php => 12 bytes (HTTP/1.1 200)",
    ),
    ("postfix/smtpd", 5, 6, "connect from mail.example.net[192.0.2.9]"),
    ("CRON", 4, 6, "pam_unix(cron:session): session opened for user root by (uid=0)"),
    ("sshd", 3, 6, "Accepted publickey for alice from 192.0.2.7 port 50123 ssh2: ED25519 SHA256:abc"),
    ("sudo", 1, 5, "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/true"),
    ("minidlnad", 1, 6, "metadata.c:500: warn: x.mkv: Unhandled format: hevc"),
    ("unknown-program", 1, 4, "something happened"),
];

fn quiet() -> Vec<Record> {
    let total: u32 = QUIET.iter().map(|(_, share, ..)| share).sum();
    let pick = |i: usize| {
        // A fixed permutation, so that programs take turns as in a journal.
        let mut at = (i as u32).wrapping_mul(0x9e37_79b1) % total;
        QUIET.iter().find(|(_, share, ..)| {
            let is_it = at < *share;
            at = at.wrapping_sub(*share);
            is_it
        })
    };
    let records = (0..DIFFERENT).filter_map(pick);
    records
        .map(|(name, _, priority, message)| ((*name).to_owned(), *priority, (*message).to_owned()))
        .collect()
}

fn attack() -> Vec<Record> {
    let record = |i: usize| {
        let r = (i as u32).wrapping_mul(0x9e37_79b1) % ATTACKERS;
        let user = ["root", "admin", "oracle", "test", "x from 10.9.9.9 port 1 ssh2"][i % 5];
        let invalid = if user == "root" { "" } else { "invalid user " };
        let message = format!(
            "Failed password for {invalid}{user} from 203.0.{}.{} port {} ssh2",
            r >> 8,
            r & 255,
            1024 + i % 60_000
        );
        ("sshd".to_owned(), 6, message)
    };
    (0..DIFFERENT).map(record).collect()
}

/// Services that have a chain of their own, each with a chain for what the first does not know.
const SERVICES: [&str; 26] = [
    "uwsgi",
    "prosody",
    "nginx",
    "gitea",
    "postgres",
    "dovecot",
    "postfix/smtpd",
    "postfix/smtp",
    "postfix/anvil",
    "opendkim",
    "clamd",
    "freshclam",
    "redis",
    "slapd",
    "named",
    "unbound",
    "dhcpd",
    "smbd",
    "nmbd",
    "cupsd",
    "minidlnad",
    "spamd",
    "sudo",
    "su",
    "CRON",
    "systemd-coredump",
];

/// Chains as an administrator writes them, in Pyruse's spelling.
fn chains() -> String {
    let mut chains = String::from("{\"actions\": {");
    chains.push_str(
        r#""nobody reads these": [
  {"filter": "filter_greaterOrEquals", "args": {"field": "PRIORITY", "value": 5}},
  {"filter": "filter_in", "args": {"field": "SYSLOG_IDENTIFIER", "values":
     ["haproxy", "exportfs", "kill", "mandb", "msmtp", "systemd-logind", "rsyncd", "sa-compile"]}, "then": "drop"}],
"nor these": [
  {"filter": "filter_greaterOrEquals", "args": {"field": "PRIORITY", "value": 4}},
  {"filter": "filter_pcreAny", "args": {"field": "SYSLOG_IDENTIFIER", "re": ["^ansible-", "^backup-[0-9]"]}, "then": "drop"}],
"#,
    );
    for (n, service) in SERVICES.iter().enumerate() {
        let severity = 3 + n % 4;
        let _ = write!(
            chains,
            r#""{service}": [
  {{"filter": "filter_equals", "args": {{"field": "SYSLOG_IDENTIFIER", "value": "{service}"}}}},
  {{"filter": "filter_pcre", "args": {{"field": "MESSAGE", "re": "(?:login|session) of ([^ ]+) (?:failed|refused) .*from ([0-9a-f.:]+)", "save": ["user", "ip"]}},
    "else": "{service}: errors"}},
  {{"action": "action_dailyReport", "args": {{"level": "WARN", "message": "{service}: {{user}} from {{ip}}", "details": "FIRSTLAST"}}}}],
"{service}: errors": [
  {{"filter": "filter_pcre", "args": {{"field": "MESSAGE", "re": "^(?:.{{19}} )?\\[?(?:error|crit|fatal)\\]?:? (?P<what>.*)$"}}, "else": "{service}: rest"}},
  {{"action": "action_email", "args": {{"subject": "{service}", "message": "{{what}} on {{_HOSTNAME}} at {{__REALTIME_TIMESTAMP}}"}}}},
  {{"action": "action_dailyReport", "args": {{"level": "INFO", "message": "{service}: {{what}}"}}}}],
"{service}: rest": [
  {{"filter": "filter_greaterOrEquals", "args": {{"field": "PRIORITY", "value": {severity}}}, "then": "drop"}},
  {{"filter": "filter_pcre", "args": {{"field": "MESSAGE", "re": "^(?!debug)[a-z]+: "}}, "then": "drop"}}],
"#
        );
    }
    chains.push_str(
        r#""sshd": [
  {"filter": "filter_equals", "args": {"field": "SYSLOG_IDENTIFIER", "value": "sshd"}},
  {"filter": "filter_pcre", "args": {"field": "MESSAGE", "re": "^Accepted ([^ ]+) for (.*) from ([^ ]*) port ", "save": ["method", "user", "ip"]},
    "else": "sshd: failures"},
  {"action": "action_counterReset", "args": {"counter": "ssh", "for": "ip", "graceSeconds": 86400}},
  {"action": "action_dailyReport", "args": {"level": "INFO", "message": "{user} came from {ip} by {method}", "details": "NONE"}}],
"sshd: failures": [
  {"filter": "filter_pcreAny", "args": {"field": "MESSAGE", "re": [
     "^Failed [^ ]+ for (?:invalid user )?(?P<user>.*) from (?P<ip>[^ ]*) port [0-9]+ ssh2$",
     "^Invalid user (?P<user>.*) from (?P<ip>[^ ]*) port [0-9]+$"]}, "else": "sshd: rest"},
  {"filter": "filter_userExists", "args": {"field": "user"}, "else": "sshd: nobody"},
  {"action": "action_dailyReport", "args": {"level": "WARN", "message": "{user}@{_HOSTNAME} failed from {ip}", "details": "FIRSTLAST"}, "then": "sshd: ours?"}],
"sshd: nobody": [
  {"action": "action_dailyReport", "args": {"level": "INFO", "message": "{user} (unknown) failed from {ip}", "details": "FIRSTLAST"}, "then": "sshd: ours?"}],
"sshd: ours?": [
  {"filter": "filter_inNetworks", "args": {"field": "ip", "nets": ["192.168.0.0/16", "127.0.0.0/8", "::1", "fd00::/8"]}, "then": "drop", "else": "sshd: count"}],
"sshd: count": [
  {"action": "action_counterRaise", "args": {"counter": "ssh", "for": "ip", "keepSeconds": 86400, "save": "failures"}},
  {"filter": "filter_greaterOrEquals", "args": {"field": "failures", "value": 4}, "else": "drop"},
  {"action": "action_dailyReport", "args": {"level": "INFO", "message": "{ip} is banned for {failures:d} failures"}},
  {"action": "action_log", "args": {"message": "ssh ban of {ip}", "level": "NOTICE"}},
  {"action": "action_nftBan", "args": {"IP": "ip", "nftSetIPv4": "ip filter ban4", "nftSetIPv6": "ip6 filter ban6", "banSeconds": 432000}}],
"sshd: rest": [
  {"filter": "filter_greaterOrEquals", "args": {"field": "PRIORITY", "value": 6}, "then": "drop"}],
"systemd": [
  {"filter": "filter_in", "args": {"field": "SYSLOG_IDENTIFIER", "values": ["systemd", "systemd-journald", "kernel"]}},
  {"filter": "filter_greaterOrEquals", "args": {"field": "PRIORITY", "value": 4}, "then": "drop"}],
"drop": [{"action": "action_noop"}],
"the rest": [
  {"action": "action_dailyReport", "args": {"level": "OTHER", "message": "[{PRIORITY}/{SYSLOG_IDENTIFIER}] {_UID}:{_GID}@{_HOSTNAME}:{_CMDLINE} ({_SYSTEMD_UNIT})\n{MESSAGE}"}}]
}}"#,
    );
    chains
}
