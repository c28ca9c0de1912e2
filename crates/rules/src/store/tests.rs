use std::fs;
use std::path::Path;

use super::*;

fn draft<'a>(text: &'a str, message: &'a str) -> Draft<'a> {
    Draft {
        time: Timestamp::from_seconds(1_795_000_000),
        author: "Ada <ada@example.net>",
        message,
        form: Form::Nft,
        file: Path::new("/etc/main.nft"),
        is_whole: false,
        tables: vec!["inet fw".to_owned()],
        text,
    }
}

fn commit(kept: &Kept, text: &str) -> Revision {
    let revision = kept.begin(&draft(text, "a message")).unwrap();
    kept.set_head(revision.number).unwrap();
    kept.end().unwrap();
    revision
}

#[test]
fn what_was_committed_is_read_again_and_what_was_only_begun_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Store::new(folder.path()).ruleset("main.nft");
    assert_eq!(kept.revisions().unwrap(), []);
    let (first, second) = (commit(&kept, "one\n"), commit(&kept, "two\n"));
    let begun = kept.begin(&draft("three\n", "")).unwrap();
    assert_eq!((begun.number, kept.begun().unwrap(), kept.head().unwrap()), (3, Some(3), Some(2)));
    assert_eq!(kept.revisions().unwrap(), [first.clone(), second]);
    assert_eq!(kept.text(&first).unwrap(), "one\n");
    kept.give_up(3).unwrap();
    assert_eq!(kept.begun().unwrap(), None);
    assert_eq!(commit(&kept, "four\n").number, 3);
    assert!(matches!(kept.revision(4), Err(RulesError::NoRevision { number: 4, .. })));
}

#[test]
fn every_byte_that_is_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Store::new(folder.path()).ruleset("main.nft");
    commit(&kept, "one\n");
    commit(&kept, "two\n");
    kept.audit().unwrap();
    // The newest description has nothing after it that would tell.
    for name in ["000001.json", "000001.rules", "000002.rules"] {
        let path = folder.path().join("main.nft").join(name);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(kept.audit().is_err(), "{name}, byte {at}");
        }
        fs::write(&path, &bytes).unwrap();
    }
    kept.audit().unwrap();
}

#[test]
fn the_revision_in_force_does_not_hang_on_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Store::new(folder.path()).ruleset("main.nft");
    let all: Vec<Revision> = ["one\n", "two\n", "three\n"].map(|text| commit(&kept, text)).into();
    assert_eq!((1..=3).map(|number| kept.revision(number).unwrap()).collect::<Vec<_>>(), all);
    let first = folder.path().join("main.nft/000001.json");
    fs::write(&first, fs::read_to_string(&first).unwrap().replace("a message", "another")).unwrap();
    assert_eq!(kept.newest().unwrap().as_ref(), Some(&all[2]));
    assert_eq!(kept.revision(3).unwrap(), all[2]);
    for number in [1, 2] {
        let told = kept.revision(number);
        assert!(matches!(told, Err(RulesError::Damaged { .. })), "{number}: {told:?}");
    }
    assert!(kept.audit().is_err());
    fs::remove_file(&first).unwrap();
    assert_eq!(commit(&kept, "four\n").number, 4);
    assert_eq!(kept.revision(4).unwrap().number, 4);
}

#[test]
fn a_head_that_is_lost_or_old_is_noticed_before_anything_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Store::new(folder.path()).ruleset("main.nft");
    for text in ["one\n", "two\n", "three\n"] {
        commit(&kept, text);
    }
    let head = folder.path().join("main.nft/head");
    fs::write(&head, "1\n").unwrap();
    assert!(matches!(kept.begin(&draft("x\n", "")), Err(RulesError::Damaged { .. })));
    fs::remove_file(&head).unwrap();
    let told = kept.begin(&draft("x\n", "")).unwrap_err().to_string();
    assert!(told.contains("write the newest that is whole into it"), "{told}");
    assert!(kept.newest().is_err(), "it is not as if nothing had been committed");
    fs::write(&head, "3\n").unwrap();
    kept.audit().unwrap();
    // What a kill before the first commit has left is no history.
    let other = Store::new(folder.path()).ruleset("other.nft");
    other.begin(&draft("one\n", "")).unwrap();
    assert_eq!(other.head().unwrap(), None);
}

#[test]
fn a_name_belongs_to_one_file_and_a_table_to_one_ruleset() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    commit(&store.ruleset("main.nft"), "one\n");
    assert!(store.ruleset_of(Path::new("/etc/main.nft")).is_ok());
    let tables = ["inet fw".to_owned()];
    assert!(store.check_tables("main.nft", Form::Nft, &tables).is_ok());
    assert!(store.check_tables("other.nft", Form::Nft, &["inet other".to_owned()]).is_ok());
    let shared = store.check_tables("other.nft", Form::Nft, &tables);
    assert!(matches!(shared, Err(RulesError::SharedTable { .. })), "{shared:?}");
    let other = store.ruleset_of(Path::new("/srv/main.nft"));
    assert!(matches!(other, Err(RulesError::OtherFile { .. })), "{other:?}");
}

#[test]
fn a_history_of_the_first_version_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/history-v1");
    let kept = Store::new(&folder).ruleset("main.nft");
    let revisions = kept.revisions().unwrap();
    assert_eq!(revisions.iter().map(|r| r.message.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    kept.audit().unwrap();
}
