//! The answer as a page for people: the verdict first, then each candidate, then what is missing.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use unmasq_flow::{Bound, Destination, Evidence, Flow, Period, Timestamp, Witness as By};
use unmasq_plan::history::{Holder, Holding};
use unmasq_trace::report::notes;
use unmasq_trace::{
    Answer, Candidate, Certainty, Conversation, Cut, Decider, Hit, Reading, Shortfall, Verdict,
};

use super::When;
use crate::output::Bytes;

const STRONG: Style = Style::new().bold();
const GOOD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const DOUBT: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const FAINT: Style = Style::new().dimmed();

/// More candidates than this are counted, not shown: nobody reads them on a terminal, and JSON has them all.
const MOST_SHOWN: usize = 20;
/// More destinations than this are no help to choose from.
const MOST_CHOICES: usize = 6;
/// A bound with its sign, `≤ 2026-11-21 08:57:28.173`.
const BOUND_WIDTH: usize = 25;

/// Prints an answer.
pub(super) fn answer(out: &mut impl Write, answer: &Answer, when: &When) -> io::Result<()> {
    let clock = Clock(&when.asked.zone);
    head(out, &answer.inquiry.masked.to_string(), answer.inquiry.protocol.map(|p| p.to_string()), when)?;
    if let Some(server) = answer.inquiry.server {
        writeln!(out, "  toward {server}")?;
    }
    windows(out, &answer.inquiry.windows, clock)?;
    writeln!(out)?;
    verdict(out, answer)?;
    let is_numbered = answer.candidates.len() > 1;
    for (index, candidate) in answer.candidates.iter().take(MOST_SHOWN).enumerate() {
        writeln!(out)?;
        if is_numbered {
            writeln!(out, "{STRONG}Candidate {} of {}{STRONG:#}", index + 1, answer.candidates.len())?;
        }
        self::candidate(out, candidate, clock)?;
    }
    if let Some(more) = answer.candidates.len().checked_sub(MOST_SHOWN).filter(|n| *n > 0) {
        writeln!(out, "\n  and {more} more; --json lists them all")?;
    }
    if !answer.deciders.is_empty() {
        writeln!(out, "\n{STRONG}What would decide{STRONG:#}")?;
        for decider in &answer.deciders {
            writeln!(out, "  {}", advice(*decider))?;
            if *decider == Decider::Destination {
                destinations(out, answer)?;
            }
        }
    }
    neighbours(out, answer)?;
    missing(out, &answer.shortfalls, &answer.damage)?;
    notes_of(out, when.asked.notes.iter().cloned().chain(notes(answer)))
}

/// The first line: what was asked.
pub(super) fn head(
    out: &mut impl Write,
    subject: &str,
    protocol: Option<String>,
    when: &When,
) -> io::Result<()> {
    let protocol = protocol.map(|p| format!(" {p}")).unwrap_or_default();
    writeln!(out, "{STRONG}{subject}{STRONG:#}{protocol}, {}", when.asked.text)
}

/// The stretches of time that were looked at, in UTC and in the zone that was asked for.
pub(super) fn windows(out: &mut impl Write, windows: &[Period], clock: Clock<'_>) -> io::Result<()> {
    for window in windows {
        if window.from == window.to {
            writeln!(out, "  at {}", clock.both(window.from))?;
            continue;
        }
        writeln!(out, "  from {}", clock.both(window.from))?;
        writeln!(out, "  to   {}", clock.both(window.to))?;
    }
    Ok(())
}

fn verdict(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let clients: Vec<String> = answer.clients().iter().map(ToString::to_string).collect();
    let client = clients.first().map_or("", String::as_str);
    match answer.verdict() {
        Verdict::One => writeln!(out, "{GOOD}{client}{GOOD:#}: one client, and the record is complete"),
        Verdict::Nobody => {
            writeln!(out, "{STRONG}nobody{STRONG:#}: no flow had it then, and the record is complete")
        }
        Verdict::Several => {
            let extent =
                if answer.is_complete() { "the record is complete" } else { "the record is incomplete" };
            let count = answer.client_count();
            if count > clients.len() {
                writeln!(
                    out,
                    "{DOUBT}{count} clients{DOUBT:#} can be meant, of the same address in several places; {extent}"
                )
            } else {
                writeln!(out, "{DOUBT}{count} clients{DOUBT:#} can be meant; {extent}")
            }
        }
        Verdict::Incomplete if clients.is_empty() => {
            writeln!(
                out,
                "{DOUBT}not known{DOUBT:#}: no flow was found, but the record is incomplete there (see below)"
            )
        }
        Verdict::Incomplete => {
            writeln!(
                out,
                "{DOUBT}{client}{DOUBT:#}: one client was found, but the record is incomplete there (see below)"
            )
        }
        Verdict::Damaged if clients.is_empty() => {
            writeln!(
                out,
                "{BAD}not known{BAD:#}: the record is damaged where the answer would be (see below)"
            )
        }
        Verdict::Damaged => {
            writeln!(
                out,
                "{BAD}{}{BAD:#}: found, but the record is damaged there (see below)",
                clients.join(", ")
            )
        }
    }
}

