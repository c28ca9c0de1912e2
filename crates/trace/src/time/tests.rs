//! Every documented form, the refusals, and what must hold for any text.

use super::*;
use proptest::prelude::*;
use unmasq_flow::Timestamp;

/// Saturday, 2026-11-21 12:00:00 UTC.
fn context(zone_name: &str) -> Context {
    let zone = (!zone_name.is_empty()).then(|| zone(zone_name).unwrap());
    Context { now: "2026-11-21T12:00:00Z".parse().unwrap(), zone }
}

fn window(text: &str, zone_name: &str) -> (String, String) {
    let asked = parse(text, &context(zone_name)).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(asked.windows.len(), 1, "{text}");
    (asked.windows[0].from.to_string(), asked.windows[0].to.to_string())
}

fn second(text: &str, zone_name: &str) -> String {
    let asked = parse(text, &context(zone_name)).unwrap_or_else(|e| panic!("{text}: {e}"));
    let [window] = asked.windows.as_slice() else { panic!("{text}: {:?}", asked.windows) };
    assert_eq!(window.to.since(window.from).as_nanos(), 999_999_999, "{text}");
    window.from.to_string()
}

fn refusal(text: &str, zone_name: &str) -> TimeError {
    parse(text, &context(zone_name)).expect_err(text)
}

#[test]
fn times_with_a_zone_of_their_own_need_no_other() {
    for text in [
        "2014-02-22T12:27:04Z",
        "2014-02-22t12:27:04z",
        "2014-02-22 12:27:04Z",
        "2014-02-22T13:27:04+01:00",
        "2014-02-22T13:27:04+0100",
        "2014-02-22T13:27:04+01",
        "2014-02-22 13:27:04 +0100",
        "2014-02-22T13:27:04+01:00[Europe/Berlin]",
        "2014-02-22 13:27:04 Europe/Berlin",
        "2014-02-22 12:27:04 UTC",
        "2014-02-22 12:27:04 GMT",
        "2014-02-22 12:27:04 (UTC)",
        "2014-02-22 14:27:04 UTC+2",
        "2014/02/22 12:27:04 UTC",
        "2014/02/22-12:27:04 UTC",
        "22.02.2014 12:27:04 UTC",
        "22/02/2014 12:27:04 UTC",
        "02/22/2014 12:27:04 PM UTC",
        "22/Feb/2014:13:27:04 +0100",
        "[22/Feb/2014:13:27:04 +0100]",
        "Sat, 22 Feb 2014 12:27:04 +0000",
        "Sat, 22 Feb 2014 12:27:04 +0000 (UTC)",
        "22 Feb 2014 12:27:04 GMT",
        "Sat Feb 22 12:27:04 UTC 2014",
        "Sat Feb 22 12:27:04 2014 UTC",
        "Feb 22, 2014 12:27:04 UTC",
        "February 22nd 2014 at 12:27:04 UTC",
        "20140222T122704Z",
        "20140222122704Z",
        "1393072024",
        "@1393072024",
    ] {
        assert_eq!(second(text, ""), "2014-02-22T12:27:04Z", "{text}");
    }
}

#[test]
fn a_time_without_a_zone_is_read_in_the_one_given() {
    for text in [
        "2020/12/26 13:37:42",
        "2020-12-26 13:37:42",
        "2020-12-26T13:37:42",
        "Dec 26 13:37:42 2020",
        "26.12.2020, 13:37:42 Uhr",
        "13:37:42 2020-12-26",
        "Sat Dec 26 13:37:42 2020",
        "2020-12-26 1:37:42 pm",
    ] {
        assert_eq!(second(text, "Europe/Berlin"), "2020-12-26T12:37:42Z", "{text}");
        let message = refusal(text, "").to_string();
        assert!(message.contains("--tz Europe/Berlin"), "{message}");
    }
    // A zone in the text outdoes the one given.
    assert_eq!(second("2020-12-26 13:37:42 UTC", "Europe/Berlin"), "2020-12-26T13:37:42Z");
}

