//! Tables of iptables: what `iptables-save` prints, what others have put in since, and how that is kept when a table is loaded
//! anew.
//!
//! iptables has no sets of its own that others fill; they put in chains and rules: fail2ban a chain `f2b-sshd` and a jump to it
//! at the head of INPUT. A table is replaced whole, in one step, so what is to survive is part of the text that is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use unmasq_netfilter::netns::Namespace;

use super::tried;
use crate::program::{ProgramError, run};
use crate::{Form, RulesError};

/// How the chains begin that other programs make, and look after, beside the rules of their administrator.
const OTHERS: [&str; 9] =
    ["f2b-", "fail2ban-", "DOCKER", "KUBE-", "CNI-", "LIBVIRT_", "sshguard", "ts-", "cali-"];

/// Tables by name.
pub(crate) type Tables = BTreeMap<String, Table>;

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// In their order.
    pub(crate) chains: Vec<Chain>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    name: String,
    /// What follows the name: `DROP [12:3456]`.
    policy: String,
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    /// `[packets:bytes]`, if there were any.
    counters: String,
    /// What follows `-A chain`.
    text: String,
}

impl Rule {
    fn target(&self) -> Option<&str> {
        let mut words =
            self.text.split(' ').skip_while(|word| !matches!(*word, "-j" | "-g" | "--jump" | "--goto"));
        words.nth(1)
    }

    fn line(&self, command: &str) -> String {
        let Self { counters, text } = self;
        if counters.is_empty() { format!("{command} {text}") } else { format!("{counters} {command} {text}") }
    }
}

impl Chain {
    /// `ACCEPT` or `DROP`; `-` for a chain of one's own.
    fn target(&self) -> &str {
        self.policy.split(' ').next().unwrap_or_default()
    }

    fn is_built_in(&self) -> bool {
        self.target() != "-"
    }
}

impl Table {
    fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

/// The tables that a text replaces.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix('*')).map(|name| name.trim().to_owned()).collect()
}

/// Reads what `iptables-save` prints. Lines that it does not print are passed over.
pub(crate) fn parse(text: &str) -> Tables {
    let mut tables = Tables::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            current = Some(name.trim().to_owned());
            tables.entry(name.trim().to_owned()).or_default();
        }
        let Some(table) = current.as_ref().and_then(|name| tables.get_mut(name)) else { continue };
        if let Some(chain) = line.strip_prefix(':') {
            let (name, policy) = chain.split_once(' ').unwrap_or((chain, "-"));
            table.chains.push(Chain { name: name.to_owned(), policy: policy.to_owned(), rules: Vec::new() });
            continue;
        }
        let (counters, rest) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((counters, rest)) => (format!("[{counters}]"), rest),
            None => (String::new(), line),
        };
        if let Some((name, text)) = rest.strip_prefix("-A ").and_then(|rest| rest.split_once(' '))
            && let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == name)
        {
            chain.rules.push(Rule { counters, text: text.to_owned() });
        }
    }
    tables
}

/// These tables as they are, in the calling thread's namespace. One that was never used is not there.
pub(crate) fn read(form: Form, names: &BTreeSet<String>) -> Result<Tables, RulesError> {
    let program = if form == Form::Ip6tables { "ip6tables-save" } else { "iptables-save" };
    let mut tables = parse(&run(program, &["-c"], "")?);
    tables.retain(|name, _| names.contains(name));
    Ok(tables)
}

/// What a text makes in an empty kernel.
///
/// # Errors
/// [`RulesError::NotWhole`] if it does not load there. A set of ipset can be why, and is no fault if the kernel in use takes the
/// text; then it is taken as it is written, which must be as `iptables-save` writes.
pub(crate) fn made_by(form: Form, text: &str) -> Result<Tables, RulesError> {
    let names = names(text);
    if names.is_empty() {
        return Err(RulesError::Empty);
    }
    let made = Namespace::scratch(|| {
        restore(form, text, &[])?;
        read(form, &names)
    })?;
    match made {
        Err(RulesError::Program(ProgramError::Refused { said, .. })) => {
            if !text.contains("-set ") || form.try_out(text).is_err() {
                return Err(RulesError::NotWhole { said });
            }
            first_other_line(text).map_or_else(|| Ok(parse(text)), |line| Err(RulesError::NotSaved { line }))
        }
        other => other,
    }
}

