//! The report in a terminal: bars of block characters, labels at their left, counts at their right.

use std::fmt::Write as _;

use super::model::{Report, Table, Totals, clock, grouped};
use super::visible::{cut, width};

/// Widths that the page can have, in columns.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=120;
/// Fewest columns for bars.
const LEAST_BAR: usize = 12;
/// Eighths of a block.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// What a stretch of text shows, for whoever colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Words and labels.
    Plain,
    /// A heading.
    Strong,
    /// What is told beside it.
    Quiet,
    /// A bar.
    Bar,
    /// Something that is wrong.
    Doubt,
}

/// A stretch of text of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text, without line feeds.
    pub text: String,
    /// What it shows.
    pub ink: Ink,
}

fn span(text: impl Into<String>, ink: Ink) -> Span {
    Span { text: text.into(), ink }
}

/// The page in lines, no wider than this (60 to 120 columns). Times are shown in the zone of that name and offset (seconds).
pub fn page(report: &Report, columns: usize, zone: &Zone<'_>) -> Vec<Vec<Span>> {
    let columns = columns.clamp(*WIDTHS.start(), *WIDTHS.end());
    let mut lines = totals(&report.totals, zone);
    if let Some(damage) = &report.damage {
        lines.push(vec![span(damage.to_string(), Ink::Doubt)]);
    }
    for table in &report.tables {
        lines.push(Vec::new());
        lines.push(vec![
            span(table.title(), Ink::Strong),
            span(format!("  {}", table.subtitle()), Ink::Quiet),
        ]);
        lines.extend(rows(table, columns));
    }
    lines
}

/// The zone that times are shown in.
pub struct Zone<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its offset from UTC at a Unix time, both in seconds.
    pub offset: &'a dyn Fn(i64) -> i64,
}

impl Zone<'_> {
    /// A Unix time (seconds) there.
    pub fn clock(&self, seconds: i64) -> String {
        clock(seconds.saturating_add((self.offset)(seconds)))
    }
}

/// What is told of all lines, in sentences. The first is the one that matters.
pub fn sentences(totals: &Totals, zone: &Zone<'_>) -> Vec<String> {
    let many = |count: u64, one: &str, more: &str| {
        format!("{} {}", grouped(count), if count == 1 { one } else { more })
    };
    let mut head = format!(
        "{} from {} in {}",
        many(totals.attempts(), "attempt", "attempts"),
        many(totals.sources, "address", "addresses"),
        many(totals.sessions, "session", "sessions"),
    );
    if let Some((first, last)) = totals.period {
        let (first, last) = (zone.clock(first.seconds()), zone.clock(last.seconds()));
        // Writing into a string cannot fail.
        let _ = write!(head, ", {first} to {last} ({})", zone.name);
    }
    let kinds = [
        many(totals.passwords, "password", "passwords"),
        many(totals.answers, "keyboard-interactive answer", "keyboard-interactive answers"),
        many(totals.keys, "public key", "public keys"),
        many(totals.others, "other", "others"),
    ];
    let counts = [totals.passwords, totals.answers, totals.keys, totals.others];
    let kinds: Vec<String> =
        kinds.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(kind, _)| kind).collect();
    let beside = [
        (totals.none, "question which methods there are", "questions which methods there are"),
        (totals.connections, "connection's end", "connections' ends"),
        (totals.outside, "line of another time", "lines of other times"),
        (totals.other_clients, "line of another client", "lines of other clients"),
    ];
    let beside: Vec<String> = beside
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, more)| many(count, one, more))
        .collect();
    let mut sentences = vec![head];
    sentences.extend((!kinds.is_empty()).then(|| kinds.join(", ")));
    sentences.extend((!beside.is_empty()).then(|| format!("not counted as attempts: {}", beside.join(", "))));
    sentences
}

fn totals(totals: &Totals, zone: &Zone<'_>) -> Vec<Vec<Span>> {
    let inks = std::iter::once(Ink::Strong).chain(std::iter::repeat(Ink::Quiet));
    sentences(totals, zone).into_iter().zip(inks).map(|(text, ink)| vec![span(text, ink)]).collect()
}

fn rows(table: &Table, columns: usize) -> Vec<Vec<Span>> {
    if table.rows.is_empty() {
        return vec![vec![span("  nothing", Ink::Quiet)]];
    }
    let most = table.rows.iter().map(|row| row.count).max().unwrap_or(0);
    let counts: Vec<String> = table.rows.iter().map(|row| grouped(row.count)).collect();
    let count_width = counts.iter().map(String::len).max().unwrap_or(0);
    // Two blanks at the left and between the columns, and a share such as "< 0.1 %".
    let fixed = 2 + 2 + 2 + count_width + 2 + 7;
    let widest = columns.saturating_sub(fixed + LEAST_BAR).max(8);
    let labels: Vec<String> = table.rows.iter().map(|row| cut(&row.label(), widest)).collect();
    let label_width = labels.iter().map(|label| width(label)).max().unwrap_or(0);
    let bar_width = columns.saturating_sub(fixed + label_width).max(LEAST_BAR);
    let each = table.rows.iter().zip(labels).zip(counts);
    each.map(|((row, label), count)| {
        let bar = bar(row.count, most, bar_width);
        let (after_label, after_bar) =
            (" ".repeat(label_width - width(&label)), " ".repeat(bar_width - width(&bar)));
        vec![
            span(format!("  {label}{after_label}  "), Ink::Plain),
            span(bar, Ink::Bar),
            span(format!("{after_bar}  {count:>count_width$}"), Ink::Plain),
            span(format!("  {:>7}", table.share(row.count).to_string()), Ink::Quiet),
        ]
    })
    .collect()
}

/// A bar in eighths of a character; whatever was counted at all is seen.
fn bar(count: u64, most: u64, columns: usize) -> String {
    if count == 0 || most == 0 {
        return String::new();
    }
    let eighths = (count as f64 / most as f64 * (columns * 8) as f64).round() as usize;
    let eighths = eighths.clamp(1, columns * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::model::{Row, Section};

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(8, 8, 3), "███");
        assert_eq!(bar(4, 8, 3), "█▌");
        assert_eq!(bar(1, 1_000_000, 3), "▏");
        assert_eq!(bar(0, 8, 3), "");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_page_and_all_end_together(
            values in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 0_u64..u64::MAX / 1000), 1..20),
            columns in 0_usize..200,
        ) {
            let rows: Vec<Row> = values.iter().map(|(value, count)| Row { user: None, value: value.clone(), is_hash: false, count: *count }).collect();
            let sum = rows.iter().map(|row| row.count).sum();
            let table = Table { section: Section::Passwords, user: None, distinct: rows.len() as u64, sum, rows };
            let columns = columns.clamp(60, 120);
            for line in super::rows(&table, columns) {
                let text: String = line.iter().map(|span| span.text.as_str()).collect();
                prop_assert!(width(&text) <= columns, "{text}");
            }
        }
    }
}
