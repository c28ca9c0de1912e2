//! What attackers try, counted: from lines of attempts to pictures and word lists.
//!
//! ```text
//!  bytes ──Line::parse──► Line ──Counts::add──► tallies (memory, then sorted runs on disk)
//!                                                  │ report                   │ each_by_count
//!                                                  ▼                          ▼
//!                  bars · picture ► svg, png · html · csv, json           word list
//! ```
//!
//! All counts are exact, whatever the number of lines: what does not fit into memory is put aside, sorted, and added up at the end.
//! Passwords are hostile text; everything that is shown went through [`visible::visible`].
//!
//! ```
//! use std::sync::Arc;
//! use unmasq_honeypot::report::{Counts, Line, Moment, Section, Wanted};
//!
//! let wanted = Arc::new(Wanted {
//!     sections: Section::ALL.to_vec(),
//!     users: vec![b"root".to_vec()],
//!     prefix4: 24,
//!     prefix6: 48,
//!     period: Moment(i64::MIN)..=Moment(i64::MAX),
//!     software: None,
//!     folder: std::env::temp_dir().into(),
//!     memory: 1 << 20,
//! });
//! let mut counts = Counts::new(wanted);
//! let line = br#"{"username": "root", "password": "123456", "src_ip": "192.0.2.1", "timestamp": "2026-11-29T00:00:00Z"}"#;
//! counts.add(&Line::parse(line)?)?;
//! let report = counts.report(20, |_| 0)?;
//! assert_eq!(report.totals.attempts(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bars;
mod counts;
pub mod data;
pub mod html;
mod line;
mod model;
mod moment;
pub mod picture;
pub mod png;
pub mod svg;
mod tally;
pub mod visible;
mod wordlist;

pub use counts::{Counts, ListOf, Wanted};
pub use line::{Line, LineError, Secret};
pub use model::{Damage, Report, Row, Section, Share, Table, Totals, clock, grouped};
pub use moment::Moment;
pub use tally::{SpillError, Tally, Top};
pub use wordlist::{WordList, Written};

