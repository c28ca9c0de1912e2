//! Rules in the kernel: what a ruleset touches, what is there now, and putting one in the place of the other without losing what
//! others have added meanwhile.
//!
//! ```text
//!  text ──► Target ──┐                      ┌──► before ──┐
//!                    ├─► load: one step ────┤             ├─► return: one step, with what
//!  the last one's own ┘   with what others   └──► loaded ──┘   others did since `loaded`
//!                        added to it
//! ```
//!
//! Everything works on the network namespace of the calling thread.

mod iptables;
mod listing;
mod nft;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

// For what is fuzzed.
pub(crate) use self::iptables::{parse as parse_saved, text as saved_text};
pub(crate) use self::listing::Listing;
pub(crate) use self::nft::TableName;
use crate::program::ProgramError;
use crate::ruleset::flushes;
use crate::{Form, RulesError};

/// A ruleset that an empty kernel takes, and the tables that it replaces.
#[derive(Clone, Debug)]
pub struct Target {
    form: Form,
    text: String,
    made: Made,
}

#[derive(Clone, Debug)]
enum Made {
    /// What it makes, and all that it touches.
    Nft(nft::Tables, BTreeSet<TableName>),
    /// What it makes, and the tables that it empties.
    Iptables(iptables::Tables, BTreeSet<String>),
}

/// Some tables, as they were at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Nanoseconds of the boot clock.
    at: u64,
    tables: Tables,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Tables {
    Ip6tables(iptables::Tables),
    Iptables(iptables::Tables),
    /// With those that iptables made, which only it can put back.
    Nft {
        tables: nft::Tables,
        of_iptables: iptables::Tables,
        of_ip6tables: iptables::Tables,
    },
}

impl Target {
    /// Tries a ruleset in an empty kernel. With `is_whole` it may flush all tables, and then replaces all.
    pub fn new(form: Form, text: &str, is_whole: bool) -> Result<Self, RulesError> {
        let made = if form == Form::Nft {
            let made = nft::made_by(text)?;
            if let Some((table, said)) = nft::without_way_back(&made)?.into_iter().next() {
                return Err(RulesError::NotListed { table: table.to_string(), said });
            }
            let mut touched: BTreeSet<TableName> =
                made.keys().cloned().chain(nft::deleted_by(text)).collect();
            if let Some(line) = flushes(text).first().copied() {
                let all = nft::names()?;
                if !is_whole {
                    let others = all.iter().filter(|name| !touched.contains(name)).map(ToString::to_string);
                    return Err(RulesError::FlushesAll { line, tables: others.collect() });
                }
                touched.extend(all);
            }
            Made::Nft(made, touched)
        } else {
            Made::Iptables(iptables::made_by(form, text)?, BTreeSet::new())
        };
        Ok(Self { form, text: text.to_owned(), made })
    }

