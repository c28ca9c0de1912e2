//! The folder of mails: what a crash leaves, and what there is no room for.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use unmasq_lab::command::guarded;

use super::relay::Relay;
use super::{eventually, message, news};
use crate::mail::{News, Outbox, Queued, Sendmail, Smtp, Tls, Transport};

fn away() -> Transport {
    Transport::Sendmail(Sendmail::new(["/bin/false"]))
}

fn relayed(relay: &Relay) -> Transport {
    Transport::Smtp(Smtp {
        host: "127.0.0.1".to_owned(),
        port: relay.address.port(),
        tls: Tls::None,
        login: None,
        authority: None,
        hello: "gw1.example".to_owned(),
    })
}

#[test]
fn the_same_mail_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &away()).unwrap();
    assert_eq!(outbox.queue(&message("1")).unwrap(), Queued::New);
    assert_eq!(outbox.queue(&message("1")).unwrap(), Queued::Already);
    assert_eq!(outbox.queue(&message("2")).unwrap(), Queued::New);
    drop(outbox);
    let outbox = Outbox::open(folder.path(), &away()).unwrap();
    assert_eq!(outbox.queue(&message("1")).unwrap(), Queued::Already);
    assert_eq!(outbox.tally().waiting, 2);
    let mails = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".mail"));
    assert_eq!(mails.count(), 2);
    let mode = fs::metadata(folder.path().join("failed")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "mails are nobody else's");
}

#[test]
fn a_folder_is_one_processs() {
    let folder = tempfile::tempdir().unwrap();
    let _outbox = Outbox::open(folder.path(), &away()).unwrap();
    let refused = Outbox::open(folder.path(), &away()).unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
}

#[test]
fn what_a_crash_left_is_cleaned_and_what_is_damaged_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    drop({
        let outbox = Outbox::open(folder.path(), &away()).unwrap();
        outbox.queue(&message("1")).unwrap();
        outbox.queue(&message("2")).unwrap();
        outbox
    });
    let mut mails: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mail"))
        .collect();
    let cut = mails.pop().unwrap();
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    fs::write(folder.path().join("0000.mail"), "not JSON").unwrap();
    fs::write(folder.path().join("half.part"), &whole[..100]).unwrap();

    let relay = Relay::start(Tls::None, None, |_| None);
    let outbox = Outbox::open(folder.path(), &relayed(&relay)).unwrap();
    let mut troubles = 0;
    news(&outbox, |news| match news {
        News::Trouble { .. } => {
            troubles += 1;
            None
        }
        News::Sent { .. } => Some(()),
        _ => None,
    });
    assert_eq!(troubles, 2);
    assert_eq!(relay.taken().len(), 1);
    assert!(!folder.path().join("half.part").exists());
    assert_eq!(fs::read_dir(folder.path().join("failed")).unwrap().count(), 2);
}

/// The process that [`a_sigkill_loses_nothing_that_was_queued`] kills: queues mails for as long as it may.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn queues_until_it_is_killed() {
    let folder = std::env::var("UNMASQ_TEST_MAIL_FOLDER").unwrap();
    let outbox = Outbox::open(folder, &away()).unwrap();
    for number in 0.. {
        outbox.queue(&message(&number.to_string())).unwrap();
        println!("queued {number}");
    }
}

#[test]
fn a_sigkill_loses_nothing_that_was_queued() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = guarded(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "mail::tests::queueing::queues_until_it_is_killed"])
        .env("UNMASQ_TEST_MAIL_FOLDER", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let queued = |line: &String| line.starts_with("queued ");
    assert_eq!(lines.by_ref().filter(queued).take(50).count(), 50);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died, and was still in the pipe.
    let queued = 50 + lines.filter(queued).count();

    let relay = Relay::start(Tls::None, None, |_| None);
    let outbox = Outbox::open(folder.path(), &relayed(&relay)).unwrap();
    eventually("all are sent", || (outbox.tally().waiting == 0).then_some(()));
    let ids: std::collections::BTreeSet<String> = relay
        .taken()
        .iter()
        .filter_map(|mail| {
            mail.data.lines().find_map(|line| Some(line.strip_prefix("Message-ID: ")?.to_owned()))
        })
        .collect();
    for number in 0..queued {
        let start = format!("<{number}@");
        assert!(ids.iter().any(|id| id.starts_with(&start)), "{number} of {queued} is missing");
    }
}
