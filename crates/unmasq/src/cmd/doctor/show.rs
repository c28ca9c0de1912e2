//! The report, for people and as JSON.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::check::{By, Check, Remedy, Verdict};
use super::mend::{Plan, diff};

/// How wide a line may be, in characters.
const WIDTH: usize = 100;

/// Which checks are shown; all are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    All,
    Wrong,
}

/// One namespace's checks, grouped.
pub(super) fn checks(out: &mut impl Write, namespace: &str, checks: &[Check], show: Show) -> io::Result<()> {
    let bold = Style::new().bold();
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    let indent = " ".repeat(width + 10);
    let mut group = None;
    for check in checks.iter().filter(|check| show == Show::All || check.verdict != Verdict::Ok) {
        if group != Some(check.group) {
            let gap = if group.is_some() { "\n" } else { "" };
            group = Some(check.group);
            writeln!(out, "{gap}{bold}{}{bold:#}", check.group)?;
        }
        let style = style(check.verdict);
        writeln!(out, "  {style}{:4}{style:#}  {:width$}  {}", check.verdict, check.id, plain(&check.read))?;
        for line in wrapped(&check.why, WIDTH.saturating_sub(indent.len())) {
            writeln!(out, "{indent}{line}")?;
        }
        for remedy in &check.remedies {
            let command = remedy.command(namespace);
            let by = match (remedy, remedy.by()) {
                (Remedy::WriteDown, _) | (_, By::Hand) => String::new(),
                (_, by @ (By::Fix | By::FixHost)) => format!("   # or: {by}"),
            };
            writeln!(out, "{indent}{bold}{}{bold:#}{by}", plain(&command))?;
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let gap = if group.is_some() { "\n" } else { "" };
    writeln!(
        out,
        "{gap}{} ok, {} warn, {} bad",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Bad)
    )
}

/// The changes that are to be made.
pub(super) fn plan(out: &mut impl Write, plan: &Plan, namespace: &str) -> io::Result<()> {
    for step in &plan.steps {
        writeln!(out, "  {}", step.command(namespace))?;
    }
    for edit in &plan.edits {
        let what = if edit.before.is_some() { "" } else { " (new file)" };
        writeln!(out, "  {}{what}", edit.path.display())?;
        for line in diff(edit).lines() {
            let style = match line.as_bytes().first() {
                Some(b'+') => Style::new().fg_color(Some(AnsiColor::Green.into())),
                Some(b'-') => Style::new().fg_color(Some(AnsiColor::Red.into())),
                _ => Style::new(),
            };
            writeln!(out, "    {style}{}{style:#}", plain(line))?;
        }
    }
    Ok(())
}

/// A check, as JSON.
pub(super) fn check_json(check: &Check, namespace: &str) -> Value {
    let mend: Vec<_> =
        check.remedies.iter().map(|r| json!({"command": r.command(namespace), "by": r.by()})).collect();
    json!({
        "id": check.id,
        "group": check.group,
        "verdict": check.verdict,
        "read": check.read,
        "why": check.why,
        "mend": mend,
    })
}

/// The changes of a plan, as JSON.
pub(super) fn plan_json(plan: &Plan, namespace: &str) -> Vec<Value> {
    let steps = plan.steps.iter().map(|step| json!({"command": step.command(namespace)}));
    let edits = plan.edits.iter().map(|edit| json!({"file": edit.path, "diff": diff(edit)}));
    steps.chain(edits).collect()
}

fn style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Ok => AnsiColor::Green,
        Verdict::Warn => AnsiColor::Yellow,
        Verdict::Bad => AnsiColor::Red,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

/// What a terminal obeys is replaced: names and comments of rules, and lines of files, are other people's
/// text.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Words in lines of at most so many characters; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::check::Group;

    #[test]
    fn a_report_is_aligned_and_obeys_no_control_characters() {
        let place = ("notrack", Group::Firewall);
        let remedy = Remedy::Command("nft delete \u{1b}[2J".to_owned());
        let list = [
            Check::ok("nat", Group::Firewall, "fine"),
            Check::wrong(place, Verdict::Warn, "a rule", "one two", vec![remedy]),
        ];
        let mut out = Vec::new();
        checks(&mut out, "", &list, Show::All).unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            concat!(
                "firewall\n",
                "  ok    nat      fine\n",
                "  warn  notrack  a rule\n",
                "                 one two\n",
                "                 nft delete \u{fffd}[2J\n",
                "\n1 ok, 1 warn, 0 bad\n",
            )
        );
    }

    #[test]
    fn long_explanations_are_wrapped() {
        assert_eq!(wrapped("aa bb cccccc d", 5), ["aa bb", "cccccc", "d"]);
    }
}