/// Reads any bytes as a line, counts it, and prints it in every form.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    use std::sync::Arc;

    let wanted = Arc::new(Wanted {
        sections: Section::ALL.to_vec(),
        users: vec![b"root".to_vec()],
        prefix4: 24,
        prefix6: 48,
        period: Moment(i64::MIN)..=Moment(i64::MAX),
        software: None,
        folder: std::env::temp_dir().into(),
        memory: usize::MAX,
    });
    let mut counts = Counts::new(wanted);
    let mut count = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(line) = Line::parse(line) {
            count += 1;
            counts.add(&line).expect("it fits into memory");
        }
    }
    let report = counts.report(3, |_| 3600).expect("nothing was put aside");
    let totals = &report.totals;
    assert_eq!(totals.attempts() + totals.none + totals.connections, count);
    let zone = bars::Zone { name: "UTC", offset: &|_| 0 };
    let page = bars::page(&report, 80, &zone);
    let texts = page.iter().flatten().map(|span| span.text.as_str());
    let json = data::json(&report);
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    let pictures = svg::svg(&picture::of_report(&report, &zone, png::can_be_drawn));
    for text in texts.chain([json.as_str(), &pictures, &html::html(&report, &zone)]) {
        assert!(!text.chars().any(|character| character != '\n' && visible::is_hidden(character)));
    }
    data::write_csv(&report, std::io::sink()).expect("a sink takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::record::{EventKind, Record, text_of};

    fn wanted(memory: usize) -> Arc<Wanted> {
        Arc::new(Wanted {
            sections: Section::ALL.to_vec(),
            users: vec![b"root".to_vec(), b"admin".to_vec()],
            prefix4: 24,
            prefix6: 48,
            period: Moment(i64::MIN)..=Moment(i64::MAX),
            software: None,
            folder: std::env::temp_dir().into(),
            memory,
        })
    }

    fn line(user: &[u8], password: &[u8], host: u8, event: EventKind) -> Vec<u8> {
        let ((username, username_raw), (password, password_raw)) = (text_of(user), text_of(password));
        let record = Record {
            username: Some(username),
            password: Some(password),
            username_raw: username_raw.map(Into::into),
            password_raw: password_raw.map(Into::into),
            src_ip: format!("192.0.{host}.1").into(),
            timestamp: "2026-11-29T10:00:00.000000Z".into(),
            event,
            ..Record::default()
        };
        serde_json::to_vec(&record).unwrap()
    }

    #[test]
    fn connections_and_questions_for_methods_are_no_attempts() {
        let mut counts = Counts::new(wanted(1 << 20));
        for event in [EventKind::Password, EventKind::None, EventKind::Connection] {
            counts.add(&Line::parse(&line(b"root", b"x", 1, event)).unwrap()).unwrap();
        }
        let report = counts.report(20, |_| 0).unwrap();
        assert_eq!((report.totals.attempts(), report.totals.none, report.totals.connections), (1, 1, 1));
        for table in &report.tables {
            assert!(table.sum <= 1, "{:?}", table.section);
        }
    }

    #[test]
    fn attempts_are_counted_by_network_and_by_the_zones_hour() {
        let mut counts = Counts::new(wanted(1 << 20));
        for address in ["192.0.2.1", "192.0.2.99", "2001:db8:1:2::3", "2001:db8:1:3::4"] {
            let text =
                format!(r#"{{"src_ip":"{address}","timestamp":"2026-11-29T23:50:00Z","username":"u"}}"#);
            counts.add(&Line::parse(text.as_bytes()).unwrap()).unwrap();
        }
        let report = counts.report(20, |_| 3600).unwrap();
        let rows = |section| {
            let table = report.tables.iter().find(|table| table.section == section).unwrap();
            table
                .rows
                .iter()
                .filter(|row| row.count > 0)
                .map(|row| (row.label(), row.count))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            rows(Section::Networks),
            [("2001:db8:1::/48".to_owned(), 2), ("192.0.2.0/24".to_owned(), 2)]
        );
        assert_eq!(rows(Section::Hours), [("00".to_owned(), 4)]);
        assert_eq!(rows(Section::Days), [("2026-11-30".to_owned(), 4)]);
        assert_eq!(report.totals.sources, 4);
    }

    #[test]
    fn lines_of_other_times_are_told_and_not_counted() {
        let period = Moment::parse(b"2026-11-29T10:00:01Z").unwrap()..=Moment(i64::MAX);
        let mut counts = Counts::new(Arc::new(Wanted { period, ..(*wanted(1 << 20)).clone() }));
        counts.add(&Line::parse(&line(b"root", b"x", 1, EventKind::Password)).unwrap()).unwrap();
        let report = counts.report(20, |_| 0).unwrap();
        assert_eq!((report.totals.attempts(), report.totals.outside), (0, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines_or_damage(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn any_texts_are_printed_harmless(
            users in prop::collection::vec((any::<String>(), prop::collection::vec(any::<u8>(), 0..12)), 0..6),
        ) {
            let mut bytes = Vec::new();
            for (user, password) in &users {
                bytes.extend(line(user.as_bytes(), password, 1, EventKind::Password));
                bytes.push(b'\n');
            }
            fuzz(&bytes);
        }

        #[test]
        fn counts_in_parts_and_with_little_memory_are_those_of_a_plain_map(
            attempts in prop::collection::vec(
                (prop::sample::select(vec![&b"root"[..], b"admin", b"r\xf6\xf6t"]), prop::collection::vec(b'a'..b'd', 0..3), 0_u8..4),
                0..120,
            ),
            parts in 1_usize..4,
            memory in prop::sample::select(vec![0, 500, 1 << 20]),
        ) {
            let mut pairs: HashMap<(Vec<u8>, Vec<u8>), u64> = HashMap::new();
            let wanted = wanted(memory);
            let mut counts: Vec<Counts> = (0..parts).map(|_| Counts::new(Arc::clone(&wanted))).collect();
            for (place, (user, password, host)) in attempts.iter().enumerate() {
                *pairs.entry((user.to_vec(), password.clone())).or_default() += 1;
                let text = line(user, password, *host, EventKind::Password);
                let part = &mut counts[place % parts];
                part.add(&Line::parse(&text).unwrap()).unwrap();
                if place % 10 == 0 {
                    part.keep_within(memory / parts).unwrap();
                }
            }
            let mut whole = counts.pop().unwrap();
            for part in counts {
                whole.absorb(part).unwrap();
            }
            let report = whole.report(1000, |_| 0).unwrap();
            prop_assert_eq!(report.totals.attempts(), attempts.len() as u64);
            for table in &report.tables {
                let naive = |password: &[u8], user: Option<&[u8]>| -> u64 {
                    pairs.iter().filter(|((u, p), _)| p == password && user.is_none_or(|user| user == u)).map(|(_, n)| n).sum()
                };
                match table.section {
                    Section::Pairs => {
                        prop_assert_eq!(table.rows.len(), pairs.len());
                        for row in &table.rows {
                            let key = (row.user.clone().unwrap(), row.value.clone());
                            prop_assert_eq!(pairs.get(&key), Some(&row.count));
                        }
                    }
                    Section::Passwords | Section::UserPasswords => {
                        for row in &table.rows {
                            prop_assert_eq!(naive(&row.value, table.user.as_deref()), row.count);
                        }
                    }
                    _ => prop_assert!(table.sum <= attempts.len() as u64),
                }
                let mut sorted = table.rows.clone();
                if !table.section.is_course() {
                    sorted.sort_by_key(|row| std::cmp::Reverse(row.count));
                    prop_assert_eq!(&sorted, &table.rows);
                }
            }
        }
    }
}
