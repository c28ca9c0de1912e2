//! What pictures show, against snapshots; and that none is wider than asked, whatever the numbers are.

use proptest::prelude::*;

use super::*;
use crate::{EVEN_PORTS, PortSpace};

fn capacity() -> Capacity {
    Capacity::new(PortSpace::new(EVEN_PORTS, &[]), 25)
}

fn text(chart: &Chart<'_>, width: usize) -> String {
    let line = |spans: &Vec<Span>| spans.iter().map(|span| span.text.as_str()).collect::<String>();
    chart.text(width).iter().map(|spans| line(spans).trim_end().to_owned() + "\n").collect()
}

#[test]
fn labels_keep_their_order_and_a_distance() {
    let mut places = [10.0, 11.0, 12.0, 30.0, 31.0, 90.0];
    spread(&mut places, 8.0);
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 8.0 - 1e-9), "{places:?}");
    assert!((places[5] - 90.0).abs() < 1e-9, "who stands alone stays");
}

#[test]
fn a_terminal_shows_lines_and_usage() {
    let capacity = capacity();
    let table = capacity.table(Some(253), &[3]);
    let chart = Chart::new(&capacity, &table, Some(Summary { median: 12, p99: 210, max: 1033 }));
    insta::assert_snapshot!(text(&chart, 80));
}

#[test]
fn without_usage_and_without_numbers_the_lines_are_left() {
    let capacity = capacity();
    let table = capacity.table(None, &[]);
    insta::assert_snapshot!(text(&Chart::new(&capacity, &table, None), 100));
}

#[test]
fn what_was_asked_about_has_an_ink_of_its_own() {
    let capacity = capacity();
    let inks = |public: &[u64]| {
        let table = capacity.table(None, public);
        let spans = Chart::new(&capacity, &table, None).text(80).into_iter().flatten();
        spans.filter(|span| span.ink == Ink::Asked).count()
    };
    assert_eq!(inks(&[]), 0);
    assert!(inks(&[4]) > 10);
}

#[test]
fn a_file_shows_lines_and_usage() {
    let capacity = capacity();
    let table = capacity.table(Some(253), &[3]);
    let svg = Chart::new(&capacity, &table, Some(Summary { median: 12, p99: 210, max: 1033 })).svg();
    let (lines, rest): (Vec<&str>, Vec<&str>) = svg.lines().partition(|line| line.starts_with("<polyline"));
    assert_eq!(lines.len(), table.public.len(), "a line for each number of addresses");
    insta::assert_snapshot!(rest.join("\n"));
}

proptest! {
    #[test]
    fn pictures_fit_whatever_the_numbers(
        ports in (1_u16..=u16::MAX, 1_u16..=u16::MAX).prop_map(|(a, b)| crate::PortRange::new(a.min(b), a.max(b)).unwrap()),
        clients in proptest::option::of(1_u64..=1 << 24),
        public in proptest::collection::vec(1_u64..=65_536, 0..4),
        usage in proptest::option::of((0_u32..70_000, 0_u32..70_000, 0_u32..70_000)),
        width in 0_usize..200,
    ) {
        let capacity = Capacity::new(PortSpace::new(ports, &[]), 25);
        let table = capacity.table(clients, &public);
        let usage = usage.map(|(a, b, c)| {
            let mut all = [a, b, c];
            all.sort_unstable();
            Summary { median: all[0], p99: all[1], max: all[2] }
        });
        let chart = Chart::new(&capacity, &table, usage);
        for line in chart.text(width) {
            let wide: usize = line.iter().map(|span| span.text.chars().count()).sum();
            prop_assert!(wide <= width.clamp(60, 100), "{:?}", line);
        }
        let svg = chart.svg();
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        prop_assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
