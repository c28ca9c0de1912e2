//! What iptables-save(8) prints and iptables-restore(8) reads.

use std::ops::Range;

use unmasq_diagnostic::Problem;

use super::error::Wrong;
use super::words::{Word, split};
use super::{Chain, Hook, Rule, Ruleset, RulesetError, Table};
use crate::Form;

/// Options that have a short form, so that a rule is one text however it is written.
const SHORT: [(&str, &str); 12] = [
    ("--protocol", "-p"),
    ("--proto", "-p"),
    ("--source", "-s"),
    ("--src", "-s"),
    ("--destination", "-d"),
    ("--dst", "-d"),
    ("--in-interface", "-i"),
    ("--out-interface", "-o"),
    ("--match", "-m"),
    ("--jump", "-j"),
    ("--goto", "-g"),
    ("--fragment", "-f"),
];

impl Ruleset {
    /// Reads what iptables-save(8) prints, or what someone wrote for iptables-restore(8), counters (`-c`) included. All that is
    /// wrong in it is told, each with its line.
    pub fn of_iptables(form: Form, text: &str) -> Result<Self, RulesetError> {
        let family = if form == Form::Ip6tables { "ip6" } else { "ip" };
        let mut reader = Reader { family, tables: Vec::new(), is_open: false, wrong: Vec::new() };
        let mut start = 0;
        for (index, line) in text.split('\n').enumerate() {
            if let Err((span, message)) = reader.line(line.trim_end_matches('\r'), index + 1) {
                let span = start + span.start..start + span.end;
                reader.wrong.push(Wrong { line: index + 1, problem: Problem::error(span, message) });
            }
            start += line.len() + 1;
        }
        if let Some(table) = reader.tables.last().filter(|_| reader.is_open) {
            let message = format!("the table {} has no COMMIT; add a line with it at its end", table.name);
            let line = text.lines().count().max(1);
            reader.wrong.push(Wrong { line, problem: Problem::error(text.len()..text.len(), message) });
        }
        if reader.wrong.is_empty() {
            Ok(Self { form, tables: reader.tables })
        } else {
            Err(RulesetError::Text(reader.wrong))
        }
    }
}

/// What is wrong, and where in the line.
type At<T> = Result<T, (Range<usize>, String)>;

struct Reader {
    family: &'static str,
    tables: Vec<Table>,
    /// Is the last table without its COMMIT?
    is_open: bool,
    wrong: Vec<Wrong>,
}

impl Reader {
    fn line(&mut self, line: &str, number: usize) -> At<()> {
        let content = line.trim();
        let all = 0..line.len();
        match content.as_bytes().first() {
            None | Some(b'#') => Ok(()),
            Some(b'*') => self.begin(content[1..].trim(), all),
            _ if content == "COMMIT" => {
                if !std::mem::take(&mut self.is_open) {
                    return Err((all, "COMMIT without a table; a table begins with `*NAME`".to_owned()));
                }
                Ok(())
            }
            Some(first) => match self.tables.last_mut().filter(|_| self.is_open) {
                None => {
                    let message =
                        "stands outside of a table; a table begins with `*NAME` and ends with COMMIT";
                    Err((all, message.to_owned()))
                }
                Some(table) if *first == b':' => declare(table, content, all, number),
                Some(table) => command(table, line, number),
            },
        }
    }

    fn begin(&mut self, name: &str, all: Range<usize>) -> At<()> {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err((all, "a table's name is one word behind the `*`, such as *filter".to_owned()));
        }
        if self.is_open {
            return Err((all, "the table before has no COMMIT; add a line with it".to_owned()));
        }
        self.is_open = true;
        // Each time that a file comes to a table, iptables-restore empties it first.
        self.tables.retain(|table| table.name != name);
        self.tables.push(Table::new(self.family, name));
        Ok(())
    }
}

fn declare(table: &mut Table, content: &str, all: Range<usize>, number: usize) -> At<()> {
    let mut words = content[1..].split_whitespace();
    let (Some(name), Some(policy)) = (words.next(), words.next()) else {
        let message = "a chain is declared as `:NAME POLICY`, with `-` for a policy if it is one's own";
        return Err((all, message.to_owned()));
    };
    let policy = policy_of(policy).map_err(|message| (all, message))?;
    chain_of(table, name, number).policy = policy;
    Ok(())
}

/// The chain, which comes to be if it is not there. iptables makes built-in ones by itself.
fn chain_of<'t>(table: &'t mut Table, name: &str, number: usize) -> &'t mut Chain {
    let index = table.chains.iter().position(|chain| chain.name == name).unwrap_or_else(|| {
        let mut chain = Chain::new(name, Some(number));
        chain.hook = hook(&table.name, name);
        chain.policy = chain.hook.as_ref().map(|_| "accept".to_owned());
        table.chains.push(chain);
        table.chains.len() - 1
    });
    &mut table.chains[index]
}

