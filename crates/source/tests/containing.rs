//! Lines that are passed over undecoded: only those that cannot have the text.

use proptest::prelude::*;
use unmasq_entry::format::{Context, Format};
use unmasq_entry::{Entry, Fields};
use unmasq_source::{Followed, Once, Read, Source, Start};

/// The software versions of a source's entries.
fn versions(source: &mut dyn Source) -> Vec<String> {
    let mut fields = Fields::default();
    let slot = fields.slot("ssh.client.software_version");
    let mut entry = Entry::new(&fields);
    let mut found = Vec::new();
    loop {
        entry.clear();
        match source.read(&mut entry, &fields).expect("a source that can be read") {
            Read::Entry => found.extend(entry.text(slot).map(str::to_owned)),
            Read::Idle | Read::End => return found,
        }
    }
}

/// A member's name in JSON, some letters of it written as escapes.
fn spelt(name: &str, escaped: &[bool]) -> String {
    let letters = name.chars().zip(escaped.iter().cycle());
    letters
        .map(
            |(letter, is_escaped)| {
                if *is_escaped { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }
            },
        )
        .collect()
}

proptest! {
    #[test]
    fn nothing_is_missed_however_it_is_spelt(
        lines in prop::collection::vec(
            (any::<bool>(), "[ \t]{0,3}", prop::collection::vec(prop::bool::weighted(0.1), 1..20), "[a-z]{0,8}"),
            0..20,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eve.json");
        let mut text = String::new();
        for (is_ssh, gap, escaped, version) in lines {
            let name = spelt("software_version", &escaped);
            let member = if is_ssh { "ssh" } else { "tls" };
            let line = format!("{{{gap}\"{member}\"{gap}:{gap}{{\"client\":{{\"{name}\":{gap}\"{version}\"}}}}}}\n");
            text += &line;
            text += "{\"event_type\":\"flow\"}\nnot JSON at all\n";
        }
        std::fs::write(&path, text).unwrap();
        let open = || Once::open(&path, Some(Format::JsonLines), Context::default()).unwrap();
        let all = versions(&mut open());
        let mut filtered = open().containing(Some("software_version"));
        prop_assert_eq!(&versions(&mut filtered), &all);
        // Nor is what has not the text complained of.
        prop_assert_eq!(filtered.counts().undecodable, 0);
        let followed = Followed::open(&path, Format::JsonLines, Context::default(), Start::Head).unwrap();
        prop_assert_eq!(&versions(&mut followed.containing(Some("software_version"))), &all);
    }
}
