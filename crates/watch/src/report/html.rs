//! The report as HTML that mail programs show: one column of tables, every style inline, nothing fetched.

use std::fmt::Write;

use super::visible::visible;
use super::{Heading, Level, Report, Section, lines, local, unlisted};

const BODY: &str = "margin:0;padding:24px 12px;background:#f3f4f6;color:#1f2937;\
    font:14px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const PAGE: &str = "max-width:920px;margin:0 auto;background:#ffffff;border:1px solid #e5e7eb;border-radius:8px;\
    padding:24px 28px";
const H1: &str = "margin:0 0 4px;font-size:22px;line-height:1.3;color:#111827";
const SUMMARY: &str = "margin:0 0 8px;color:#6b7280";
const TABLE: &str = "border-collapse:collapse;width:100%;font-size:13px";
const CELL: &str = "padding:7px 10px;border:1px solid #e5e7eb;vertical-align:top;text-align:left";
const PRE: &str = "margin:0;padding:12px 14px;background:#f9fafb;border:1px solid #e5e7eb;border-radius:4px;\
    font:12px/1.5 ui-monospace,Consolas,Menlo,monospace;white-space:pre-wrap;word-break:break-word";
const NOTE: &str = "margin:8px 0 0;color:#92400e";

/// The report as an HTML document.
pub fn render_html(report: &Report, heading: &Heading<'_>) -> String {
    let title = escaped(heading.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width\"/><title>{title}</title></head>\n\
         <body style=\"{BODY}\">\n<div style=\"{PAGE}\">\n<h1 style=\"{H1}\">{title}</h1>\n"
    );
    let [warnings, information, others] =
        [Level::Warn, Level::Info, Level::Other].map(|level| report.count(level));
    let summary = if report.is_empty() {
        "Nothing to report.".to_owned()
    } else {
        format!("{warnings} warning, {information} information, {others} other")
    };
    let _ = writeln!(out, "<p style=\"{SUMMARY}\">{summary}</p>");
    section(&mut out, "WARNING Messages", "#b91c1c", &report.warnings, heading);
    section(&mut out, "Information Messages", "#1d4ed8", &report.information, heading);
    head(&mut out, "Other log events", "#4b5563");
    let _ = write!(out, "<pre style=\"{PRE}\">");
    for (time, message) in &report.others {
        let _ = writeln!(out, "{}: {}", local(*time, heading.zone), escaped(message));
    }
    out.push_str("</pre>\n");
    if let Some(tally) = report.unlisted_others {
        let _ = writeln!(out, "<p style=\"{NOTE}\">{}</p>", unlisted(tally, heading.zone));
    }
    out.push_str("</div>\n</body></html>\n");
    out
}

fn head(out: &mut String, title: &str, colour: &str) {
    let _ = writeln!(
        out,
        "<h2 style=\"margin:26px 0 10px;padding-left:10px;border-left:4px solid {colour};font-size:16px;\
         color:{colour}\">{title}</h2>"
    );
}

fn section(out: &mut String, title: &str, colour: &str, section: &Section, heading: &Heading<'_>) {
    head(out, title, colour);
    let _ = writeln!(
        out,
        "<table style=\"{TABLE}\">\n<tr style=\"background:#f9fafb\"><th style=\"{CELL};width:48px\">Count</th>\
         <th style=\"{CELL}\">Message</th><th style=\"{CELL};width:235px\">Date+time for each occurrence</th></tr>"
    );
    for (message, groups) in &section.rows {
        let count: u64 = groups.iter().map(|group| group.tally.count).sum();
        let times: Vec<String> =
            groups.iter().map(|group| lines(group, heading.zone).join("<br/>")).collect();
        let _ = writeln!(
            out,
            "<tr><td style=\"{CELL};text-align:right\">{count}</td>\
             <td style=\"{CELL};word-break:break-word\">{}</td>\
             <td style=\"{CELL};white-space:nowrap;color:#4b5563\">{}</td></tr>",
            escaped(message),
            times.join("<br/><br/>")
        );
    }
    out.push_str("</table>\n");
    if let Some(tally) = section.unlisted {
        let _ = writeln!(out, "<p style=\"{NOTE}\">{}</p>", unlisted(tally, heading.zone));
    }
}

/// Text that is only text wherever it stands, attributes included.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    visible(text, |c| match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        _ => out.push(c),
    });
    out
}
