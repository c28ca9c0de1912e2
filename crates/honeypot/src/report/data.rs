//! The report for programs: CSV and JSON.
//!
//! What the attacker sent is in two forms: as it is shown, harmless in a spreadsheet and a terminal, and, where that says something else,
//! as Base64 of the exact bytes.

use std::fmt::Write as _;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::model::{Report, Row, Table};
use super::visible::{is_hidden, visible};

/// The columns of the CSV.
const COLUMNS: [&str; 10] = [
    "section",
    "of_user",
    "rank",
    "user",
    "value",
    "count",
    "share_percent",
    "is_hash",
    "user_base64",
    "value_base64",
];

/// What begins a formula in spreadsheets (OWASP, "CSV injection").
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// Writes the report as CSV: a line for each row of each section.
pub fn write_csv(report: &Report, out: impl io::Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for table in &report.tables {
        let of_user = table.user.as_deref().map(cell).unwrap_or_default();
        for (rank, row) in table.rows.iter().enumerate() {
            let user = row.user.as_deref();
            csv.write_record([
                table.section.name(),
                &of_user,
                &(rank + 1).to_string(),
                &user.map(cell).unwrap_or_default(),
                &cell(&row.value),
                &row.count.to_string(),
                &format!("{:.3}", table.share(row.count).0),
                if row.is_hash { "true" } else { "false" },
                &user.and_then(|user| exact(user, &cell(user))).unwrap_or_default(),
                &exact(&row.value, &cell(&row.value)).unwrap_or_default(),
            ])?;
        }
    }
    csv.flush()
}

/// A text that is no formula.
fn cell(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let mut text = visible(bytes);
    if let Some(first) = text.chars().next().filter(|first| FORMULA.contains(first)) {
        text.replace_range(..1, &format!("\\x{:02x}", first as u32));
    }
    text
}

/// The bytes in Base64, if the text shown does not say them.
fn exact(bytes: &[u8], shown: &str) -> Option<String> {
    (bytes != shown.as_bytes()).then(|| STANDARD.encode(bytes))
}

#[derive(Serialize)]
struct JsonRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_base64: Option<String>,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_hash: bool,
    count: u64,
}

impl From<&Row> for JsonRow {
    fn from(row: &Row) -> Self {
        let user = row.user.as_deref();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            user: user.map(text),
            user_base64: user.and_then(|user| exact(user, &text(user))),
            value: text(&row.value),
            value_base64: exact(&row.value, &text(&row.value)),
            is_hash: row.is_hash,
            count: row.count,
        }
    }
}

/// The report as JSON, on one line or on many. Every character that a terminal could take for something else is escaped.
pub fn json(report: &Report) -> String {
    let totals = &report.totals;
    let moment = |moment: i64| {
        let seconds = moment.div_euclid(1_000_000);
        format!("{}.{:06}Z", super::model::clock(seconds).replace(' ', "T"), moment.rem_euclid(1_000_000))
    };
    let damage = report.damage.as_ref().map(|damage| {
        serde_json::json!({
            "lines": damage.lines,
            "first": { "file": damage.file, "line": damage.line, "why": damage.why.to_string() },
        })
    });
    let value = serde_json::json!({
        "attempts": totals.attempts(),
        "passwords": totals.passwords,
        "keyboard_interactive": totals.answers,
        "public_keys": totals.keys,
        "others": totals.others,
        "none": totals.none,
        "connections": totals.connections,
        "outside": totals.outside,
        "other_clients": totals.other_clients,
        "sources": totals.sources,
        "sessions": totals.sessions,
        "first": totals.period.map(|(first, _)| moment(first.0)),
        "last": totals.period.map(|(_, last)| moment(last.0)),
        "damaged": damage,
        "sections": report.tables.iter().map(section).collect::<Vec<_>>(),
    });
    let text = format!("{value:#}");
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_hidden(character) {
            // Only inside of strings are there any.
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing into a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out.push('\n');
    out
}

fn section(table: &Table) -> Value {
    let rows: Vec<JsonRow> = table.rows.iter().map(JsonRow::from).collect();
    serde_json::json!({
        "section": table.section.name(),
        "of_user": table.user.as_deref().map(String::from_utf8_lossy),
        "distinct": table.distinct,
        "attempts": table.sum,
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::model::{Section, Totals};
    use crate::report::visible::bytes_of;

    fn report(rows: Vec<Row>) -> Report {
        let table = Table {
            section: Section::Pairs,
            user: None,
            distinct: rows.len() as u64,
            sum: rows.iter().map(|row| row.count).sum(),
            rows,
        };
        Report { totals: Totals::default(), tables: vec![table], damage: None }
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let bytes = || prop::collection::vec(prop_oneof![any::<u8>(), 32_u8..127], 0..12);
        let row = (bytes(), bytes(), any::<bool>(), 0_u64..1_000_000);
        let row =
            row.prop_map(|(user, value, is_hash, count)| Row { user: Some(user), value, is_hash, count });
        prop::collection::vec(row, 0..8)
    }

    /// What a pair of a shown and an exact form means.
    fn meant(shown: &str, base64: &str) -> Vec<u8> {
        if base64.is_empty() { shown.as_bytes().to_vec() } else { STANDARD.decode(base64).unwrap() }
    }

    #[test]
    fn no_cell_is_a_formula_and_no_json_is_a_terminal_escape() {
        let row = |value: &str| Row { user: None, value: value.into(), is_hash: false, count: 1 };
        let report = report(vec![row("=cmd|' /C calc'!A0"), row("\u{9b}31m\u{1b}[2J\u{202e}"), row("-1")]);
        let mut out = Vec::new();
        write_csv(&report, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(",\\x3dcmd|' /C calc'!A0,"), "{text}");
        assert!(text.contains(",\\x2d1,1,"), "{text}");
        let text = json(&report);
        assert!(text.contains(r#""\u009b31m\u001b[2J\u202e""#), "{text}");
    }

    proptest! {
        #[test]
        fn csv_is_read_back_as_it_was(rows in rows()) {
            let mut out = Vec::new();
            write_csv(&report(rows.clone()), &mut out).unwrap();
            let mut reader = csv::Reader::from_reader(&out[..]);
            let read: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), rows.len());
            for (read, row) in read.iter().zip(&rows) {
                prop_assert_eq!(&meant(&read[3], &read[8]), row.user.as_ref().unwrap());
                prop_assert_eq!(&meant(&read[4], &read[9]), &row.value);
                prop_assert_eq!(bytes_of(&read[4]), Some(row.value.clone()));
                prop_assert_eq!(&read[5], &row.count.to_string());
                prop_assert_eq!(&read[7], &row.is_hash.to_string());
            }
        }

        #[test]
        fn json_is_read_back_as_it_was(rows in rows()) {
            let text = json(&report(rows.clone()));
            prop_assert!(!text.chars().any(|character| character != '\n' && is_hidden(character)));
            let read: Value = serde_json::from_str(&text).unwrap();
            let read = read["sections"][0]["rows"].as_array().unwrap();
            prop_assert_eq!(read.len(), rows.len());
            for (read, row) in read.iter().zip(&rows) {
                let of = |key: &str| read[key].as_str().unwrap_or_default();
                prop_assert_eq!(&meant(of("user"), of("user_base64")), row.user.as_ref().unwrap());
                prop_assert_eq!(&meant(of("value"), of("value_base64")), &row.value);
                prop_assert_eq!(read["count"].as_u64(), Some(row.count));
            }
        }
    }
}
