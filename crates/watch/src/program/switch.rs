//! Runs of filters that ask one field for texts, taken in one step.
//!
//! ```text
//!  haproxy? ─else─► nginx? ─else─► sshd? ─else─► …        as it is written: one comparison a chain
//!        └──── a table: text ─► first filter that it passes ────┘   as it is run
//! ```
//!
//! That is how most chains begin: each with a filter for its program. It shows in nothing but time: the filters of a run
//! have no effect but their outcome, and they are counted as if each had been asked.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use unmasq_entry::Slot;

use super::step::{Filter, Next, Step, Work};

/// Shorter runs are asked one by one.
const SHORTEST: usize = 3;

/// A run of filters.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) field: Slot,
    members: Vec<Member>,
    /// For each text, the members that it passes, in order.
    passes: HashMap<Box<str>, Vec<u32>, FixedState>,
    /// Where the last member leads if it is not passed.
    past: Exit,
}

/// A filter in a run.
#[derive(Debug)]
struct Member {
    step: usize,
    exit: Exit,
}

/// Where an entry goes on, and the top-level chain that it is in then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) next: Next,
    pub(crate) main: u32,
}

/// The place of a step in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchPlace {
    pub(crate) switch: u32,
    pub(crate) member: u32,
}

impl Switch {
    /// The first member from `from` on that the text passes (its place, and where it leads); past the last, if none.
    /// Hot.
    pub(crate) fn turn(&self, text: Option<&str>, from: u32) -> (usize, Exit) {
        let passes = text.and_then(|text| self.passes.get(text));
        match passes.and_then(|passes| passes.iter().find(|member| **member >= from)) {
            Some(member) => (*member as usize, self.members[*member as usize].exit),
            None => (self.members.len(), self.past),
        }
    }

    /// How many filters it has.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The steps of its filters.
    pub(crate) fn steps(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.step)
    }
}

/// The runs of a program, and the places of its steps in them.
pub(crate) fn switches(
    steps: &[Step],
    mains: &[Next],
    mains_of: &[Vec<u32>],
) -> (Vec<Switch>, Vec<Option<SwitchPlace>>) {
    let mut switches = Vec::new();
    let mut places = vec![None; steps.len()];
    for first in 0..steps.len() {
        let Some((field, _)) = asks(&steps[first]) else { continue };
        let run = run_from(first, field, steps, mains, mains_of, &places);
        if run.len() < SHORTEST {
            continue;
        }
        for (member, (step, _)) in run.iter().enumerate() {
            places[*step] = Some(SwitchPlace { switch: switches.len() as u32, member: member as u32 });
        }
        switches.push(switch(field, &run, steps));
    }
    (switches, places)
}

/// The run that begins at a step: the steps with the top-level chain that an entry is in there. It goes on as long as
/// that is certain.
fn run_from(
    first: usize,
    field: Slot,
    steps: &[Step],
    mains: &[Next],
    mains_of: &[Vec<u32>],
    places: &[Option<SwitchPlace>],
) -> Vec<(usize, u32)> {
    let mut run: Vec<(usize, u32)> = Vec::new();
    let mut next = Some(first);
    while let Some(step) = next {
        let [main] = mains_of[step][..] else { break };
        let is_free = places[step].is_none() && run.iter().all(|(member, _)| *member != step);
        if !is_free || asks(&steps[step]).is_none_or(|(other, _)| other != field) {
            break;
        }
        run.push((step, main));
        next = match steps[step].otherwise {
            Next::MAIN => mains.get(main as usize + 1).and_then(|next| next.index()),
            next => next.index(),
        };
    }
    run
}

fn switch(field: Slot, run: &[(usize, u32)], steps: &[Step]) -> Switch {
    let mut passes: HashMap<Box<str>, Vec<u32>, FixedState> = HashMap::default();
    for (member, (step, _)) in run.iter().enumerate() {
        for text in asks(&steps[*step]).map_or(&[][..], |(_, texts)| texts) {
            passes.entry(text.clone()).or_default().push(member as u32);
        }
    }
    let (last, main) = run[run.len() - 1];
    Switch {
        field,
        members: run
            .iter()
            .map(|(step, main)| Member { step: *step, exit: Exit { next: steps[*step].then, main: *main } })
            .collect(),
        passes,
        past: Exit { next: steps[last].otherwise, main },
    }
}

/// The field that a filter asks for texts, and the texts; `None` for steps that do more.
fn asks(step: &Step) -> Option<(Slot, &[Box<str>])> {
    match &step.work {
        Work::Filter(Filter::EqualsText { field, text }) => Some((*field, std::slice::from_ref(text))),
        Work::Filter(Filter::In { field, values }) if !values.null && values.others.is_empty() => {
            Some((*field, &values.texts))
        }
        Work::Filter(_) | Work::Action(_) => None,
    }
}
