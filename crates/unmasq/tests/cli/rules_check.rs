//! `unmasq rules check` and `unmasq rules set`, as far as they ask no kernel.

use crate::support::run;

#[test]
fn a_file_that_is_not_there_is_told() {
    let said =
        run(&["rules", "check", "--session", "192.0.2.7:50022,198.51.100.1:22", "/nonexistent/fw.nft"]);
    assert_eq!(said.status, 2);
    assert!(said.err.contains("cannot read the ruleset /nonexistent/fw.nft"), "{}", said.err);
}

#[test]
fn a_session_is_two_ends() {
    let said = run(&["rules", "check", "--session", "192.0.2.7", "fw.nft"]);
    assert_eq!(said.status, 2);
    assert!(said.err.contains("192.0.2.7:50022,198.51.100.1:22"), "{}", said.err);
    let said = run(&["rules", "check", "--format", "pf", "fw.nft"]);
    assert!(said.status == 2 && said.err.contains("iptables, ip6tables, nft"), "{}", said.err);
}

#[test]
fn every_warning_is_explained_in_the_help() {
    let said = run(&["rules", "check", "--help"]);
    assert_eq!(said.status, 0);
    for (code, _) in unmasq_rules::lint::CODES {
        assert!(said.out.contains(code), "{code}");
    }
}

#[test]
fn a_table_needs_a_name_and_an_addition_an_element() {
    for words in [
        &["add", "inet", "admins", "192.0.2.1"][..],
        &["add", "inet:filter", "admins"],
        &["list", "x;y", "z"],
    ] {
        let said = run(&[&["rules", "set"], words].concat());
        assert_eq!(said.status, 2, "{words:?}");
    }
}
