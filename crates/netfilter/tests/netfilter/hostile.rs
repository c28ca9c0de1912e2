//! The parsers on bytes that no kernel sends: they answer, whatever comes.

use proptest::prelude::*;
use unmasq_netfilter::fuzz;

use crate::crafted;
use crate::recorded::DATAGRAMS;

/// splitmix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % end
    }
}

/// Where the randomness starts; to be given when a failure is to be seen again.
fn seed() -> u64 {
    std::env::var("UNMASQ_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed)
}

/// Changes a few bytes, lengths above all, or the datagram's own length.
fn mutate(datagram: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if datagram.len() < 4 {
            return;
        }
        let at = random.below(datagram.len());
        match random.below(8) {
            0 => datagram[at] ^= 1 << random.below(8),
            1 => datagram[at] = random.below(256) as u8,
            // A length field: attributes are aligned to four bytes.
            2 | 3 => datagram[at & !3] = [0, 1, 3, 4, 5, 8, 0x7f, 0xff][random.below(8)],
            4 => datagram.truncate(at),
            5 => drop(datagram.drain(at..(at + 1 + random.below(8)).min(datagram.len()))),
            6 => datagram.extend_from_within(at..),
            _ => datagram.insert(at, random.below(256) as u8),
        }
    }
}

/// The files that the fuzz targets start from.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_corpus_and_mutations_of_it_are_answered() {
    for (target, run) in [
        ("conntrack", fuzz::conntrack as fn(&[u8])),
        ("addresses", fuzz::addresses),
        ("sets", fuzz::fuzz_sets),
        ("nflog", fuzz::nflog),
    ] {
        let files = corpus(target);
        assert!(files.len() >= 5, "{target}: {} files", files.len());
        let mut random = Random(seed());
        for bytes in files {
            run(&bytes);
            for _ in 0..2000 {
                let mut mutated = bytes.clone();
                mutate(&mut mutated, &mut random);
                let outcome = std::panic::catch_unwind(|| run(&mutated));
                assert!(outcome.is_ok(), "UNMASQ_SEED={}, {target}: {mutated:02x?}", seed());
            }
        }
    }
}

#[test]
fn mutations_of_recorded_events_are_answered() {
    let seed = seed();
    let mut random = Random(seed);
    for round in 0..200_000 {
        let mut datagram = DATAGRAMS[random.below(DATAGRAMS.len())].clone();
        let before = random.0;
        mutate(&mut datagram, &mut random);
        let outcome = std::panic::catch_unwind(|| fuzz::conntrack(&datagram));
        assert!(outcome.is_ok(), "UNMASQ_SEED={seed}, round {round}, state {before:#x}: {datagram:02x?}");
    }
}

#[test]
fn every_prefix_of_an_event_is_answered() {
    for datagram in DATAGRAMS.iter().step_by(1000) {
        for length in 0..datagram.len() {
            fuzz::conntrack(&datagram[..length]);
            // The same with a length field that agrees, so that the attributes are what breaks off.
            let mut shorter = datagram[..length].to_vec();
            if let Some(field) = shorter.first_chunk_mut::<4>() {
                *field = u32::try_from(length).unwrap().to_ne_bytes();
            }
            fuzz::conntrack(&shorter);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz::conntrack(&bytes);
        fuzz::addresses(&bytes);
        fuzz::fuzz_sets(&bytes);
    }

    #[test]
    fn any_attributes_are_answered(
        parts in proptest::collection::vec((0_u16..30, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
        kind in prop_oneof![Just(0x0100_u16), Just(0x0102_u16), Just(20_u16), Just(2), Just(3)],
        flags in any::<u16>(),
    ) {
        let attributes: Vec<Vec<u8>> =
            parts.iter().map(|(kind, value)| crafted::attribute(*kind, value)).collect();
        fuzz::conntrack(&crafted::conntrack(kind, flags, &attributes));
        fuzz::addresses(&crafted::message(kind, flags, &[vec![0; 8], attributes.concat()].concat()));
    }
}
