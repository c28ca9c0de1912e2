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
        self.outer.extend(name.match_indices('.').map(|(dot, _)| Box::from(&name[..dot])));
        slot
    }

    /// The slot of a field, if any chain uses it.
    pub fn find(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
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
