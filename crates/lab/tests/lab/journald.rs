//! The journal daemon of a lab.

use std::os::unix::net::UnixDatagram;

use unmasq_lab::{Journald, Lab};

#[test]
fn a_journal_of_the_lab_keeps_what_it_is_sent_and_the_machines_own_does_not() {
    let lab = Lab::new().unwrap();
    let mut journald = Journald::start(&lab, "SystemMaxFileSize=512K").unwrap();
    journald.send(&[("MESSAGE", b"two\nlines"), ("SYSLOG_IDENTIFIER", b"sshd"), ("_UID", b"99")]).unwrap();
    // journald reads its two sockets in any order.
    journald.sync().unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"<35>sshd[7]: by syslog", journald.syslog()).unwrap();
    assert_eq!(journald.read(&["-o", "cat", "-t", "sshd", "_UID=0"]).unwrap(), "two\nlines\nby syslog\n");

    // Seen from outside too, and after a rotation and another start.
    journald.rotate().unwrap();
    journald.stop().unwrap();
    assert!(journald.send(&[("MESSAGE", b"to nobody")]).is_err());
    journald.restart().unwrap();
    journald.send(&[("MESSAGE", b"again"), ("SYSLOG_IDENTIFIER", b"sshd")]).unwrap();
    assert_eq!(journald.read(&["-o", "cat", "-t", "sshd", "-n", "1"]).unwrap(), "again\n");
    let files = std::fs::read_dir(journald.directory()).unwrap().count();
    assert!(files >= 2, "a rotated file and a new one, not {files}");
}

#[test]
fn two_journals_are_of_two_machines() {
    let lab = Lab::new().unwrap();
    let [first, second] = ["", ""].map(|settings| Journald::start(&lab, settings).unwrap());
    first.send(&[("MESSAGE", b"to the first")]).unwrap();
    assert!(first.read(&["-o", "cat"]).unwrap().contains("to the first"));
    assert!(!second.read(&["-o", "cat"]).unwrap().contains("to the first"));
    assert_ne!(first.directory().file_name(), second.directory().file_name());
}
