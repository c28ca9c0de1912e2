//! What nft and iptables-restore complain about, shown with the line of the file.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use unmasq_diagnostic::{Invalid, Problem};
use unmasq_rules::Form;
use unmasq_rules::ruleset::RulesetError;

/// Why a file was refused.
pub(super) struct Complaint {
    file: String,
    placed: Invalid,
    /// What names no place.
    others: Vec<String>,
}

impl Complaint {
    /// From what the program said.
    pub(super) fn of(file: &Path, text: &str, form: Form, said: &str) -> Self {
        let (problems, others) = match form {
            Form::Nft => of_nft(text, said),
            Form::Iptables | Form::Ip6tables => of_iptables(text, said),
        };
        Self { file: file.display().to_string(), placed: Invalid::new(file, text, problems), others }
    }

    /// From our own reader.
    pub(super) fn of_reader(file: &Path, text: &str, error: &RulesetError) -> Self {
        let (problems, others) = match error {
            RulesetError::Text(wrong) => {
                (wrong.iter().map(|wrong| wrong.problem.clone()).collect(), Vec::new())
            }
            other => (Vec::new(), vec![other.to_string()]),
        };
        Self { file: file.display().to_string(), placed: Invalid::new(file, text, problems), others }
    }

    /// Line, column and message of each; no line where none was named.
    pub(super) fn problems(&self) -> impl Iterator<Item = (Option<usize>, Option<usize>, &str)> {
        let placed = self.placed.problems();
        let placed =
            placed.map(|(line, column, problem)| (Some(line), Some(column), problem.message.as_str()));
        placed.chain(self.others.iter().map(|message| (None, None, message.as_str())))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placed.fmt(f)?;
        for message in &self.others {
            writeln!(f, "{}: {message}", self.file)?;
        }
        Ok(())
    }
}

/// `/dev/stdin:3:21-27: Error: Could not process rule: No such file or directory`, then the line and a marker of its own.
fn of_nft(text: &str, said: &str) -> (Vec<Problem>, Vec<String>) {
    let (mut problems, mut others) = (Vec::new(), Vec::new());
    for line in said.lines() {
        let Some((place, message)) = line.split_once(": Error: ") else {
            if let Some(message) = line.strip_prefix("Error: ") {
                others.push(message.to_owned());
            }
            continue;
        };
        let mut parts = place.rsplitn(3, ':');
        let columns = parts.next().and_then(|columns| columns.split_once('-'));
        let columns = columns.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let number = parts.next().and_then(|number| number.parse().ok());
        // An error in an included file has another name in front.
        let is_of_file = parts.next().is_some_and(|file| file == "/dev/stdin" || file == "-");
        match (columns, number) {
            (Some((from, to)), Some(number)) if is_of_file => {
                let span = within(text, number, from, to);
                problems.push(Problem::error(span, explained(message)));
            }
            _ => others.push(line.to_owned()),
        }
    }
    if problems.is_empty() && others.is_empty() {
        others.push(said.to_owned());
    }
    (problems, others)
}

