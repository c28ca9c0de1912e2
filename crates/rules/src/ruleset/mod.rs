//! A ruleset as a value: tables, chains, rules and sets, without counters and handles, to be compared and judged.
//!
//! ```text
//!  a file ──────────► normalise ──scratch namespace──┐         of_kernel ◄── what is loaded
//!    │                                               ▼             │
//!    │              iptables-save ──► of_iptables ──► Ruleset ◄── of_nft ◄── nft -j and nft -a, list ruleset
//!    └── of_iptables, of_nft_source: as it is written, with its lines ──► ┘
//! ```
//!
//! Two ways to write the same rule are equal once the kernel has had them and the program has printed them. That is what
//! [`Ruleset::normalise`] is for; the other readers take a text as it stands.
//!
//! ```
//! use unmasq_rules::{Form, ruleset::Ruleset};
//!
//! let text = "*filter\n:INPUT DROP [0:0]\n[7:420] -A INPUT -i lo --jump ACCEPT\nCOMMIT\n";
//! let ruleset = Ruleset::of_iptables(Form::Iptables, text)?;
//! let input = ruleset.table("ip", "filter").and_then(|table| table.chain("INPUT")).ok_or("no INPUT")?;
//! assert_eq!(input.rules[0].text, "-i lo -j ACCEPT");
//! assert_eq!(input.rules[0].line, Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub(crate) mod iptables;
mod load;
pub(crate) mod nft;
mod source;
mod words;

use serde_json::Value;

pub use self::error::{RulesetError, Wrong};
pub(crate) use self::load::load_in_scratch;
pub use self::source::flushes;
pub(crate) use self::words::quoted;
use crate::Form;

/// A ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The language that it was read from.
    pub form: Form,
    /// Its tables, in the order in which they stand.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// nft's word for its family: `ip`, `ip6`, `inet`, `arp`, `bridge`, `netdev`. iptables' tables are of `ip` or `ip6`.
    pub family: String,
    /// Its name.
    pub name: String,
    /// Its flags, such as `dormant`.
    pub flags: Vec<String>,
    /// Its chains, in the order in which they stand.
    pub chains: Vec<Chain>,
    /// Its sets and maps with a name.
    pub sets: Vec<Set>,
    /// Its other things with a name: counters, quotas, limits, helpers, flowtables.
    pub objects: Vec<Object>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; `None` for one that only rules jump to.
    pub hook: Option<Hook>,
    /// What becomes of a packet that comes to its end: `accept` or `drop`, in small letters.
    pub policy: Option<String>,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// The line of the file that declares it, from 1.
    pub line: Option<usize>,
}

/// Where the kernel calls a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// nft's name of the hook: `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress`.
    pub name: String,
    /// Its place among the chains of the hook: smaller ones come first.
    pub priority: i64,
    /// The device of a chain of `netdev`.
    pub device: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As a person reads it, without the chain, counters and handles. Two rules with the same text are the same rule.
    pub text: String,
    /// As a program reads it.
    pub body: Body,
    /// The line of the file that it comes from, from 1; `None` if that is not known.
    pub line: Option<usize>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Words of iptables, behind the chain. Options that have a short form are written in it.
    Words(Vec<String>),
    /// Expressions of nft's JSON, without the numbers of counters.
    Expressions(Vec<Value>),
    /// Words of nft as they are written, where the kernel has not read them.
    Source(Vec<String>),
}

/// A set or a map of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// `set` or `map`; `meter` where nft lists one.
    pub kind: String,
    /// Its type, flags, limits and the like, as nft writes them: `type ipv4_addr; flags interval`.
    pub shape: String,
    /// Do elements come and go by themselves (`dynamic`, `timeout`)?
    pub is_changing: bool,
    /// What it holds, sorted by its text.
    pub elements: Vec<Element>,
}

/// An element of a set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// As nft writes it: `10.0.0.0/8`, `"eth0" : jump LOintra`. Without counters and the time that is left.
    pub text: String,
    /// nft's JSON of the key.
    pub key: Value,
    /// nft's JSON of what a map gives for it.
    pub value: Option<Value>,
}

/// Something else with a name in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// nft's word: `counter`, `quota`, `limit`, `ct helper`, `flowtable`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it is like, without what it has counted.
    pub shape: String,
}

impl Ruleset {
    /// One without tables.
    pub const fn empty(form: Form) -> Self {
        Self { form, tables: Vec::new() }
    }

    /// The family and the name of each of its tables.
    pub fn tables(&self) -> Vec<(String, String)> {
        self.tables.iter().map(|table| (table.family.clone(), table.name.clone())).collect()
    }

    /// The table of that family and name.
    pub fn table(&self, family: &str, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.family == family && table.name == name)
    }

    /// How many rules it has.
    pub fn rule_count(&self) -> usize {
        self.chains().map(|(_, chain)| chain.rules.len()).sum()
    }

    /// Its chains, each with its table.
    pub fn chains(&self) -> impl Iterator<Item = (&Table, &Chain)> {
        self.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)))
    }
}

impl Table {
    /// The chain of that name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set or map of that name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// Was it made by iptables, though nft lists it? nft shows but half of such rules, so that iptables-save is to be asked.
    pub fn is_of_iptables(&self) -> bool {
        const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        let has_name = matches!(self.name.as_str(), "filter" | "nat" | "mangle" | "raw" | "security");
        let mut bases = self.chains.iter().filter(|chain| chain.hook.is_some()).peekable();
        let has_chains = bases.peek().is_some() && bases.all(|chain| BUILT_IN.contains(&chain.name.as_str()));
        matches!(self.family.as_str(), "ip" | "ip6") && has_name && has_chains
    }

    pub(crate) fn new(family: &str, name: &str) -> Self {
        Self {
            family: family.to_owned(),
            name: name.to_owned(),
            flags: Vec::new(),
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
        }
    }
}

impl Element {
    /// The key alone, as nft writes it.
    pub fn key_text(&self) -> String {
        nft::shown(&self.key)
    }

    /// What a map gives for it, as nft writes it.
    pub fn value_text(&self) -> Option<String> {
        self.value.as_ref().map(nft::shown)
    }
}

impl Chain {
    pub(crate) fn new(name: &str, line: Option<usize>) -> Self {
        Self { name: name.to_owned(), hook: None, policy: None, rules: Vec::new(), line }
    }
}

impl Rule {
    pub(crate) fn of_words(words: Vec<String>, line: Option<usize>) -> Self {
        let text = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        Self { text, body: Body::Words(words), line }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "type {} hook {}", self.kind, self.name)?;
        if let Some(device) = &self.device {
            write!(f, " device {device:?}")?;
        }
        write!(f, " priority {}", self.priority)
    }
}