fn command(table: &mut Table, line: &str, number: usize) -> At<()> {
    let unclosed = |at: usize| (at..at + 1, "this quote is not closed".to_owned());
    let mut words = split(line).map_err(unclosed)?;
    let has_counters = words.first().is_some_and(|word| word.text.starts_with('['));
    if has_counters {
        let word = words.remove(0);
        if !is_counters(&word.text) {
            return Err((word.span, "counters are written as [packets:bytes]".to_owned()));
        }
    }
    let Some(at) = words.iter().position(|word| command_of(&word.text).is_some()) else {
        let message = "neither a rule (-A CHAIN …) nor a chain (:NAME POLICY) nor COMMIT";
        return Err((0..line.len(), message.to_owned()));
    };
    let option = words.remove(at);
    let Some(command) = command_of(&option.text) else { return Ok(()) };
    let named = at < words.len() && !words[at].text.starts_with('-');
    let chain = if named { Some(words.remove(at)) } else { None };
    let missing = || (option.span.clone(), format!("{} needs the name of a chain", option.text));
    match command {
        Command::Append => {
            let name = chain.ok_or_else(missing)?.text;
            chain_of(table, &name, number).rules.push(rule(words, number));
        }
        Command::Insert => {
            let name = chain.ok_or_else(missing)?.text;
            let place = number_at(&mut words, at).unwrap_or(1);
            let rule = rule(words, number);
            let rules = &mut chain_of(table, &name, number).rules;
            let index = place.saturating_sub(1).min(rules.len());
            rules.insert(index, rule);
        }
        Command::New => {
            let name = chain.ok_or_else(missing)?.text;
            chain_of(table, &name, number);
        }
        Command::Policy => {
            let name = chain.ok_or_else(missing)?.text;
            let policy = words.first().ok_or((option.span, "-P needs a policy".to_owned()))?;
            let policy = policy_of(&policy.text).map_err(|message| (policy.span.clone(), message))?;
            chain_of(table, &name, number).policy = policy;
        }
        Command::Delete => {
            let name = chain.ok_or_else(missing)?.text;
            let place = number_at(&mut words, at).map(|place| place.wrapping_sub(1));
            let sought = rule(words, number);
            let rules = &mut chain_of(table, &name, number).rules;
            let index = place.or_else(|| rules.iter().position(|rule| rule.text == sought.text));
            if let Some(index) = index.filter(|index| *index < rules.len()) {
                rules.remove(index);
            }
        }
        Command::Flush => {
            let meant = |one: &&mut Chain| chain.as_ref().is_none_or(|name| name.text == one.name);
            table.chains.iter_mut().filter(meant).for_each(|chain| chain.rules.clear());
        }
        Command::Expunge => {
            let is_meant = |one: &Chain| chain.as_ref().is_none_or(|name| name.text == one.name);
            table.chains.retain(|one| one.hook.is_some() || !is_meant(one));
        }
        Command::Zero => {}
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Command {
    Append,
    Insert,
    New,
    Policy,
    Delete,
    Flush,
    Expunge,
    Zero,
}

fn command_of(word: &str) -> Option<Command> {
    Some(match word {
        "-A" | "--append" => Command::Append,
        "-I" | "--insert" => Command::Insert,
        "-N" | "--new-chain" | "--new" => Command::New,
        "-P" | "--policy" => Command::Policy,
        "-D" | "--delete" => Command::Delete,
        "-F" | "--flush" => Command::Flush,
        "-X" | "--delete-chain" => Command::Expunge,
        "-Z" | "--zero" => Command::Zero,
        _ => return None,
    })
}

/// Takes a number away that stands there.
fn number_at(words: &mut Vec<Word>, at: usize) -> Option<usize> {
    let number = words.get(at)?.text.parse().ok()?;
    words.remove(at);
    Some(number)
}

fn rule(words: Vec<Word>, number: usize) -> Rule {
    let short = |word: Word| {
        let found = SHORT.iter().find(|(long, _)| *long == word.text);
        found.map_or(word.text, |(_, short)| (*short).to_owned())
    };
    Rule::of_words(words.into_iter().map(short).collect(), Some(number))
}

fn policy_of(word: &str) -> Result<Option<String>, String> {
    match word {
        "-" => Ok(None),
        "ACCEPT" | "DROP" | "QUEUE" => Ok(Some(word.to_ascii_lowercase())),
        _ => Err(format!("the policy {word:?} is none of ACCEPT, DROP and `-`")),
    }
}

fn is_counters(word: &str) -> bool {
    let inside = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let numbers = inside.and_then(|inside| inside.split_once(':'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(packets, bytes)| is_number(packets) && is_number(bytes))
}

/// Where the kernel calls a chain of iptables; the priorities are those of linux/netfilter_ipv4.h.
pub(crate) fn hook(table: &str, chain: &str) -> Option<Hook> {
    let name = match chain {
        "PREROUTING" => "prerouting",
        "INPUT" => "input",
        "FORWARD" => "forward",
        "OUTPUT" => "output",
        "POSTROUTING" => "postrouting",
        _ => return None,
    };
    let (kind, priority) = match (table, chain) {
        ("raw", "PREROUTING" | "OUTPUT") => ("filter", -300),
        ("mangle", "OUTPUT") => ("route", -150),
        ("mangle", _) => ("filter", -150),
        ("nat", "PREROUTING" | "OUTPUT") => ("nat", -100),
        ("nat", "INPUT" | "POSTROUTING") => ("nat", 100),
        ("filter", "INPUT" | "FORWARD" | "OUTPUT") => ("filter", 0),
        ("security", "INPUT" | "FORWARD" | "OUTPUT") => ("filter", 50),
        _ => return None,
    };
    Some(Hook { kind: kind.to_owned(), name: name.to_owned(), priority, device: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
# Generated by iptables-save v1.8.9
*filter
:INPUT DROP [12:3456]
:FORWARD ACCEPT [0:0]
:LOintra - [0:0]
[5:300] -A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m comment --comment \"a \\\"b\" --jump LOintra
-N more
-I INPUT 2 -i eth0 -j DROP
-P FORWARD DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
";

    fn wrong(text: &str) -> Vec<(usize, String)> {
        match Ruleset::of_iptables(Form::Iptables, text) {
            Err(RulesetError::Text(wrong)) => {
                wrong.into_iter().map(|wrong| (wrong.line, wrong.problem.message)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_saved_ruleset_is_read_with_its_lines() {
        let ruleset = Ruleset::of_iptables(Form::Iptables, SAVED).unwrap();
        let names = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        assert_eq!(ruleset.tables(), [("ip", "filter"), ("ip", "nat")].iter().map(names).collect::<Vec<_>>());
        let filter = ruleset.table("ip", "filter").unwrap();
        let input = filter.chain("INPUT").unwrap();
        let texts: Vec<_> = input.rules.iter().map(|rule| (rule.text.as_str(), rule.line)).collect();
        assert_eq!(
            texts,
            [
                ("-i lo -j ACCEPT", Some(6)),
                ("-i eth0 -j DROP", Some(9)),
                (r#"-p tcp -m comment --comment "a \"b" -j LOintra"#, Some(7)),
            ]
        );
        assert_eq!(input.policy.as_deref(), Some("drop"));
        assert_eq!(filter.chain("FORWARD").unwrap().policy.as_deref(), Some("drop"));
        assert_eq!(filter.chain("LOintra").unwrap().policy, None);
        assert!(filter.chain("more").is_some_and(|chain| chain.hook.is_none()));
        assert_eq!(input.hook.as_ref().unwrap().to_string(), "type filter hook input priority 0");
        assert_eq!(ruleset.rule_count(), 3);
    }

    #[test]
    fn rules_that_are_taken_back_are_gone() {
        let text = "*filter\n-A INPUT -i a -j DROP\n-A INPUT -i b -j DROP\n-A INPUT -i c -j DROP\n\
            -D INPUT -i b -j DROP\n-D INPUT 1\n-N x\n-X x\nCOMMIT\n";
        let ruleset = Ruleset::of_iptables(Form::Iptables, text).unwrap();
        let input = ruleset.tables[0].chain("INPUT").unwrap();
        assert_eq!(input.rules.iter().map(|rule| rule.text.as_str()).collect::<Vec<_>>(), ["-i c -j DROP"]);
        assert!(ruleset.tables[0].chain("x").is_none());
    }

    #[test]
    fn a_table_that_comes_again_is_emptied_first() {
        let text =
            "*filter\n:own - [0:0]\n-A INPUT -j DROP\nCOMMIT\n*filter\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";
        let written = Ruleset::of_iptables(Form::Iptables, text).unwrap();
        let [table] = &written.tables[..] else { panic!("{written:?}") };
        assert_eq!(table.chains.len(), 1);
        assert_eq!(table.chains[0].rules.len(), 1);
        let loaded = Ruleset::normalise(Form::Iptables, text).unwrap();
        assert_eq!(loaded.tables[0].chain("INPUT").unwrap().rules, table.chains[0].rules);
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_line() {
        let text = "-A INPUT -j DROP\n*filter\n:INPUT MAYBE [0:0]\n-A\n-A INPUT -m comment --comment \"x\n\
            [1:x] -A INPUT -j DROP\nhello\n*nat\n";
        let lines: Vec<usize> = wrong(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 8]);
        assert_eq!(wrong("COMMIT\n")[0].1, "COMMIT without a table; a table begins with `*NAME`");
    }
}
