use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// 2118-01-01 08:01:01 UTC, and so many microseconds.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_nanos(4_670_467_261_000_000_000 + micros * 1000)
}

fn event(level: Level, details: Details, message: &str, micros: i64) -> Event<'_> {
    Event { level, details, message, time: at(micros) }
}

fn report(events: &[Event<'_>]) -> Report {
    let mut report = Report::default();
    for event in events {
        report.add(event, &Limits::default());
    }
    report
}

fn text(report: &Report) -> String {
    render_text(report, &Heading { title: "Pyruse Report", zone: &TimeZone::UTC })
}

fn html(report: &Report) -> String {
    render_html(report, &Heading { title: "Pyruse Report", zone: &TimeZone::UTC })
}

const TABLE: &str = "|===============================================================================\n\
    |Count|Message                                    |Date+time for each occurrence\n";
const END: &str = "|===============================================================================\n";

#[test]
fn the_text_is_laid_out_as_in_pyruse() {
    use Details::{All, First, FirstLast, Last, None};
    let report = report(&[
        event(Level::Warn, All, "Failed login as root from ::1", 9),
        event(Level::Warn, All, "Failed login as nobody from 5.6.7.8", 3),
        event(Level::Other, All, "not = a row", 0),
        event(Level::Warn, All, "Failed login as nobody from 5.6.7.8", 11),
        event(Level::Info, First, "seen", 1),
        event(Level::Info, First, "seen", 2),
        event(Level::Info, Last, "seen", 3),
        event(Level::Info, FirstLast, "seen", 4),
        event(Level::Info, FirstLast, "seen", 5),
        event(Level::Info, FirstLast, "once", 6),
        event(Level::Info, None, "untold", 7),
    ]);
    let expected = format!(
        "= Pyruse Report\n\n== WARNING Messages\n\n{TABLE}\
         \n|  2  |Failed login as nobody from 5.6.7.8\n      |2118-01-01 08:01:01.000003 +\n       2118-01-01 08:01:01.000011\n\
         \n|  1  |Failed login as root from ::1\n      |2118-01-01 08:01:01.000009\n{END}\
         \n== Information Messages\n\n{TABLE}\
         \n|  1  |once\n      |2118-01-01 08:01:01.000006\n\
         \n|  5  |seen\n      |From\u{a0}: 2118-01-01 08:01:01.000001\n       +\n       Until: 2118-01-01 08:01:01.000003\n       +\n       \
         From\u{a0}: 2118-01-01 08:01:01.000004 +\n       Until: 2118-01-01 08:01:01.000005\n\
         \n|  1  |untold\n      |\n{END}\
         \n== Other log events\n\n----------\n2118-01-01 08:01:01: not = a row\n----------\n"
    );
    assert_eq!(text(&report), expected);
}

#[test]
fn times_are_those_of_the_zone() {
    let zone = TimeZone::get("Europe/Paris").unwrap();
    assert_eq!(local(at(0), &zone), "2118-01-01 09:01:01");
    assert_eq!(local(at(9), &zone), "2118-01-01 09:01:01.000009");
}

#[test]
fn a_message_cannot_leave_its_cell_in_the_text() {
    let hostile = [
        "a | b",
        "x\n|===\n\n== Forged",
        "*bold* _it_ `code`",
        "include::/etc/passwd[]",
        "{sys:id}",
        "http://evil.example/[click]",
        "trailing \\",
        "a  b",
        "<<x>>",
    ];
    for message in hostile {
        let text = text(&report(&[event(Level::Warn, Details::All, message, 0)]));
        let row = text.lines().find(|line| line.starts_with("|  1  ")).unwrap();
        assert!(row.starts_with("|  1   l|"), "{row:?}");
        assert!(!row[9..].replace("\\|", "").contains('|'), "{row:?}");
        assert_eq!(text.lines().count(), 21, "{text}");
    }
    // Text that means nothing to AsciiDoc looks as Pyruse's does.
    let plain = text(&report(&[event(Level::Warn, Details::All, "Échec: 3 of 4 (75%), x=y; ok?", 0)]));
    assert!(plain.contains("\n|  1  |Échec: 3 of 4 (75%), x=y; ok?\n"), "{plain}");
}

#[test]
fn a_line_of_others_is_one_line() {
    let text =
        text(&report(&[event(Level::Other, Details::All, "a\n----------\n== Forged\r\u{1b}[2J\u{202e}", 0)]));
    assert!(
        text.ends_with("----------\n2118-01-01 08:01:01: a␊----------␊== Forged␍␛[2J⟨U+202E⟩\n----------\n"),
        "{text}"
    );
}

#[test]
fn html_shows_a_message_and_never_obeys_it() {
    let html = html(&report(&[
        event(Level::Warn, Details::All, "<script>alert(\"1\")</script> & 'x'\u{7}", 0),
        event(Level::Other, Details::All, "</pre><img src=x>", 0),
    ]));
    assert!(
        html.contains(">&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;␇</td>"),
        "{html}"
    );
    assert!(html.contains("2118-01-01 08:01:01: &lt;/pre&gt;&lt;img src=x&gt;\n</pre>"), "{html}");
    assert!(!html.contains("<script") && !html.contains("<img"));
    for part in ["WARNING Messages", "Information Messages", "Other log events", ">Count<", ">Message<"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("1 warning, 0 information, 1 other"));
}

#[test]
fn an_empty_report_says_so() {
    let report = Report::default();
    assert!(report.is_empty());
    assert!(html(&report).contains("Nothing to report."));
    assert!(text(&report).starts_with("= Pyruse Report\n\n== WARNING Messages\n\n"));
}

#[test]
fn a_flood_is_counted_and_the_report_says_what_it_leaves_out() {
    let limits = Limits { message_bytes: 20, total_bytes: 1000, rows: 3, times: 2, total_times: 5 };
    let mut report = Report::default();
    for n in 0..100 {
        let message = format!("message {}", n % 5);
        for level in [Level::Warn, Level::Other] {
            report.add(&event(level, Details::All, &message, n), &limits);
        }
    }
    assert_eq!(report.count(Level::Warn), 100);
    assert_eq!(report.count(Level::Other), 100);
    let text = text(&report);
    assert!(text.contains("| 20  |message 0\n      |2118-01-01 08:01:01 +\n       2118-01-01 08:01:01.000005 +\n       and 18 more, the last one at 2118-01-01 08:01:01.000095\n"), "{text}");
    assert!(
        text.contains(
            "40 more, from 2118-01-01 08:01:01.000003 until 2118-01-01 08:01:01.000099, are not listed"
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "97 more, from 2118-01-01 08:01:01.000003 until 2118-01-01 08:01:01.000099, are not listed"
        ),
        "{text}"
    );
    assert!(html(&report).contains("40 more, from"));
    report.add(&event(Level::Info, Details::All, &"é".repeat(100), 0), &limits);
    assert!(report.information.rows.keys().next().unwrap().ends_with("… (180 bytes more)"));
}

#[test]
fn levels_and_details_are_read_as_pyruse_reads_them() {
    assert_eq!(
        ["WARN", "INFO", "warn", ""].map(Level::parse),
        [Level::Warn, Level::Info, Level::Other, Level::Other]
    );
    assert_eq!(Details::parse("FIRSTLAST"), Some(Details::FirstLast));
    assert_eq!(Details::parse("Each"), None);
}

proptest! {
    #[test]
    fn whatever_the_message_the_document_keeps_its_shape(message in any::<String>()) {
        let text_and_html = |message: &str| {
            let report = report(&[
                event(Level::Warn, Details::All, message, 0),
                event(Level::Other, Details::All, message, 0),
            ]);
            (text(&report), html(&report))
        };
        let (text, html) = text_and_html(&message);
        prop_assert_eq!(text.lines().count(), 22, "{}", text);
        let tags = |html: &str| html.matches('<').count();
        prop_assert_eq!(tags(&html), tags(&text_and_html("x").1));
        prop_assert!(!text.chars().chain(html.chars()).any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn a_report_is_saved_and_read_back(events in prop::collection::vec((0u8..3, 0usize..5, "[ab|<]{0,3}", 0i64..100), 0..30)) {
        let mut report = Report::default();
        for (level, details, message, time) in &events {
            let level = [Level::Warn, Level::Info, Level::Other][*level as usize];
            let event = Event { level, details: Details::NAMES[*details].1, message, time: at(0) + Duration::from_secs(*time as u64) };
            report.add(&event, &Limits::default());
        }
        prop_assert_eq!([Level::Warn, Level::Info, Level::Other].map(|l| report.count(l)).iter().sum::<u64>(), events.len() as u64);
        let bytes = postcard::to_stdvec(&report).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Report>(&bytes).unwrap(), report);
    }
}
