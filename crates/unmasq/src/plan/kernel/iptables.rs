//! Our chain of iptables, and the jump to it.

use std::collections::HashSet;
use std::fmt::Write;

use unmasq_plan::Plan;
use unmasq_plan::rules::Iptables;

use super::Difference;
use unmasq_rules::program::run;

/// The rule that leads to our chain.
const JUMP: &str = "-A POSTROUTING -j UNMASQ-PLAN";

/// What is in our chain.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// Its rules, if there is such a chain.
    rules: Option<Vec<String>>,
    /// The place of the jump among the rules of POSTROUTING, from 0.
    jump: Option<usize>,
}

pub(super) fn printer<'a>(plan: &'a Plan, out_interface: Option<&'a str>) -> Iptables<'a> {
    Iptables { plan, out_interface }
}

/// The rules of a plan, in our chain.
fn expected(plan: &Plan, out_interface: Option<&str>) -> Vec<String> {
    let mut text = String::new();
    printer(plan, out_interface).rules(&mut text, Iptables::CHAIN);
    text.lines().map(as_saved).collect()
}

/// A rule as iptables-save prints it: a range of one port is a port.
fn as_saved(rule: &str) -> String {
    let single = rule.rsplit_once(':').and_then(|(head, ports)| {
        ports.split_once('-').filter(|(first, last)| first == last).map(|(port, _)| format!("{head}:{port}"))
    });
    single.unwrap_or_else(|| rule.to_owned())
}

impl Chain {
    /// Reads it.
    pub(super) fn read() -> anyhow::Result<Self> {
        Ok(Self::parse(&run("iptables-save", &["-t", "nat"], "")?))
    }

    fn parse(saved: &str) -> Self {
        let mut chain = Self::default();
        let declared = format!(":{} ", Iptables::CHAIN);
        let ours = format!("-A {} ", Iptables::CHAIN);
        let mut place = 0;
        for line in saved.lines() {
            if line.starts_with(&declared) {
                chain.rules = Some(Vec::new());
            } else if line.starts_with(&ours) {
                // A host is printed as a network of one.
                chain.rules.get_or_insert_default().push(line.replacen("/32 ", " ", 1));
            } else if line.starts_with("-A POSTROUTING ") {
                if line == JUMP {
                    chain.jump.get_or_insert(place);
                }
                place += 1;
            }
        }
        chain
    }

    /// Is it there, as far as can be told without making a table? `listed`: does nft list it, if it was asked already?
    pub(super) fn is_there(listed: Option<bool>) -> bool {
        // Without a table there is nothing of ours in it, and asking iptables would make one.
        let names = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names");
        (names.is_ok_and(|names| names.lines().any(|name| name == "nat"))
            && Self::read().is_ok_and(|chain| chain.rules.is_some()))
            || listed.unwrap_or_else(|| {
                run("nft", &["-t", "list", "chain", "ip", "nat", Iptables::CHAIN], "").is_ok()
            })
    }

    /// Takes the chain and the jump away, if they are there and iptables is.
    pub(super) fn remove() -> anyhow::Result<()> {
        if !Self::is_there(None) {
            return Ok(());
        }
        let chain = Self::read()?;
        let mut text = String::from("*nat\n");
        if chain.jump.is_some() {
            text.push_str(&JUMP.replace("-A", "-D"));
            text.push('\n');
        }
        if chain.rules.is_none() {
            return Ok(());
        }
        let _ = writeln!(text, "-F {0}\n-X {0}\nCOMMIT", Iptables::CHAIN);
        run("iptables-restore", &["--noflush", "-w", "5"], &text)?;
        Ok(())
    }

    pub(super) fn difference(&self, plan: &Plan, out_interface: Option<&str>) -> Option<Difference> {
        let name = Iptables::CHAIN;
        let Some(rules) = &self.rules else {
            return Some(Difference::missing(format!("there is no chain {name} in the table nat")));
        };
        if self.jump.is_none() {
            return Some(Difference::missing(format!("POSTROUTING does not jump to {name} ({JUMP})")));
        }
        let (gone, strange) = Self::lines(rules, plan, out_interface);
        let first = strange.first().or(gone.first())?;
        Some(Difference::changed(format!(
            "the chain {name} lacks {} rules of the plan and has {} others ({first} for one)",
            gone.len(),
            strange.len()
        )))
    }

    /// Rules that the plan has and the chain has not; and the other way round.
    fn lines(rules: &[String], plan: &Plan, out: Option<&str>) -> (Vec<String>, Vec<String>) {
        let wanted = expected(plan, out);
        let (is_loaded, is_wanted): (HashSet<&String>, HashSet<&String>) =
            (rules.iter().collect(), wanted.iter().collect());
        let gone = wanted.iter().filter(|rule| !is_loaded.contains(rule)).cloned().collect();
        (gone, rules.iter().filter(|rule| !is_wanted.contains(rule)).cloned().collect())
    }

    /// Loads what differs, in one transaction. Rules that stay keep their counters.
    pub(super) fn change(&self, plan: &Plan, out_interface: Option<&str>) -> String {
        let name = Iptables::CHAIN;
        let mut text = String::from("*nat\n");
        match &self.rules {
            None => {
                let _ = writeln!(text, ":{name} - [0:0]");
                for rule in expected(plan, out_interface) {
                    text.push_str(&rule);
                    text.push('\n');
                }
            }
            Some(rules) => {
                let (added, removed) = Self::lines(rules, plan, out_interface);
                for rule in removed {
                    text.push_str(&rule.replacen("-A", "-D", 1));
                    text.push('\n');
                }
                for rule in added {
                    text.push_str(&rule);
                    text.push('\n');
                }
            }
        }
        if self.jump != Some(0) {
            if self.jump.is_some() {
                let _ = writeln!(text, "{}", JUMP.replace("-A", "-D"));
            }
            // First, so that nobody else's rule takes our clients' flows.
            let _ = writeln!(text, "-I POSTROUTING 1 -j {name}");
        }
        text.push_str("COMMIT\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_is_what_is_expected() {
        let rule = "-A UNMASQ-PLAN -s 10.0.0.2 -p tcp -j SNAT --to-source 192.0.2.1:";
        assert_eq!(as_saved(&format!("{rule}5000-5000")), format!("{rule}5000"));
        assert_eq!(as_saved(&format!("{rule}5000-5009")), format!("{rule}5000-5009"));
        assert_eq!(
            as_saved("-A UNMASQ-PLAN -p icmp -j SNAT --to-source 192.0.2.1"),
            "-A UNMASQ-PLAN -p icmp -j SNAT --to-source 192.0.2.1"
        );
    }

    #[test]
    fn the_jump_has_its_place_among_the_rules_of_its_chain() {
        let saved = "*nat\n:UNMASQ-PLAN - [0:0]\n-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE\n\
                     -A POSTROUTING -j UNMASQ-PLAN\n-A UNMASQ-PLAN -s 10.0.0.2/32 -p tcp -j SNAT --to-source 192.0.2.1:5000\nCOMMIT\n";
        let chain = Chain::parse(saved);
        assert_eq!(chain.jump, Some(1));
        let rules = chain.rules.unwrap();
        assert_eq!(rules, ["-A UNMASQ-PLAN -s 10.0.0.2 -p tcp -j SNAT --to-source 192.0.2.1:5000"]);
    }
}
