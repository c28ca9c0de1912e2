//! By SMTP, to a relay that takes, refuses, is away, or is not who it should be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use unmasq_lab::{Authority, Signed};

use super::relay::Relay;
use super::{eventually, message, news};
use crate::mail::{Login, MailError, Message, News, Outbox, Smtp, Tls, Transport};

fn smtp(relay: &Relay, tls: Tls, authority: Option<PathBuf>) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port: relay.address.port(),
        tls,
        login: None,
        authority,
        hello: "gw1.example".to_owned(),
    }
}

fn plain(relay: &Relay) -> Transport {
    Transport::Smtp(smtp(relay, Tls::None, None))
}

fn sent(outbox: &Outbox) -> String {
    news(outbox, |news| match news {
        News::Sent { id } => Some(id.clone()),
        _ => None,
    })
}

fn delayed(outbox: &Outbox) -> String {
    news(outbox, |news| match news {
        News::Delayed { reason } => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn a_relay_gets_the_mail_as_it_was_composed() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(Tls::None, None, |_| None);
    let outbox = Outbox::open(folder.path(), &plain(&relay)).unwrap();
    let to = vec!["root@example.org".to_owned(), "Other <other@example.org>".to_owned()];
    outbox.queue(&Message { to, text: "one\n.\n.two\n".to_owned(), ..message("1") }).unwrap();
    assert!(sent(&outbox).starts_with("1@"));
    let [mail] = relay.taken().try_into().unwrap();
    assert_eq!(mail.from, "MAIL FROM:<unmasq@gw1.example>");
    assert_eq!(mail.to, ["RCPT TO:<root@example.org>", "RCPT TO:<other@example.org>"]);
    assert!(mail.data.ends_with("\r\n\r\none\r\n=2E\r\n=2Etwo\r\n"), "{:?}", mail.data);
    assert_eq!(outbox.tally().sent, 1);
    eventually("the file goes", || (outbox.tally().waiting == 0).then_some(()));
}

#[test]
fn tls_is_used_and_the_password_goes_inside_it() {
    for tls in [Tls::Starttls, Tls::Implicit] {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority").unwrap();
        let relay = Relay::start(tls, Some(&authority.sign(&["127.0.0.1"]).unwrap()), |_| None);
        let login = Some(Login { user: "u".to_owned(), password: "secret".to_owned() });
        let smtp = Smtp { login, ..smtp(&relay, tls, Some(authority.certificate())) };
        let outbox = Outbox::open(folder.path().join("mail"), &Transport::Smtp(smtp)).unwrap();
        outbox.queue(&message("1")).unwrap();
        sent(&outbox);
        let [mail] = relay.taken().try_into().unwrap();
        assert!(mail.was_encrypted);
        // RFC 4616: authorization identity, NUL, name, NUL, password; in base64.
        assert_eq!(mail.user.as_deref(), Some("AUTH PLAIN AHUAc2VjcmV0"));
    }
}

fn is_refused(tls: Tls, relay_has: &Signed, we_trust: PathBuf) -> String {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(tls, Some(relay_has), |_| None);
    let transport = Transport::Smtp(smtp(&relay, tls, Some(we_trust)));
    let outbox = Outbox::open(folder.path(), &transport).unwrap();
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(relay.taken().is_empty());
    assert_eq!(outbox.tally().waiting, 1, "the mail is kept");
    reason
}

#[test]
fn a_relay_with_a_wrong_certificate_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours").unwrap();
    let other = Authority::new(folder.path(), "other").unwrap();
    for tls in [Tls::Starttls, Tls::Implicit] {
        let stranger = other.sign(&["127.0.0.1"]).unwrap();
        let reason = is_refused(tls, &stranger, ours.certificate());
        assert!(reason.contains("certificate"), "{reason}");
        let misnamed = ours.sign(&["mail.example.org"]).unwrap();
        let reason = is_refused(tls, &misnamed, ours.certificate());
        assert!(reason.contains("not valid for name"), "{reason}");
    }
}

#[test]
fn a_relay_that_offers_no_starttls_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(Tls::None, None, |_| None);
    let authority = Authority::new(folder.path(), "ours").unwrap();
    let transport = Transport::Smtp(smtp(&relay, Tls::Starttls, Some(authority.certificate())));
    let outbox = Outbox::open(folder.path().join("mail"), &transport).unwrap();
    outbox.queue(&message("1")).unwrap();
    assert!(delayed(&outbox).contains("STARTTLS"));
    assert!(relay.taken().is_empty());
}