/// Loads a text. With its counters, if it has those of every chain: with `-c` iptables-restore wants them all.
fn restore(form: Form, text: &str, flags: &[&str]) -> Result<(), ProgramError> {
    let program = if form == Form::Ip6tables { "ip6tables-restore" } else { "iptables-restore" };
    let has_counters =
        text.lines().filter(|line| line.starts_with(':')).all(|line| line.trim_end().ends_with(']'));
    let counters: &[&str] = if has_counters { &["-c"] } else { &[] };
    run(program, &[flags, counters, &["-w", "5"]].concat(), text).map(drop)
}

/// Makes a goal, which `plan` gives for what is there: each table in one step. Where something has come or gone between the look
/// and the step, both are done again.
pub(crate) fn make<T>(
    form: Form,
    names: &BTreeSet<String>,
    plan: impl Fn(&Tables) -> (Tables, T),
) -> Result<T, RulesError> {
    tried(|_| {
        let now = read(form, names)?;
        let (goal, said) = plan(&now);
        Ok(restore(form, &transaction(&now, &goal), &["--noflush"]).map(|()| said))
    })
}

/// Tables that others have put nothing into, as far as the names of their chains tell: what there was before anything is known
/// to have been loaded.
pub(crate) fn without_others(now: &Tables) -> Tables {
    let is_others = |name: &str| OTHERS.iter().any(|prefix| name.starts_with(prefix));
    let mut tables = now.clone();
    for table in tables.values_mut() {
        table.chains.retain(|chain| !is_others(&chain.name));
        for chain in &mut table.chains {
            chain.rules.retain(|rule| !rule.target().is_some_and(is_others));
        }
    }
    tables
}

/// Puts into `goal` what others have put in between `loaded` and `now`, where it stands now. With `is_return`, what they have
/// taken out is taken out there too; else the goal says by itself what it wants. Gives what has no place there, in words.
pub(crate) fn add_others(loaded: &Tables, now: &Tables, goal: &mut Tables, is_return: bool) -> Vec<String> {
    let mut lost = Vec::new();
    let nothing = Table::default();
    for (name, there) in now {
        let before = loaded.get(name).unwrap_or(&nothing);
        let Some(goal) = goal.get_mut(name) else { continue };
        for chain in &there.chains {
            let was = before.chain(&chain.name);
            let Some(at) = goal.chains.iter().position(|other| other.name == chain.name) else {
                if was.is_none() {
                    // Theirs, whole.
                    goal.chains.push(chain.clone());
                } else {
                    let put_in = put_in(was, chain).into_iter();
                    let line = |rule: &Rule| rule.line(&format!("-A {}", chain.name));
                    lost.extend(
                        put_in.map(|(_, rule)| format!("{} (table {name}: the chain is gone)", line(rule))),
                    );
                }
                continue;
            };
            let rules = &mut goal.chains[at].rules;
            if is_return {
                for gone in taken_out(was, chain) {
                    if let Some(at) = rules.iter().position(|rule| rule.text == gone) {
                        rules.remove(at);
                    }
                }
            }
            for (at, rule) in put_in(was, chain) {
                if rules.iter().any(|other| other.text == rule.text) {
                    continue;
                }
                // Behind the rule that it stands behind now, or at the head.
                let place_of = |before: &Rule| rules.iter().rposition(|other| other.text == before.text);
                let place = chain.rules[..at].iter().rev().find_map(place_of).map_or(0, |place| place + 1);
                rules.insert(place, rule.clone());
            }
        }
    }
    lost
}

/// How many rules of a goal are not of the ruleset's own making, by table, in words.
pub(crate) fn others_in(goal: &Tables, made: &Tables) -> Vec<String> {
    let count = |table: &Table| table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
    let mut kept = Vec::new();
    for (name, table) in goal {
        let count = count(table) - made.get(name).map_or(0, count);
        if count > 0 {
            kept.push(format!("{count} rules of table {name}"));
        }
    }
    kept
}

