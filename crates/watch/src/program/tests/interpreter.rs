//! Compiled chains against an interpreter that goes by labels and knows neither numbers nor a register.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use unmasq_entry::{Entry, Value};
use unmasq_flow::Timestamp;

use super::*;
use crate::client::{Answer, Capture, Question, Subset};
use crate::counters::CategoryId;
use crate::machine::{Act, Machine, World};
use crate::program::StepId;

/// A step whose outcome the entry decides: a filter passes, an action works, if the bit of its field is set.
#[derive(Clone, Debug)]
struct Written {
    is_filter: bool,
    bit: u8,
    /// A filter that passes if the field `id` is this letter, in place of its bit; runs of them are taken at once.
    letter: Option<u8>,
    /// Number of a chain further on in the order of calls, so that there are no loops.
    then: Option<usize>,
    otherwise: Option<usize>,
}

type Chains = Vec<Vec<Written>>;

/// Chains, and the place of each in the file.
fn chains() -> impl Strategy<Value = (Chains, Vec<usize>)> {
    let link = || proptest::option::weighted(0.35, 1usize..6);
    let letter = proptest::option::weighted(0.6, b'a'..b'e');
    let step = (proptest::bool::weighted(0.75), 0u8..8, letter, link(), link()).prop_map(
        |(is_filter, bit, letter, then, otherwise)| Written {
            is_filter,
            bit,
            letter: letter.filter(|_| is_filter),
            then,
            otherwise,
        },
    );
    let chain = proptest::collection::vec(step, 0..4);
    proptest::collection::vec(chain, 1..9).prop_flat_map(|mut chains| {
        let count = chains.len();
        for (number, chain) in chains.iter_mut().enumerate() {
            for step in chain {
                let further = |link: Option<usize>| link.map(|by| number + by).filter(|to| *to < count);
                step.then = further(step.then);
                step.otherwise = further(step.otherwise);
            }
        }
        let places: Vec<usize> = (0..count).collect();
        (Just(chains), Just(places).prop_shuffle())
    })
}

