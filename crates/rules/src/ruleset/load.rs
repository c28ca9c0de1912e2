//! Rulesets by way of the kernel: loaded where nobody else is, or read where they are in force.

use unmasq_netfilter::netns::Namespace;

use super::source::lend_lines;
use super::{Ruleset, RulesetError};
use crate::Form;
use crate::program::{self, ProgramError};

impl Ruleset {
    /// The ruleset as the kernel has it after the text was loaded, so that two ways to write the same are equal (ports by name,
    /// defaults, `-p tcp` with and without `-m tcp`). It is loaded in a scratch network namespace and read back; the caller's is
    /// not touched. Rules keep the lines of the text where they can be told.
    ///
    /// Where that cannot be done (not root; a set of ipset that is not there; a target that this kernel does not know), a text of
    /// iptables is taken as it stands. One of nft is refused, with the reason: it has too many ways to write the same.
    pub fn normalise(form: Form, text: &str) -> Result<Self, RulesetError> {
        let (ruleset, _) = normalised(form, text)?;
        Ok(ruleset)
    }

    /// The same for several that are to be compared: if one of iptables cannot be loaded, all of them are taken as they stand,
    /// because the kernel's way to write a rule and a person's are no difference.
    pub fn normalise_all(form: Form, texts: &[&str]) -> Result<Vec<Self>, RulesetError> {
        let all = texts.iter().map(|text| normalised(form, text)).collect::<Result<Vec<_>, _>>()?;
        if all.iter().all(|(_, is_loaded)| *is_loaded) {
            return Ok(all.into_iter().map(|(ruleset, _)| ruleset).collect());
        }
        texts.iter().map(|text| Self::of_iptables(form, text)).collect()
    }

    /// Two rulesets to be compared, understood in the same way.
    pub fn normalise_both(form: Form, old: &str, new: &str) -> Result<(Self, Self), RulesetError> {
        let mut both = Self::normalise_all(form, &[old, new])?;
        // One ruleset for each text.
        let new = both.pop().unwrap_or_else(|| Self::empty(form));
        Ok((both.pop().unwrap_or_else(|| Self::empty(form)), new))
    }

    /// What is loaded now of the tables that this ruleset has.
    pub fn loaded_now(&self) -> Result<Self, RulesetError> {
        let mut loaded = Self::of_kernel(self.form)?;
        loaded.tables.retain(|table| self.table(&table.family, &table.name).is_some());
        Ok(loaded)
    }

    /// What is loaded in the calling thread's network namespace. For nft that are the tables which iptables does not manage.
    pub fn of_kernel(form: Form) -> Result<Self, RulesetError> {
        match form {
            Form::Nft => {
                let mut ruleset = listed()?;
                ruleset.tables.retain(|table| !table.is_of_iptables());
                Ok(ruleset)
            }
            Form::Iptables => Self::of_iptables(form, &program::run("iptables-save", &[], "")?),
            Form::Ip6tables => Self::of_iptables(form, &program::run("ip6tables-save", &[], "")?),
        }
    }
}

/// Loads a text of nft in a scratch namespace that the thread is in.
pub(crate) fn load_in_scratch(text: &str) -> Result<(), ProgramError> {
    match program::run("nft", &["-f", "-"], text) {
        // `iif`, `oif` and a device of a chain or a flowtable need an interface of that name.
        Err(ProgramError::Refused { .. }) if make_interfaces(text) => {
            program::run("nft", &["-f", "-"], text)?
        }
        other => other?,
    };
    Ok(())
}

/// The ruleset, and whether it is as the kernel has it.
fn normalised(form: Form, text: &str) -> Result<(Ruleset, bool), RulesetError> {
    let written = match form {
        Form::Nft => Ruleset::of_nft_source(text),
        Form::Iptables | Form::Ip6tables => Ruleset::of_iptables(form, text)?,
    };
    let loaded = Namespace::scratch(|| load(form, text)).map_err(RulesetError::Namespace).flatten();
    match (loaded, form) {
        (Ok(mut ruleset), _) => {
            lend_lines(&mut ruleset, &written);
            if form != Form::Nft {
                // iptables-save prints all tables that there are.
                ruleset.tables.retain(|table| written.table(&table.family, &table.name).is_some());
            }
            Ok((ruleset, true))
        }
        (Err(_), Form::Iptables | Form::Ip6tables) => Ok((written, false)),
        (Err(error), Form::Nft) => Err(error),
    }
}

/// Loads a text in the thread's namespace and reads it back.
fn load(form: Form, text: &str) -> Result<Ruleset, RulesetError> {
    let restore = match form {
        Form::Nft => {
            load_in_scratch(text)?;
            return listed();
        }
        Form::Iptables => "iptables-restore",
        Form::Ip6tables => "ip6tables-restore",
    };
    program::run(restore, &["-w", "5"], text)?;
    Ruleset::of_kernel(form)
}

