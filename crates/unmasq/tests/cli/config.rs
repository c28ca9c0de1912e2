//! `unmasq config`.

use std::fs;

use assert_cmd::Command;
use serde_json::Value;

fn unmasq() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("unmasq"))
}

#[test]
fn the_example_passes_its_own_check() {
    let example = unmasq().args(["config", "example"]).output().unwrap();
    assert_eq!(example.status.code(), Some(0));
    let checked = unmasq().args(["config", "check", "-"]).write_stdin(example.stdout).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "<stdin>: valid\n");
}

#[test]
fn every_error_is_shown_with_its_line_and_the_status_is_1() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("unmasq.toml");
    fs::write(&file, "[record]\nkep = \"180d\"\nmax_size = \"50G\"\n").unwrap();
    let name = file.display().to_string();

    let checked = unmasq().args(["config", "check", &name]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let text = String::from_utf8_lossy(&checked.stderr);
    assert!(text.contains(&format!("{name}:2:1: unknown key \"kep\" in [record]; did you mean")), "{text}");
    assert!(text.contains(&format!("{name}:3:12: max_size:")), "{text}");
    assert!(text.contains("\n2 | kep = \"180d\"\n  | ^^^\n"), "{text}");
    assert!(text.ends_with("2 errors\n"), "{text}");

    let checked = unmasq().args(["config", "check", "--json", &name]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["problems"][1]["line"], 3);
    assert_eq!(answer["problems"][1]["column"], 12);
}

#[test]
fn a_file_that_cannot_be_read_is_another_failure() {
    let checked = unmasq().args(["config", "check", "/no/such/file.toml"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&checked.stderr),
        "unmasq: cannot read the configuration /no/such/file.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn the_definition_is_there_as_data() {
    let output = unmasq().args(["config", "example", "--json"]).output().unwrap();
    let sections: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sections[0]["name"], "record");
    assert_eq!(sections[0]["keys"][0]["default"], "\"/var/lib/unmasq/ledger\"");
}
