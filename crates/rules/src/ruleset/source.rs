//! A file of nft as it is written, unread by nft: which tables it names, and on which line each rule stands.
//!
//! nft's JSON has no lines, and a kernel may refuse what is to be judged. So the text is taken apart into statements: by
//! newlines, semicolons and braces, with quotes and comments in mind. Macros stay as they are.

use super::{Body, Chain, Hook, Rule, Ruleset, Table};
use crate::Form;

/// What a brace has opened.
#[derive(Clone, Copy)]
enum Block {
    Table(usize),
    Chain(usize, usize),
    /// A set, a counter, what is not known.
    Other,
}

impl Ruleset {
    /// Reads a file of nft as it is written: the tables, chains and rules in its blocks, and those of `add rule` and `add
    /// chain`. Sets are left out, macros and `include` are not followed.
    pub fn of_nft_source(text: &str) -> Self {
        let mut scanner =
            Scanner { ruleset: Self::empty(Form::Nft), open: Vec::new(), words: Vec::new(), line: 0 };
        let mut nested = 0_usize;
        for (token, line) in Tokens::of(text) {
            match token.as_str() {
                "{" if nested > 0 || !scanner.opens_a_block() => {
                    nested += 1;
                    scanner.push(token, line);
                }
                "{" => scanner.begin(),
                "}" if nested > 0 => {
                    nested -= 1;
                    scanner.push(token, line);
                }
                "}" => scanner.end(),
                ";" | "\n" if nested > 0 => {}
                ";" | "\n" => scanner.statement(),
                _ => scanner.push(token, line),
            }
        }
        scanner.statement();
        scanner.ruleset
    }
}

/// The lines on which a text of nft says `flush ruleset`, which takes everybody's tables away.
pub fn flushes(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut before = String::new();
    for (token, line) in Tokens::of(text) {
        if before == "flush" && token == "ruleset" {
            found.push(line);
        }
        before = token;
    }
    found
}

/// Gives the rules of a ruleset the lines of the file that it was made from, chain by chain, where both have as many rules.
pub(crate) fn lend_lines(ruleset: &mut Ruleset, written: &Ruleset) {
    for table in &mut ruleset.tables {
        let Some(source) = written.table(&table.family, &table.name) else { continue };
        for chain in &mut table.chains {
            let Some(source) = source.chain(&chain.name) else { continue };
            chain.line = source.line;
            // An `include`, a rule that becomes several: then no rule's line is known.
            if source.rules.len() == chain.rules.len() {
                for (rule, source) in chain.rules.iter_mut().zip(&source.rules) {
                    rule.line = source.line;
                }
            }
        }
    }
}

struct Scanner {
    ruleset: Ruleset,
    open: Vec<Block>,
    words: Vec<String>,
    /// Of the first of the words.
    line: usize,
}

impl Scanner {
    fn push(&mut self, token: String, line: usize) {
        if self.words.is_empty() {
            self.line = line;
        }
        self.words.push(token);
    }

    /// Does a brace behind these words open a block, and not a list within a statement?
    fn opens_a_block(&self) -> bool {
        let first = |at: usize| self.words.get(at).map(String::as_str);
        match self.open.last() {
            None => match first(0) {
                Some("table") => true,
                Some("add" | "create") => !matches!(first(1), Some("rule" | "element")),
                _ => false,
            },
            Some(Block::Table(_)) => true,
            Some(Block::Chain(..) | Block::Other) => false,
        }
    }

    fn begin(&mut self) {
        let words = std::mem::take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let block = match (self.open.last(), words.as_slice()) {
            (None, ["table", rest @ ..] | ["add" | "create", "table", rest @ ..]) => named::<1>(rest)
                .map_or(Block::Other, |(family, [table], _)| Block::Table(self.table(family, table))),
            (None, ["add" | "create", "chain", rest @ ..]) => {
                named(rest).map_or(Block::Other, |(family, [table, chain], _)| {
                    let at = self.table(family, table);
                    Block::Chain(at, self.chain(at, chain))
                })
            }
            (Some(Block::Table(at)), ["chain", name]) => {
                let at = *at;
                Block::Chain(at, self.chain(at, name))
            }
            _ => Block::Other,
        };
        self.open.push(block);
    }

    fn end(&mut self) {
        self.statement();
        self.open.pop();
    }

    fn statement(&mut self) {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return;
        }
        if let Some(Block::Chain(table, chain)) = self.open.last().copied() {
            return self.rule((table, chain), &words);
        }
        if !self.open.is_empty() {
            return;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["table", rest @ ..] | ["add" | "create", "table", rest @ ..] => {
                if let Some((family, [table], _)) = named(rest) {
                    self.table(family, table);
                }
            }
            ["add" | "create", "chain", rest @ ..] => {
                if let Some((family, [table, chain], _)) = named(rest) {
                    let at = self.table(family, table);
                    self.chain(at, chain);
                }
            }
            [command @ ("add" | "insert"), "rule", rest @ ..] => {
                if let Some((family, [table, chain], rule)) = named(rest) {
                    let at = self.table(family, table);
                    let chain = self.chain(at, chain);
                    let rule: Vec<String> = rule.iter().map(|word| (*word).to_owned()).collect();
                    self.rule((at, chain), &rule);
                    if *command == "insert" {
                        self.ruleset.tables[at].chains[chain].rules.rotate_right(1);
                    }
                }
            }
            _ => {}
        }
    }

    fn rule(&mut self, (table, chain): (usize, usize), words: &[String]) {
        let chain = &mut self.ruleset.tables[table].chains[chain];
        let known: Vec<&str> = words.iter().map(String::as_str).collect();
        match known.as_slice() {
            ["type", kind, "hook", name, ..] => {
                chain.hook = Some(Hook {
                    kind: (*kind).to_owned(),
                    name: (*name).to_owned(),
                    priority: 0,
                    device: None,
                });
                chain.policy.get_or_insert_with(|| "accept".to_owned());
            }
            ["policy", policy] => chain.policy = Some((*policy).to_owned()),
            ["comment", _] | ["flags", "offload"] => {}
            _ => chain.rules.push(Rule {
                text: words.join(" "),
                body: Body::Source(words.to_vec()),
                line: Some(self.line),
            }),
        }
    }

    fn table(&mut self, family: &str, name: &str) -> usize {
        let is_it = |table: &Table| table.family == family && table.name == name;
        let tables = &mut self.ruleset.tables;
        tables.iter().position(is_it).unwrap_or_else(|| {
            tables.push(Table::new(family, name));
            tables.len() - 1
        })
    }

    fn chain(&mut self, table: usize, name: &str) -> usize {
        let line = Some(self.line);
        let chains = &mut self.ruleset.tables[table].chains;
        chains.iter().position(|chain| chain.name == name).unwrap_or_else(|| {
            chains.push(Chain::new(name, line));
            chains.len() - 1
        })
    }
}

