//! From a configuration to a program: each step's arguments are read, the links resolved, and what cannot be meant is
//! noted.

use std::collections::HashSet;
use std::ops::Range;

use unmasq_diagnostic::{Problem, line_and_column};
use unmasq_entry::journal_fields::Kind;
use unmasq_entry::{Fields, Slot};

use super::actions::{ACTIONS, EVIDENCE, MASKED, Surroundings, action};
use super::args::{Args, Shared, cut};
use super::chains::{Fork, Jump, Layout, Outline};
use super::filters::{FILTERS, Patterns, filter};
use super::flow::Flow;
use super::known_fields::KnownFields;
use super::literal::Literal;
use super::step::{Action, Filter, Next, OnTimeout, Prefix, Step, Work};
use super::suggest::did_you_mean;
use super::switch::switches;
use super::{Compiled, DeadStep, Program, StepInfo};
use crate::config::{self, Loaded, Spelling};
use crate::journal_log;

/// What a step's arguments came to.
struct Read {
    work: Work,
    reads: Vec<(Slot, Range<usize>)>,
    sets: Vec<Slot>,
}

/// See [`Program::compile`].
pub(super) fn compile(loaded: &Loaded) -> Result<Compiled, Vec<Problem>> {
    let config = &loaded.config;
    let chains = &config.chains;
    let mut fields = Fields::default();
    // By these the running watch knows its own entries.
    for name in ["_PID", journal_log::AGAIN] {
        fields.slot(name);
    }
    let mut shared = Shared {
        text: &loaded.text,
        is_strict: Spelling::of(&loaded.file) != Some(Spelling::Json),
        fields,
        problems: Vec::new(),
    };
    let outlines: Vec<Outline<'_>> = chains.iter().map(outline).collect();
    let layout = Layout::new(&outlines, &mut shared.problems);
    let mut around = Surroundings {
        subject: config.email.subject.as_str().into(),
        compat: config.compat,
        prefix: Prefix { ipv4: config.ban.ipv4, ipv6: config.ban.ipv6 },
        categories: Vec::new(),
    };
    let mut patterns = Patterns::default();
    let live = chains.iter().zip(&layout.live).flat_map(|(chain, live)| &chain.steps[..*live]);
    let steps: Vec<&config::Step> = live.collect();
    let read: Vec<Read> =
        steps.iter().map(|step| read(step, &mut shared, &mut patterns, &mut around)).collect();
    if shared.fields.len() >= Fields::MOST {
        let message = format!("the steps name more than {} different fields", Fields::MOST - 1);
        shared.problems.push(Problem::error(0..0, message));
    }

    let mains: Vec<Next> = layout.mains.iter().map(|chain| layout.start_of(*chain)).collect();
    let is_filter: Vec<bool> = steps.iter().map(|step| step.kind == config::Kind::Filter).collect();
    let flow = Flow::new(&layout.links, &mains, layout.start(), &is_filter);
    if !shared.problems.iter().any(Problem::is_error) {
        warn_of_unreachable(&outlines, &layout, &flow, &mut shared.problems);
        let known = KnownFields::of(&config.sources);
        warn_of_unset(&read, &layout, &flow, &known, &mut shared);
        warn_of_types(&steps, &read, &known, &mut shared);
    }
    if shared.problems.iter().any(Problem::is_error) {
        return Err(shared.problems);
    }

    let is_ban = |step: usize| matches!(read[step].work, Work::Action(Action::Ban(_)));
    let leads_to_ban: Vec<bool> = (0..steps.len()).map(|step| flow.leads_to(step, is_ban)).collect();
    let places = places(chains, &layout, &loaded.text);
    let mut program = Program {
        evidence: shared.fields.find(EVIDENCE),
        masked: shared.fields.find(MASKED),
        fields: shared.fields,
        patterns: patterns.all,
        start: layout.start(),
        mains,
        steps: Vec::with_capacity(steps.len()),
        switches: Vec::new(),
        switch_of: Vec::new(),
        main_labels: layout.mains.iter().map(|chain| chains[*chain].label.as_str().into()).collect(),
        infos: places,
        categories: around.categories,
        mains_of: flow.into_mains(),
        chains: chains.iter().map(|chain| chain.label.as_str().into()).collect(),
        dead: dead(chains, &layout),
        summaries: steps.iter().map(|step| super::dot::summary(step)).collect(),
        leads_to_ban,
    };
    for (number, (read, (then, otherwise))) in read.into_iter().zip(&layout.links).enumerate() {
        let mut work = read.work;
        if let Work::Action(Action::Replace(replace)) = &mut work
            && steps[number].args.value.find("onTimeout").is_none()
            && program.leads_to_ban[number]
        {
            replace.on_timeout = OnTimeout::Skip;
        }
        program.steps.push(Step { work, then: *then, otherwise: *otherwise });
    }
    (program.switches, program.switch_of) = switches(&program.steps, &program.mains, &program.mains_of);
    Ok(Compiled { program, warnings: shared.problems })
}

