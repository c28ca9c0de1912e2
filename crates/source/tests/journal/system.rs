//! The machine's own journal, as a process sees it in whose mount namespace it is that of the lab.

use std::process::Command;

use unmasq_entry::format::Encoding;
use unmasq_journal::Where;
use unmasq_lab::{Journald, Lab};
use unmasq_source::journal::{Journal, Options};
use unmasq_source::{Source, Start};

use crate::{messages, send};

/// Run by the other tests, in another mount namespace.
#[test]
#[ignore = "reads the journal of the machine that it runs on"]
fn prints_the_systems_journal() {
    let options =
        Options { place: Where::System, start: Start::Head, encoding: Encoding::default(), follow: true };
    let mut source = Journal::open(options).unwrap();
    while let Some(notice) = source.notice() {
        println!("notice {notice}");
    }
    println!("messages {:?}", messages(&mut source));
}

fn printed(command: &mut Command) -> String {
    let output = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "system::prints_the_systems_journal", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_systems_journal_is_read_through_rotations() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, 1..=2);
    journald.rotate().unwrap();
    send(&journald, [3]);
    let printed = printed(&mut journald.command("env"));
    assert!(printed.contains(r#"messages ["1", "2", "3"]"#), "{printed}");
    assert!(!printed.contains("notice"), "{printed}");
}

#[test]
fn who_may_not_read_the_journal_is_told_so() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, [1]);
    let mut nobody = journald.command("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let printed = printed(&mut nobody);
    assert!(printed.contains("messages []"), "{printed}");
    assert!(printed.contains("notice not read: ") && printed.contains("group systemd-journal"), "{printed}");
}