    /// In the place of the ruleset whose own this was: tables that it had and this one has not go, too.
    #[must_use]
    pub fn instead_of(mut self, own: Option<&State>) -> Self {
        match &mut self.made {
            Made::Nft(_, touched) => {
                touched.extend(own.and_then(State::nft).into_iter().flatten().map(|(name, _)| name.clone()));
            }
            Made::Iptables(made, emptied) => {
                let own = own.and_then(|state| state.iptables(self.form));
                let names = own.into_iter().flatten().map(|(name, _)| name.clone());
                emptied.extend(names.filter(|name| !made.contains_key(name)));
            }
        }
        self
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tables that it replaces, with their family for nft.
    pub fn tables(&self) -> Vec<String> {
        match &self.made {
            Made::Nft(_, touched) => touched.iter().map(ToString::to_string).collect(),
            Made::Iptables(made, emptied) => iptables_names(made, emptied).into_iter().collect(),
        }
    }

    /// The tables that it makes, with their family for nft.
    pub fn own_tables(&self) -> Vec<String> {
        match &self.made {
            Made::Nft(made, _) => made.keys().map(ToString::to_string).collect(),
            Made::Iptables(made, _) => made.keys().cloned().collect(),
        }
    }

    /// What it makes in an empty kernel: what is its own of what is there later.
    pub fn own(&self) -> State {
        let tables = match &self.made {
            Made::Nft(made, _) => Tables::of_nft(made.clone()),
            Made::Iptables(made, _) => Tables::of(self.form, made.clone()),
        };
        State { at: boot_nanos(), tables }
    }

    /// How the tables that it replaces are now.
    pub(crate) fn now(&self) -> Result<State, RulesError> {
        let tables = match &self.made {
            Made::Nft(_, touched) => Tables::of_nft(nft::read(touched)?),
            Made::Iptables(made, emptied) => {
                Tables::of(self.form, iptables::read(self.form, &iptables_names(made, emptied))?)
            }
        };
        Ok(State { at: boot_nanos(), tables })
    }

    /// How the tables that it replaces are now, so that they can be put back.
    ///
    /// # Errors
    /// [`RulesError::NoWayBack`] if one of them could not be.
    pub fn save(&self) -> Result<State, RulesError> {
        let mut state = self.now()?;
        if let (Made::Iptables(made, emptied), Tables::Iptables(tables) | Tables::Ip6tables(tables)) =
            (&self.made, &mut state.tables)
        {
            // One that is not there comes back empty, which is the same to every packet.
            for name in iptables_names(made, emptied) {
                let empty = iptables::empty(&name);
                tables.entry(name).or_insert(empty);
            }
        }
        if let Tables::Nft { tables, of_iptables, of_ip6tables } = &mut state.tables {
            for (name, table) in tables.iter_mut() {
                if table.as_ref().is_some_and(|listing| nft::is_of_iptables(name, listing)) {
                    let (form, saved) = match name.family.as_str() {
                        "ip6" => (Form::Ip6tables, &mut *of_ip6tables),
                        _ => (Form::Iptables, &mut *of_iptables),
                    };
                    saved.extend(iptables::read(form, &BTreeSet::from([name.name.clone()]))?);
                    *table = None;
                }
            }
            if let Some((table, said)) = nft::without_way_back(tables)?.into_iter().next() {
                return Err(RulesError::NoWayBack { table: table.to_string(), said });
            }
        }
        Ok(state)
    }

    /// Puts it in the place of its tables: one step for all tables of nft, and for each table of iptables. What others have added
    /// to what was the last ruleset's own (`own`, if it is known) stays.
    ///
    /// Gives what became of others' doing.
    pub fn load(&self, own: Option<&State>) -> Result<Others, RulesError> {
        match &self.made {
            Made::Nft(made, touched) => {
                let own = own.and_then(State::nft);
                nft::make(touched, |now, is_last_try| {
                    let mut goal: nft::Tables = touched.iter().map(|name| (name.clone(), None)).collect();
                    goal.extend(made.clone());
                    let lost =
                        if is_last_try { nft::let_go(now, made) } else { nft::carry(now, own, &mut goal) };
                    let kept = nft::others_in(&goal, made);
                    (goal, Others { kept, lost })
                })
            }
            Made::Iptables(made, emptied) => {
                let own = own.and_then(|state| state.iptables(self.form));
                iptables::make(self.form, &iptables_names(made, emptied), |now| {
                    let mut goal = made.clone();
                    goal.extend(emptied.iter().map(|name| (name.clone(), iptables::empty(name))));
                    let guess = iptables::without_others(now);
                    let lost = iptables::add_others(own.unwrap_or(&guess), now, &mut goal, false);
                    let kept = iptables::others_in(&goal, made);
                    (goal, Others { kept, lost })
                })
            }
        }
    }
}

fn iptables_names(made: &iptables::Tables, emptied: &BTreeSet<String>) -> BTreeSet<String> {
    made.keys().chain(emptied).cloned().collect()
}

/// So often it is tried to change what is there, when that changes meanwhile.
const MOST_ATTEMPTS: u32 = 4;

/// Looks at what is there and changes it, again if a program refuses the change: something has come or gone between the look and the
/// change. The attempt is told whether it is the last.
fn tried<T>(attempt: impl Fn(bool) -> Result<Result<T, ProgramError>, RulesError>) -> Result<T, RulesError> {
    for _ in 1..MOST_ATTEMPTS {
        if let Ok(done) = attempt(false)? {
            return Ok(done);
        }
    }
    Ok(attempt(true)??)
}

/// What became of what others had put into the tables, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// What stays.
    pub kept: Vec<String>,
    /// What has no place in the new ruleset.
    pub lost: Vec<String>,
}