fn written(chains: &Chains, places: &[usize]) -> String {
    let step = |step: &Written| {
        let work = if let Some(letter) = step.letter.map(char::from) {
            format!(
                r#""filter": "filter_in", "args": {{"field": "id", "values": ["{letter}", "{letter}{letter}"]}}"#
            )
        } else if step.is_filter {
            format!(r#""filter": "filter_equals", "args": {{"field": "f{}", "value": 1}}"#, step.bit)
        } else {
            // Fails where the field is missing.
            format!(r#""action": "action_counterRaise", "args": {{"counter": "x", "for": "f{}"}}"#, step.bit)
        };
        let link = |word: &str, to: Option<usize>| {
            to.map(|to| format!(r#", "{word}": "c{to}""#)).unwrap_or_default()
        };
        format!("{{{work}{}{}}}", link("then", step.then), link("else", step.otherwise))
    };
    let chain = |number: &usize| {
        let steps: Vec<String> = chains[*number].iter().map(step).collect();
        format!(r#""c{number}": [{}]"#, steps.join(", "))
    };
    format!("{{{}}}", places.iter().map(chain).collect::<Vec<_>>().join(", "))
}

/// The steps that an entry comes to, by the rules as they are documented.
fn interpreted(chains: &Chains, places: &[usize], bits: u8, id: Option<u8>) -> Vec<(usize, usize)> {
    // A chain is in the main flow unless an earlier one reaches it.
    let mut reached = vec![false; chains.len()];
    let mut flow = Vec::new();
    for &chain in places {
        if !reached[chain] {
            flow.push(chain);
            reach(chains, chain, &mut reached);
        }
    }
    let mut path = Vec::new();
    // Empty chains in front are passed over; later ones stop.
    let first = flow.iter().position(|chain| !chains[*chain].is_empty()).unwrap_or(flow.len());
    for &chain in &flow[first..] {
        if chains[chain].is_empty() || !falls_through(chains, chain, bits, id, &mut path) {
            break;
        }
    }
    path
}

fn reach(chains: &Chains, chain: usize, reached: &mut [bool]) {
    if std::mem::replace(&mut reached[chain], true) {
        return;
    }
    for step in &chains[chain] {
        let otherwise = step.otherwise.filter(|_| step.is_filter);
        for to in step.then.into_iter().chain(otherwise) {
            reach(chains, to, reached);
        }
        if step.then.is_some() {
            break;
        }
    }
}

/// Runs a chain; does the entry go on in the main flow after it?
fn falls_through(
    chains: &Chains,
    chain: usize,
    bits: u8,
    id: Option<u8>,
    path: &mut Vec<(usize, usize)>,
) -> bool {
    for (place, step) in chains[chain].iter().enumerate() {
        path.push((chain, place));
        let is_good = step.letter.map_or(bits >> step.bit & 1 == 1, |letter| Some(letter) == id);
        let explicit = match (is_good, step.is_filter) {
            (true, _) => step.then,
            (false, true) => match step.otherwise {
                Some(to) => Some(to),
                None => return true,
            },
            (false, false) => return false,
        };
        if let Some(to) = explicit {
            return !chains[to].is_empty() && falls_through(chains, to, bits, id, path);
        }
    }
    chains[chain].last().is_some_and(|last| last.is_filter)
}

struct Silent;

impl World for Silent {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(0)
    }

    fn raise(&mut self, _: StepId, _: CategoryId, _: Value<'_>, _: Option<Duration>) -> Result<u64, String> {
        Ok(1)
    }

    fn reset(&mut self, _: StepId, _: CategoryId, _: Value<'_>, _: Option<Duration>) -> Result<(), String> {
        Ok(())
    }

    fn user_exists(&mut self, _: &str) -> Result<bool, String> {
        Ok(false)
    }

    fn capture(&mut self, _: StepId, _: Capture) -> Result<(), String> {
        Ok(())
    }

    fn replace(&mut self, _: StepId, _: Subset, _: &Question) -> Answer {
        Answer::Unknown
    }

    fn act(&mut self, _: StepId, _: Act<'_>, _: &Entry) -> Result<(), String> {
        Ok(())
    }

    fn trouble(&mut self, _: StepId, _: &str) {}
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn compiled_chains_go_the_interpreted_way((chains, places) in chains(), all_bits in any::<[(u8, u8); 8]>()) {
        let program = Arc::new(compile(&written(&chains, &places)).program);
        let mut watching = Machine::in_zone(Arc::clone(&program), TimeZone::UTC);
        let mut plain = Machine::in_zone(Arc::clone(&program), TimeZone::UTC);
        watching.watch();
        for (bits, id) in all_bits {
            let id = (b'a'..b'e').nth(usize::from(id % 6));
            let mut entry = Entry::new(program.fields());
            for bit in (0..8u8).filter(|bit| bits >> bit & 1 == 1) {
                if let Some(slot) = program.fields().find(&format!("f{bit}")) {
                    entry.set(slot, Value::Integer(1));
                }
            }
            if let (Some(slot), Some(id)) = (program.fields().find("id"), id) {
                entry.set(slot, Value::Text(&char::from(id).to_string()));
            }
            let mut again = entry.clone();
            watching.run(&mut entry, &mut Silent);
            plain.run(&mut again, &mut Silent);
            let label = |step: StepId| {
                let info = program.step(step);
                (info.chain[1..].parse().expect("c and a number"), info.index)
            };
            let path: Vec<(usize, usize)> = watching.path().iter().map(|visit| label(visit.step)).collect();
            prop_assert_eq!(&path, &interpreted(&chains, &places, bits, id));
            prop_assert!(watching.path().iter().all(|visit| program.is_reached(visit.step)));
        }
        let counts = |machine: &Machine| -> Vec<_> {
            machine.stats().iter().map(|stats| (stats.seen, stats.matched, stats.errors)).collect()
        };
        prop_assert_eq!(counts(&watching), counts(&plain));
    }
}
