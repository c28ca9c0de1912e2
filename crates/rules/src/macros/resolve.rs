//! Macros in macros: each one's plain words.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::{Index, IndexMut, Range};

use super::budget::{Budget, Exceeded};
use super::definitions::Definition;
use super::problems::Findings;
use super::template::{Names, Template};

/// Of a longer circle the middle is left out.
const MOST_OF_CIRCLE: usize = 100;

/// A macro whose words name no macros any more.
pub(super) struct Macro<'t> {
    /// Its name.
    pub(super) name: &'t str,
    /// The place of its name where it is defined.
    pub(super) span: Range<usize>,
    /// Its words, in their order. None if its definition is wrong: that is told already, and what uses it comes to nothing.
    pub(super) words: Vec<Cow<'t, str>>,
    /// Length of the longest word, in bytes.
    pub(super) longest: usize,
    /// Numbers of the macros that its definition names.
    names: Vec<usize>,
    /// Does the ruleset use it?
    pub(super) is_used: bool,
}

/// All macros, by number: the order of their definitions.
pub(super) struct Macros<'t> {
    list: Vec<Macro<'t>>,
    /// Their numbers by name.
    pub(super) names: Names<'t>,
}

impl<'t> Index<usize> for Macros<'t> {
    type Output = Macro<'t>;

    fn index(&self, number: usize) -> &Macro<'t> {
        &self.list[number]
    }
}

impl IndexMut<usize> for Macros<'_> {
    fn index_mut(&mut self, number: usize) -> &mut Self::Output {
        &mut self.list[number]
    }
}

impl<'t> Macros<'t> {
    /// Replaces macros in the definitions of others.
    pub(super) fn resolve(
        definitions: &[Definition<'t>],
        budget: &mut Budget,
        findings: &mut Findings,
    ) -> Self {
        let names: Names<'t> = definitions.iter().enumerate().map(|(nth, one)| (one.name, nth)).collect();
        let mut walk = Walk { states: vec![State::New; definitions.len()], path: Vec::new() };
        let mut written = Vec::with_capacity(definitions.len());
        let mut list = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let one = Written::of(definition, &names);
            let mut numbers: Vec<usize> = one.names.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            list.push(Macro {
                name: definition.name,
                span: definition.span.clone(),
                words: Vec::new(),
                longest: 0,
                names: numbers,
                is_used: false,
            });
            written.push(one);
        }
        let mut macros = Self { list, names };
        for number in 0..definitions.len() {
            walk.from(number, &mut macros, &written, budget, findings);
        }
        macros
    }

    /// Leaves each word of a macro once: a set has no element twice.
    pub(super) fn without_repetitions(&mut self) {
        for one in &mut self.list {
            let mut known = HashSet::with_capacity(one.words.len());
            one.words.retain(|word| known.insert(word.clone()));
        }
    }

    /// What is used by a macro in use is used.
    pub(super) fn spread_use(&mut self) {
        let mut left: Vec<usize> = (0..self.list.len()).filter(|number| self[*number].is_used).collect();
        while let Some(number) = left.pop() {
            for named in std::mem::take(&mut self[number].names) {
                if !self[named].is_used {
                    self[named].is_used = true;
                    left.push(named);
                }
            }
        }
    }

    /// Macros in use.
    pub(super) fn used(&self) -> usize {
        self.list.iter().filter(|one| one.is_used).count()
    }

    /// Says which ones the ruleset does not use: a name may be misspelt there.
    pub(super) fn warn_of_unused(&self, findings: &mut Findings) {
        for unused in self.list.iter().filter(|one| !one.is_used) {
            findings.warning(unused.span.clone(), || format!("{} is not used by any rule", unused.name));
        }
    }

