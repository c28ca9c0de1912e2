//! The bans that are wanted, whatever the kernel has just now: which address or network stands in which set, until when,
//! and why.
//!
//! An element is (set, network, port) in one spelling, so that no way of writing an address makes a second ban of it.
//! Banning again what is banned extends it and never shortens it.

mod escalation;
mod prefix;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::quality::RandomState;
use ipnet::IpNet;
use unmasq_flow::Timestamp;

pub use escalation::Escalation;
pub(crate) use escalation::{Offence, Offences};
pub use prefix::{Prefixes, canonical};

pub use crate::enforce::SetKind;

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ban {
    /// Kind of the set.
    pub kind: SetKind,
    /// The set, as the configuration names it.
    pub set: Box<str>,
    /// Who is banned.
    pub target: IpNet,
    /// Only for this port; `None` for all.
    pub port: Option<u16>,
    /// Since when; a ban that was extended keeps it.
    pub since: Timestamp,
    /// First moment at which it no longer holds; `None` for ever.
    pub until: Option<Timestamp>,
    /// What asked for it: chain and step, or a command.
    pub by: Box<str>,
}

/// What placing a ban did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is a new one.
    New,
    /// There was one, and it holds longer now.
    Extended,
    /// There was one that holds at least as long.
    Unchanged,
}

/// There are as many bans as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {most} bans already, which is the limit; lift some, or raise limits.bans")]
pub struct Full {
    /// The limit.
    pub most: usize,
}

/// An element without its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Element {
    target: IpNet,
    port: Option<u16>,
    set: u16,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: Timestamp,
    /// `Timestamp::MAX` for ever.
    until: Timestamp,
    by: u16,
}

/// All bans that are wanted.
#[derive(Debug)]
pub struct Bans {
    most: usize,
    sets: Vec<(SetKind, Box<str>)>,
    reasons: Vec<Box<str>>,
    held: HashMap<Element, Held, RandomState>,
    /// Ends of bans, soonest first; one that was extended or lifted since is passed over.
    ends: BinaryHeap<Reverse<(Timestamp, Element)>>,
}

/// Texts are numbered with 16 bits; those beyond share the last number.
fn number<T: PartialEq>(texts: &mut Vec<T>, text: T) -> u16 {
    if let Some(nth) = texts.iter().position(|known| *known == text) {
        return nth as u16;
    }
    if texts.len() < usize::from(u16::MAX) {
        texts.push(text);
    }
    texts.len() as u16 - 1
}

impl Bans {
    /// None yet, and at most `most`.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            sets: Vec::new(),
            reasons: Vec::new(),
            held: HashMap::default(),
            ends: BinaryHeap::new(),
        }
    }

    /// Places a ban, or extends the one there is.
    pub fn place(&mut self, ban: &Ban, now: Timestamp) -> Result<Placed, Full> {
        self.forget_past(now);
        let until = ban.until.unwrap_or(Timestamp::MAX);
        let element = Element {
            target: canonical(ban.target),
            port: ban.port,
            set: number(&mut self.sets, (ban.kind, ban.set.clone())),
        };
        let by = number(&mut self.reasons, ban.by.clone());
        let is_full = self.held.len() >= self.most;
        match self.held.get_mut(&element) {
            Some(held) if held.until >= until => return Ok(Placed::Unchanged),
            Some(held) => {
                (held.until, held.by) = (until, by);
                self.note_end(element, until);
                return Ok(Placed::Extended);
            }
            None if is_full => return Err(Full { most: self.most }),
            None => {}
        }
        if until > now {
            self.held.insert(element, Held { since: ban.since, until, by });
            self.note_end(element, until);
        }
        Ok(Placed::New)
    }

    /// The ban of an element, if there is one at `now`.
    pub fn find(
        &self,
        kind: SetKind,
        set: &str,
        target: IpNet,
        port: Option<u16>,
        now: Timestamp,
    ) -> Option<Ban> {
        let element = self.element(kind, set, target, port)?;
        let held = self.held.get(&element).filter(|held| held.until > now)?;
        Some(self.ban(&element, held))
    }

    /// Lifts a ban and gives it.
    pub fn lift(&mut self, kind: SetKind, set: &str, target: IpNet, port: Option<u16>) -> Option<Ban> {
        let element = self.element(kind, set, target, port)?;
        let held = self.held.remove(&element)?;
        Some(self.ban(&element, &held))
    }

    /// All that hold at `now`, by set and address.
    pub fn list(&self, now: Timestamp) -> Vec<Ban> {
        let holding = self.held.iter().filter(|(_, held)| held.until > now);
        let mut list: Vec<Ban> = holding.map(|(element, held)| self.ban(element, held)).collect();
        list.sort_unstable();
        list
    }

    /// All elements in which an address stands at `now`.
    pub fn of(&self, address: std::net::IpAddr, now: Timestamp) -> Vec<Ban> {
        let address = address.to_canonical();
        let mut found = self.list(now);
        found.retain(|ban| ban.target.contains(&address));
        found
    }

    /// How many there are; some may be over and not forgotten yet.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Forgets those that are over. The kernel has taken them out by itself.
    pub fn forget_past(&mut self, now: Timestamp) {
        while let Some(&Reverse((end, element))) = self.ends.peek().filter(|end| end.0.0 <= now) {
            self.ends.pop();
            if self.held.get(&element).is_some_and(|held| held.until == end) {
                self.held.remove(&element);
            }
        }
    }

    fn note_end(&mut self, element: Element, until: Timestamp) {
        if until == Timestamp::MAX {
            return;
        }
        self.ends.push(Reverse((until, element)));
        // Extending again and again must not grow the queue.
        if self.ends.len() > 2 * self.held.len() + 1024 {
            let ends = self.held.iter().filter(|(_, held)| held.until != Timestamp::MAX);
            self.ends = ends.map(|(element, held)| Reverse((held.until, *element))).collect();
        }
    }

    fn element(&self, kind: SetKind, set: &str, target: IpNet, port: Option<u16>) -> Option<Element> {
        let set = self.sets.iter().position(|(k, name)| *k == kind && **name == *set)?;
        Some(Element { target: canonical(target), port, set: set as u16 })
    }

    fn ban(&self, element: &Element, held: &Held) -> Ban {
        let (kind, set) = &self.sets[usize::from(element.set)];
        Ban {
            kind: *kind,
            set: set.clone(),
            target: element.target,
            port: element.port,
            since: held.since,
            until: (held.until != Timestamp::MAX).then_some(held.until),
            by: self.reasons[usize::from(held.by)].clone(),
        }
    }
}
