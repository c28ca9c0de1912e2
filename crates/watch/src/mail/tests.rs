//! Mail as others read it: parsed by Python, taken by a relay and by programs.

mod composing;
mod queueing;
mod relay;
mod relaying;
mod sending;

use std::time::{Duration, Instant};

use super::{Message, News, Outbox};

/// Everything here happens within a second or two; the machine may be busy, and its disk slow to sync.
const PATIENCE: Duration = Duration::from_secs(120);

fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        from: "unmasq@gw1.example".to_owned(),
        to: vec!["root@example.org".to_owned()],
        subject: "Notification".to_owned(),
        text: "somebody is at the door\n".to_owned(),
        html: None,
    }
}

fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for news that it takes.
fn news<T>(outbox: &Outbox, mut take: impl FnMut(&News) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let news = outbox.news().recv_deadline(until).expect("news in time");
        if let Some(taken) = take(&news) {
            return taken;
        }
    }
}