/// Takes the family, if there is one, and names; then what follows.
fn named<'w, const NAMES: usize>(words: &'w [&'w str]) -> Option<(&'w str, [&'w str; NAMES], &'w [&'w str])> {
    const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
    let (family, rest) = match words.split_first() {
        Some((first, rest)) if FAMILIES.contains(first) => (*first, rest),
        _ => ("ip", words),
    };
    let (names, rest) = rest.split_first_chunk::<NAMES>()?;
    Some((family, *names, rest))
}

/// Words, braces, commas, semicolons and newlines, each with its line. A string keeps its quotes; comments are left out, and so
/// is a newline behind a backslash.
struct Tokens<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Tokens<'t> {
    fn of(text: &'t str) -> Self {
        Self { rest: text, line: 1 }
    }
}

impl Iterator for Tokens<'_> {
    type Item = (String, usize);

    fn next(&mut self) -> Option<(String, usize)> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            if let Some(rest) = self.rest.strip_prefix("\\\n") {
                self.rest = rest;
                self.line += 1;
            } else if self.rest.starts_with('#') {
                self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
            } else {
                break;
            }
        }
        let line = self.line;
        let first = self.rest.chars().next()?;
        let length = match first {
            '{' | '}' | ',' | ';' => 1,
            '\n' => {
                self.line += 1;
                1
            }
            '"' => self.rest[1..].find(['"', '\n']).map_or(self.rest.len(), |end| {
                // A quote that is not closed ends with its line.
                if self.rest[1 + end..].starts_with('"') { end + 2 } else { end + 1 }
            }),
            _ => {
                let is_end = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | ';' | '"' | '#');
                let rest = &self.rest[first.len_utf8()..];
                first.len_utf8() + rest.find(is_end).unwrap_or(rest.len())
            }
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some((token.to_owned(), line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
#!/usr/sbin/nft -f
flush ruleset
define LAN = { 10.0.0.0/8, 192.168.0.0/16 }

table inet filter {
    comment \"a { b\"
    set bans { type ipv4_addr; flags timeout; }
    map jump_map {
        type ifname : verdict
        elements = { \"eth0\" : jump LOintra,
                     \"eth1\" : jump LOdmz }
    }
    counter c { packets 0 bytes 0; }
    chain LOintra {
    }
    chain input { # the way in; a chain
        type filter hook input priority filter; policy drop;
        ct state established,related accept; iif lo accept
        tcp dport {
            22,  # ssh
            80
        } log prefix \"x # y; \" accept
        ip saddr $LAN \\
            udp dport 53 accept
    }
}
add table ip nat
add chain ip nat post { type nat hook postrouting priority 100; }
add rule ip nat post oifname { wan0, wan1 } masquerade
insert rule ip nat post ip saddr 10.0.0.1 accept
table arp a
";

    #[test]
    fn rules_are_found_with_the_lines_they_begin_on() {
        let ruleset = Ruleset::of_nft_source(FILE);
        let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        let tables = [("inet", "filter"), ("ip", "nat"), ("arp", "a")];
        assert_eq!(ruleset.tables(), tables.iter().map(owned).collect::<Vec<_>>());
        let rules: Vec<(&str, &str, Option<usize>)> = ruleset
            .chains()
            .flat_map(|(_, c)| c.rules.iter().map(move |r| (c.name.as_str(), r.text.as_str(), r.line)))
            .collect();
        assert_eq!(
            rules,
            [
                ("input", "ct state established , related accept", Some(18)),
                ("input", "iif lo accept", Some(18)),
                ("input", "tcp dport { 22 , 80 } log prefix \"x # y; \" accept", Some(19)),
                ("input", "ip saddr $LAN udp dport 53 accept", Some(23)),
                ("post", "ip saddr 10.0.0.1 accept", Some(30)),
                ("post", "oifname { wan0 , wan1 } masquerade", Some(29)),
            ]
        );
        let input = ruleset.table("inet", "filter").unwrap().chain("input").unwrap();
        assert_eq!((input.policy.as_deref(), input.line), (Some("drop"), Some(16)));
        assert_eq!(flushes(FILE), [2]);
    }

    #[test]
    fn a_file_that_breaks_off_is_read_as_far_as_it_goes() {
        for end in 0..FILE.len() {
            let ruleset = Ruleset::of_nft_source(&FILE[..end]);
            assert!(ruleset.rule_count() <= 7, "{end}");
        }
        assert_eq!(Ruleset::of_nft_source("}}}table x{chain y{accept").rule_count(), 1);
    }
}
