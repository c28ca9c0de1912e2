//! What is saved, and what is left of it when the process, the power or the disk ends.

mod crash;
mod files;

use std::fmt::Write;

use super::*;

/// Everything that a state remembers, as text in an order of its own.
fn digest(core: &Core, captures: &[Capture]) -> String {
    let mut out = String::new();
    let now = core.clock;
    let _ = writeln!(out, "{now} {} {:02x?} {:?}", core.mails, core.instance, core.report_until);
    for (category, saved) in core.counters.alive(now) {
        let _ = writeln!(out, "{} {saved:?}", core.categories[usize::from(category.0)]);
    }
    let _ = writeln!(out, "{:?}", core.report);
    let _ = writeln!(out, "{:?}", core.bans.list(now));
    let _ = writeln!(out, "{:?}", core.offences.iter().collect::<Vec<_>>());
    let _ = writeln!(out, "{:?} {:?}", core.waits, core.positions);
    let known: Vec<_> = captures.iter().filter(|capture| capture.until >= now).collect();
    let _ = writeln!(out, "{known:?}");
    out
}

/// A number that looks random and depends on `n` alone.
fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A run over a source of numbered entries, each with effects that depend on its number and on the state.
struct Run {
    state: State,
    captures: Vec<Capture>,
    next: u64,
}

const SSHD: CategoryId = CategoryId(0);
const SENT: CategoryId = CategoryId(2);

impl Run {
    fn open(directory: &Path) -> Self {
        Self::with(directory, Limits { log_bytes: 4096, ..Limits::default() })
    }

    fn with(directory: &Path, limits: Limits) -> Self {
        let (mut state, recovered) = State::open(directory, limits).expect("the state opens");
        state.bind_categories(&["sshd", "web", "sent"]);
        let next = recovered.position("entries").expect("the position is read").unwrap_or(0);
        Self { state, captures: recovered.captures, next }
    }

    /// Up to the entry `end`, calling `each` after each commit.
    fn go(&mut self, end: u64, mut each: impl FnMut()) {
        while self.next < end {
            for _ in 0..=scatter(self.next) % 7 {
                if self.next < end {
                    self.entry(self.next);
                    self.next += 1;
                }
            }
            self.state.commit(&[("entries", self.next)], &self.captures).expect("it is committed");
            each();
        }
    }

    fn entry(&mut self, n: u64) {
        let (state, x) = (&mut self.state, scatter(n));
        let now = Timestamp::from_seconds(1_795_000_000 + 40 * n as i64);
        self.captures.retain(|capture| capture.until >= now);
        let schedule = Schedule::new(6, jiff::tz::TimeZone::UTC).expect("an hour");
        if let Some(due) = state.report_due(&schedule, now) {
            let report = [report::Level::Warn, report::Level::Info].map(|level| state.report().count(level));
            state.raise(SENT, &Key::text(&format!("{due} {report:?}")), None, now);
            state.report_sent(due, now);
        }
        let address = format!("192.0.2.{}", (x >> 8) % 40);
        let key = Key::text(&address);
        let event = |level, details, message| Event { level, details, message, time: now };
        match x % 10 {
            0..5 => {
                if state.raise(SSHD, &key, Some(Duration::from_secs(6000)), now) >= 4 {
                    let request = BanRequest {
                        kind: SetKind::Nft,
                        set: "ip filter bans",
                        target: address.parse::<std::net::IpAddr>().expect("an address").into(),
                        port: None,
                        duration: Some(Duration::from_secs(600)),
                        by: "sshd[2]",
                    };
                    let escalation = Escalation {
                        factor: 2.0,
                        max: Duration::from_secs(86_400),
                        decay: Duration::from_secs(7200),
                    };
                    state.ban(&request, Some(&escalation), now).expect("there is room");
                    state.report_event(&event(report::Level::Warn, report::Details::All, &address), now);
                    state.reset(SSHD, &key, Some(Duration::from_secs(120)), now);
                }
            }
            5 => {
                state.report_event(&event(report::Level::Info, report::Details::FirstLast, "seen"), now);
                state.raise(CategoryId(1), &Key::text("all"), Some(Duration::from_secs(3600)), now);
            }
            6 => {
                let capture = Capture {
                    client: address.into(),
                    client_port: None,
                    masked: crate::client::Masked::default(),
                    time: now,
                    until: now + Duration::from_secs(600),
                    lasted: crate::client::Lasted::Unknown,
                };
                state.capture_added(&capture, now);
                self.captures.push(capture);
            }
            7 => state.wait_added(n, &(n, "an entry"), now).expect("it is written"),
            8 => state.wait_ended(n - n.min(1 + x % 9), now),
            _ => {
                state.next_mail("sshd[3]", Some(&n.to_le_bytes()), now);
                let target = address.parse::<std::net::IpAddr>().expect("an address").into();
                state.unban(SetKind::Nft, "ip filter bans", target, None, now);
            }
        }
    }

    /// The random name is another in each run.
    fn digest(mut self) -> String {
        self.state.core.instance = [0; 16];
        digest(&self.state.core, &self.captures)
    }
}

