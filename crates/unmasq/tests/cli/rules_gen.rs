//! `unmasq rules gen`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::Command;
use tempfile::{TempDir, tempdir};

use crate::support::{Said, said};

const VARS: &str = "#define SSH_PERMITTED 1.2.3.4 1.2.3.5\n";
const INPUT: &str = "-A INPUT -p tcp -m tcp -s SSH_PERMITTED --dport 22 -j ACCEPT\n";
const GENERATED: &str = "-A INPUT -p tcp -m tcp -s 1.2.3.4 --dport 22 -j ACCEPT\n\
                         -A INPUT -p tcp -m tcp -s 1.2.3.5 --dport 22 -j ACCEPT\n";

/// A folder with the document's two files.
fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("iptables.conf.in"), INPUT).unwrap();
    fs::write(folder.path().join("iptables.conf.var"), VARS).unwrap();
    folder
}

/// Runs it in a folder.
fn gen_in(folder: &Path, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    command.current_dir(folder).args(["rules", "gen"]).args(arguments).write_stdin(input);
    said(&mut command)
}

fn outcome(said: &Said) -> (i32, &str, &str) {
    (said.status, &said.out, &said.err)
}

#[test]
fn the_documents_files_give_its_rules() {
    let folder = folder();
    let explicit = gen_in(folder.path(), &["iptables.conf.in", "--vars", "iptables.conf.var"], "");
    assert_eq!(outcome(&explicit), (0, GENERATED, ""));
    let beside = gen_in(folder.path(), &["iptables.conf.in"], "");
    assert_eq!(outcome(&beside), (0, GENERATED, ""));
    let piped = gen_in(folder.path(), &["-", "--vars", "iptables.conf.var"], INPUT);
    assert_eq!(outcome(&piped), (0, GENERATED, ""));
    let mut alias = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    alias.current_dir(folder.path()).args(["rules", "generate", "iptables.conf.in"]);
    assert_eq!(outcome(&said(&mut alias)), (0, GENERATED, ""));
}

#[test]
fn a_file_is_written_whole_and_for_its_owner() {
    let folder = folder();
    let new = folder.path().join("iptables.conf.new");
    let said = gen_in(folder.path(), &["iptables.conf.in", "-o", "iptables.conf.new"], "");
    assert_eq!(outcome(&said), (0, "iptables.conf.new: 2 lines, with 1 macro\n", ""));
    assert_eq!(fs::read_to_string(&new).unwrap(), GENERATED);
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    let said = gen_in(folder.path(), &["iptables.conf.in", "-o", "iptables.conf.new", "--json"], "");
    let report = serde_json::json!({
        "file": "iptables.conf.new", "form": "iptables", "generated": true, "lines": 2, "macros": 1, "problems": []
    });
    assert_eq!((said.status, said.json()), (0, report));
}

#[test]
fn the_files_that_it_is_made_of_are_never_written_over() {
    let folder = folder();
    std::os::unix::fs::symlink("iptables.conf.var", folder.path().join("link")).unwrap();
    fs::hard_link(folder.path().join("iptables.conf.in"), folder.path().join("hard")).unwrap();
    for output in ["iptables.conf.in", "./iptables.conf.var", "link", "hard"] {
        let said = gen_in(folder.path(), &["iptables.conf.in", "-o", output], "");
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{output}");
        assert!(said.err.contains("of which it is made: give another -o"), "{}", said.err);
    }
    assert_eq!(fs::read_to_string(folder.path().join("iptables.conf.in")).unwrap(), INPUT);
    assert_eq!(fs::read_to_string(folder.path().join("iptables.conf.var")).unwrap(), VARS);
}

