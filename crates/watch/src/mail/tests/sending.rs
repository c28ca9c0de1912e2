//! By a sendmail-like program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{eventually, message, news};
use crate::mail::{Message, News, Outbox, Sendmail, Transport};

/// A program of this folder.
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("sendmail");
    // Written aside and renamed: a file that is being written cannot be run.
    let part = folder.join("sendmail.part");
    fs::write(&part, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&part, &path).unwrap();
    path
}

fn sendmail(program: &Path, arguments: &[&str]) -> Sendmail {
    let program = program.to_str().unwrap();
    Sendmail::new([program].into_iter().chain(arguments.iter().copied()))
}

fn outbox(folder: &Path, sendmail: Sendmail) -> Outbox {
    Outbox::open(folder.join("mail"), &Transport::Sendmail(sendmail)).unwrap()
}

/// Why a mail could not be sent yet.
fn delayed(outbox: &Outbox) -> String {
    news(outbox, |news| match news {
        News::Delayed { reason } => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn a_program_gets_the_mail_on_its_input_and_no_shell_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$(dirname \"$0\")\"; printf '%s\\n' \"$@\" > arguments; cat > got";
    let sendmail = sendmail(&program(folder.path(), script), &["-t", "$(touch oops); `touch oops`"]);
    let outbox = outbox(folder.path(), sendmail);
    let text = "a\n.\n~!touch oops\n$(touch oops)\n".to_owned();
    outbox.queue(&Message { text, ..message("1") }).unwrap();
    news(&outbox, |news| matches!(news, News::Sent { .. }).then_some(()));
    assert_eq!(
        fs::read_to_string(folder.path().join("arguments")).unwrap(),
        "-t\n$(touch oops); `touch oops`\n"
    );
    let got = fs::read_to_string(folder.path().join("got")).unwrap();
    assert!(!got.contains('\r'), "line ends are the system's");
    assert!(got.starts_with("From: ") || got.contains("\nFrom: unmasq@gw1.example\n"), "{got}");
    assert!(got.ends_with("\n\na\n=2E\n=7E!touch oops\n$(touch oops)\n"), "{got}");
    assert!(!folder.path().join("oops").exists());
}

#[test]
fn a_failure_is_told_with_what_the_program_said_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$(dirname \"$0\")\"; [ -e mended ] || { echo no relay >&2; exit 75; }; cat > got";
    let outbox = outbox(folder.path(), sendmail(&program(folder.path(), script), &[]));
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.contains("no relay") && reason.contains("75"), "{reason}");
    fs::write(folder.path().join("mended"), "").unwrap();
    news(&outbox, |news| matches!(news, News::Sent { .. }).then_some(()));
}

#[test]
fn a_program_that_refuses_the_data_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let sendmail = sendmail(&program(folder.path(), "echo bad address; exit 65"), &[]);
    let outbox = outbox(folder.path(), sendmail);
    outbox.queue(&message("1")).unwrap();
    let reason = news(&outbox, |news| match news {
        News::Failed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("bad address"), "{reason}");
    eventually("it does not wait", || (outbox.tally().waiting == 0).then_some(()));
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$(dirname \"$0\")\"; sleep 1000 & echo $! > child; wait";
    let patience = Duration::from_millis(300);
    let sendmail = Sendmail { patience, ..sendmail(&program(folder.path(), script), &[]) };
    let outbox = outbox(folder.path(), sendmail);
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.contains("longer than"), "{reason}");
    if let Ok(child) = fs::read_to_string(folder.path().join("child")) {
        let stat = format!("/proc/{}/stat", child.trim());
        eventually("the child is dead", || {
            // Dead, and perhaps not yet waited for by whoever inherited it.
            let state = fs::read_to_string(&stat).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }
}

#[test]
fn what_a_program_leaves_behind_is_not_waited_for_and_may_go_on_speaking() {
    let folder = tempfile::tempdir().unwrap();
    let behind = "(while [ ! -e go ]; do sleep 0.05; done; echo late; echo later && touch survived) &";
    // Only when it is run first: the mail is tried again.
    let once = format!("[ -e ran ] && exit 75; touch ran; {behind}");
    let script = format!("cd \"$(dirname \"$0\")\"; echo first >&2; {once} echo last; exit 75");
    let outbox = outbox(folder.path(), sendmail(&program(folder.path(), &script), &[]));
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.ends_with(": first\nlast"), "{reason}");
    fs::write(folder.path().join("go"), "").unwrap();
    eventually("it lives on", || folder.path().join("survived").exists().then_some(()));
}

#[test]
fn a_program_that_says_too_much_is_heard_in_part_and_not_held_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "yes | head -c 1000000; exit 75";
    let outbox = outbox(folder.path(), sendmail(&program(folder.path(), script), &[]));
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.contains("75") && reason.ends_with("y\ny"), "{reason}");
    assert!(reason.len() < 2200, "{} bytes", reason.len());
}

#[test]
fn a_program_that_is_not_there_delays_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sendmail = Sendmail::new(["/nonexistent/sendmail", "-t"]);
    let outbox = Outbox::open(folder.path(), &Transport::Sendmail(sendmail)).unwrap();
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.contains("/nonexistent/sendmail"), "{reason}");
    assert!(Outbox::open(folder.path().join("2"), &Transport::Sendmail(Sendmail::new([""]))).is_err());
}
