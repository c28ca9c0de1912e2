//! What a message looks like to Python's parser.

use std::process::Command;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::message;
use crate::mail::{MailError, Message};

fn compose(message: &Message) -> Result<Vec<u8>, MailError> {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    message.compose("gw1", date).map(|letter| letter.body)
}

/// Headers and parts, as Python's `email` reads them.
fn parsed(raw: &[u8]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail");
    std::fs::write(&file, raw).unwrap();
    let script = "
import email, email.policy, json, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
parts = [p for p in m.walk() if not p.is_multipart()]
print(json.dumps({
    'headers': [[k, str(v)] for k, v in m.items()],
    'defects': [str(d) for p in m.walk() for d in p.defects],
    'parts': [[p.get_content_type(), p.get_content_charset(), p['content-transfer-encoding'], p.get_content()] for p in parts],
}))";
    let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn header<'v>(mail: &'v serde_json::Value, name: &str) -> Vec<&'v str> {
    let headers = mail["headers"].as_array().unwrap();
    headers.iter().filter(|h| h[0] == name).map(|h| h[1].as_str().unwrap()).collect()
}

#[test]
fn a_message_has_all_that_a_mail_needs() {
    let report = Message {
        from: "Wächter <pyruse>".to_owned(),
        to: vec!["hostmaster".to_owned(), "a@example.org".to_owned()],
        subject: "Bericht für heute".to_owned(),
        text: "naïve\n.\n~!id\nFrom me\n--x\nend ".to_owned(),
        html: Some("<p>naïve</p>\n".to_owned()),
        ..message("step17.3f9a")
    };
    let raw = compose(&report).unwrap();
    assert_eq!(compose(&report).unwrap(), raw, "the same mail is the same bytes");
    let mail = parsed(&raw);
    assert_eq!(mail["defects"], serde_json::json!([]));
    assert_eq!(header(&mail, "From"), ["Wächter <pyruse@gw1>"]);
    assert_eq!(header(&mail, "To"), ["hostmaster@gw1, a@example.org"]);
    assert_eq!(header(&mail, "Subject"), ["Bericht für heute"]);
    assert_eq!(header(&mail, "Message-ID"), ["<step17.3f9a@gw1>"]);
    assert_eq!(header(&mail, "Date"), ["Fri, 15 Jan 2027 08:00:00 +0000"]);
    assert_eq!(header(&mail, "MIME-Version"), ["1.0"]);
    assert_eq!(header(&mail, "Auto-Submitted"), ["auto-generated"]);
    let parts = mail["parts"].as_array().unwrap();
    let text = "naïve\n.\n~!id\nFrom me\n--x\nend ";
    assert_eq!(parts[0], serde_json::json!(["text/plain", "utf-8", "quoted-printable", text]));
    assert_eq!(parts[1], serde_json::json!(["text/html", "utf-8", "quoted-printable", "<p>naïve</p>\n"]));
}

#[test]
fn nothing_in_a_subject_or_a_text_becomes_a_header() {
    let hostile = "x\r\nBcc: victim@example.org\r\n\r\nbody\0\x1b[2J\u{202e}";
    let mail = Message { subject: hostile.to_owned(), text: hostile.to_owned(), ..message("1") };
    let mail = parsed(&compose(&mail).unwrap());
    assert!(header(&mail, "Bcc").is_empty());
    assert_eq!(header(&mail, "Subject"), ["x\\nBcc: victim@example.org\\n\\nbody\\u{0}\\u{1b}[2J\\u{202e}"]);
    let text = "x\nBcc: victim@example.org\n\nbody\\u{0}\\u{1b}[2J\\u{202e}\n";
    assert_eq!(mail["parts"][0][3], text);

    let refused = Message { to: vec!["a@b.example\r\nBcc: x@y.example".to_owned()], ..message("1") };
    assert!(matches!(compose(&refused), Err(MailError::Address { .. })));
    let refused = Message { from: "a@b.example>\nX: y".to_owned(), ..message("1") };
    assert!(matches!(compose(&refused), Err(MailError::Address { .. })));
    for id in ["", "a b", "a>\r\nX: y", "a@b@c", "../../etc/passwd"] {
        assert!(matches!(compose(&message(id)), Err(MailError::Id(_))), "{id:?}");
    }
    assert!(matches!(compose(&Message { to: vec![], ..message("1") }), Err(MailError::NoRecipient)));
}

#[test]
fn a_long_subject_is_cut_and_no_line_is_too_long() {
    for letter in ["a", "é", "\u{1b}", "a ", "𝔘"] {
        let long = letter.repeat(5000);
        let mail = Message { subject: long.clone(), text: long, ..message("1") };
        let raw = compose(&mail).unwrap();
        for line in raw.split(|byte| *byte == b'\n') {
            assert!(line.len() <= 998, "a line of {} bytes for {letter:?}", line.len());
            assert!(line.is_ascii());
        }
        let subject = header(&parsed(&raw), "Subject")[0].to_owned();
        assert_eq!(subject.chars().count(), 301, "{subject}");
    }
}

proptest! {
    #[test]
    fn any_text_stays_text(subject in "[\\PC\r\n\0\u{1b}]{0,80}", text in "(\\PC|[\r\n.~=-]|From ){0,80}") {
        let raw = compose(&Message { subject, text, ..message("1") }).unwrap();
        let raw = String::from_utf8(raw).unwrap();
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> =
            head.split("\r\n").filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let expected = [
            "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version",
            "Message-ID", "Subject", "To",
        ];
        prop_assert_eq!(sorted, expected);
        prop_assert!(!raw.replace("\r\n", "").contains(['\r', '\n']));
        for line in body.split("\r\n") {
            prop_assert!(!line.starts_with('.') && !line.starts_with('~') && line.len() <= 76);
        }
    }
}