#[test]
fn the_stretch_is_as_long_as_the_text_is_precise() {
    let cases = [
        ("2020-12-26 13:37", "2020-12-26T13:37:00Z", "2020-12-26T13:37:59.999999999Z"),
        ("2020-12-26", "2020-12-26T00:00:00Z", "2020-12-26T23:59:59.999999999Z"),
        ("2020-12-26 13:37:42.5", "2020-12-26T13:37:42.5Z", "2020-12-26T13:37:42.599999999Z"),
        ("2020-12-26 13:37:42,173", "2020-12-26T13:37:42.173Z", "2020-12-26T13:37:42.173999999Z"),
        ("2020-12-26 13:37:42.123456789", "2020-12-26T13:37:42.123456789Z", "2020-12-26T13:37:42.123456789Z"),
        ("Nov 21 09:07:42:182232", "2026-11-21T09:07:42.182232Z", "2026-11-21T09:07:42.182232999Z"),
        ("1393072024.25", "2014-02-22T12:27:04.25Z", "2014-02-22T12:27:04.259999999Z"),
        ("1393072024250", "2014-02-22T12:27:04.25Z", "2014-02-22T12:27:04.250999999Z"),
        ("1393072024250000", "2014-02-22T12:27:04.25Z", "2014-02-22T12:27:04.250000999Z"),
        ("1393072024250000000", "2014-02-22T12:27:04.25Z", "2014-02-22T12:27:04.25Z"),
        ("2016-12-31T23:59:60", "2017-01-01T00:00:00Z", "2017-01-01T00:00:00.999999999Z"),
    ];
    for (text, from, to) in cases {
        assert_eq!(window(text, "UTC"), (from.to_owned(), to.to_owned()), "{text}");
    }
}

#[test]
fn a_time_of_day_is_of_the_day_named_or_the_latest_that_has_come() {
    // 12:00 UTC is 13:00 in Berlin.
    assert_eq!(window("12:59", "Europe/Berlin").0, "2026-11-21T11:59:00Z");
    assert_eq!(window("14:32", "Europe/Berlin").0, "2026-11-20T13:32:00Z");
    assert_eq!(second("14:32:05", "Europe/Berlin"), "2026-11-20T13:32:05Z");
    assert_eq!(window("14:32 yesterday", "Europe/Berlin").0, "2026-11-20T13:32:00Z");
    assert_eq!(window("yesterday 09:00 UTC", "").0, "2026-11-20T09:00:00Z");
    assert_eq!(window("today 14:32", "Europe/Berlin").0, "2026-11-21T13:32:00Z");
    let asked = parse("14:32", &context("Europe/Berlin")).unwrap();
    assert!(asked.notes[0].contains("2026-11-20"), "{:?}", asked.notes);
    assert_eq!(
        parse("now", &context("")).unwrap().windows,
        [Period::at(Timestamp::from_seconds(1_795_262_400))]
    );
}

#[test]
fn a_missing_year_is_inferred_only_where_one_fits() {
    let asked = parse("Feb 22 12:27:04", &context("UTC")).unwrap();
    assert_eq!(asked.windows[0].from.to_string(), "2026-02-22T12:27:04Z");
    assert!(asked.notes[0].contains("2026"), "{:?}", asked.notes);
    assert_eq!(second("Dec  1 00:00:00", "UTC"), "2025-12-01T00:00:00Z");
    // A Saturday.
    assert_eq!(second("Sat Feb 22 12:27:04", "UTC"), "2025-02-22T12:27:04Z");
    for text in ["Nov 22 00:10:00", "Feb 29 12:00:00"] {
        assert!(matches!(refusal(text, "UTC"), TimeError::NoYear { .. }), "{text}");
    }
    assert_eq!(second("Thu Feb 29 12:00:00", "UTC"), "2024-02-29T12:00:00Z");
}