fn candidate(out: &mut impl Write, candidate: &Candidate, clock: Clock<'_>) -> io::Result<()> {
    let flow = candidate.outer();
    let possible = match candidate.certainty {
        Certainty::Sure => "",
        Certainty::Possible => "; possibly not alive then: a bound is not known well enough",
    };
    let possible = if candidate.hops[0].is_plan_only() { "" } else { possible };
    writeln!(out, "  client   {STRONG}{}{STRONG:#}  {}{possible}", candidate.client(), flow.protocol)?;
    if let Reading::Shifted(by) = candidate.reading {
        writeln!(out, "  reading  with the clock {:+.3} s off, because it was set", by as f64 / 1e9)?;
    }
    for hop in candidate.hops.iter().skip(1).rev() {
        writeln!(out, "  seen as  {}  in {}", hop.flow.masked, place(&hop.flow))?;
    }
    if let Some(holder) = &candidate.hops[0].plan {
        plan(out, holder, clock)?;
    }
    if candidate.hops[0].is_plan_only() {
        writeln!(out, "  flow     none is known; the port was this client's")?;
        return known_by(out, candidate);
    }
    let place = place(flow);
    writeln!(
        out,
        "  masked   {}{}",
        flow.masked,
        if place.is_empty() { String::new() } else { format!("  in {place}") }
    )?;
    writeln!(out, "  target   {}", candidate.target())?;
    writeln!(out, "  server   {}", flow.server)?;
    writeln!(out, "  from     {}", bound(flow.start, clock))?;
    writeln!(out, "  to       {}", bound(flow.end, clock))?;
    writeln!(out, "  traffic  {}", traffic(flow))?;
    match candidate.cut {
        None => {}
        Some(Cut::Loop) => {
            writeln!(out, "  note     the flows behind this client lead back to it")?;
        }
        Some(Cut::TooDeep) => {
            writeln!(out, "  note     more than eight flows lie behind one another; not followed further")?;
        }
    }
    known_by(out, candidate)
}

/// Whose the port was by the plan.
fn plan(out: &mut impl Write, holder: &Holder, clock: Clock<'_>) -> io::Result<()> {
    let revision = match holder.revision {
        0 => String::new(),
        number => format!(", revision {number}"),
    };
    writeln!(out, "  range    {} for {}{revision}", holder.allocation.block, holder.allocation.protocols)?;
    let Period { from, to } = holder.period;
    let until = if to.is_finite() { format!("until {}", clock.both(to)) } else { "still".to_owned() };
    match holder.holding {
        Holding::InForce => writeln!(out, "  in force from {}, {until}", clock.both(from)),
        Holding::Lingering => {
            writeln!(
                out,
                "  in force before {}; flows that had begun were left alone, at most {until}",
                clock.both(from)
            )
        }
        Holding::Unconfirmed => {
            writeln!(
                out,
                "  in force perhaps, from {}, {until}: nobody wrote what the kernel did",
                clock.both(from)
            )
        }
    }
}

fn known_by(out: &mut impl Write, candidate: &Candidate) -> io::Result<()> {
    let mut label = "known by";
    for evidence in candidate.evidence() {
        writeln!(out, "  {label} {FAINT}{}{FAINT:#}", self::evidence(evidence))?;
        label = "        ";
    }
    Ok(())
}

fn evidence(evidence: &Evidence) -> String {
    match evidence.witness {
        By::Kernel => evidence.place.clone(),
        By::Book => format!("the running recorder, {}", evidence.place),
        By::Ledger => format!("the ledger, {}", evidence.place),
        By::Plan => format!("the plan, {}", evidence.place),
        By::Import => format!("an imported log, {}", evidence.place),
    }
}

fn place(flow: &Flow) -> String {
    flow.origin.to_string().trim_start_matches('/').to_owned()
}

