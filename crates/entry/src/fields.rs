//! The names of the fields that chains use, and the slots they stand in.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use crate::journal_fields::{self, Kind};

/// The place of a field in an [`crate::Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub(crate) u16);

impl Slot {
    /// Its number, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Field names and their slots.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<Box<str>>,
    kinds: Vec<Kind>,
    slots: HashMap<Box<str>, Slot, FxBuildHasher>,
    /// What stands before each dot of a name.
    outer: HashSet<Box<str>, FxBuildHasher>,
    sieve: Sieve,
}

/// Tells most names that are not wanted, and finds most that are, by a look at three of their bytes: a journal's entry has
/// some thirty fields, of which chains use a few.
#[derive(Clone, Debug)]
struct Sieve(Box<[Cell; 1024]>);

/// What is known of the names with the same mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// There is none.
    Empty,
    /// There is one.
    One(Slot),
    /// There are several.
    Several,
}

impl Default for Sieve {
    fn default() -> Self {
        Self(Box::new([Cell::Empty; 1024]))
    }
}

impl Sieve {
    #[inline]
    fn place(name: &[u8]) -> usize {
        let byte = |index: usize| usize::from(name.get(index).copied().unwrap_or(0));
        let length = name.len();
        // Names that begin alike differ in length, at the end or in the middle.
        (length * 37 + byte(length.wrapping_sub(1)) * 5 + byte(length / 2) * 113) % 1024
    }

    fn add(&mut self, name: &str, slot: Slot) {
        let cell = &mut self.0[Self::place(name.as_bytes())];
        *cell = if *cell == Cell::Empty { Cell::One(slot) } else { Cell::Several };
    }
}

impl Fields {
    /// Most fields there can be; a configuration that names more is refused by whoever reads it.
    pub const MOST: usize = u16::MAX as usize;

    /// The slot of a field, made if it has none. Past [`Fields::MOST`] names, the last slot stands for all.
    pub fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        let slot = Slot(self.names.len().min(Self::MOST - 1) as u16);
        if self.names.len() < Self::MOST {
            self.names.push(name.into());
            self.kinds.push(journal_fields::kind(name));
        }
        self.slots.insert(name.into(), slot);
        self.sieve.add(name, slot);
        self.outer.extend(name.match_indices('.').map(|(dot, _)| Box::from(&name[..dot])));
        slot
    }

    /// The slot of a field, if any chain uses it.
    pub fn find(&self, name: &str) -> Option<Slot> {
        self.find_bytes(name.as_bytes())
    }

    /// As [`Fields::find`], for a name of unknown bytes. Hot: once for every field of every entry of a journal.
    #[inline]
    pub fn find_bytes(&self, name: &[u8]) -> Option<Slot> {
        match self.sieve.0[Sieve::place(name)] {
            Cell::Empty => None,
            Cell::One(slot) if self.names[slot.index()].as_bytes() == name => Some(slot),
            Cell::One(_) | Cell::Several => self.slots.get(str::from_utf8(name).ok()?).copied(),
        }
    }

    /// Does any chain use a field within this one: `ssh.client.software` within `ssh` and `ssh.client`?
    pub fn has_within(&self, name: &str) -> bool {
        self.outer.contains(name)
    }

    /// The name of a field.
    pub fn name(&self, slot: Slot) -> &str {
        &self.names[slot.index()]
    }

    /// What a journal's values of this field are converted to.
    pub fn journal_kind(&self, slot: Slot) -> Kind {
        self.kinds[slot.index()]
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All fields, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &str)> {
        self.names.iter().enumerate().map(|(index, name)| (Slot(index as u16), &**name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_found_where_a_search_through_all_finds_it(
            names in btree_set("[A-Z_]{0,3}", 0..300), asked in vec("[A-Z_]{0,4}|\\PC{0,3}", 0..100),
        ) {
            let mut fields = Fields::default();
            for name in &names {
                fields.slot(name);
            }
            for name in names.iter().chain(&asked) {
                let expected = fields.iter().find(|(_, known)| known == name).map(|(slot, _)| slot);
                prop_assert_eq!(fields.find(name), expected);
                prop_assert_eq!(fields.find_bytes(name.as_bytes()), expected);
            }
        }
    }

    #[test]
    fn past_the_most_fields_the_last_slot_stands_for_all() {
        let mut fields = Fields::default();
        let slots: Vec<_> = (0..Fields::MOST + 2).map(|number| fields.slot(&number.to_string())).collect();
        assert_eq!(fields.len(), Fields::MOST);
        assert_eq!(slots[Fields::MOST + 1], slots[Fields::MOST - 1]);
        assert_eq!(fields.find(&(Fields::MOST + 1).to_string()), Some(slots[Fields::MOST - 1]));
        assert_eq!(fields.find_bytes(b"\xff"), None);
    }
}