#[test]
fn what_is_committed_is_there_again_and_what_is_not_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::open(directory.path());
    run.go(500, || ());
    let before = digest(&run.state.core, &run.captures);
    run.entry(500);
    run.entry(501);
    drop(run);
    let run = Run::open(directory.path());
    assert_eq!(run.next, 500);
    assert_eq!(digest(&run.state.core, &run.captures), before);
}

#[test]
fn categories_keep_their_counters_when_chains_number_them_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let (now, key) = (Timestamp::from_seconds(1000), Key::text("192.0.2.7"));
    let (mut state, recovered) = State::open(directory.path(), Limits::default()).unwrap();
    assert!(recovered.is_new);
    state.bind_categories(&["a", "b"]);
    state.raise(CategoryId(1), &key, None, now);
    state.bind_categories(&["c", "b"]);
    assert_eq!(state.raise(CategoryId(1), &key, None, now), 2);
    state.commit::<u64>(&[], []).unwrap();
    drop(state);
    let (mut state, recovered) = State::open(directory.path(), Limits::default()).unwrap();
    assert!(!recovered.is_new);
    state.bind_categories(&["b", "c"]);
    assert_eq!(state.raise(CategoryId(0), &key, None, now), 3);
    assert_eq!(state.raise(CategoryId(1), &key, None, now), 1);
    assert_eq!(state.raise(CategoryId(7), &key, None, now), 0, "nobody's category counts nothing");
}

#[test]
fn a_ban_grows_with_each_return_and_not_with_lines_that_were_on_their_way() {
    let mut state = State::in_memory(Limits::default());
    let hour = Duration::from_secs(3600);
    let escalation = Escalation { factor: 2.0, max: 100 * hour, decay: 10 * hour };
    let request = BanRequest {
        kind: SetKind::Ipset,
        set: "bans",
        target: "192.0.2.7/32".parse().unwrap(),
        port: None,
        duration: Some(hour),
        by: "sshd[2]",
    };
    let start = Timestamp::from_seconds(1_000_000);
    let mut ban = |set, now| {
        let banned = state.ban(&BanRequest { set, ..request }, Some(&escalation), now).unwrap();
        (banned.placed, banned.until.unwrap().since(now), banned.before)
    };
    assert_eq!(ban("bans", start), (Placed::New, hour, 0));
    let soon = start + Duration::from_secs(1);
    assert_eq!(ban("bans", soon), (Placed::Extended, hour, 0));
    assert_eq!(ban("other", soon), (Placed::New, hour, 0), "a second set is no second offence");
    assert_eq!(ban("bans", start + 2 * hour), (Placed::New, 2 * hour, 1));
    assert_eq!(ban("bans", start + 5 * hour), (Placed::New, 4 * hour, 2));
    // The third ended after nine hours; twenty hours later two are forgotten.
    assert_eq!(ban("bans", start + 29 * hour), (Placed::New, 2 * hour, 1));
    let banned =
        state.ban(&BanRequest { duration: None, ..request }, Some(&escalation), start + 30 * hour).unwrap();
    assert_eq!((banned.placed, banned.until), (Placed::Extended, None));
}

#[test]
fn a_mail_has_one_name_however_often_its_entry_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(directory.path(), Limits::default()).unwrap();
    let now = Timestamp::from_seconds(1000);
    let first = state.next_mail("a[1]", Some(b"s=1;i=7"), now);
    let others = [
        state.next_mail("a[2]", Some(b"s=1;i=7"), now),
        state.next_mail("a[1]", Some(b"s=1;i=8"), now),
        state.next_mail("a[1]", None, now),
        state.next_mail("a[1]", None, now),
    ];
    drop(state);
    let (mut state, _) = State::open(directory.path(), Limits::default()).unwrap();
    assert_eq!(state.next_mail("a[1]", Some(b"s=1;i=7"), now), first);
    let all: std::collections::BTreeSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(all.len(), 5);
    let elsewhere = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(elsewhere.path(), Limits::default()).unwrap();
    assert_ne!(state.next_mail("a[1]", Some(b"s=1;i=7"), now), first, "another machine's mail");
}

#[test]
fn a_report_is_due_once_and_a_new_state_owes_none() {
    let mut state = State::in_memory(Limits::default());
    let schedule = Schedule::new(0, jiff::tz::TimeZone::UTC).unwrap();
    let day = |days: i64, seconds: i64| Timestamp::from_seconds(days * 86_400 + seconds);
    // Told before anybody asked, as by an import: it belongs to the first report.
    let event = Event {
        level: report::Level::Warn,
        details: report::Details::All,
        message: "imported",
        time: day(100, 0),
    };
    state.report_event(&event, day(100, 400));
    assert_eq!(state.report_due(&schedule, day(100, 500)), None);
    assert_eq!(state.report().count(report::Level::Warn), 1);
    assert_eq!(state.report_due(&schedule, day(100, 86_399)), None);
    assert_eq!(state.report_due(&schedule, day(101, 0)), Some(day(101, 0)));
    state.report_sent(day(101, 0), day(101, 0));
    assert!(state.report().is_empty());
    assert_eq!(state.report_due(&schedule, day(101, 1)), None);
}