#[test]
fn a_password_is_not_sent_in_the_clear() {
    let login = Some(Login { user: "u".to_owned(), password: "secret".to_owned() });
    let smtp = Smtp {
        host: "mail.example.org".to_owned(),
        port: 25,
        tls: Tls::None,
        login,
        authority: None,
        hello: "gw1".to_owned(),
    };
    assert!(!format!("{smtp:?}").contains("secret"));
    let folder = tempfile::tempdir().unwrap();
    let refused = Outbox::open(folder.path(), &Transport::Smtp(smtp)).unwrap_err();
    assert!(matches!(&refused, MailError::Setting(what) if what.contains("in the clear")), "{refused}");
}

#[test]
fn mails_wait_while_the_relay_is_away_and_are_sent_once_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let busy = move |_: &str| is_away.load(Ordering::Relaxed).then_some("421 not now");
    let relay = Relay::start(Tls::None, None, busy);
    let outbox = Outbox::open(folder.path(), &plain(&relay)).unwrap();
    for id in ["1", "2", "3"] {
        outbox.queue(&message(id)).unwrap();
    }
    assert!(delayed(&outbox).contains("not now"));
    away.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        sent(&outbox);
    }
    assert_eq!(relay.taken().len(), 3);
    assert_eq!((outbox.tally().sent, outbox.tally().failed), (3, 0));
}

#[test]
fn a_mail_that_is_refused_for_good_is_put_aside_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let relay =
        Relay::start(Tls::None, None, |line| line.contains("nobody@").then_some("550 5.1.1 no such user"));
    let outbox = Outbox::open(folder.path(), &plain(&relay)).unwrap();
    let nobody = "nobody@example.org".to_owned();
    outbox.queue(&Message { to: vec![nobody.clone()], ..message("1") }).unwrap();
    outbox
        .queue(&Message { to: vec![nobody.clone(), "root@example.org".to_owned()], ..message("2") })
        .unwrap();
    outbox.queue(&message("3")).unwrap();
    let mut failed = Vec::new();
    let mut count = 0;
    while count < 4 {
        news(&outbox, |news| {
            count += 1;
            if let News::Failed { id, reason } = news {
                failed.push((id.clone(), reason.clone()));
            }
            Some(())
        });
    }
    assert_eq!(failed.len(), 2);
    for (_, reason) in &failed {
        assert!(reason.starts_with("nobody@example.org: ") && reason.contains("no such user"), "{reason}");
    }
    let taken = relay.taken();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|mail| mail.to == ["RCPT TO:<root@example.org>"]
        || mail.to == ["RCPT TO:<nobody@example.org>", "RCPT TO:<root@example.org>"]));
    let files: Vec<_> = std::fs::read_dir(folder.path().join("failed")).unwrap().collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let head = text.lines().next().unwrap();
        assert!(head.contains("no such user") && head.contains("\"to\":[\"nobody@example.org\"]"), "{head}");
    }
}

#[test]
fn one_recipient_who_is_put_off_gets_the_mail_later_and_the_other_gets_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let relay = Relay::start(Tls::None, None, move |line| {
        let is_grey = line.contains("TO:<grey@") && count.fetch_add(1, Ordering::Relaxed) == 0;
        is_grey.then_some("450 4.2.0 greylisted")
    });
    let outbox = Outbox::open(folder.path(), &plain(&relay)).unwrap();
    let to = vec!["grey@example.org".to_owned(), "root@example.org".to_owned()];
    outbox.queue(&Message { to, ..message("1") }).unwrap();
    assert!(delayed(&outbox).contains("greylisted"));
    sent(&outbox);
    let [first, second] = relay.taken().try_into().unwrap();
    assert_eq!(first.to, ["RCPT TO:<root@example.org>"]);
    assert_eq!(second.to, ["RCPT TO:<grey@example.org>"]);
    assert_eq!(first.data, second.data, "the same mail with the same Message-ID");
}

#[test]
fn a_login_that_fails_keeps_the_mails() {
    let folder = tempfile::tempdir().unwrap();
    let relay =
        Relay::start(Tls::None, None, |line| line.starts_with("AUTH").then_some("535 5.7.8 wrong password"));
    let login = Some(Login { user: "u".to_owned(), password: "old".to_owned() });
    let transport = Transport::Smtp(Smtp { login, ..smtp(&relay, Tls::None, None) });
    let outbox = Outbox::open(folder.path(), &transport).unwrap();
    outbox.queue(&message("1")).unwrap();
    let reason = delayed(&outbox);
    assert!(reason.contains("logging in") && reason.contains("wrong password"), "{reason}");
    // Mended by a reload.
    outbox.set_transport(&plain(&relay)).unwrap();
    sent(&outbox);
    assert_eq!(relay.taken().len(), 1);
}