#[test]
fn errors_of_both_files_are_shown_and_nothing_is_written() {
    let folder = folder();
    fs::write(folder.path().join("iptables.conf.var"), "#define A B\n#define B A\n").unwrap();
    fs::write(folder.path().join("iptables.conf.in"), "*filter\n-A INPUT --comment \"x\n").unwrap();
    fs::write(folder.path().join("new"), "as it was").unwrap();
    let said = gen_in(folder.path(), &["iptables.conf.in", "-o", "new"], "");
    assert_eq!((said.status, said.out.as_str()), (1, ""));
    assert_eq!(
        said.err,
        "iptables.conf.var:2:11: macros name each other in a circle: A -> B -> A; one of them must do without the next\n  \
         |\n2 | #define B A\n  |           ^\n\n\
         iptables.conf.in:2:20: this quote is not closed in its line\n  |\n2 | -A INPUT --comment \"x\n  |                    ^\n\
         unmasq: nothing is generated, because of 2 errors\n"
    );
    assert_eq!(fs::read_to_string(folder.path().join("new")).unwrap(), "as it was");
    let said = gen_in(folder.path(), &["iptables.conf.in", "-o", "new", "--json"], "");
    let report = said.json();
    assert_eq!((said.status, &report["generated"]), (1, &false.into()));
    assert_eq!(report["problems"][1]["file"], "iptables.conf.in");
    assert_eq!((&report["problems"][1]["line"], &report["problems"][1]["column"]), (&2.into(), &20.into()));
    assert_eq!(report["problems"][1]["error"], true);
}

#[test]
fn warnings_go_to_standard_error() {
    let folder = folder();
    fs::write(folder.path().join("iptables.conf.var"), format!("{VARS}#define IDLE a\n")).unwrap();
    let said = gen_in(folder.path(), &["iptables.conf.in"], "");
    assert_eq!((said.status, said.out.as_str()), (0, GENERATED));
    assert_eq!(
        said.err,
        "iptables.conf.var:2:9: warning: IDLE is not used by any rule\n  |\n2 | #define IDLE a\n  |         ^^^^\n"
    );
}

#[test]
fn the_form_is_told_from_the_name_or_text_and_can_be_given() {
    let folder = folder();
    let rule = "ip saddr SSH_PERMITTED accept\n";
    fs::write(folder.path().join("x.nft.in"), rule).unwrap();
    let wanted = "# Macros of iptables.conf.var\ndefine SSH_PERMITTED = { 1.2.3.4, 1.2.3.5 }\nip saddr $SSH_PERMITTED accept\n";
    let said = gen_in(folder.path(), &["x.nft.in", "--vars", "iptables.conf.var"], "");
    assert_eq!(outcome(&said), (0, wanted, ""));
    let said = gen_in(folder.path(), &["-", "--format", "nft", "--vars", "iptables.conf.var"], rule);
    assert_eq!(outcome(&said), (0, wanted, ""));
    let said =
        gen_in(folder.path(), &["x.nft.in", "--format", "ip6tables", "--vars", "iptables.conf.var"], "");
    assert_eq!(outcome(&said), (0, "ip saddr 1.2.3.4 accept\nip saddr 1.2.3.5 accept\n", ""));
}

#[test]
fn wrong_usage_says_what_is_missing() {
    let folder = folder();
    fs::write(folder.path().join("alone.in"), "").unwrap();
    fs::write(folder.path().join("latin1.var"), b"#define A a\n# caf\xe9\n").unwrap();
    for (arguments, part) in [
        (&["alone.in"][..], "alone.var is not there: give the file of macros with --vars"),
        (&["iptables.conf.var"], "which macros? Give their file with --vars"),
        (&["no.in", "--vars", "iptables.conf.var"], "cannot read no.in: No such file"),
        (&["alone.in", "--vars", "latin1.var"], "latin1.var:2 is not UTF-8"),
        (&["iptables.conf.in", "--json"], "--output"),
        (&["iptables.conf.in", "--json", "-o", "-"], "--json needs a file"),
        (&["iptables.conf.in", "-o", "."], "cannot write .: Is a directory"),
        (&["iptables.conf.in", "-o", "no/such"], "cannot write no/such: No such file"),
    ] {
        let said = gen_in(folder.path(), arguments, "");
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(said.err.contains(part), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn a_ruleset_that_would_become_too_large_is_refused() {
    let folder = folder();
    let said = gen_in(folder.path(), &["iptables.conf.in", "--max-lines", "1"], "");
    assert_eq!((said.status, said.out.as_str()), (1, ""));
    assert!(
        said.err.starts_with("iptables.conf.in:1:1: this would become 2 rules (2 SSH_PERMITTED)"),
        "{}",
        said.err
    );
}
