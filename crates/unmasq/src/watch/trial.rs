//! A trial: what chains would do to a log. Nothing is written, sent or banned.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use unmasq_entry::Entry;
use unmasq_flow::Timestamp;
use unmasq_source::Read;
use unmasq_watch::journal_log::Level;
use unmasq_watch::machine::Visit;
use unmasq_watch::report::{self, Details};
use unmasq_watch::state::State;

use super::build::Plan;
use super::effect::{At, Banning, Effect, Hands};
use super::engine::Engine;
use super::sources::Once;

/// Entries read between two looks at the clock.
const BATCH: usize = 4096;

/// Tells each action to `each`, as one JSON object, and each way to `ran`.
pub(crate) struct Telling<F, R> {
    each: F,
    ran: R,
    /// Bans that the guard refused, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Errors of steps, with an example.
    pub(crate) troubles: BTreeMap<(usize, String), u64>,
}

impl<F, R> Hands for Telling<F, R>
where
    F: FnMut(Value) -> Result<(), String>,
    R: FnMut(&Entry, &[Visit], bool),
{
    const WANTS_PLACE: bool = true;

    fn carry_out(&mut self, at: At<'_>, effect: Effect<'_>) -> Result<(), String> {
        if let Effect::Refused { refusal, .. } = effect {
            *self.refused.entry(refusal.kind.as_str()).or_default() += 1;
            return Ok(());
        }
        let info = at.program.step(at.step);
        let mut told = json!({ "chain": info.chain, "step": info.index, "action": info.name });
        place(&mut told, at.place);
        if let (Value::Object(told), Value::Object(more)) = (&mut told, arguments(effect)) {
            told.extend(more);
        }
        (self.each)(told)
    }

    fn send_report(&mut self, _id: &str, _text: &str, _html: &str) -> Result<(), String> {
        Ok(())
    }

    fn warn(&mut self, message: &str) {
        eprintln!("unmasq: {message}");
    }

    fn ran(&mut self, entry: &Entry, path: &[Visit], is_resumed: bool) {
        (self.ran)(entry, path, is_resumed);
    }

    fn trouble(&mut self, at: At<'_>, message: &str) {
        *self.troubles.entry((at.step.index(), message.to_owned())).or_default() += 1;
    }
}

/// A line number or a cursor.
fn place(told: &mut Value, place: &str) {
    match place.strip_prefix("line ").and_then(|line| line.parse::<u64>().ok()) {
        Some(line) => told["line"] = line.into(),
        None if place.is_empty() => {}
        None => told["cursor"] = place.into(),
    }
}

fn arguments(effect: Effect<'_>) -> Value {
    let seconds = |duration: Option<std::time::Duration>| duration.map(|d| d.as_secs_f64());
    match effect {
        Effect::Noop | Effect::Refused { .. } => json!({}),
        Effect::Log { level, message } => json!({ "level": log_level(level), "message": message }),
        Effect::Email { subject, message, .. } => json!({ "subject": subject, "message": message }),
        Effect::Report { level, details, message } => {
            json!({ "level": report_level(level), "details": details_word(details), "message": message })
        }
        Effect::Ban(Banning { set, target, port, duration, .. }) => {
            let mut told = json!({
                "kind": set.kind().as_str(),
                "set": set.to_string(),
                "address": super::shown(target),
                "seconds": duration.map(|d| d.as_secs_f64().round()),
            });
            if let Some(port) = port {
                told["port"] = port.into();
            }
            told
        }
        Effect::Raise { counter, key, keep, count } => {
            json!({ "counter": counter, "for": key, "keepSeconds": seconds(keep), "count": count })
        }
        Effect::Reset { counter, key, grace } => {
            json!({ "counter": counter, "for": key, "graceSeconds": seconds(grace) })
        }
        Effect::Capture(capture) => json!({
            "saddr": capture.client,
            "sport": capture.client_port,
            "masked": capture.masked.to_string(),
        }),
        Effect::Replace { masked, client } => json!({
            "masked": masked.to_string(),
            "saddr": client.address,
            "sport": client.port,
            "evidence": client.evidence,
        }),
    }
}

/// Pyruse's word.
fn log_level(level: Level) -> &'static str {
    Level::NAMES.iter().find(|(_, known)| *known == level).map_or("INFO", |(name, _)| name)
}

fn report_level(level: report::Level) -> &'static str {
    match level {
        report::Level::Warn => "WARN",
        report::Level::Info => "INFO",
        report::Level::Other => "OTHER",
    }
}

fn details_word(details: Details) -> &'static str {
    match details {
        Details::None => "NONE",
        Details::First => "FIRST",
        Details::Last => "LAST",
        Details::FirstLast => "FIRSTLAST",
        Details::All => "ALL",
    }
}

/// Runs a whole log through the chains; gives the engine and the number of entries. `is_timed`: each entry's way is kept
/// for `ran`, and steps are timed.
pub(crate) fn run<F, R>(
    plan: &Plan,
    once: &Once,
    is_timed: bool,
    each: F,
    ran: R,
) -> anyhow::Result<(Engine<Telling<F, R>>, u64)>
where
    F: FnMut(Value) -> Result<(), String>,
    R: FnMut(&Entry, &[Visit], bool),
{
    let hands = Telling { each, ran, refused: BTreeMap::new(), troubles: BTreeMap::new() };
    let (mut machine, mut world) = plan.surroundings(hands, State::in_memory(plan.limits()))?;
    if is_timed {
        machine.watch();
    }
    // Of a log of another day or machine this machine's addresses say nothing.
    world.guard.set_local([]);
    world.sources = vec![once.open(plan.config())?];
    world.clock = Timestamp::default();
    let mut engine = Engine::new(machine, world);
    let mut entries = 0;
    loop {
        let (count, read) = engine.pump(0, BATCH, None)?;
        entries += count as u64;
        if read != Read::Entry {
            break;
        }
    }
    engine.finish();
    Ok((engine, entries))
}
