//! The output of `iptables-save`, of either framework.

use super::rules::{Framework, NatPlace, Untracked};

/// Targets that translate (iptables-extensions(8)).
pub(super) const NAT_TARGETS: [&str; 5] = ["MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP"];

/// What a saved rule set says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) nat: Vec<NatPlace>,
    pub(super) untracked: Vec<Untracked>,
}

/// A rule as it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedRule<'t> {
    pub(super) table: &'t str,
    pub(super) chain: &'t str,
    /// All of it after `-A`.
    pub(super) line: &'t str,
    /// Its words, the chain first.
    pub(super) words: Vec<&'t str>,
}

/// The rules of all tables, in their order.
pub(super) fn rules(text: &str) -> impl Iterator<Item = SavedRule<'_>> {
    let mut table = "";
    text.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        }
        let line = line.strip_prefix("-A ")?;
        let words = words(line);
        Some(SavedRule { table, chain: words.first()?, line, words })
    })
}

/// Reads it; lines of unknown form are left out. `edit` is the program that changes these rules.
pub(super) fn parse(text: &str, edit: &str, framework: Framework) -> Saved {
    let family = if edit.starts_with("ip6") { "ip6" } else { "ip" };
    let mut saved = Saved::default();
    for SavedRule { table, chain, line: rule, words } in rules(text) {
        let target = words.windows(2).find(|pair| pair[0] == "-j").map_or("", |pair| pair[1]);
        if table == "nat" && NAT_TARGETS.contains(&target) {
            match saved.nat.iter_mut().find(|place| place.chain == chain) {
                Some(place) => place.rules += 1,
                None => saved.nat.push(NatPlace {
                    framework,
                    family: family.to_owned(),
                    table: table.to_owned(),
                    chain: chain.to_owned(),
                    rules: 1,
                }),
            }
        }
        if target == "NOTRACK" || (target == "CT" && words.contains(&"--notrack")) {
            saved.untracked.push(Untracked {
                place: format!("{family} {table} {chain}"),
                removal: format!("{edit} -t {table} -D {rule}"),
            });
        }
    }
    saved
}

/// Splits a rule into words. A quoted word (a comment, mostly) is one, quotes included, so that it is no
/// option.
fn words(rule: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = rule.trim_start();
    while !rest.is_empty() {
        let mut is_quoted = false;
        let mut is_escaped = false;
        let end = rest.find(|c: char| {
            let was_escaped = std::mem::take(&mut is_escaped);
            match c {
                '\\' if !was_escaped => is_escaped = true,
                '"' if !was_escaped => is_quoted = !is_quoted,
                _ => {}
            }
            c == ' ' && !is_quoted
        });
        let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `iptables-legacy-save` 1.8.9 in a namespace with three NAT and two raw rules.
    const LEGACY: &str = include_str!("../../tests/data/settings/iptables-legacy-save.txt");

    #[test]
    fn a_recorded_rule_set_is_read() {
        let saved = parse(LEGACY, "iptables-legacy", Framework::Legacy);
        let nat: Vec<_> = saved.nat.iter().map(|place| (place.chain.as_str(), place.rules)).collect();
        assert_eq!(nat, [("PREROUTING", 1), ("POSTROUTING", 2)]);
        assert_eq!(
            saved.untracked,
            [
                Untracked {
                    place: "ip raw PREROUTING".to_owned(),
                    removal:
                        "iptables-legacy -t raw -D PREROUTING -i lo -p udp -m udp --dport 53 -j CT --notrack"
                            .to_owned(),
                },
                Untracked {
                    place: "ip raw OUTPUT".to_owned(),
                    removal: "iptables-legacy -t raw -D OUTPUT -p tcp -j NOTRACK".to_owned(),
                },
            ]
        );
    }

    #[test]
    fn a_comment_is_no_rule() {
        let text = concat!(
            "*nat\n",
            "-A POSTROUTING -m comment --comment \"say \\\" -j MASQUERADE\" -j ACCEPT\n",
            "-A\n-A \nCOMMIT\n"
        );
        assert_eq!(parse(text, "iptables-legacy", Framework::Legacy), Saved::default());
    }
}