impl Others {
    /// As sentences.
    pub fn told(&self) -> Vec<String> {
        let lost = self.lost.iter().map(|what| format!("lost of what others had added: {what}"));
        let kept = self.kept.iter().map(|what| format!("kept of what others have added: {what}"));
        lost.chain(kept).collect()
    }
}

impl Tables {
    fn of_nft(tables: nft::Tables) -> Self {
        Self::Nft { tables, of_iptables: iptables::Tables::new(), of_ip6tables: iptables::Tables::new() }
    }

    fn of(form: Form, tables: iptables::Tables) -> Self {
        if form == Form::Ip6tables { Self::Ip6tables(tables) } else { Self::Iptables(tables) }
    }
}

impl State {
    /// Are these the same tables with the same contents, at whatever moments?
    pub fn is_like(&self, other: &Self) -> bool {
        self.tables == other.tables
    }

    fn nft(&self) -> Option<&nft::Tables> {
        match &self.tables {
            Tables::Nft { tables, .. } => Some(tables),
            Tables::Iptables(_) | Tables::Ip6tables(_) => None,
        }
    }

    fn iptables(&self, form: Form) -> Option<&iptables::Tables> {
        match (&self.tables, form) {
            (Tables::Iptables(tables), Form::Iptables) | (Tables::Ip6tables(tables), Form::Ip6tables) => {
                Some(tables)
            }
            _ => None,
        }
    }

    /// Puts these tables back as they were, with what others did since `loaded`: elements and rules that they added are kept,
    /// those that they took out stay out, and what was to go by itself meanwhile is gone. Gives what could not be kept, in words.
    ///
    /// `None` if it is not known how they were after the load, or whether it was made at all: then nothing is taken over.
    pub fn put_back(&self, loaded: Option<&State>) -> Result<Vec<String>, RulesError> {
        let elapsed = Duration::from_nanos(boot_nanos().saturating_sub(self.at));
        let (form, before) = match &self.tables {
            Tables::Nft { tables, of_iptables, of_ip6tables } => {
                let loaded = loaded.and_then(State::nft);
                let names = tables.keys().cloned().collect();
                let lost = nft::make(&names, |now, _| {
                    (nft::returned(tables, loaded.unwrap_or(now), now, elapsed), Vec::new())
                })?;
                // nft has taken its own out of the way; iptables makes its tables anew.
                for (form, saved) in [(Form::Iptables, of_iptables), (Form::Ip6tables, of_ip6tables)] {
                    if !saved.is_empty() {
                        iptables::make(form, &saved.keys().cloned().collect(), |_| (saved.clone(), ()))?;
                    }
                }
                return Ok(lost);
            }
            Tables::Iptables(tables) => (Form::Iptables, tables),
            Tables::Ip6tables(tables) => (Form::Ip6tables, tables),
        };
        let loaded = loaded.and_then(|state| state.iptables(form));
        iptables::make(form, &before.keys().cloned().collect(), |now| {
            let mut goal = before.clone();
            let lost = iptables::add_others(loaded.unwrap_or(now), now, &mut goal, true);
            (goal, lost)
        })
    }
}

/// The boot clock: it goes on while the machine sleeps, as the kernel's timeouts do not, and no one sets it.
pub fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests;