    /// The plain words of a macro whose own macros have theirs.
    fn flatten(
        &mut self,
        number: usize,
        words: &[Template<'t>],
        budget: &mut Budget,
    ) -> Result<(), (u64, Exceeded)> {
        let mut total: u64 = 0;
        for word in words {
            let combinations = word.combinations(self);
            total = total.saturating_add(combinations);
            if word.is_plain() {
                // It is in the file in any case.
                continue;
            }
            let bytes = combinations.saturating_mul(word.longest(self));
            budget.take(combinations, bytes).map_err(|exceeded| (total, exceeded))?;
        }
        let mut plain = Vec::with_capacity(total as usize);
        for word in words {
            word.words(self, &mut plain);
        }
        let found = &mut self[number];
        found.longest = plain.iter().map(|word| word.len()).max().unwrap_or_default();
        found.words = plain;
        Ok(())
    }
}

/// A definition in which references are found.
struct Written<'t> {
    words: Vec<Template<'t>>,
    /// Which macros are named, and where.
    names: Vec<(usize, Range<usize>)>,
}

impl<'t> Written<'t> {
    fn of(definition: &Definition<'t>, names: &Names<'t>) -> Self {
        let mut found = Vec::new();
        let template = |word: &super::definitions::Word<'t>| {
            Template::of(word.text, names, |reference| {
                let (start, end) = (reference.span.start, reference.span.end);
                found.push((reference.number, word.start + start..word.start + end));
            })
            // The definition was cut into words by its quotes, so they are closed.
            .unwrap_or_else(|_| Template::new(word.text, &[]))
        };
        let words = definition.words.iter().map(template).collect();
        Self { words, names: found }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the path.
    Open,
    /// On the path, and in a circle.
    Circle,
    Done,
}

/// A walk through the definitions, what is named before what names it. Without recursion: a file can have any depth.
struct Walk {
    states: Vec<State>,
    /// Macros on the way, with how many of their references were followed.
    path: Vec<(usize, usize)>,
}

impl Walk {
    fn from<'t>(
        &mut self,
        start: usize,
        macros: &mut Macros<'t>,
        written: &[Written<'t>],
        budget: &mut Budget,
        findings: &mut Findings,
    ) {
        if self.states[start] != State::New {
            return;
        }
        self.open(start);
        while let Some((number, followed)) = self.path.last_mut() {
            let number = *number;
            if let Some((named, span)) = written[number].names.get(*followed) {
                *followed += 1;
                match self.states[*named] {
                    State::New => self.open(*named),
                    State::Open | State::Circle => self.close_circle(*named, span, macros, findings),
                    State::Done => {}
                }
                continue;
            }
            self.path.pop();
            let is_whole = self.states[number] == State::Open
                && macros[number].names.iter().all(|named| !macros[*named].words.is_empty());
            self.states[number] = State::Done;
            if is_whole && let Err((total, exceeded)) = macros.flatten(number, &written[number].words, budget)
            {
                let (name, span) = (macros[number].name, macros[number].span.clone());
                let more = exceeded.more_than("words");
                findings.error(span, || {
                    format!("{name} would have {total} words or more, and all macros together {more}")
                });
            }
        }
    }

    fn open(&mut self, number: usize) {
        self.states[number] = State::Open;
        self.path.push((number, 0));
    }

    /// The last macro on the path names one that is on the path.
    fn close_circle(
        &mut self,
        first: usize,
        span: &Range<usize>,
        macros: &Macros<'_>,
        findings: &mut Findings,
    ) {
        let start = self.path.iter().position(|(number, _)| *number == first).unwrap_or_default();
        let circle = &self.path[start..];
        for (number, _) in circle {
            self.states[*number] = State::Circle;
        }
        findings.error(span.clone(), || {
            let mut names: Vec<&str> = circle.iter().map(|(number, _)| macros[*number].name).collect();
            if names.len() > MOST_OF_CIRCLE {
                let half = MOST_OF_CIRCLE / 2;
                names.splice(half..names.len() - half, ["…"]);
            }
            names.push(macros[first].name);
            let circle = names.join(" -> ");
            format!("macros name each other in a circle: {circle}; one of them must do without the next")
        });
    }
}