fn outline(chain: &config::Chain) -> Outline<'_> {
    let jump = |label: &config::Spanned<String>| label.span.clone();
    let forks = chain.steps.iter().map(|step| Fork {
        is_filter: step.kind == config::Kind::Filter,
        span: step.span.clone(),
        then: step.then.as_ref().map(|label| Jump { label: &label.value, span: jump(label) }),
        otherwise: step.otherwise.as_ref().map(|label| Jump { label: &label.value, span: jump(label) }),
    });
    Outline { label: &chain.label, span: chain.span.clone(), forks: forks.collect() }
}

fn read<'c>(
    step: &'c config::Step,
    shared: &mut Shared<'c>,
    patterns: &mut Patterns,
    around: &mut Surroundings,
) -> Read {
    let (name, is_filter) = (step.name.value.as_str(), step.kind == config::Kind::Filter);
    let (ours, others) = if is_filter { (&FILTERS[..], &ACTIONS[..]) } else { (&ACTIONS[..], &FILTERS[..]) };
    let mut args = Args::new(step, shared);
    if !ours.contains(&name) {
        let (kind, other) = if is_filter { ("filter", "action") } else { ("action", "filter") };
        let message = if others.contains(&name) {
            format!("{name} is of the kind {other:?}, not {kind:?}")
        } else {
            let meant = did_you_mean(name, ours.iter().copied());
            format!("there is no {kind} {:?}{meant}", cut(name))
        };
        args.error(&step.name.span, message);
        return Read { work: Work::Action(Action::Noop), reads: Vec::new(), sets: Vec::new() };
    }
    let work = if is_filter {
        let filter = filter(&mut args, patterns);
        args.finish(filter).map(Work::Filter)
    } else {
        let action = action(&mut args, around);
        args.finish(action).map(Work::Action)
    };
    let (reads, sets) = (std::mem::take(&mut args.reads), std::mem::take(&mut args.sets));
    // Where it is `None` an error was noted, and the program is not used.
    Read { work: work.unwrap_or(Work::Action(Action::Noop)), reads, sets }
}

