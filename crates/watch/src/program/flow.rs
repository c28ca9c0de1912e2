//! Which steps an entry can come to, and with which fields set.

use std::collections::VecDeque;

use super::step::Next;

/// The steps as a graph: every edge that some entry can take.
///
/// A step's unresolved exit leads to the chain after the *top-level* chain that the entry is in, so a step stands for
/// several places, one for each top-level chain in which an entry can come to it. A step can be reached in the graph
/// exactly if an entry that took the right branches would come to it.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Successors of each step that can be reached.
    edges: Vec<Vec<usize>>,
    /// The top-level chains that an entry can be in when it comes to the step.
    mains: Vec<Vec<u32>>,
}

impl Flow {
    /// From the start of the program.
    pub(crate) fn new(
        links: &[(Next, Next)],
        mains: &[Next],
        start: (Next, u32),
        is_filter: &[bool],
    ) -> Self {
        let width = mains.len().max(1);
        let mut seen = vec![false; links.len() * width];
        let mut flow = Self { edges: vec![Vec::new(); links.len()], mains: vec![Vec::new(); links.len()] };
        let resolve = |next: Next, main: usize| match next {
            Next::MAIN => mains.get(main + 1).and_then(|next| next.index()).map(|step| (step, main + 1)),
            next => next.index().map(|step| (step, main)),
        };
        let mut open: Vec<(usize, usize)> = resolve(start.0, start.1 as usize).into_iter().collect();
        while let Some((step, main)) = open.pop() {
            if std::mem::replace(&mut seen[step * width + main], true) {
                continue;
            }
            flow.mains[step].push(main as u32);
            let (then, otherwise) = links[step];
            let nexts = [Some(then), is_filter[step].then_some(otherwise)];
            for (next, main) in nexts.into_iter().flatten().filter_map(|next| resolve(next, main)) {
                if !flow.edges[step].contains(&next) {
                    flow.edges[step].push(next);
                }
                open.push((next, main));
            }
        }
        flow
    }

    /// Can an entry come to the step?
    pub(crate) fn reaches(&self, step: usize) -> bool {
        !self.mains[step].is_empty()
    }

    /// The top-level chains that an entry can be in when it comes to each step.
    pub(crate) fn into_mains(self) -> Vec<Vec<u32>> {
        self.mains
    }

    /// Is there a step after this one, however far, that fits?
    pub(crate) fn leads_to(&self, from: usize, fits: impl Fn(usize) -> bool) -> bool {
        let mut seen = vec![false; self.edges.len()];
        let mut open = self.edges[from].clone();
        while let Some(step) = open.pop() {
            if std::mem::replace(&mut seen[step], true) {
                continue;
            }
            if fits(step) {
                return true;
            }
            open.extend(&self.edges[step]);
        }
        false
    }

    /// For each step, the fields that some step on some way to it may have set. `sets` lists what each step sets.
    pub(crate) fn fields_before(&self, start: Next, fields: usize, sets: &[Vec<usize>]) -> Vec<FieldSet> {
        let mut before = vec![FieldSet::new(fields); self.edges.len()];
        let mut open: VecDeque<usize> = start.index().into_iter().collect();
        let mut seen = vec![false; self.edges.len()];
        while let Some(step) = open.pop_front() {
            seen[step] = true;
            let mut after = before[step].clone();
            for field in &sets[step] {
                after.add(*field);
            }
            for next in &self.edges[step] {
                if before[*next].join(&after) || !seen[*next] {
                    seen[*next] = true;
                    open.push_back(*next);
                }
            }
        }
        before
    }
}

/// A set of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldSet(Vec<u64>);

impl FieldSet {
    fn new(fields: usize) -> Self {
        Self(vec![0; fields.div_ceil(64)])
    }

    fn add(&mut self, field: usize) {
        self.0[field / 64] |= 1 << (field % 64);
    }

    pub(crate) fn has(&self, field: usize) -> bool {
        self.0[field / 64] >> (field % 64) & 1 == 1
    }

    /// Adds the other's; did that add any?
    fn join(&mut self, other: &Self) -> bool {
        let mut is_more = false;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            is_more |= *theirs & !*mine != 0;
            *mine |= theirs;
        }
        is_more
    }
}
