//! What nft and iptables-save list, taken apart for a return.

use crate::live::{Listing, TableName, parse_saved, saved_text};

/// Any bytes as a table that nft lists and as what iptables-save prints.
///
/// # Panics
///
/// If what was read and written reads as something else.
pub fn listing(bytes: &[u8]) {
    // Neither program prints a carriage return, which lines lose at their end.
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let name = TableName { family: "ip".to_owned(), name: "t".to_owned() };
    if let Ok(listing) = Listing::read(&text) {
        let again = Listing::read(&listing.body(&name)).expect("without elements there is nothing to refuse");
        assert_eq!((&again.heading, &again.parts), (&listing.heading, &listing.parts), "{text:?}");
    }
    let tables = parse_saved(&text);
    assert_eq!(parse_saved(&saved_text(&tables)), tables, "{text:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SAMPLES: [&str; 3] = [
        include_str!("../../tests/data/listing.nft"),
        include_str!("../../tests/data/rulesets/docker.v4"),
        include_str!("../../tests/data/rulesets/eduvpn.v4"),
    ];

    proptest! {
        #[test]
        fn what_is_read_and_written_reads_the_same(
            text in "(table|set|map|chain|elements = |type|flags timeout|expires|1m|\t|\n|\\{|\\}|,|;|:|\"| |-A|\\*filter|:INPUT|DROP|\\[1:2\\]|COMMIT|é){0,60}",
            sample in 0..SAMPLES.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            super::listing(text.as_bytes());
            let mut bytes = SAMPLES[sample].as_bytes().to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            super::listing(&bytes);
        }
    }
}
