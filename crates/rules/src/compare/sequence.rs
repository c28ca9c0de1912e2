//! Two sequences of texts: what stayed, what came, what went, what moved.

use std::collections::HashMap;

/// Pairs of equal texts up to which the longest common subsequence is looked for among all of them. Beyond it (thousands of
/// equal rules) the n-th of a text is taken for the n-th of the other side.
const MOST_PAIRS: usize = 4_000_000;

/// What became of one text, or of a pair of equal ones. Indices count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Same { from: usize, to: usize },
    Moved { from: usize, to: usize },
    Added { to: usize },
    Removed { from: usize },
}

/// Compares them. In the order of the new one; what is gone stands where it was, before what came in its place.
pub(super) fn compared(old: &[&str], new: &[&str]) -> Vec<Step> {
    let common = longest_common(old, new);
    let mut in_old = vec![None; old.len()];
    let mut in_new = vec![None; new.len()];
    for (from, to) in &common {
        in_old[*from] = Some(*to);
        in_new[*to] = Some(*from);
    }
    // Of what is left, equal texts are moves, in order.
    let mut left: HashMap<&str, Vec<usize>> = HashMap::new();
    for from in (0..old.len()).rev().filter(|from| in_old[*from].is_none()) {
        left.entry(old[from]).or_default().push(from);
    }
    let mut moved = HashMap::new();
    for to in (0..new.len()).filter(|to| in_new[*to].is_none()) {
        if let Some(from) = left.get_mut(new[to]).and_then(Vec::pop) {
            moved.insert(to, from);
            in_old[from] = Some(to);
        }
    }
    let mut steps = Vec::with_capacity(old.len().max(new.len()));
    let mut from = 0;
    let mut to = 0;
    for (anchor_from, anchor_to) in common.into_iter().chain([(old.len(), new.len())]) {
        steps.extend(
            (from..anchor_from).filter(|from| in_old[*from].is_none()).map(|from| Step::Removed { from }),
        );
        steps.extend((to..anchor_to).map(|to| match moved.get(&to) {
            Some(from) => Step::Moved { from: *from, to },
            None => Step::Added { to },
        }));
        if anchor_from < old.len() {
            steps.push(Step::Same { from: anchor_from, to: anchor_to });
        }
        (from, to) = (anchor_from + 1, anchor_to + 1);
    }
    steps
}

/// Pairs of a longest common subsequence, in order (Hunt and Szymanski, 1977: quick where most texts stand once, as rules do).
fn longest_common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let suffix =
        old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - suffix, new.len() - suffix);
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (to, text) in new.iter().enumerate().take(new_end).skip(prefix) {
        places.entry(text).or_default().push(to);
    }
    let pairs: usize = old[prefix..old_end].iter().map(|text| places.get(text).map_or(0, Vec::len)).sum();
    let mut occurrence: HashMap<&str, usize> = HashMap::new();
    // For each length, the pair that ends such a subsequence earliest: its index among `links`.
    let mut ends: Vec<usize> = Vec::new();
    let mut links: Vec<(usize, usize, Option<usize>)> = Vec::new();
    for (from, text) in old.iter().enumerate().take(old_end).skip(prefix) {
        let Some(candidates) = places.get(text) else { continue };
        let nth = occurrence.entry(text).or_default();
        let candidates =
            if pairs <= MOST_PAIRS { &candidates[..] } else { candidates.get(*nth..=*nth).unwrap_or(&[]) };
        *nth += 1;
        // From the last one, so that one text of the old side is used once.
        for &to in candidates.iter().rev() {
            let length = ends.partition_point(|link| links[*link].1 < to);
            if ends.get(length).is_some_and(|link| links[*link].1 == to) {
                continue;
            }
            let before = length.checked_sub(1).map(|length| ends[length]);
            links.push((from, to, before));
            if length == ends.len() {
                ends.push(links.len() - 1);
            } else {
                ends[length] = links.len() - 1;
            }
        }
    }
    let mut middle = Vec::new();
    let mut at = ends.last().copied();
    while let Some(link) = at {
        let (from, to, before) = links[link];
        middle.push((from, to));
        at = before;
    }
    let tail = (0..suffix).map(|n| (old_end + n, new_end + n));
    (0..prefix).map(|n| (n, n)).chain(middle.into_iter().rev()).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The length of a longest common subsequence, by the textbook's table.
    fn slow(old: &[&str], new: &[&str]) -> usize {
        let mut table = vec![vec![0; new.len() + 1]; old.len() + 1];
        for (i, a) in old.iter().enumerate() {
            for (j, b) in new.iter().enumerate() {
                table[i + 1][j + 1] =
                    if a == b { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
            }
        }
        table[old.len()][new.len()]
    }

    fn texts() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "g"]), 0..24)
    }

    proptest! {
        #[test]
        fn what_stays_is_a_longest_common_subsequence_and_every_text_has_one_fate(old in texts(), new in texts()) {
            let steps = compared(&old, &new);
            let mut seen = (vec![0; old.len()], vec![0; new.len()]);
            let (mut last, mut same, mut gone, mut came) = (None, 0, Vec::new(), Vec::new());
            for step in &steps {
                match *step {
                    Step::Same { from, to } => {
                        prop_assert_eq!(old[from], new[to]);
                        prop_assert!(last < Some((from, to)) && last.is_none_or(|(f, t)| f < from && t < to));
                        last = Some((from, to));
                        same += 1;
                        seen.0[from] += 1;
                        seen.1[to] += 1;
                    }
                    Step::Moved { from, to } => {
                        prop_assert_eq!(old[from], new[to]);
                        seen.0[from] += 1;
                        seen.1[to] += 1;
                    }
                    Step::Added { to } => {
                        seen.1[to] += 1;
                        came.push(new[to]);
                    }
                    Step::Removed { from } => {
                        seen.0[from] += 1;
                        gone.push(old[from]);
                    }
                }
            }
            prop_assert!(seen.0.iter().chain(&seen.1).all(|times| *times == 1));
            prop_assert_eq!(same, slow(&old, &new));
            prop_assert!(gone.iter().all(|text| !came.contains(text)), "both gone and new: a move");
        }
    }

    #[test]
    fn thousands_of_equal_texts_are_compared_too() {
        let old: Vec<&str> = ["a", "b"].repeat(3_000);
        let new: Vec<&str> = ["b", "a", "a"].repeat(3_000);
        let steps = compared(&old, &new);
        assert_eq!(steps.iter().filter(|step| matches!(step, Step::Added { .. })).count(), 3_000);
        assert!(!steps.iter().any(|step| matches!(step, Step::Removed { .. })));
    }
}