/// Chains that nothing leads to (B12). Only the first of those that follow each other is explained.
fn warn_of_unreachable(chains: &[Outline<'_>], layout: &Layout, flow: &Flow, problems: &mut Vec<Problem>) {
    let reached = |chain: usize| layout.live[chain] > 0 && flow.reaches(layout.step(chain, 0));
    let Some(first) = layout.start().0.index() else { return };
    let mut last_reached = None;
    for (chain, outline) in chains.iter().enumerate() {
        let is_main = layout.mains.contains(&chain);
        if layout.live[chain] == 0 || reached(chain) {
            if is_main && (layout.live[chain] == 0 || layout.step(chain, 0) >= first) {
                last_reached = Some(chain);
            }
            continue;
        }
        let why = match last_reached {
            Some(before) if is_main && layout.live[before] == 0 => {
                format!(": the chain {:?} before it is empty and stops every entry", chains[before].label)
            }
            Some(before) if is_main => {
                format!(": every entry that comes to {:?} ends there", chains[before].label)
            }
            _ => ": all that name it are never reached themselves".to_owned(),
        };
        let message = format!("chain {:?} is never reached{why}", outline.label);
        problems.push(Problem::warning(outline.span.clone(), message));
    }
}

/// Fields that are read and that neither a step before nor a source sets: each once.
fn warn_of_unset(read: &[Read], layout: &Layout, flow: &Flow, known: &KnownFields, shared: &mut Shared<'_>) {
    let sets: Vec<Vec<usize>> =
        read.iter().map(|step| step.sets.iter().map(|slot| slot.index()).collect()).collect();
    let before = flow.fields_before(layout.start().0, shared.fields.len(), &sets);
    let mut warned = vec![false; shared.fields.len()];
    let Shared { fields, problems, .. } = shared;
    let mut set_by_steps: Vec<&str> =
        read.iter().flat_map(|step| &step.sets).map(|slot| fields.name(*slot)).collect();
    set_by_steps.sort_unstable();
    set_by_steps.dedup();
    for (number, step) in read.iter().enumerate().filter(|(number, _)| flow.reaches(*number)) {
        for (slot, span) in &step.reads {
            let name = fields.name(*slot);
            if before[number].has(slot.index()) || warned[slot.index()] || known.may_have(name) {
                continue;
            }
            warned[slot.index()] = true;
            let message = if set_by_steps.contains(&name) {
                format!("the field {name:?} is set by steps, but by none before this one")
            } else {
                let meant = did_you_mean(name, set_by_steps.iter().copied().chain(known.names()));
                format!("nothing sets the field {name:?}{meant}")
            };
            problems.push(Problem::warning(span.clone(), message));
        }
    }
}

/// Filters whose field has another type than they compare it with: nothing is converted, so they never pass.
fn warn_of_types(steps: &[&config::Step], read: &[Read], known: &KnownFields, shared: &mut Shared<'_>) {
    let set_by_steps: HashSet<Slot> = read.iter().flat_map(|step| step.sets.iter().copied()).collect();
    for (step, read) in steps.iter().zip(read) {
        let (Work::Filter(filter), Some((slot, span))) = (&read.work, read.reads.first()) else { continue };
        let name = shared.fields.name(*slot);
        let Some(kind) = known.kind(name).filter(|_| !set_by_steps.contains(slot)) else { continue };
        let (is_number, is_text) = (kind == Kind::Integer, matches!(kind, Kind::Message | Kind::Text));
        let fits = match filter {
            Filter::Equals { literal, .. }
            | Filter::AtMost { literal, .. }
            | Filter::AtLeast { literal, .. } => match literal {
                Literal::Integer(_) | Literal::Float(_) | Literal::Bool(_) => is_number,
                Literal::Text(_) => is_text,
                Literal::Null | Literal::List(_) | Literal::Table => true,
            },
            Filter::In { values, .. } => {
                let (has_texts, has_others) = (!values.texts.is_empty(), !values.others.is_empty());
                values.null || is_text && has_texts || is_number && has_others || !has_texts && !has_others
            }
            Filter::EqualsText { .. }
            | Filter::PartOf { .. }
            | Filter::InNetworks { .. }
            | Filter::Pcre { .. }
            | Filter::PcreAny { .. }
            | Filter::UserExists { .. } => is_text,
        };
        if !fits {
            let kind = match kind {
                Kind::Integer => "an integer",
                Kind::Message | Kind::Text => "text",
                Kind::Uuid => "an identifier of 128 bits",
                Kind::Time => "a time",
                Kind::Span => "a duration",
                Kind::Monotonic => "a monotonic time",
                Kind::Bytes => "bytes",
            };
            let filter = &step.name.value;
            let message = format!("{name} is {kind} and nothing is converted: this {filter} never passes");
            shared.problems.push(Problem::warning(span.clone(), message));
        }
    }
}

fn places(chains: &[config::Chain], layout: &Layout, text: &str) -> Vec<StepInfo> {
    let mut infos = Vec::with_capacity(layout.links.len());
    for (chain, live) in chains.iter().zip(&layout.live) {
        for (index, step) in chain.steps[..*live].iter().enumerate() {
            let (line, column) = line_and_column(text, step.span.start);
            infos.push(StepInfo {
                chain: chain.label.as_str().into(),
                index,
                name: step.name.value.as_str().into(),
                is_filter: step.kind == config::Kind::Filter,
                line,
                column,
            });
        }
    }
    infos
}

fn dead(chains: &[config::Chain], layout: &Layout) -> Vec<DeadStep> {
    let mut dead = Vec::new();
    for (number, (chain, live)) in chains.iter().zip(&layout.live).enumerate() {
        for (index, step) in chain.steps.iter().enumerate().skip(*live) {
            dead.push(DeadStep { chain: number, index, summary: super::dot::summary(step) });
        }
    }
    dead
}
