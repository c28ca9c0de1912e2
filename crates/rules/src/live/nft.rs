//! Tables of nftables: which ones a ruleset makes, what they are now, and the one transaction that puts others in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use unmasq_netfilter::netns::Namespace;

use super::listing::{Element, Listing, Part};
use super::tried;
use crate::RulesError;
use crate::program::{ProgramError, run};
use crate::ruleset::load_in_scratch;

/// A table's family and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct TableName {
    pub(crate) family: String,
    pub(crate) name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

impl From<TableName> for String {
    fn from(table: TableName) -> Self {
        table.to_string()
    }
}

impl TryFrom<String> for TableName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (family, name) = text.split_once(' ').ok_or_else(|| format!("{text:?} is no table's name"))?;
        Ok(Self { family: family.to_owned(), name: name.to_owned() })
    }
}

/// Tables by name; `None` for one that is not there.
pub(crate) type Tables = BTreeMap<TableName, Option<Listing>>;

/// The tables that a text makes in an empty kernel, as the kernel then lists them.
pub(crate) fn made_by(text: &str) -> Result<Tables, RulesError> {
    if let Some(line) = line_with(text, "include") {
        return Err(RulesError::Includes { line });
    }
    let made = Namespace::scratch(|| {
        load_in_scratch(text).map_err(not_whole)?;
        names()?
            .into_iter()
            .map(|name| list(&name).map(|listing| (name, listing)))
            .collect::<Result<Tables, _>>()
    })??;
    if made.is_empty() { Err(RulesError::Empty) } else { Ok(made) }
}

fn not_whole(error: ProgramError) -> RulesError {
    match error {
        ProgramError::Refused { said, .. } => RulesError::NotWhole { said },
        other => other.into(),
    }
}

/// The first line that is a command of this word, counted from one.
pub(crate) fn line_with(text: &str, command: &str) -> Option<usize> {
    let is_it = |line: &str| {
        line.trim_start().strip_prefix(command).is_some_and(|rest| rest.starts_with([' ', '\t', '"']))
    };
    text.lines().position(is_it).map(|at| at + 1)
}

/// The tables that a text deletes by name.
pub(crate) fn deleted_by(text: &str) -> impl Iterator<Item = TableName> + '_ {
    let commands = text.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split(';'));
    commands.filter_map(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (family, name) = match words[..] {
            ["delete" | "destroy", "table", name] => ("ip", name),
            ["delete" | "destroy", "table", family, name] => (family, name),
            _ => return None,
        };
        Some(TableName { family: family.to_owned(), name: name.to_owned() })
    })
}

/// The names of the tables in the calling thread's namespace.
pub(crate) fn names() -> Result<Vec<TableName>, RulesError> {
    let listed = run("nft", &["list", "tables"], "")?;
    let name = |line: &str| {
        let mut words = line.strip_prefix("table ")?.split(' ');
        Some(TableName { family: words.next()?.to_owned(), name: words.next()?.to_owned() })
    };
    Ok(listed.lines().filter_map(name).collect())
}