/// The rules of a chain that were not there, with their places.
fn put_in<'a>(was: Option<&Chain>, chain: &'a Chain) -> Vec<(usize, &'a Rule)> {
    let mut left: Vec<&str> = texts(was).collect();
    let mut new = Vec::new();
    for (at, rule) in chain.rules.iter().enumerate() {
        match left.iter().position(|text| *text == rule.text) {
            Some(place) => {
                left.swap_remove(place);
            }
            None => new.push((at, rule)),
        }
    }
    new
}

/// The rules that were there and are not any more.
fn taken_out<'a>(was: Option<&'a Chain>, chain: &Chain) -> Vec<&'a str> {
    let mut left: Vec<&str> = texts(was).collect();
    for rule in &chain.rules {
        if let Some(place) = left.iter().position(|text| *text == rule.text) {
            left.remove(place);
        }
    }
    left
}

fn texts(chain: Option<&Chain>) -> impl Iterator<Item = &str> {
    chain.into_iter().flat_map(|chain| &chain.rules).map(|rule| rule.text.as_str())
}

/// Tables as `iptables-restore` reads them.
pub(crate) fn text(tables: &Tables) -> String {
    transaction(&Tables::new(), tables)
}

/// What makes the goal of what is there, for `iptables-restore --noflush`: each table in one step.
///
/// Chains that are in both stay, and one that is the same is not touched. A plain restore deletes the table and makes it anew,
/// and lets packets through that both the old and the new rules would drop (iptables 1.8.9 with nf_tables; see the note in
/// `nft.rs` on why).
pub(crate) fn transaction(now: &Tables, goal: &Tables) -> String {
    let mut all = String::new();
    let nothing = Table::default();
    for (name, goal) in goal {
        let there = now.get(name).unwrap_or(&nothing);
        let is_same = |chain: &&Chain| {
            let texts = |chain: &Chain| {
                (chain.target().to_owned(), chain.rules.iter().map(|r| r.text.clone()).collect::<Vec<_>>())
            };
            there.chain(&chain.name).is_some_and(|other| texts(other) == texts(chain))
        };
        let changed: Vec<&Chain> = goal.chains.iter().filter(|chain| !is_same(chain)).collect();
        let gone: Vec<&Chain> =
            there.chains.iter().filter(|chain| goal.chain(&chain.name).is_none()).collect();
        let _ = writeln!(all, "*{name}");
        for chain in &changed {
            // For a chain of one's own, this line makes it or empties it.
            let _ = writeln!(all, ":{} {}", chain.name, chain.policy);
        }
        for chain in changed.iter().filter(|chain| chain.is_built_in() && there.chain(&chain.name).is_some())
        {
            let _ = writeln!(all, "-F {}", chain.name);
        }
        for chain in &changed {
            for rule in &chain.rules {
                let _ = writeln!(all, "{}", rule.line(&format!("-A {}", chain.name)));
            }
        }
        for chain in &gone {
            let _ = writeln!(all, "-F {}", chain.name);
        }
        for chain in gone.iter().filter(|chain| !chain.is_built_in()) {
            let _ = writeln!(all, "-X {}", chain.name);
        }
        all.push_str("COMMIT\n");
    }
    all
}

/// The first line of a text that is not one of those that `iptables-save` prints, counted from one.
fn first_other_line(text: &str) -> Option<usize> {
    let is_known = |line: &str| {
        let rule =
            line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, rest)| rest);
        line.trim().is_empty()
            || line.starts_with(['#', '*', ':'])
            || line.trim() == "COMMIT"
            || rule.starts_with("-A ")
    };
    text.lines().position(|line| !is_known(line)).map(|at| at + 1)
}

/// A table that nothing was ever put into.
pub(crate) fn empty(name: &str) -> Table {
    let hooks: &[&str] = match name {
        "nat" => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        "mangle" => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        "raw" => &["PREROUTING", "OUTPUT"],
        _ => &["INPUT", "FORWARD", "OUTPUT"],
    };
    let chain = |hook: &&str| Chain {
        name: (*hook).to_owned(),
        policy: "ACCEPT [0:0]".to_owned(),
        rules: Vec::new(),
    };
    Table { chains: hooks.iter().map(chain).collect() }
}

#[cfg(test)]
#[path = "iptables/tests.rs"]
mod tests;
