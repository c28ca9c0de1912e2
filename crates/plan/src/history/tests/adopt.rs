//! Files of eduVPN's script, taken over.

use super::*;
use Holding::{InForce, Unconfirmed};

fn rules(who: u8) -> String {
    let to = "-j SNAT --to-source 192.0.2.1:1000-1009";
    format!(
        "*nat\n-A POSTROUTING -s 10.0.0.{who} -p tcp {to}\n-A POSTROUTING -s 10.0.0.{who} -p udp {to}\nCOMMIT\n"
    )
}

fn write(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

fn adopt(writer: &mut HistoryWriter, from: &TempDir) -> Result<(usize, usize), HistoryError> {
    writer
        .adopt(&RulesFolder::open(from.path())?, at(10_000))
        .map(|adopted| (adopted.files.len(), adopted.known))
}

#[test]
fn a_folder_is_taken_over_once_and_what_is_new_later() {
    let (from, folder) = (folder(), folder());
    write(&from, "rules.v4.1000", &rules(1));
    write(&from, "rules.v4.2000", &rules(2));
    let mut writer = open(&folder);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (2, 0));
    assert_eq!(adopt(&mut writer, &from).unwrap(), (0, 2));
    write(&from, "rules.v4.3000", &rules(3));
    drop(writer);
    let mut writer = open(&folder);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (1, 2));
    let who = |seconds| named(&held(writer.history(), 1005, seconds));
    assert_eq!(who(1500), [(1, InForce)]);
    assert_eq!(who(2000), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(who(2500), [(2, InForce)]);
    assert_eq!(who(3500), [(3, InForce)]);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
    let copied = std::fs::read_to_string(folder.path().join("rules.v4.2000")).unwrap();
    assert_eq!(copied, rules(2));
    let link = std::fs::read_link(folder.path().join("rules.v4")).unwrap();
    assert_eq!(link.to_str(), Some("rules.v4.3000"));
    // It answers as the bare folder does.
    let bare = RulesFolder::open(from.path()).unwrap();
    for seconds in [500, 1000, 1500, 2000, 2001, 2500, 9000] {
        let window = Period::at(at(seconds));
        let bare = bare.held(PUBLIC, Selector::Port(1005), None, window).unwrap().unwrap();
        let history = writer.history().held(PUBLIC, Selector::Port(1005), None, window).unwrap().unwrap();
        assert_eq!((named(&bare), bare.gaps), (named(&history), history.gaps), "{seconds}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_gap() {
    let (from, folder) = (folder(), folder());
    write(&from, "rules.v4.1000", &rules(1));
    write(&from, "rules.v4.2000", &rules(2)[..60]);
    write(&from, "rules.v4.3000", &rules(3));
    let mut writer = open(&folder);
    let adopted = writer.adopt(&RulesFolder::open(from.path()).unwrap(), at(10_000)).unwrap();
    let damage = adopted.files[1].damage.as_deref().unwrap();
    assert!(damage.contains("line 2"), "{damage}");
    let found = held(writer.history(), 1005, 2500);
    assert_eq!((named(&found), found.gaps), (vec![], vec![(Period::at(at(2500)), PlanGap::Unreadable(2))]));
    // While it took over from the first, that is not sure either.
    assert_eq!(named(&held(writer.history(), 1005, 2000)), [(1, Unconfirmed)]);
    assert_eq!(named(&held(writer.history(), 1005, 3500)), [(3, InForce)]);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (0, 3));
    assert_eq!(findings(folder.path()), Vec::<String>::new());
}

#[test]
fn files_of_one_second_are_both_kept() {
    let (from, other, folder) = (folder(), folder(), folder());
    write(&from, "rules.v4.1000", &rules(1));
    write(&from, "rules.v4.1000.1", &rules(2));
    write(&other, "rules.v4.1000", &rules(3));
    let mut writer = open(&folder);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (2, 0));
    // Of the same name, but another.
    for expected in [(1, 0), (0, 1)] {
        assert_eq!(adopt(&mut writer, &other).unwrap(), expected);
    }
    assert_eq!(adopt(&mut writer, &from).unwrap(), (0, 2));
    assert_eq!(named(&held(writer.history(), 1005, 1000)).len(), 3);
    assert_eq!(named(&held(writer.history(), 1005, 1500)), [(3, InForce)]);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
}

#[test]
fn what_is_not_newer_is_refused() {
    let (from, folder) = (folder(), folder());
    write(&from, "rules.v4.2000", &rules(2));
    let mut writer = open(&folder);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (1, 0));
    write(&from, "rules.v4.1000", &rules(1));
    let refused = adopt(&mut writer, &from).unwrap_err();
    assert!(matches!(&refused, HistoryError::NotOlder { file, .. } if file.ends_with("rules.v4.1000")));
    assert_eq!(writer.history().revisions().len(), 1, "nothing of it was taken over");
    std::fs::remove_file(from.path().join("rules.v4.1000")).unwrap();
    apply(&mut writer, &plan(&[(3, 100)]), 3000);
    write(&from, "rules.v4.4000", &rules(4));
    assert!(matches!(adopt(&mut writer, &from), Err(HistoryError::NotOlder { .. })));
}

#[test]
fn a_file_named_after_a_time_to_come_is_refused() {
    let (from, folder) = (folder(), folder());
    write(&from, "rules.v4.1000", &rules(1));
    let mut writer = open(&folder);
    for (name, when) in [
        ("rules.v4.10001", "rules.v4.10001 is named after 1970-01-01 02:46:41.000 UTC, which is yet to come"),
        ("rules.v4.9999999999", "rules.v4.9999999999 is named after a time past the year 2262"),
    ] {
        write(&from, name, &rules(2));
        let error = adopt(&mut writer, &from).unwrap_err().to_string();
        assert!(error.contains(when), "{error}");
        std::fs::remove_file(from.path().join(name)).unwrap();
    }
    assert_eq!(writer.history().revisions().len(), 0, "nothing was taken over");
    write(&from, "rules.v4.10000", &rules(2));
    assert_eq!(adopt(&mut writer, &from).unwrap(), (2, 0));
}

#[test]
fn own_files_in_the_same_folder_are_known() {
    let folder = folder();
    write(&folder, "rules.v4.1000", &rules(1));
    let mut writer = open(&folder);
    assert_eq!(adopt(&mut writer, &folder).unwrap(), (1, 0));
    let own = plan(&[(2, 100)]);
    let new = NewRevision { format: Format::Iptables, ..new_revision(&own) };
    let begun = writer.begin(new, moment(2000)).unwrap();
    writer.applied(begun, moment(2001)).unwrap();
    assert_eq!(adopt(&mut writer, &folder).unwrap(), (0, 2));
}

#[test]
fn an_adoption_that_was_cut_off_is_finished() {
    let (from, folder) = (folder(), folder());
    write(&from, "rules.v4.1000", &rules(1));
    let mut writer = open(&folder);
    adopt(&mut writer, &from).unwrap();
    drop(writer);
    let index = folder.path().join("index");
    let bytes = std::fs::read(&index).unwrap();
    std::fs::write(&index, &bytes[..bytes.len() - 192]).unwrap();
    let mut writer = open(&folder);
    assert_eq!(named(&held(writer.history(), 1005, 1500)), [(1, Unconfirmed)]);
    assert_eq!(adopt(&mut writer, &from).unwrap(), (0, 1));
    assert_eq!(std::fs::read(&index).unwrap(), bytes);
    assert_eq!(named(&held(writer.history(), 1005, 1500)), [(1, InForce)]);
}