/// A bound, with how well it is known.
fn bound(bound: Bound, clock: Clock<'_>) -> String {
    match bound {
        Bound::Exact(t) => format!("{}  (by the kernel)", clock.both(t)),
        Bound::Read(t) => format!("{}  (as read: no later than this)", clock.both(t)),
        Bound::Between(a, b) if !a.is_finite() && !b.is_finite() => "not known".to_owned(),
        Bound::Between(a, b) if !a.is_finite() => format!("before {}", clock.both(b)),
        Bound::Between(a, b) if !b.is_finite() => format!("after {}", clock.both(a)),
        Bound::Between(a, b) => format!("between {} and {}", clock.both(a), utc(b)),
        Bound::Open => "still open when last seen".to_owned(),
        Bound::Unknown => "not known".to_owned(),
    }
}

fn traffic(flow: &Flow) -> String {
    let talk = match Conversation::of(flow) {
        Conversation::Assured => "a conversation: both sides spoke",
        Conversation::Answered => "answered by the far side",
        Conversation::OneSided => "one-sided: the far side never answered (a forged packet looks like this)",
        Conversation::Unknown if flow.end.is_closed() => "no status recorded",
        Conversation::Unknown => "not known yet: last seen when it began",
    };
    let Some(traffic) = flow.traffic else { return talk.to_owned() };
    format!(
        "{talk}; {} packets ({}) out, {} ({}) back",
        traffic.original.packets,
        Bytes(traffic.original.bytes),
        traffic.reply.packets,
        Bytes(traffic.reply.bytes)
    )
}

fn advice(decider: Decider) -> &'static str {
    match decider {
        Decider::Port => "the port (or ICMP id) that the far side saw: 203.0.113.1:PORT",
        Decider::Protocol => "the protocol: --proto tcp, --proto udp, …",
        Decider::Destination => "the far side's own address and port: --to ADDRESS:PORT",
        Decider::Time => {
            "a more precise time: they were not all alive at once (--at with seconds, a smaller --window)"
        }
        Decider::Place => "which gateway, namespace or zone it was: they are listed with each candidate",
    }
}

/// Which destination leads to which client, if there are few enough to choose from.
fn destinations(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let pairs: BTreeSet<(String, String)> = answer
        .candidates
        .iter()
        .map(|c| (c.outer().server.to_string(), c.client().address.to_string()))
        .collect();
    if pairs.len() <= MOST_CHOICES {
        for (server, client) in pairs {
            writeln!(out, "    --to {server}  would be {client}")?;
        }
    }
    Ok(())
}

fn neighbours(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let near = &answer.neighbours;
    if near.before.is_none() && near.after.is_none() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}Nearest on {}{STRONG:#}", answer.inquiry.masked)?;
    let line = |hit: &Hit| {
        let flow = &hit.flow;
        format!("{} → {}  {}", flow.client, flow.server, flow.protocol)
    };
    if let Some(hit) = &near.before {
        write!(out, "  before   ended ")?;
        bound_column(out, hit.flow.end)?;
        writeln!(out, "  {}", line(hit))?;
    }
    if let Some(hit) = &near.after {
        write!(out, "  after    began ")?;
        bound_column(out, hit.flow.start)?;
        writeln!(out, "  {}", line(hit))?;
    }
    Ok(())
}

/// What the record lacks.
pub(super) fn missing(out: &mut impl Write, shortfalls: &[Shortfall], damage: &[String]) -> io::Result<()> {
    if !shortfalls.is_empty() {
        writeln!(out, "\n{DOUBT}Not complete{DOUBT:#}")?;
    }
    for shortfall in shortfalls.iter().take(MOST_SHOWN) {
        match shortfall {
            Shortfall::NotCovered(missing) if !missing.stream.is_empty() => {
                let namespace = missing.gap.namespace.as_deref().filter(|n| !n.is_empty());
                let place =
                    namespace.map_or_else(|| missing.stream.clone(), |n| format!("{}/{n}", missing.stream));
                let Period { from, to } = missing.gap.period;
                writeln!(out, "  {place}  {} to {}: {}", utc(from), utc(to), missing.gap.reason)?;
            }
            other => writeln!(out, "  {other}")?,
        }
    }
    if shortfalls.len() > MOST_SHOWN {
        writeln!(out, "  and {} more; --json lists them all", shortfalls.len() - MOST_SHOWN)?;
    }
    if !damage.is_empty() {
        writeln!(out, "\n{BAD}Damaged{BAD:#}")?;
    }
    for damage in damage.iter().take(MOST_SHOWN) {
        writeln!(out, "  {damage}")?;
    }
    Ok(())
}

