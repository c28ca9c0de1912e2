//! The report as AsciiDoc, line for line as Pyruse lays it out.
//!
//! A message that AsciiDoc could read as markup stands in a literal cell (`l|`), where only `|` has a meaning, and that
//! is escaped. In the listing at the end nothing has a meaning but the line that ends it, and each line there begins
//! with a time.

use std::fmt::Write;

use super::visible::visible;
use super::{Group, Heading, Report, Section, lines, local, unlisted};

const TABLE: &str = "|===============================================================================\n";
const HEADER: &str = "|Count|Message                                    |Date+time for each occurrence\n";
const LISTING: &str = "----------\n";

/// The report as AsciiDoc.
pub fn render_text(report: &Report, heading: &Heading<'_>) -> String {
    let mut out = String::from("= ");
    visible(heading.title, |c| out.push(c));
    out.push_str("\n\n");
    section(&mut out, "== WARNING Messages\n\n", &report.warnings, heading);
    section(&mut out, "\n== Information Messages\n\n", &report.information, heading);
    out.push_str("\n== Other log events\n\n");
    out.push_str(LISTING);
    for (time, message) in &report.others {
        let _ = write!(out, "{}: ", local(*time, heading.zone));
        visible(message, |c| out.push(c));
        out.push('\n');
    }
    out.push_str(LISTING);
    if let Some(tally) = report.unlisted_others {
        let _ = writeln!(out, "\n{}", unlisted(tally, heading.zone));
    }
    out
}

fn section(out: &mut String, head: &str, section: &Section, heading: &Heading<'_>) {
    out.push_str(head);
    out.push_str(TABLE);
    out.push_str(HEADER);
    for (message, groups) in &section.rows {
        row(out, message, groups, heading);
    }
    out.push_str(TABLE);
    if let Some(tally) = section.unlisted {
        let _ = writeln!(out, "\n{}", unlisted(tally, heading.zone));
    }
}

fn row(out: &mut String, message: &str, groups: &[Group], heading: &Heading<'_>) {
    let count: u64 = groups.iter().map(|group| group.tally.count).sum();
    let mut shown = String::with_capacity(message.len());
    visible(message, |c| {
        if c == '|' {
            shown.push('\\');
        }
        shown.push(c);
    });
    let style = if is_plain(&shown) { "" } else { " l" };
    let times: Vec<String> =
        groups.iter().map(|group| lines(group, heading.zone).join(" +\n       ")).collect();
    let times = times.join("\n       +\n       ");
    let _ = write!(out, "\n|{count:^5}{style}|{shown}\n      |{times}\n");
}

/// Can AsciiDoc read nothing but text in this?
fn is_plain(text: &str) -> bool {
    let is_harmless = |c: char| c.is_alphanumeric() || " .,:;!?%$/=()-".contains(c);
    // Dashes, ellipses, signs like (C), links, and blanks that a literal cell keeps and another does not.
    let means_something = ["--", "...", "(C)", "(R)", "(TM)", "://", "  "];
    text.chars().all(is_harmless)
        && !means_something.iter().any(|mark| text.contains(mark))
        && text.trim().len() == text.len()
}
