//! What the tests share: entries read from a source, and waiting for one.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_entry::format::{Context, Format};
use unmasq_entry::saved::{SavedEntry, SavedValue};
use unmasq_entry::{Entry, Fields};
use unmasq_source::{Followed, Once, Position, Read, Source, Start};

/// Longer than a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A source, and the fields that are wanted of it.
pub(crate) struct Reader<S: ?Sized = dyn Source> {
    fields: Fields,
    entry: Entry,
    pub(crate) source: Box<S>,
}

impl<S: Source + ?Sized> Reader<S> {
    pub(crate) fn new(source: Box<S>, names: &[&str]) -> Self {
        let mut fields = Fields::default();
        for name in names {
            fields.slot(name);
        }
        let entry = Entry::new(&fields);
        Self { fields, entry, source }
    }

    /// Reads once.
    pub(crate) fn read(&mut self) -> (Read, SavedEntry) {
        self.entry.clear();
        let read = self.source.read(&mut self.entry, &self.fields).expect("a source that can be read");
        (read, SavedEntry::new(&self.entry, &self.fields))
    }

    /// What there is to read without waiting.
    pub(crate) fn now(&mut self) -> Vec<SavedEntry> {
        std::iter::from_fn(|| Some(self.read()).filter(|(read, _)| *read == Read::Entry))
            .map(|(_, entry)| entry)
            .collect()
    }

    /// The next entry, waited for as the engine waits; `None` at the end.
    pub(crate) fn wait(&mut self) -> Option<SavedEntry> {
        let limit = Instant::now() + PATIENCE;
        loop {
            match self.read() {
                (Read::Entry, entry) => return Some(entry),
                (Read::End, _) => return None,
                (Read::Idle, _) => {}
            }
            assert!(Instant::now() < limit, "{}: nothing came", self.source.name());
            let wake = self.source.wake().unwrap_or(PATIENCE);
            let wake = Timespec::try_from(wake).expect("a short time");
            let descriptors = self.source.descriptors();
            let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            poll(&mut polled, Some(&wake)).expect("poll");
        }
    }

    /// The texts of the next `count` messages, waited for.
    pub(crate) fn messages(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| message(&self.wait().expect("not the end"))).collect()
    }

    pub(crate) fn messages_now(&mut self) -> Vec<String> {
        self.now().iter().map(message).collect()
    }

    pub(crate) fn position(&mut self) -> Position {
        self.source.position().expect("a position")
    }

    pub(crate) fn notices(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.source.notice()).map(|notice| notice.message).collect()
    }
}

pub(crate) fn text(entry: &SavedEntry, name: &str) -> String {
    match entry.find(name) {
        Some(SavedValue::Text(text)) => text.clone(),
        other => panic!("{name} is no text: {other:?}"),
    }
}

pub(crate) fn message(entry: &SavedEntry) -> String {
    text(entry, "MESSAGE")
}

/// A followed file of plain lines.
pub(crate) fn follow(path: &Path, start: Start) -> Reader<Followed> {
    let followed = Followed::open(path, Format::Plain, Context::default(), start).expect("it is followed");
    Reader::new(Box::new(followed), &["MESSAGE"])
}

/// All entries of a file.
pub(crate) fn once(path: &Path, format: Option<Format>, names: &[&str]) -> Reader<Once> {
    let context = Context { latest: unmasq_flow::Timestamp::now(), ..Context::default() };
    Reader::new(Box::new(Once::open(path, format, context).expect("a file")), names)
}

pub(crate) fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
