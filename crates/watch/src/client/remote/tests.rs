//! Against a made-up recorder: what comes in which order, what never comes, and what is nonsense.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_control::{Reply, Request, Status};

use super::*;

/// Longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

fn client(address: &str) -> Ask {
    Ask::Client { address: address.to_owned() }
}

/// A listener that hands its connections to the test, greeted.
fn recorder(path: &Path) -> mpsc::Receiver<Caller> {
    let listener = UnixListener::bind(path).unwrap();
    let (callers, received) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut caller = Caller(BufReader::new(stream));
            assert_eq!(caller.request(), Some(Ask::Status));
            caller.say(&[Reply::Status(Status::default()), Reply::End { flows: 1 }]);
            if callers.send(caller).is_err() {
                return;
            }
        }
    });
    received
}

struct Caller(BufReader<UnixStream>);

impl Caller {
    fn request(&mut self) -> Option<Ask> {
        let mut line = String::new();
        (self.0.read_line(&mut line).unwrap() > 0)
            .then(|| serde_json::from_str::<Request>(&line).unwrap().ask)
    }

    fn say(&mut self, replies: &[Reply]) {
        let lines: Vec<String> = replies.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        self.say_text(&lines.concat());
    }

    fn say_text(&mut self, text: &str) {
        // Whoever has gone does not hear it.
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }
}

/// Here silence is nothing but a machine that is busy.
fn connect(path: &Path, patience: Duration) -> RemoteBook {
    connect_within(path, Limits { patience, silence: PATIENCE })
}

fn connect_within(path: &Path, limits: Limits) -> RemoteBook {
    RemoteBook::connect_within(Place::Unix(path.to_owned()), None, limits).unwrap()
}

fn wait_for_connection(book: &RemoteBook) {
    let began = Instant::now();
    while book.standing() != Standing::Connected {
        assert!(began.elapsed() < PATIENCE, "{:?}", book.standing());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Polls as the engine does, until so many answers have come.
fn take(book: &RemoteBook, count: usize) -> Vec<Answered> {
    let began = Instant::now();
    let mut answers = Vec::new();
    while answers.len() < count {
        assert!(began.elapsed() < PATIENCE, "{answers:?}");
        let descriptor = book.descriptor();
        let limit = Timespec::try_from(Duration::from_secs(1)).unwrap();
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)).unwrap();
        answers.extend(book.answers());
    }
    answers
}

#[test]
fn several_questions_are_under_way_at_once_and_answers_find_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let callers = recorder(&path);
    let book = connect(&path, PATIENCE);
    for id in 0..100 {
        book.ask(id, client(&format!("10.0.0.{id}"))).unwrap();
    }
    let mut caller = callers.recv().unwrap();
    // All are asked before the first is answered.
    let asked: Vec<Ask> = (0..100).map(|_| caller.request().unwrap()).collect();
    assert_eq!(asked, (0..100).map(|id| client(&format!("10.0.0.{id}"))).collect::<Vec<_>>());
    for id in 0..100i64 {
        let covered = Covered {
            stream: "gw1".to_owned(),
            namespace: String::new(),
            scope: "all".to_owned(),
            destinations: "keep".to_owned(),
            since: id,
            until: id,
        };
        if id % 10 == 3 {
            caller.say(&[Reply::Error(format!("no {id}"))]);
        } else {
            caller.say(&[Reply::Covered(covered), Reply::End { flows: 1 }]);
        }
    }
    for answered in take(&book, 100) {
        match answered.outcome {
            Ok(found) => assert_eq!(found.covered[0].since, answered.id as i64),
            Err(refused) => assert_eq!(refused, Unanswered::Refused(format!("no {}", answered.id))),
        }
    }
    assert_eq!(book.standing(), Standing::Connected);
}

#[test]
fn what_was_under_way_when_the_connection_broke_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let callers = recorder(&path);
    let book = connect(&path, PATIENCE);
    book.ask(7, client("10.0.0.7")).unwrap();
    book.ask(8, client("10.0.0.8")).unwrap();
    let mut caller = callers.recv().unwrap();
    assert_eq!(caller.request(), Some(client("10.0.0.7")));
    caller.say(&[Reply::End { flows: 0 }]);
    assert_eq!(take(&book, 1)[0].id, 7);
    drop(caller);
    let mut caller = callers.recv().unwrap();
    assert_eq!(caller.request(), Some(client("10.0.0.8")));
    caller.say(&[Reply::End { flows: 0 }]);
    assert_eq!(take(&book, 1)[0].id, 8);
}

