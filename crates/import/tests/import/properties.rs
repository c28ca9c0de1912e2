//! What holds for any bytes, and for any order of lines.

use proptest::prelude::*;
use unmasq_import::fuzz_line;

use super::*;

const FILES: [(Format, &str); 8] = [
    (Format::Conntrack, "all-protocols/conntrack-extended.txt"),
    (Format::Conntrack, "all-protocols/conntrack-id-ktimestamp.txt"),
    (Format::Conntrack, "all-protocols/conntrack-list-extended.txt"),
    (Format::UlogdJson, "all-protocols/ulogd-events.json"),
    (Format::UlogdEmu, "all-protocols/ulogd-printflow.log"),
    (Format::Natlog, "all-protocols/natlog-raw.txt"),
    (Format::Natlog, "all-protocols/natlog-utc.txt"),
    (Format::Natlog, "all-protocols/natlog.csv"),
];

fn lines(file: &str) -> Vec<Vec<u8>> {
    bytes(file).split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn every_prefix_of_a_real_line_is_read_or_refused() {
    for (_, file) in FILES {
        for line in lines(file).iter().step_by(3) {
            for end in 0..=line.len() {
                for format in Format::ALL {
                    fuzz_line(format, &line[..end]);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            fuzz_line(format, &bytes);
        }
    }

    #[test]
    fn a_real_line_with_damage_is_read_or_refused(
        file in 0..FILES.len(),
        line in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let (format, file) = FILES[file];
        let mut line = line.get(&lines(file)).clone();
        for (at, byte, kind) in changes {
            let at = at.index(line.len().max(1));
            match kind {
                0 if at < line.len() => line[at] = byte,
                1 if at < line.len() => { line.remove(at); }
                _ => line.insert(at.min(line.len()), byte),
            }
        }
        fuzz_line(format, &line);
    }

    #[test]
    fn in_any_order_no_flow_is_lost_and_bounds_are_in_order(
        order in Just(lines("all-protocols/conntrack-id.txt")).prop_shuffle(),
        max_open in 4_usize..40,
    ) {
        let log = order.join(&b'\n');
        let (flows, refused) = read(Format::Conntrack, &log, Settings::default(), max_open);
        prop_assert_eq!(refused, BTreeMap::new());
        for paired in &flows {
            prop_assert!(paired.flow.end.earliest() <= paired.flow.end.latest());
        }
        let mappings = |flows: &[Paired]| -> std::collections::BTreeSet<String> {
            flows.iter().map(|p| format!("{} {} {}", p.flow.protocol, p.flow.client, p.flow.masked)).collect()
        };
        let (in_order, _) = read(Format::Conntrack, &lines("all-protocols/conntrack-id.txt").join(&b'\n'), Settings::default(), 1000);
        prop_assert_eq!(mappings(&flows), mappings(&in_order));
    }
}