#[test]
fn a_local_time_that_occurs_twice_is_asked_for_both() {
    let asked = parse("2026-10-25 02:30:00", &context("Europe/Berlin")).unwrap();
    let starts: Vec<String> = asked.windows.iter().map(|w| w.from.to_string()).collect();
    assert_eq!(starts, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    assert!(asked.notes[0].contains("twice"), "{:?}", asked.notes);
    // An abbreviation says which.
    assert_eq!(second("2026-10-25 02:30:00 CEST", "Europe/Berlin"), "2026-10-25T00:30:00Z");
    assert_eq!(second("2026-10-25 02:30:00 CET", "Europe/Berlin"), "2026-10-25T01:30:00Z");
    // The whole day is one stretch, 25 hours long.
    let day = parse("2026-10-25", &context("Europe/Berlin")).unwrap();
    assert_eq!(day.windows.len(), 1);
    assert_eq!(day.windows[0].to.since(day.windows[0].from).as_secs(), 25 * 3600 - 1);
}

#[test]
fn a_local_time_that_does_not_exist_is_refused_with_its_neighbours() {
    let message = refusal("2026-03-29 02:30:00", "Europe/Berlin").to_string();
    assert!(message.contains("2026-03-29T01:30:00+01:00"), "{message}");
    assert!(message.contains("2026-03-29T03:30:00+02:00"), "{message}");
}

#[test]
fn an_abbreviation_alone_is_refused_with_proposals() {
    for (text, proposal) in [
        ("2014-02-22 12:27:04 CST", "Asia/Shanghai"),
        ("Sat Feb 22 12:27:04 IST 2014", "Asia/Kolkata"),
        ("2014-02-22 12:27:04 EST", "America/New_York"),
        ("2014-02-22T12:27:04PST", "America/Los_Angeles"),
    ] {
        let message = refusal(text, "").to_string();
        assert!(message.contains(proposal), "{message}");
    }
    // With the zone given it is checked, not obeyed.
    assert_eq!(second("2014-02-22 12:27:04 CST", "Asia/Shanghai"), "2014-02-22T04:27:04Z");
    let message = refusal("2014-02-22 12:27:04 CST", "Europe/Berlin").to_string();
    assert!(message.contains("CET"), "{message}");
}

#[test]
fn what_is_no_time_is_refused_with_the_part_that_is_wrong() {
    for (text, part) in [
        ("", "neither"),
        ("tomorrow 12:00 UTC", "tomorrow"),
        ("2014-02-30 12:00:00 UTC", "no such day"),
        ("2014-02-22 25:00:00 UTC", "25:00:00"),
        ("2014-02-22 12:60 UTC", "12:60"),
        ("14-02-22 12:00:00 UTC", "four digits"),
        ("2014-02-22 12:00 13:00 UTC", "two times"),
        ("2014-02-22 2014-02-23 UTC", "two dates"),
        ("2014-02-22 12:00:00 UTC +0100", "two time zones"),
        ("1880-02-22 12:00:00 UTC", "1970"),
        ("Feb 12:00:00 UTC", "not whole"),
        ("13:00 pm UTC", "hours 1 to 12"),
        ("2014-02-22 12:00:00 Mars/Olympus", "Mars/Olympus"),
        ("Sun, 22 Feb 2014 12:27:04 +0000", "Saturday"),
        ("99999999999999999999", "no part of a time"),
    ] {
        let message = refusal(text, "").to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
    let message = refusal("03/04/2014 12:00:00", "UTC").to_string();
    assert!(message.contains("2014-04-03") && message.contains("2014-03-04"), "{message}");
}

/// How a log writes a time in UTC: a name, and the pattern.
const PATTERNS: [&str; 9] = [
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y/%m/%d %H:%M:%S +0000",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%a, %d %b %Y %H:%M:%S +0000",
    "%a %b %e %H:%M:%S %Y",
    "%b %e %H:%M:%S %Y",
    "%d.%m.%Y %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%B %d, %Y %I:%M:%S %p",
];

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,48}") {
        for zone_name in ["", "Europe/Berlin"] {
            let _ = parse(&text, &context(zone_name));
        }
    }

    #[test]
    fn no_text_made_of_the_pieces_of_times_panics(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "2014", "-", "/", ":", "T", " ", "Feb", "22", "31", "24", "0", "99", ".", ",", "+", "Z", "CST", "Sat", "pm",
            "12:27", "12:27:04", "2014-02-22", "yesterday", "UTC", "(", "]", "é", "1393072024", "Europe/Berlin",
        ]), 0..9)
    ) {
        let text = pieces.concat();
        if let Ok(asked) = parse(&text, &context("America/New_York")) {
            prop_assert!(!asked.windows.is_empty() && asked.windows.iter().all(|w| w.from <= w.to));
        }
    }

    #[test]
    fn what_a_log_writes_reads_back(seconds in 86_400_i64..7_000_000_000, pattern in prop::sample::select(PATTERNS.to_vec())) {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        let text = time.strftime(pattern).to_string();
        let asked = parse(&text, &context("UTC")).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(&asked.windows, &vec![Period { from: Timestamp::from_seconds(seconds), to: Timestamp::from_nanos(seconds * 1_000_000_000 + 999_999_999) }], "{}", text);
    }

    #[test]
    fn a_local_time_is_always_among_its_own_readings(seconds in 86_400_i64..4_000_000_000, name in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"])) {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        let text = time.to_zoned(zone(name).unwrap()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let asked = parse(&text, &context(name)).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert!(asked.windows.iter().any(|w| w.from == Timestamp::from_seconds(seconds)), "{} {:?}", text, asked);
    }
}