#[test]
fn a_question_that_is_not_answered_in_time_is_answered_with_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // Nobody is there at all.
    let book = connect(&path, Duration::from_millis(50));
    book.ask(1, client("10.0.0.1")).unwrap();
    assert_eq!(take(&book, 1), [Answered { id: 1, outcome: Err(Unanswered::TimedOut) }]);
    assert!(matches!(book.standing(), Standing::Broken(_)));

    // Somebody comes, and is slow: the late reply is not taken for that to the next question.
    let callers = recorder(&path);
    let mut caller = callers.recv_timeout(PATIENCE).unwrap();
    // Without a connection, the question would not be sent before its time is over.
    wait_for_connection(&book);
    book.ask(2, client("10.0.0.2")).unwrap();
    assert_eq!(caller.request(), Some(client("10.0.0.2")));
    assert_eq!(take(&book, 1), [Answered { id: 2, outcome: Err(Unanswered::TimedOut) }]);
    book.ask(3, client("10.0.0.3")).unwrap();
    assert_eq!(caller.request(), Some(client("10.0.0.3")));
    caller.say(&[Reply::Error("2".to_owned()), Reply::Error("3".to_owned())]);
    let outcome = take(&book, 1).remove(0).outcome;
    // The time may be over for that one too.
    assert!(
        [Err(Unanswered::Refused("3".to_owned())), Err(Unanswered::TimedOut)].contains(&outcome),
        "{outcome:?}"
    );
}

#[test]
fn a_recorder_that_has_fallen_silent_is_left_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let callers = recorder(&path);
    let book = connect_within(&path, Limits { patience: PATIENCE, silence: Duration::from_millis(100) });
    book.ask(1, client("10.0.0.1")).unwrap();
    let mut silent = callers.recv_timeout(PATIENCE).unwrap();
    assert_eq!(silent.request(), Some(client("10.0.0.1")));
    // Each that comes after it answers at once, so that one is in time.
    thread::spawn(move || {
        for mut caller in callers {
            if caller.request().is_some() {
                caller.say(&[Reply::Error("another".to_owned())]);
            }
        }
    });
    assert_eq!(take(&book, 1)[0].outcome, Err(Unanswered::Refused("another".to_owned())));
}

#[test]
fn nonsense_breaks_the_connection_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let callers = recorder(&path);
    let book = connect(&path, PATIENCE);
    for nonsense in ["hello\n", "{\"end\":{\"flows\":0}}\n{\"end\":{\"flows\":0}}\n", &"x".repeat(1 << 20)] {
        let mut caller = callers.recv_timeout(PATIENCE).unwrap();
        caller.say_text(nonsense);
    }
    let mut caller = callers.recv_timeout(PATIENCE).unwrap();
    book.ask(1, client("10.0.0.1")).unwrap();
    caller.request().unwrap();
    caller.say(&[Reply::End { flows: 0 }]);
    assert_eq!(take(&book, 1)[0].outcome, Ok(Found::default()));
}

#[test]
fn more_questions_than_there_is_room_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let book = connect(&folder.path().join("socket"), Duration::from_millis(10));
    for id in 0..MOST as u64 {
        book.ask(id, Ask::Status).unwrap();
    }
    assert_eq!(book.ask(0, Ask::Status), Err(Full));
    take(&book, MOST);
    assert_eq!(book.ask(0, Ask::Status), Ok(()));
}

#[test]
fn places_are_read_and_printed() {
    let tls = |host: &str, port| Place::Tls { host: host.to_owned(), port };
    for (text, place) in [
        ("tls://gw.example:7443", tls("gw.example", 7443)),
        ("tls://192.0.2.1:1", tls("192.0.2.1", 1)),
        ("tls://[2001:db8::1]:7443", tls("2001:db8::1", 7443)),
        ("unix:/run/unmasq/control.sock", Place::Unix("/run/unmasq/control.sock".into())),
    ] {
        assert_eq!(text.parse::<Place>().unwrap(), place);
        assert_eq!(place.to_string(), text);
    }
    for text in
        ["", "gw:7443", "tls://gw", "tls://:1", "tls://gw:0", "tls://gw:70000", "unix:run", "tls://u@gw:1"]
    {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    let refused = RemoteBook::connect(tls("gw", 1), None, PATIENCE).unwrap_err();
    assert!(matches!(refused, RemoteError::NoIdentity));
}

proptest! {
    #[test]
    fn any_bytes_of_a_recorder_are_read_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..60),
        lines in prop::collection::vec(
            "\\{\"(end|flow|error|covered|status)\":(\\{\"flows\":[0-9]{1,3}\\}|\"x\"|\\{\\}|1)\\}", 0..6,
        ),
    ) {
        fuzz_replies(&noise);
        fuzz_replies(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_place_is_read_or_refused(text in "(tls://|unix:)?[\\PC]{0,30}") {
        if let Ok(place) = text.parse::<Place>() {
            prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
    }
}
