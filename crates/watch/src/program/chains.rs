//! Who calls whom: which chains are top-level, which steps can never run, and where each step leads.
//!
//! As Pyruse has it: the labels are walked in the order of the file, each walk reaching further chains by `then` and
//! `else`; a label that was reached before its turn is a jump chain. Steps behind an explicit `then` are not walked, as
//! nothing comes to them. Loops are errors: an entry would never end.

use std::collections::HashMap;
use std::ops::Range;

use unmasq_diagnostic::Problem;

use super::step::Next;
use super::suggest::did_you_mean;

/// A chain, as far as its links go.
#[derive(Debug)]
pub(crate) struct Outline<'c> {
    pub(crate) label: &'c str,
    pub(crate) span: Range<usize>,
    pub(crate) forks: Vec<Fork<'c>>,
}

/// A step, as far as its links go.
#[derive(Debug)]
pub(crate) struct Fork<'c> {
    pub(crate) is_filter: bool,
    pub(crate) span: Range<usize>,
    pub(crate) then: Option<Jump<'c>>,
    pub(crate) otherwise: Option<Jump<'c>>,
}

/// An explicit `then` or `else`.
#[derive(Clone, Debug)]
pub(crate) struct Jump<'c> {
    pub(crate) label: &'c str,
    pub(crate) span: Range<usize>,
}

/// How the chains hang together.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The top-level chains, in order.
    pub(crate) mains: Vec<usize>,
    /// How many steps of each chain can run; the rest stands behind an explicit `then`.
    pub(crate) live: Vec<usize>,
    /// Number of the first live step of each chain.
    first: Vec<usize>,
    /// For each live step: `then`, `else`.
    pub(crate) links: Vec<(Next, Next)>,
}

impl Layout {
    /// Walks the chains. What is wrong with them goes to `problems`; a link that leads nowhere stops.
    pub(crate) fn new(chains: &[Outline<'_>], problems: &mut Vec<Problem>) -> Self {
        let live: Vec<usize> = chains.iter().map(Outline::live).collect();
        let first = live.iter().scan(0, |next, live| Some(std::mem::replace(next, *next + live))).collect();
        let numbers: HashMap<&str, usize> =
            chains.iter().enumerate().map(|(n, chain)| (chain.label, n)).collect();
        let mut layout = Self { mains: Vec::new(), live, first, links: Vec::new() };
        warn_of_dead_ends(chains, &layout.live, problems);
        let targets = targets(chains, &layout.live, &numbers, problems);
        layout.mains = walk(chains, &targets, problems);
        for (number, chain) in chains.iter().enumerate() {
            for place in 0..layout.live[number] {
                let link = layout.link(&chain.forks[place], number, place, &numbers);
                layout.links.push(link);
            }
        }
        layout
    }

    /// The number of a step.
    pub(crate) fn step(&self, chain: usize, place: usize) -> usize {
        self.first[chain] + place
    }

    /// The first step of a chain; an empty one stops.
    pub(crate) fn start_of(&self, chain: usize) -> Next {
        if self.live[chain] == 0 { Next::STOP } else { Next::step(self.first[chain]) }
    }

    /// Where entries begin: the first top-level chain that has steps, and its number among them.
    pub(crate) fn start(&self) -> (Next, u32) {
        let first = self.mains.iter().position(|chain| self.live[*chain] > 0);
        first.map_or((Next::STOP, 0), |main| (self.start_of(self.mains[main]), main as u32))
    }

    fn link(
        &self,
        fork: &Fork<'_>,
        chain: usize,
        place: usize,
        numbers: &HashMap<&str, usize>,
    ) -> (Next, Next) {
        let jump = |jump: &Jump<'_>| numbers.get(jump.label).map_or(Next::STOP, |to| self.start_of(*to));
        let is_last = place + 1 == self.live[chain];
        let then = match &fork.then {
            Some(then) => jump(then),
            None if !is_last => Next::step(self.step(chain, place + 1)),
            None if fork.is_filter => Next::MAIN,
            None => Next::STOP,
        };
        let otherwise = match &fork.otherwise {
            Some(otherwise) if fork.is_filter => jump(otherwise),
            _ if fork.is_filter => Next::MAIN,
            _ => Next::STOP,
        };
        (then, otherwise)
    }
}

impl Outline<'_> {
    /// How many steps can run: all up to the first explicit `then`.
    fn live(&self) -> usize {
        let explicit = self.forks.iter().position(|fork| fork.then.is_some());
        explicit.map_or(self.forks.len(), |place| place + 1)
    }
}