fn listed() -> Result<Ruleset, RulesetError> {
    // Between the two a rule may come or go; it then stands there as JSON, which is no harm.
    let text = program::run("nft", &["-a", "-s", "list", "ruleset"], "")?;
    let json = program::run("nft", &["-j", "list", "ruleset"], "")?;
    Ruleset::of_nft(&json, &text)
}

/// Makes the interfaces that a text of nft names, in the scratch namespace that the thread is in. False if it names none.
fn make_interfaces(text: &str) -> bool {
    let names = interfaces(text);
    let mut made = false;
    for name in names {
        // One that cannot be made is missed by nft, whose message then tells.
        made |= ["dummy", "bridge"]
            .iter()
            .any(|kind| program::run("ip", &["link", "add", &name, "type", kind], "").is_ok());
    }
    made
}

/// What stands behind `iif`, `oif`, `device` and `devices`.
fn interfaces(text: &str) -> Vec<String> {
    let is_between = |c: char| c.is_whitespace() || matches!(c, '"' | ',' | ';');
    let mut words = text.split(is_between).filter(|word| !word.is_empty()).peekable();
    let mut names: Vec<String> = Vec::new();
    // Longest name of an interface: `IFNAMSIZ` of linux/if.h, less its NUL.
    let is_name = |word: &str| {
        (1..16).contains(&word.len())
            && word != "lo"
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:".contains(&byte))
    };
    while let Some(word) = words.next() {
        if !matches!(word, "iif" | "oif" | "device" | "devices") {
            continue;
        }
        while words.next_if(|word| matches!(*word, "=" | "==" | "!=")).is_some() {}
        let is_list = words.next_if(|word| word.starts_with('{'));
        for word in words.by_ref() {
            if is_name(word) && !names.iter().any(|name| name == word) {
                names.push(word.to_owned());
            }
            if is_list.is_none() || word.ends_with('}') {
                break;
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_must_exist_are_found() {
        let text = "iif eth0 accept\noif != \"wan0\" drop\niif { lan0, \"lan1\" } accept\n\
            type filter hook ingress devices = { dmz0, lo } priority 0;\niifname \"x\" accept";
        assert_eq!(interfaces(text), ["eth0", "wan0", "lan0", "lan1", "dmz0"]);
    }

    fn rules(ruleset: &Ruleset) -> Vec<(String, Option<usize>)> {
        ruleset.chains().flat_map(|(_, chain)| chain.rules.iter().map(|r| (r.text.clone(), r.line))).collect()
    }

    #[test]
    fn two_ways_to_write_a_rule_are_one_after_the_kernel_had_them() {
        let one = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport ssh -j ACCEPT\nCOMMIT\n";
        let other = "*filter\n-A INPUT --proto tcp -m tcp --destination-port 22 -j ACCEPT\nCOMMIT\n";
        let normal = |text| rules(&Ruleset::normalise(Form::Iptables, text).unwrap());
        let text = "-p tcp -m tcp --dport 22 -j ACCEPT".to_owned();
        assert_eq!(normal(one), [(text.clone(), Some(3))]);
        assert_eq!(normal(other), [(text, Some(2))]);
        let one = "table inet f {\n chain c {\n  tcp dport ssh counter accept\n  iif nowhere0 drop\n }\n}\n";
        let other = "add table inet f\nadd chain inet f c\nadd rule inet f c tcp dport 22 counter packets 5 bytes 7 accept\n\
            add rule inet f c iif nowhere0 drop\n";
        let one = Ruleset::normalise(Form::Nft, one).unwrap();
        let other = Ruleset::normalise(Form::Nft, other).unwrap();
        let expected = ["tcp dport 22 counter accept", "iif \"nowhere0\" drop"].map(str::to_owned);
        assert_eq!(
            rules(&one),
            expected.clone().map(|text| text).into_iter().zip([Some(3), Some(4)]).collect::<Vec<_>>()
        );
        assert_eq!(rules(&other), expected.into_iter().zip([Some(3), Some(4)]).collect::<Vec<_>>());
        assert_eq!(one.tables, {
            let mut tables = other.tables;
            tables[0].chains[0].line = one.tables[0].chains[0].line;
            tables
        });
    }

    #[test]
    fn what_this_kernel_cannot_load_is_taken_as_written_for_iptables_and_refused_for_nft() {
        let text = "*filter\n-A INPUT -m set --match-set no-such-set src --jump DROP\nCOMMIT\n";
        let ruleset = Ruleset::normalise(Form::Iptables, text).unwrap();
        assert_eq!(rules(&ruleset), [("-m set --match-set no-such-set src -j DROP".to_owned(), Some(2))]);
        let error =
            Ruleset::normalise(Form::Nft, "table ip x {\n chain y {\n  jump nowhere\n }\n}\n").unwrap_err();
        assert!(error.to_string().contains("nft -f - refused"), "{error}");
    }
}
