//! A bare folder of the script's files.

use super::*;
use Holding::{InForce, Unconfirmed};

fn rules(who: u8, first: u16) -> String {
    format!(
        "*nat\n-A POSTROUTING -s 10.0.0.{who}/32 -p tcp -j SNAT --to-source 192.0.2.1:{first}-{}\nCOMMIT\n",
        first + 9
    )
}

fn folder_of(files: &[(&str, String)]) -> TempDir {
    let folder = folder();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn ask(folder: &TempDir, window: Period) -> Held {
    let rules = RulesFolder::open(folder.path()).unwrap();
    rules.held(PUBLIC, Selector::Port(1005), Some(Protocol::TCP), window).unwrap().unwrap()
}

#[test]
fn the_file_in_force_is_the_last_before_that_time() {
    let folder = folder_of(&[
        ("rules.v4.1000", rules(1, 1000)),
        ("rules.v4.2000", rules(2, 1000)),
        ("rules.v4.old", "nonsense".to_owned()),
        ("rules.v6", "nonsense".to_owned()),
    ]);
    std::fs::create_dir(folder.path().join("rules.v4.1500")).unwrap();
    let who = |seconds| named(&ask(&folder, Period::at(at(seconds))));
    assert_eq!(RulesFolder::open(folder.path()).unwrap().stamps().len(), 2);
    assert_eq!(who(1500), [(1, InForce)]);
    assert_eq!(who(1_000_000), [(2, InForce)]);
    // The second of the change can be either's.
    let half = Period::at(at(2000) + Duration::from_millis(500));
    assert_eq!(named(&ask(&folder, half)), [(1, Unconfirmed), (2, Unconfirmed)]);
    let first = ask(&folder, Period::new(at(500), at(1500)));
    assert_eq!(named(&first), [(1, InForce)]);
    assert_eq!(first.gaps, [(Period::new(at(500), at(1000)), PlanGap::BeforeFirst)]);
    assert_eq!(first.holders[0].period, Period::new(at(1001), at(2000)));
    let before = ask(&folder, Period::at(at(900)));
    assert_eq!((named(&before), before.gaps.len()), (vec![], 1));
    let over = ask(&folder, Period::new(at(1900), at(2100)));
    assert_eq!(named(&over), [(1, InForce), (2, InForce)]);
}

#[test]
fn files_of_one_second_can_both_be_meant() {
    let folder = folder_of(&[
        ("rules.v4.1000", rules(1, 1000)),
        ("rules.v4.1000.1", rules(2, 1000)),
        ("rules.v4.3000", rules(3, 1000)),
    ]);
    let half = Period::at(at(1000) + Duration::from_millis(500));
    assert_eq!(named(&ask(&folder, half)), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(named(&ask(&folder, Period::at(at(2000)))), [(2, InForce)]);
}

#[test]
fn what_the_files_do_not_tell_is_said() {
    let folder = folder_of(&[
        ("rules.v4.1000", rules(1, 1000)),
        ("rules.v4.2000", "*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n".to_owned()),
    ]);
    let open = RulesFolder::open(folder.path()).unwrap();
    let gaps = |address: [u8; 4], protocol, seconds| {
        let window = Period::at(at(seconds));
        open.held(address.into(), Selector::Port(1005), Some(protocol), window).unwrap().unwrap().gaps
    };
    let here = [192, 0, 2, 1];
    assert_eq!(gaps(here, Protocol::TCP, 1500), []);
    let tcp = ProtocolSet::only(Protocol::TCP);
    assert_eq!(gaps(here, Protocol::UDP, 1500)[0].1, PlanGap::Protocol(tcp));
    assert_eq!(gaps([192, 0, 2, 9], Protocol::TCP, 1500)[0].1, PlanGap::NotPublic);
    assert_eq!(gaps(here, Protocol::TCP, 2500)[0].1, PlanGap::NoPorts);
    let note = &ask(&folder, Period::at(at(2500))).notes[0];
    assert!(
        note.contains("rules.v4.2000") && note.contains("line 2: -A POSTROUTING -j MASQUERADE"),
        "{note}"
    );
}

#[test]
fn a_damaged_file_is_told_with_its_line() {
    let folder = folder_of(&[("rules.v4.1000", rules(1, 1000)), ("rules.v4.2000", "*nat\n-A".to_owned())]);
    let open = RulesFolder::open(folder.path()).unwrap();
    let ask = |seconds| open.held(PUBLIC, Selector::Port(1005), None, Period::at(at(seconds)));
    assert!(ask(1500).is_ok());
    let error = ask(2500).unwrap_err().to_string();
    assert!(error.contains("rules.v4.2000: line 2: a rule without a chain"), "{error}");
}
