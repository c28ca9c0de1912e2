//! Files that are not as they were written: never a wrong answer in silence.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Three revisions, the second and third stored as differences; a drift; the last record is "applied".
fn sample() -> TempDir {
    let folder = folder();
    let mut writer = open(&folder);
    let mut who: Vec<(u8, u16)> = (1..=10).map(|n| (n, 100 + u16::from(n))).collect();
    apply(&mut writer, &plan(&who), 1000);
    writer.drifted(DriftReason::Shadowed, moment(1100), at(1200)).unwrap();
    for seconds in [2000, 3000] {
        who.swap(0, 1);
        (who[0].0, who[1].0) = (1, 2);
        apply(&mut writer, &plan(&who), seconds);
    }
    folder
}

/// What a history says, about every client at every time.
fn answers(directory: &Path) -> Result<Vec<Held>, HistoryError> {
    let history = History::open(directory)?;
    let mut all = Vec::new();
    for seconds in [500, 1000, 1150, 1500, 2500, 3500] {
        for tenth in 99..=111 {
            let window = Period::at(at(seconds));
            let asked = history.held(PUBLIC, Selector::Port(tenth * 10 + 5), None, window)?;
            all.push(asked.expect("a port was asked for"));
        }
    }
    Ok(all)
}

#[test]
fn a_byte_changed_anywhere_is_told_by_the_audit_and_gives_no_wrong_answer() {
    let folder = sample();
    let directory = folder.path();
    let expected = answers(directory).unwrap();
    assert_eq!(findings(directory), Vec::<String>::new());
    let files = [
        "index",
        "revisions/00000001.rows",
        "revisions/00000002.rows",
        "revisions/00000003.rows",
        "rules.nft.2000",
    ];
    let mut errors = 0;
    for file in files {
        let path = directory.join(file);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            let found = findings(directory);
            assert!(
                found.iter().any(|what| what.contains(file) || what.contains("rows are not those")),
                "{file} {at}: {found:?}"
            );
            match answers(directory) {
                Ok(found) => assert_eq!(found, expected, "byte {at} of {file}"),
                Err(error) => {
                    errors += 1;
                    let text = error.to_string();
                    assert!(text.contains(file), "{text}");
                    assert!(
                        matches!(error, HistoryError::Damaged { .. } | HistoryError::Version { .. }),
                        "{text}"
                    );
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    // All but those in the rules, which are for people.
    let sizes = files[..4].iter().map(|file| fs::metadata(directory.join(file)).unwrap().len());
    assert_eq!(errors, sizes.sum::<u64>());
    assert_eq!(findings(directory), Vec::<String>::new());
}

#[test]
fn an_error_says_the_file_and_the_place() {
    let folder = sample();
    let index = folder.path().join("index");
    let mut bytes = fs::read(&index).unwrap();
    bytes[16 + 192 + 50] ^= 1;
    fs::write(&index, &bytes).unwrap();
    let expected = format!("{} is damaged at byte 208: the checksum of a record is wrong", index.display());
    assert_eq!(History::open(folder.path()).unwrap_err().to_string(), expected);
    assert_eq!(HistoryWriter::open(folder.path()).unwrap_err().to_string(), expected);
    let found = findings(folder.path());
    assert_eq!(found, [format!("{}: the chain of hashes breaks at byte 208", index.display()), expected]);
}

#[test]
fn records_that_were_made_anew_break_the_chain() {
    let folder = sample();
    let index = folder.path().join("index");
    let mut bytes = fs::read(&index).unwrap();
    // Another time, with a checksum that is right.
    let record = &mut bytes[16 + 192..16 + 384];
    record[16] ^= 1;
    let crc = crc32fast::hash(&record[4..]).to_le_bytes();
    record[..4].copy_from_slice(&crc);
    fs::write(&index, &bytes).unwrap();
    assert!(History::open(folder.path()).is_ok());
    assert!(findings(folder.path())[0].ends_with("the chain of hashes breaks at byte 208"));
}

#[test]
fn files_that_are_missing_or_swapped_are_told() {
    let folder = sample();
    let rows = |n: u64| rows::path(folder.path(), n);
    let third = fs::read(rows(3)).unwrap();
    fs::copy(rows(2), rows(3)).unwrap();
    let error = answers(folder.path()).unwrap_err().to_string();
    assert!(error.contains("00000003.rows") && error.contains("not the file of this revision"), "{error}");
    assert_eq!(findings(folder.path()).len(), 1);
    fs::remove_file(rows(3)).unwrap();
    let error = answers(folder.path()).unwrap_err().to_string();
    assert!(error.contains("00000003.rows"), "{error}");
    fs::write(rows(3), &third[..third.len() - 16]).unwrap();
    assert!(matches!(answers(folder.path()), Err(HistoryError::Damaged { .. })));
    fs::write(rows(3), third).unwrap();
    fs::remove_file(folder.path().join("rules.nft.2000")).unwrap();
    let found = findings(folder.path());
    assert!(found.len() == 1 && found[0].contains("rules.nft.2000"), "{found:?}");
}

#[test]
fn a_later_version_is_told() {
    let folder = sample();
    let versions: [(PathBuf, usize); 2] =
        [(folder.path().join("index"), 12), (rows::path(folder.path(), 1), 4)];
    for (path, at) in versions {
        let bytes = fs::read(&path).unwrap();
        let mut later = bytes.clone();
        later[at] = 2;
        fs::write(&path, later).unwrap();
        let error = answers(folder.path()).unwrap_err();
        assert!(
            matches!(&error, HistoryError::Version { found: 2, known: 1, path: p } if *p == path),
            "{error}"
        );
        fs::write(&path, bytes).unwrap();
    }
}

/// An index as a crash can leave it: the last record was being written.
fn torn() -> Vec<Vec<u8>> {
    let folder = sample();
    let bytes = fs::read(folder.path().join("index")).unwrap();
    let whole = bytes.len() - 192;
    let mut all: Vec<Vec<u8>> =
        (whole + 1..bytes.len()).step_by(13).map(|length| bytes[..length].to_vec()).collect();
    all.push([&bytes[..whole], &[0; 192]].concat());
    all
}

#[test]
fn a_last_record_that_was_not_finished_is_written_over() {
    for bytes in torn() {
        let what = bytes.len();
        let folder = sample();
        let index = folder.path().join("index");
        fs::write(&index, &bytes).unwrap();
        // For a reader, it is not there yet.
        let history = History::open(folder.path()).unwrap();
        assert_eq!(history.revisions()[2].outcome, Outcome::Unknown, "{what}");
        assert!(!findings(folder.path()).is_empty(), "{what}");
        let mut writer = open(&folder);
        assert_eq!(findings(folder.path()), Vec::<String>::new(), "{what}");
        writer.applied(Begun { number: 3 }, moment(3001)).unwrap();
        drop(writer);
        assert_eq!(open(&folder).history().revisions()[2].outcome, Outcome::Applied(moment(3001)));
        assert_eq!(findings(folder.path()), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_record_of_which_one_sector_did_not_get_to_the_disk_is_not_finished() {
    // The third record lies from byte 400 to 592, across a sector's end at 512.
    let folder = folder();
    let mut writer = open(&folder);
    let begun = writer.begin(new_revision(&plan(&[(1, 100)])), moment(1000)).unwrap();
    writer.refused(begun, moment(1001)).unwrap();
    let begun = writer.begin(new_revision(&plan(&[(1, 100)])), moment(1002)).unwrap();
    drop(writer);
    let index = folder.path().join("index");
    let bytes = fs::read(&index).unwrap();
    assert_eq!((bytes.len(), begun.number), (592, 2));
    for lost in [400..512, 512..592] {
        let mut torn = bytes.clone();
        torn[lost.clone()].fill(0);
        fs::write(&index, &torn).unwrap();
        assert_eq!(History::open(folder.path()).unwrap().revisions().len(), 1, "{lost:?}");
        // Anything but zeros is damage.
        torn[lost.start + 9] = 1;
        fs::write(&index, &torn).unwrap();
        assert!(matches!(History::open(folder.path()), Err(HistoryError::Damaged { offset: 400, .. })));
    }
}

#[test]
fn the_fuzzers_corpus_is_read_or_refused() {
    let corpus = |target: &str| {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap())
    };
    corpus("plan_history").for_each(|bytes| crate::fuzz::history(&bytes));
    corpus("plan_rules").for_each(|bytes| crate::fuzz::rules(&bytes));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        crate::fuzz::history(&bytes);
    }

    #[test]
    fn any_records_are_read_or_refused(
        mut records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 192), 0..12),
        numbers in proptest::collection::vec((0_u8..8, 0_u64..4), 12),
    ) {
        let mut bytes = index::header().to_vec();
        for (record, (kind, number)) in records.iter_mut().zip(numbers) {
            record[4] = kind;
            record[6] %= 3;
            record[7] %= 2;
            record[8..16].copy_from_slice(&number.to_le_bytes());
            record[65] %= 6;
            bytes.extend_from_slice(record);
        }
        // Which puts the checksums right.
        crate::fuzz::history(&bytes);
    }

    #[test]
    fn rows_are_read_as_they_were_written(
        rows in proptest::collection::vec((any::<u32>(), any::<(u16, u16)>(), any::<u32>(), 0_u8..64), 0..20),
        number in 2_u64..,
        split in 0_usize..20,
        is_whole: bool,
    ) {
        let rows: Vec<Allocation> = rows.into_iter().map(|(address, ports, client, protocols)| Allocation {
            client: client.into(),
            block: Block {
                address: address.into(),
                ports: PortRange::new(ports.0.min(ports.1), ports.0.max(ports.1)).unwrap(),
            },
            protocols: ProtocolSet::from_bits(protocols),
        }).collect();
        let (added, removed) = rows.split_at(split.min(rows.len()));
        let content = if is_whole {
            rows::Content::Whole(&rows)
        } else {
            rows::Content::Difference { base: number - 1, added, removed }
        };
        let found = rows::parse(Path::new("rows"), &rows::encode(number, content), number).unwrap();
        let all: Vec<Allocation> = found.added().chain(found.removed()).collect();
        prop_assert_eq!(all, rows);
        prop_assert_eq!(found.base, (!is_whole).then_some(number - 1));
    }
}
