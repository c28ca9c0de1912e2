//! Rulesets of iptables: a rule is copied for every combination of the words of its macros.

use std::ops::Range;
use std::path::Path;

use super::Source;
use super::budget::{Budget, Exceeded};
use super::definitions::is_definition;
use super::problems::Findings;
use super::resolve::Macros;
use super::template::{Reference, Template};
use super::words::Unclosed;

/// Copies the rules of a ruleset; `vars` is the file of the macros, for messages.
pub(super) fn expand(
    input: Source<'_>,
    vars: &Path,
    macros: &mut Macros<'_>,
    budget: &mut Budget,
    findings: &mut Findings,
) -> String {
    let mut out = String::with_capacity(input.text.len() * 2);
    // What ends the lines of this file: for the copies of a last line that has no end.
    let mut last_end = "\n";
    let mut start = 0;
    for whole in input.text.split_inclusive('\n') {
        let (line, end) = split_end(whole);
        if !end.is_empty() {
            last_end = end;
        }
        let is_expanded = match line.trim_start_matches([' ', '\t']) {
            "" => false,
            comment if comment.starts_with('#') => {
                warn_of_definition(line, start, vars, findings);
                false
            }
            other => {
                !other.starts_with('*')
                    && other.trim_end() != "COMMIT"
                    && rule(line, start, last_end, macros, budget, findings, &mut out)
            }
        };
        if !is_expanded {
            budget.pass();
            out.push_str(line);
        }
        out.push_str(end);
        start += whole.len();
    }
    out
}

/// A line and what ends it.
fn split_end(whole: &str) -> (&str, &str) {
    let line = whole.strip_suffix('\n').map_or(whole, |line| line.strip_suffix('\r').unwrap_or(line));
    whole.split_at(line.len())
}

/// Warns of a definition where none is read.
pub(super) fn warn_of_definition(line: &str, start: usize, vars: &Path, findings: &mut Findings) {
    let text = line.trim_start_matches([' ', '\t']);
    if is_definition(text) {
        let start = start + line.len() - text.len();
        findings.warning(start..start + "#define".len(), || {
            format!("this is a comment here: macros are defined in {}", vars.display())
        });
    }
}

/// Writes the copies of a rule, or of the declaration of a chain: they are told apart by nothing that matters here. False if it
/// names no macro.
fn rule(
    line: &str,
    start: usize,
    between: &str,
    macros: &mut Macros<'_>,
    budget: &mut Budget,
    findings: &mut Findings,
    out: &mut String,
) -> bool {
    let mut negated = None;
    let found = Template::of(line, &macros.names, |reference: Reference| {
        if reference.is_negated && negated.is_none() {
            negated = Some((reference.span, reference.number));
        }
    });
    let template = match found {
        Ok(template) => template,
        Err(Unclosed(quote)) => {
            let place = start + quote..start + quote + 1;
            findings.error(place, || "this quote is not closed in its line".to_owned());
            return true;
        }
    };
    if template.is_plain() {
        return false;
    }
    for number in &template.macros {
        macros[*number].is_used = true;
    }
    if let Some((span, number)) = negated {
        warn_of_negation(&(start + span.start..start + span.end), number, macros, findings);
    }
    let combinations = template.combinations(macros);
    let bytes = combinations.saturating_mul(template.longest(macros) + between.len() as u64);
    match budget.take(combinations, bytes) {
        Ok(()) => template.write(macros, combinations, between, out),
        Err(exceeded) => {
            let span = start..start + line.len();
            findings.error(span, || too_many(&template, combinations, &exceeded, macros, "rules"));
        }
    }
    true
}

/// "Not one of these" cannot be said by several rules: each lets through what the others exclude.
fn warn_of_negation(span: &Range<usize>, number: usize, macros: &Macros<'_>, findings: &mut Findings) {
    let count = macros[number].words.len();
    if count < 2 {
        return;
    }
    findings.warning(span.clone(), || {
        let name = macros[number].name;
        format!(
            "`! {name}` with {count} words makes {count} rules, and each matches what the others exclude, so together they match \
             everything: for \"none of them\", let rules with {name} return first, or use an ipset"
        )
    });
}

/// What is said of a rule that would become too many.
pub(super) fn too_many(
    template: &Template<'_>,
    combinations: u64,
    exceeded: &Exceeded,
    macros: &Macros<'_>,
    counted: &str,
) -> String {
    let factors: Vec<String> = template
        .macros
        .iter()
        .map(|number| format!("{} {}", macros[*number].words.len(), macros[*number].name))
        .collect();
    let (factors, more) = (factors.join(" × "), exceeded.more_than("lines"));
    format!(
        "this would become {combinations} {counted} ({factors}), and the whole ruleset {more}: use an ipset or a set of nft"
    )
}
