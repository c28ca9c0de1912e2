//! A transaction that succeeds although some of its elements cannot.
//!
//! The kernel takes a transaction whole or not at all. So first everything is tried at once, many elements a message.
//! If the kernel refuses, each element gets a message of its own: the kernel goes through all of them before it gives
//! up, and says of each what is wrong. What is wrong is put right (an element was there already, or was not) or left
//! out, and the rest tried again.
//!
//! An element that is there is replaced by a deletion and an addition in one transaction: kernels before 6.12 leave an
//! existing element's time as it is.
//!
//! Pure: `commit` is the kernel, or a test's model of one.

use std::collections::HashSet;
use std::time::Duration;

use super::Member;
use super::encode::Step;
use crate::Result;

/// What is to become of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is to be there for that long from now, `None` for ever; whatever was said of it before.
    Put(Option<Duration>),
    /// It is to be gone.
    Remove,
}

/// A change of one element. No element comes twice in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which of the sets that the transaction is about.
    pub set: usize,
    /// The element.
    pub member: Member,
    /// What becomes of it.
    pub action: Action,
    /// Is it there now, as far as is known? A wrong guess costs time only, but that nothing is asked of the kernel to
    /// remove what is not there.
    pub is_there: bool,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Done {
        /// Was the element there before?
        was_there: bool,
    },
    /// Another interval of the set overlaps it.
    Overlaps,
    /// The set holds as many elements as it may.
    Full,
    /// The kernel's reason, an errno value.
    Refused(i32),
}

/// What a step of a transaction is about: the number of its change.
pub(super) type Steps = Vec<(usize, Step)>;

/// What the kernel said of a transaction: nothing, if it took it; else the steps that failed, by their place in the
/// list, and why.
pub(super) enum Answer {
    Taken,
    Refused(Vec<(usize, i32)>),
    /// It did not take it and not all errors are known; or it asks to be tried again.
    Again,
}

/// Elements of a transaction in which each has its own message.
const CHUNK: usize = 4096;

/// Attempts at the same elements. Two are the rule; changes by others in between cost one each.
const ATTEMPTS: usize = 8;

/// Carries out the changes as far as possible; a verdict for each. `commit` has the changes' steps as one transaction;
/// its second argument says whether steps may share messages.
pub(super) fn settle(
    changes: &[Change],
    commit: &mut impl FnMut(&Steps, bool) -> Result<Answer>,
) -> Result<Vec<Verdict>> {
    let mut verdicts: Vec<Verdict> =
        changes.iter().map(|change| Verdict::Done { was_there: change.is_there }).collect();
    let mut there: Vec<bool> = changes.iter().map(|change| change.is_there).collect();
    let all: Vec<usize> = (0..changes.len()).collect();
    let steps = steps(changes, &all, &there);
    if steps.is_empty() || matches!(commit(&steps, true)?, Answer::Taken) {
        return Ok(verdicts);
    }
    let mut alone = Vec::new();
    let mut chunks: Vec<&[usize]> = all.chunks(CHUNK).collect();
    while let Some(chunk) = chunks.pop() {
        let round = Round { changes, there: &mut there, verdicts: &mut verdicts };
        match round.run(chunk.to_vec(), &mut alone, commit)? {
            true => {}
            false if chunk.len() > 1 => chunks.extend(chunk.chunks(chunk.len().div_ceil(2))),
            false => verdicts[chunk[0]] = Verdict::Refused(libc::EAGAIN),
        }
    }
    // In a transaction that failed, what an overlap was with may have been left over from another failed element.
    for index in alone {
        let round = Round { changes, there: &mut there, verdicts: &mut verdicts };
        let mut overlaps = Vec::new();
        if !round.run(vec![index], &mut overlaps, commit)? {
            verdicts[index] = Verdict::Refused(libc::EAGAIN);
        } else if !overlaps.is_empty() {
            verdicts[index] = Verdict::Overlaps;
        }
    }
    Ok(verdicts)
}

/// Deletions first, so that what an addition overlaps can be deleted with it.
fn steps(changes: &[Change], pending: &[usize], there: &[bool]) -> Steps {
    let mut sorted = pending.to_vec();
    sorted.sort_by_key(|index| changes[*index].set);
    let deletions = sorted.iter().filter(|index| there[**index]).map(|index| (*index, Step::Delete));
    let additions = sorted.iter().filter_map(|index| match changes[*index].action {
        Action::Put(timeout) => Some((*index, Step::Add(timeout))),
        Action::Remove => None,
    });
    deletions.chain(additions).collect()
}

struct Round<'s> {
    changes: &'s [Change],
    there: &'s mut [bool],
    verdicts: &'s mut [Verdict],
}

impl Round<'_> {
    /// Tries until what is left of the elements was taken; false if the kernel's answers never came to rest.
    fn run(
        self,
        mut pending: Vec<usize>,
        alone: &mut Vec<usize>,
        commit: &mut impl FnMut(&Steps, bool) -> Result<Answer>,
    ) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let steps = steps(self.changes, &pending, self.there);
            if steps.is_empty() {
                return Ok(true);
            }
            let failures = match commit(&steps, false)? {
                Answer::Taken => {
                    for (index, _) in steps {
                        self.verdicts[index] = Verdict::Done { was_there: self.there[index] };
                    }
                    return Ok(true);
                }
                Answer::Again => continue,
                Answer::Refused(failures) => failures,
            };
            let deletions = steps.iter().filter(|(_, step)| *step == Step::Delete);
            let deleted: HashSet<usize> = deletions.map(|(index, _)| *index).collect();
            let mut out = HashSet::new();
            for (place, number) in failures {
                let Some((index, step)) = steps.get(place).copied() else { continue };
                match (step, number) {
                    (Step::Delete, libc::ENOENT) => {
                        self.there[index] = false;
                        if self.changes[index].action == Action::Remove {
                            self.verdicts[index] = Verdict::Done { was_there: false };
                            out.insert(index);
                        }
                    }
                    (Step::Add(_), libc::EEXIST | libc::ENOTEMPTY) if deleted.contains(&index) => {
                        alone.push(index);
                        out.insert(index);
                    }
                    (Step::Add(_), libc::EEXIST) => self.there[index] = true,
                    (Step::Add(_), libc::ENFILE | libc::ENOSPC) => {
                        self.verdicts[index] = Verdict::Full;
                        out.insert(index);
                    }
                    (_, number) => {
                        self.verdicts[index] = Verdict::Refused(number);
                        out.insert(index);
                    }
                }
            }
            pending.retain(|index| !out.contains(index));
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