/// What the reader must know besides.
pub(super) fn notes_of(out: &mut impl Write, notes: impl Iterator<Item = String>) -> io::Result<()> {
    for (index, note) in notes.enumerate() {
        if index == 0 {
            writeln!(out, "\n{STRONG}Notes{STRONG:#}")?;
        }
        writeln!(out, "  {note}")?;
    }
    Ok(())
}

/// A flow in one line. Hot: a client can have a million of them.
pub(super) fn flow_row(out: &mut impl Write, flow: &Flow) -> io::Result<()> {
    bound_column(out, flow.start)?;
    out.write_all(b"  ")?;
    bound_column(out, flow.end)?;
    match flow.protocol.name() {
        Some(name) => column(out, &["  ", name], 2 + 6)?,
        None => write!(out, "  {:<6}", flow.protocol)?,
    }
    column(out, &["  ", flow.client.text().as_str()], 2 + 22)?;
    column(out, &["  ", flow.masked.text().as_str()], 2 + 22)?;
    match flow.server {
        Destination::Kept(server) => column(out, &["  ", server.text().as_str(), "\n"], 0),
        other => writeln!(out, "  {other}"),
    }
}

/// Texts and as many spaces as make them so wide.
fn column(out: &mut impl Write, texts: &[&str], width: usize) -> io::Result<()> {
    const SPACES: &[u8] = &[b' '; 32];
    let mut used = 0;
    for text in texts {
        out.write_all(text.as_bytes())?;
        used += if text.is_ascii() { text.len() } else { text.chars().count() };
    }
    out.write_all(&SPACES[..width.saturating_sub(used).min(SPACES.len())])
}

/// Prints times in UTC and in the zone that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock<'a>(pub(super) &'a TimeZone);

impl Clock<'_> {
    /// `2026-11-21 08:57:28.173 UTC = 09:57:28.173 Europe/Berlin`.
    pub(super) fn both(self, time: Timestamp) -> String {
        let utc = format!("{} UTC", utc(time));
        let Some(here) = self.here(time) else { return utc };
        format!("{utc} = {here}")
    }

    /// The same instant in the zone that was asked for, if that is not UTC; with the date where it is another one.
    fn here(self, time: Timestamp) -> Option<String> {
        let here = zoned(time, self.0)?;
        let utc = zoned(time, &TimeZone::UTC)?;
        if self.0 == &TimeZone::UTC {
            return None;
        }
        let format = if here.date() == utc.date() { "%H:%M:%S%.3f %:z" } else { "%Y-%m-%d %H:%M:%S%.3f %:z" };
        let name = self.0.iana_name().map(|n| format!(" {n}")).unwrap_or_default();
        Some(format!("{}{name}", here.strftime(format)))
    }
}

/// `2026-11-21 08:57:28.173`, in UTC.
pub(super) fn utc(time: Timestamp) -> String {
    time.to_millis_text().map_or_else(|| time.to_string(), |text| text.to_string())
}