/// A sentence, then `Error occurred at line: 3`; or `iptables-restore: line 5 failed: …`, if the kernel refuses.
fn of_iptables(text: &str, said: &str) -> (Vec<Problem>, Vec<String>) {
    let (mut problems, mut others, mut sentence) = (Vec::new(), Vec::new(), String::new());
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Try `")) {
        if let Some(number) = line.strip_prefix("Error occurred at line: ").and_then(|n| n.parse().ok()) {
            let message = std::mem::take(&mut sentence);
            problems.push(Problem::error(within(text, number, 1, usize::MAX), message));
        } else if let Some((number, message)) = failed(line) {
            problems.push(Problem::error(within(text, number, 1, usize::MAX), message));
        } else {
            others.push(std::mem::take(&mut sentence));
            bare(line).clone_into(&mut sentence);
        }
    }
    others.push(sentence);
    others.retain(|message| !message.is_empty());
    (problems, others)
}

fn failed(line: &str) -> Option<(usize, String)> {
    let (_, rest) = line.split_once("line ").filter(|_| line.contains("failed"))?;
    let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let reason = rest.trim_matches([':', '.', ' ']);
    let message = if reason == "failed" { "the kernel refuses it" } else { reason };
    Some((number.parse().ok()?, message.to_owned()))
}

/// Without `iptables-restore v1.8.9 (nf_tables): `.
fn bare(line: &str) -> &str {
    let is_heading = |heading: &str| heading.contains("tables") && heading.contains(" v");
    match line.split_once(':') {
        Some((heading, message)) if is_heading(heading) => message.trim_start(),
        _ => line,
    }
}

/// nft says of a chain that is not there what the kernel says of it.
fn explained(message: &str) -> String {
    match message {
        "Could not process rule: No such file or directory" => {
            "something that it names is not there: a chain, a set, or a part of the kernel".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// The bytes of a line from one column to another, both from 1 and included. Columns of nft are bytes.
fn within(text: &str, number: usize, from: usize, to: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum();
    let line = text[start..].split('\n').next().unwrap_or_default();
    let indent = if from <= 1 { line.len() - line.trim_start().len() } else { from - 1 };
    let from = indent.min(line.len());
    start + from..start + to.min(line.trim_end().len()).max(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: Form, text: &str, said: &str) -> String {
        Complaint::of(Path::new("fw"), text, form, said).to_string()
    }

    #[test]
    fn a_complaint_of_nft_is_shown_in_the_file() {
        let text = "table inet f {\n chain x {\n  tcp dport 22 jump nowhere\n }\n}\n";
        let said = "/dev/stdin:3:21-27: Error: Could not process rule: No such file or directory\n  tcp dport 22 jump nowhere\n                    ^^^^^^^";
        assert_eq!(
            shown(Form::Nft, text, said),
            "fw:3:21: something that it names is not there: a chain, a set, or a part of the kernel\n  |\n3 |   tcp dport 22 jump nowhere\n  |                     ^^^^^^^\n"
        );
        let said = "/etc/other.nft:1:1-3: Error: syntax error, unexpected foo\nfoo";
        assert_eq!(
            shown(Form::Nft, text, said),
            "fw: /etc/other.nft:1:1-3: Error: syntax error, unexpected foo\n"
        );
        assert_eq!(shown(Form::Nft, text, "cannot"), "fw: cannot\n");
    }

    #[test]
    fn a_complaint_of_iptables_is_shown_in_the_file() {
        let text = "*filter\n:INPUT DROP [0:0]\n-A INPUT --foo\nCOMMIT\n";
        let said = "iptables-restore v1.8.9 (nf_tables): unknown option \"--foo\"\nError occurred at line: 3\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.";
        assert_eq!(
            shown(Form::Iptables, text, said),
            "fw:3:1: unknown option \"--foo\"\n  |\n3 | -A INPUT --foo\n  | ^^^^^^^^^^^^^^\n"
        );
        let said = "iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in chain INPUT";
        assert!(
            shown(Form::Iptables, text, said).contains("RULE_APPEND failed"),
            "{}",
            shown(Form::Iptables, text, said)
        );
        assert!(
            shown(Form::Iptables, text, "iptables-restore: line 4 failed")
                .starts_with("fw:4:1: the kernel refuses it")
        );
    }

    #[test]
    fn a_place_outside_of_the_file_does_no_harm() {
        for said in
            ["/dev/stdin:99:1-5: Error: x", "/dev/stdin:0:7-2: Error: x", "/dev/stdin:1:999-9999: Error: x"]
        {
            assert!(shown(Form::Nft, "é\n", said).contains('x'));
        }
        assert!(shown(Form::Iptables, "", "x\nError occurred at line: 77").contains('x'));
    }
}