/// A table as it is; `None` if it is not there.
fn list(table: &TableName) -> Result<Option<Listing>, RulesError> {
    match run("nft", &["list", "table", &table.family, &table.name], "") {
        Ok(text) => Listing::read(&text).map(Some),
        // It can go at any time, and nft's words for that are the system's.
        Err(ProgramError::Refused { .. }) if !names()?.contains(table) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// These tables as they are.
pub(crate) fn read<'a>(tables: impl IntoIterator<Item = &'a TableName>) -> Result<Tables, RulesError> {
    tables.into_iter().map(|table| Ok((table.clone(), list(table)?))).collect()
}

/// Did iptables make this table? Its rules can have parts that nft does not list.
pub(crate) fn is_of_iptables(name: &TableName, listing: &Listing) -> bool {
    let has_its_name = matches!(name.name.as_str(), "filter" | "nat" | "mangle" | "raw" | "security");
    let mut hooked = listing.parts.iter().filter(|part| part.hook().is_some()).peekable();
    matches!(name.family.as_str(), "ip" | "ip6")
        && has_its_name
        && hooked.peek().is_some()
        && hooked.all(|part| {
            matches!(part.name.as_str(), "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING")
        })
}

/// Why a table cannot be made again from its listing; `None` if it can.
fn no_way_back(name: &TableName, listing: &Listing) -> Result<Option<String>, RulesError> {
    let again = |listing: &Listing| {
        Namespace::scratch(|| {
            load_in_scratch(&listing.body(name)).map_err(|error| error.to_string())?;
            let again = list(name).map_err(|error| error.to_string())?;
            again.ok_or_else(|| "it is not there any more".to_owned())
        })
    };
    let is_same = |a: &Listing, b: &Listing| a.heading == b.heading && a.parts == b.parts;
    Ok(match again(listing)? {
        Err(said) => Some(said),
        Ok(second) if is_same(&second, listing) => None,
        // nft 1.0.6 lists `!= { 10.0.0.1-10.0.0.9 }` and makes `!= 10.0.0.1-10.0.0.9` of it, which stays.
        Ok(second) => match again(&second)? {
            Ok(third) if is_same(&third, &second) => None,
            Ok(_) => Some("it is another each time".to_owned()),
            Err(said) => Some(said),
        },
    })
}

/// Those of the tables that cannot be made again from their listing, with the reason.
pub(crate) fn without_way_back(tables: &Tables) -> Result<Vec<(TableName, String)>, RulesError> {
    let mut without = Vec::new();
    for (name, listing) in tables {
        let Some(listing) = listing else { continue };
        without.extend(no_way_back(name, listing)?.map(|said| (name.clone(), said)));
    }
    Ok(without)
}

/// Adds to a new ruleset what others have added to the sets of these tables and it has not. Gives what has no place there, in
/// words.
///
/// `loaded` is what was there right after the last load, if that is known: what has come since is others'. If it is not
/// known, elements with an end of their own are, and those of sets that the new ruleset leaves empty.
pub(crate) fn carry(now: &Tables, loaded: Option<&Tables>, goal: &mut Tables) -> Vec<String> {
    let mut lost = Vec::new();
    for (name, there) in now {
        let Some(there) = there else { continue };
        let old_sets =
            loaded.and_then(|tables| tables.get(name)).and_then(Option::as_ref).map(|listing| &listing.sets);
        for (set_name, set) in &there.sets {
            let target = goal
                .get_mut(name)
                .and_then(Option::as_mut)
                .and_then(|listing| listing.sets.get_mut(set_name));
            let target = target.filter(|target| target.kind == set.kind);
            let before = old_sets.and_then(|sets| sets.get(set_name));
            let is_empty = target.as_ref().is_none_or(|target| target.elements.is_empty());
            let is_foreign = |key: &String, element: &Element| match before {
                Some(before) => !before.elements.contains_key(key),
                None => element.is_temporary() || is_empty,
            };
            let foreign = set.elements.iter().filter(|(key, element)| is_foreign(key, element));
            let why = if let Some(target) = target {
                let has_timeouts = target.has_timeouts;
                let (fitting, other): (Vec<_>, Vec<_>) =
                    foreign.partition(|(_, element)| has_timeouts || !element.is_temporary());
                for (key, element) in fitting {
                    target.elements.entry(key.clone()).or_insert_with(|| element.clone());
                }
                (other.len(), "has no `flags timeout` there")
            } else {
                (foreign.count(), "is not in the new ruleset with this type")
            };
            if why.0 > 0 {
                lost.push(format!("{} elements of set {set_name} of table {name}, which {}", why.0, why.1));
            }
        }
    }
    lost
}

/// What a return makes of the tables: as they were before, without the elements that others have taken out since the new ruleset
/// was loaded, and with those that others have added.
pub(crate) fn returned(before: &Tables, loaded: &Tables, now: &Tables, elapsed: Duration) -> Tables {
    let set = |tables: &Tables, name: &TableName, set: &str| {
        tables
            .get(name)
            .and_then(Option::as_ref)
            .and_then(|listing| listing.sets.get(set))
            .cloned()
            .unwrap_or_default()
    };
    let mut goal = before.clone();
    for (name, listing) in &mut goal {
        for (set_name, goal) in listing.iter_mut().flat_map(|listing| &mut listing.sets) {
            let (then, now) = (set(loaded, name, set_name), set(now, name, set_name));
            let is_same_kind = now.kind == goal.kind;
            let mut elements = BTreeMap::new();
            for (key, element) in &goal.elements {
                let is_taken_out =
                    is_same_kind && then.elements.contains_key(key) && !now.elements.contains_key(key);
                if let Some(element) = element.after(elapsed).filter(|_| !is_taken_out) {
                    elements.insert(key.clone(), element);
                }
            }
            for (key, element) in now.elements {
                let is_added = is_same_kind && !then.elements.contains_key(&key);
                let is_still_there =
                    is_same_kind && goal.elements.get(&key).is_some_and(|e| e.value() == element.value());
                if (goal.has_timeouts || !element.is_temporary()) && (is_added || is_still_there) {
                    elements.insert(key, element);
                }
            }
            goal.elements = elements;
        }
    }
    goal
}

/// The transaction that makes the goal of what is there.
///
/// Chains and sets that are in both stay, and only what is in them changes. Not for speed: a chain that is deleted and made again
/// in one transaction lets packets through that both of its lives would drop, because its hook is there before its drop policy
/// (Linux 6.18: `nft_chain_commit_drop_policy` in nf_tables_api.c; measured, some packets of a flood each time). And elements that
/// others add while this is being written are not lost.
fn transaction(now: &Tables, goal: &Tables) -> String {
    let mut all = String::new();
    for (name, goal) in goal {
        let now = now.get(name).and_then(Option::as_ref);
        match (now, goal) {
            (None, None) => {}
            (Some(_), None) => {
                let _ = writeln!(all, "delete table {name}");
            }
            (None, Some(goal)) => {
                all.push_str(&goal.body(name));
                for (set, holds) in &goal.sets {
                    elements(&mut all, "add", name, set, holds.elements.values().map(Element::text));
                }
            }
            (Some(now), Some(goal)) => change(&mut all, name, now, goal),
        }
    }
    all
}

fn change(all: &mut String, name: &TableName, now: &Listing, goal: &Listing) {
    let _ = writeln!(all, "flush table {name}");
    let stays = |part: &Part| {
        goal.part(part).is_some_and(|other| match part.kind.as_str() {
            "chain" => other.hook() == part.hook(),
            _ => other.lines == part.lines,
        })
    };
    let mut added: Vec<(&String, Vec<String>)> = Vec::new();
    for part in &now.parts {
        let Some(there) = now.sets.get(&part.name).filter(|_| is_set(part)) else { continue };
        if !stays(part) {
            // Elements of a map can jump to chains that go.
            let _ = writeln!(all, "flush {} {name} {}", part.kind, part.name);
            continue;
        }
        let wanted = goal.sets.get(&part.name);
        let wanted = |key: &String| wanted.and_then(|set| set.elements.get(key));
        let goes = |(key, element): &(&String, &Element)| {
            wanted(key).is_none_or(|other| other.value() != element.value())
        };
        let gone = there.elements.iter().filter(goes).map(|(key, _)| key.clone());
        elements(all, "delete", name, &part.name, gone);
    }
    for (set, holds) in &goal.sets {
        let part = now.parts.iter().find(|part| is_set(part) && part.name == *set && stays(part));
        let there = part.and_then(|part| now.sets.get(&part.name));
        let is_new = |(key, element): &(&String, &Element)| {
            there
                .and_then(|there| there.elements.get(*key))
                .is_none_or(|other| other.value() != element.value())
        };
        added.push((set, holds.elements.iter().filter(is_new).map(|(_, element)| element.text()).collect()));
    }
    // Chains first: what they refer to can go only when they have gone.
    let gone = |is_chain: bool| now.parts.iter().filter(move |part| (part.kind == "chain") == is_chain);
    for part in gone(true).chain(gone(false)).filter(|part| !stays(part)) {
        let _ = writeln!(all, "delete {} {name} {}", part.kind, part.name);
    }
    all.push_str(&goal.body(name));
    for (set, texts) in added {
        elements(all, "add", name, set, texts.into_iter());
    }
}

fn is_set(part: &Part) -> bool {
    matches!(part.kind.as_str(), "set" | "map")
}

fn elements(
    all: &mut String,
    command: &str,
    table: &TableName,
    set: &str,
    mut texts: impl Iterator<Item = String>,
) {
    if let Some(first) = texts.next() {
        let _ = write!(all, "{command} element {table} {set} {{ {first}");
        texts.for_each(|text| all.extend([", ", &text]));
        all.push_str(" }\n");
    }
}

/// Makes a goal, which `plan` gives for what is there, in one transaction. Where something has come or gone between the look and
/// the transaction, both are done again; `plan` is told of the last try.
pub(crate) fn make<T>(
    tables: &BTreeSet<TableName>,
    plan: impl Fn(&Tables, bool) -> (Tables, T),
) -> Result<T, RulesError> {
    tried(|is_last| {
        let now = read(tables)?;
        let (goal, said) = plan(&now, is_last);
        Ok(run("nft", &["-f", "-"], &transaction(&now, &goal)).map(|_| said))
    })
}

/// How much of a goal is not of the ruleset's own making, by set, in words.
pub(crate) fn others_in(goal: &Tables, made: &Tables) -> Vec<String> {
    let mut kept = Vec::new();
    for (name, listing) in goal {
        for (set, holds) in listing.iter().flat_map(|listing| &listing.sets) {
            let own = made.get(name).and_then(Option::as_ref).and_then(|listing| listing.sets.get(set));
            let count = holds.elements.len() - own.map_or(0, |own| own.elements.len());
            if count > 0 {
                kept.push(format!("{count} elements of set {set} of table {name}"));
            }
        }
    }
    kept
}

/// What is lost if nothing is carried over: elements that the kernel does not take beside the new ones, such as an interval that
/// overlaps another.
pub(crate) fn let_go(now: &Tables, made: &Tables) -> Vec<String> {
    let mut all = made.clone();
    let mut lost = carry(now, None, &mut all);
    lost.extend(others_in(&all, made).into_iter().map(|what| what + ", which the kernel does not take"));
    lost
}