/// A bound, in UTC, as wide as any other.
fn bound_column(out: &mut impl Write, bound: Bound) -> io::Result<()> {
    let (sign, time) = match bound {
        Bound::Exact(t) => ("", t),
        Bound::Read(t) => ("≤ ", t),
        Bound::Between(a, b) if a.is_finite() && b.is_finite() => ("≤ ", b),
        Bound::Between(a, _) if a.is_finite() => ("≥ ", a),
        Bound::Between(_, b) if b.is_finite() => ("≤ ", b),
        Bound::Between(..) | Bound::Unknown => return column(out, &["not known"], BOUND_WIDTH),
        Bound::Open => return column(out, &["open"], BOUND_WIDTH),
    };
    match time.to_millis_text() {
        Some(text) => column(out, &[sign, text.as_str()], BOUND_WIDTH),
        None => column(out, &[sign, &time.to_string()], BOUND_WIDTH),
    }
}

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<jiff::Zoned> {
    let time =
        jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok().filter(|_| time.is_finite())?;
    Some(time.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmasq_flow::{
        Count, Coverage, DestinationPolicy, Endpoint, Evidence, Gap, GapReason, Origin, Protocol, Scope,
        ScopeKind, Status, Traffic,
    };
    use unmasq_trace::time::{Asked, zone};
    use unmasq_trace::{Inquiry, Memory, Standing, StreamCoverage, StreamKind, Witness};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_795_251_448_000 + millis)
    }

    fn flow(client: &str, server: &str, from: i64, to: i64) -> Flow {
        let server: Endpoint = server.parse().unwrap();
        let ends = (client.parse().unwrap(), server);
        let origin = Origin::new("gw1", "").shared();
        let mut flow = Flow::new(origin, Protocol::TCP, ends, (server, "203.0.113.1:61002".parse().unwrap()));
        flow.start = Bound::Exact(at(from));
        flow.end = Bound::Exact(at(to));
        flow.status = Status(0x19e);
        flow
    }

    fn page(flows: Vec<Flow>, gap: Option<(i64, i64)>, ask: impl FnOnce(&mut Inquiry, &mut When)) -> String {
        let scope =
            Scope { namespace: "".into(), kind: ScopeKind::All, destinations: DestinationPolicy::Keep };
        let mut coverage = Coverage { is_clock_synchronised: true, ..Coverage::default() };
        match gap {
            None => coverage.covered = vec![(Period { from: at(-1_000_000), to: at(1_000_000) }, scope)],
            Some((from, to)) => {
                coverage.covered = vec![
                    (Period { from: at(-1_000_000), to: at(from) }, scope.clone()),
                    (Period { from: at(to), to: at(1_000_000) }, scope),
                ];
                coverage.gaps = vec![Gap {
                    period: Period { from: at(from), to: at(to) },
                    namespace: None,
                    reason: GapReason::Overrun { lost: Some(312) },
                }];
            }
        }
        let stream = StreamCoverage {
            stream: "gw1".to_owned(),
            kind: StreamKind::Recorder,
            coverage,
            standing: Standing::NotLooked,
        };
        let place = "/var/lib/unmasq/ledger/gw1/2026/11/21/08/000017.run row 5".to_owned();
        let memory = Memory::new(flows, Evidence { witness: By::Ledger, place }, vec![stream]);
        let window = Period { from: at(-5_000), to: at(5_999) };
        let mut inquiry = Inquiry::new("203.0.113.1:61002".parse().unwrap(), window, at(900_000));
        let asked = Asked {
            text: "2026-11-21 09:57:28".to_owned(),
            windows: vec![window],
            zone: zone("Europe/Berlin").unwrap(),
            notes: Vec::new(),
        };
        let mut when = When { asked, is_written: true };
        ask(&mut inquiry, &mut when);
        let mut witnesses: Vec<Box<dyn Witness>> = vec![Box::new(memory)];
        let answer = unmasq_trace::answer(&inquiry, &mut witnesses);
        let mut text = Vec::new();
        super::answer(&mut anstream::StripStream::new(&mut text), &answer, &when).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn one_client() {
        let mut one = flow("192.168.101.2:47244", "198.51.100.7:80", -8_000, 118_001);
        one.traffic = Some(Traffic {
            original: Count { packets: 12, bytes: 1420 },
            reply: Count { packets: 10, bytes: 88_000 },
        });
        insta::assert_snapshot!(page(vec![one], None, |_, _| ()));
    }

    #[test]
    fn several_clients_and_a_gap() {
        let flows = vec![
            flow("192.168.101.2:47244", "198.51.100.7:80", -8_000, 118_001),
            flow("192.168.101.3:61002", "198.51.100.9:443", -2_000, 3_000),
        ];
        insta::assert_snapshot!(page(flows, Some((1_000, 2_000)), |_, _| ()));
    }

    #[test]
    fn nobody_with_neighbours_in_utc() {
        let flows = vec![
            flow("192.168.101.2:47244", "198.51.100.7:80", -80_000, -70_000),
            flow("192.168.101.3:61002", "198.51.100.9:443", 60_000, 70_000),
        ];
        let text = page(flows, None, |_, when| {
            when.asked.zone = TimeZone::UTC;
            when.asked.notes = vec!["the year was not given; 2026 is the latest one that fits".to_owned()];
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_client_behind_a_namespace_with_an_open_end() {
        let mut outer = flow("10.9.0.2:40000", "198.51.100.7:80", -8_000, 0);
        outer.end = Bound::Open;
        outer.status = Status(0x198);
        let mut inner = outer.clone();
        inner.origin = Origin::new("gw1", "vpn0").shared();
        inner.client = "192.168.101.2:47244".parse().unwrap();
        inner.masked = "10.9.0.2:40000".parse().unwrap();
        inner.start = Bound::Between(Timestamp::MIN, at(-8_000));
        let text = page(vec![outer, inner], None, |inquiry, _| {
            inquiry.server = Some("198.51.100.7:80".parse().unwrap());
            inquiry.protocol = Some(Protocol::TCP);
        });
        insta::assert_snapshot!(text);
    }
}