fn warn_of_dead_ends(chains: &[Outline<'_>], live: &[usize], problems: &mut Vec<Problem>) {
    for (chain, live) in chains.iter().zip(live) {
        if chain.forks.is_empty() {
            let message =
                format!("chain {:?} is empty: an entry that comes to it goes no further", chain.label);
            problems.push(Problem::warning(chain.span.clone(), message));
        }
        if let [dead, ..] = &chain.forks[*live..] {
            let dead_steps = match chain.forks.len() - live {
                1 => "this step never runs".to_owned(),
                n => format!("this step and the {} after it never run", n - 1),
            };
            let message = format!("{dead_steps}: the step before goes elsewhere by its \"then\"");
            problems.push(Problem::warning(dead.span.clone(), message));
        }
        for fork in &chain.forks[..*live] {
            if let (false, Some(jump)) = (fork.is_filter, &fork.otherwise) {
                let message = "an action has no \"else\"; it is ignored";
                problems.push(Problem::warning(jump.span.clone(), message));
            }
        }
    }
}

/// For each chain, the chains that its live steps name; labels that no chain has are errors.
fn targets<'c>(
    chains: &'c [Outline<'c>],
    live: &[usize],
    numbers: &HashMap<&str, usize>,
    problems: &mut Vec<Problem>,
) -> Vec<Vec<(usize, &'c Jump<'c>)>> {
    let mut all = Vec::with_capacity(chains.len());
    for (chain, live) in chains.iter().zip(live) {
        let mut targets = Vec::new();
        for fork in &chain.forks[..*live] {
            let otherwise = fork.otherwise.as_ref().filter(|_| fork.is_filter);
            for jump in fork.then.iter().chain(otherwise) {
                if let Some(target) = numbers.get(jump.label) {
                    targets.push((*target, jump));
                } else {
                    let meant = did_you_mean(jump.label, chains.iter().map(|chain| chain.label));
                    let message = format!("there is no chain {:?}{meant}", jump.label);
                    problems.push(Problem::error(jump.span.clone(), message));
                }
            }
        }
        all.push(targets);
    }
    all
}

/// The top-level chains. Loops are errors. Each chain is walked once, without recursion: a file can have any number.
fn walk(
    chains: &[Outline<'_>],
    targets: &[Vec<(usize, &Jump<'_>)>],
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Unseen,
        OnTheWay,
        Walked,
    }
    let mut marks = vec![Mark::Unseen; chains.len()];
    let mut mains = Vec::new();
    for main in 0..chains.len() {
        if marks[main] != Mark::Unseen {
            continue;
        }
        mains.push(main);
        marks[main] = Mark::OnTheWay;
        // The chains on the way, each with the number of its targets that were looked at.
        let mut way = vec![(main, 0)];
        while let Some((chain, looked)) = way.last_mut() {
            let Some((target, jump)) = targets[*chain].get(*looked) else {
                marks[*chain] = Mark::Walked;
                way.pop();
                continue;
            };
            *looked += 1;
            match marks[*target] {
                Mark::Walked => (),
                Mark::Unseen => {
                    marks[*target] = Mark::OnTheWay;
                    way.push((*target, 0));
                }
                Mark::OnTheWay => {
                    let from = way.iter().position(|(chain, _)| chain == target).unwrap_or(0);
                    let labels: Vec<String> =
                        way[from..].iter().map(|(chain, _)| format!("{:?}", chains[*chain].label)).collect();
                    let message = format!(
                        "a loop: {} → {:?}; an entry would never end",
                        labels.join(" → "),
                        jump.label
                    );
                    problems.push(Problem::error(jump.span.clone(), message));
                }
            }
        }
    }
    mains
}
