//! One of several sources: what was read of it and not given yet, and the places from which that can be read again.

use std::collections::VecDeque;
use std::time::Duration;

use unmasq_entry::saved::SavedEntry;
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::{MemberPosition, Position, Read, Source, SourceError};

/// A place is asked for after so many entries: it costs more than an entry.
const ENTRIES_BETWEEN_MARKS: u64 = 64;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    /// To compare with the times of entries.
    pub(super) wall: Timestamp,
    /// Never goes back or jumps.
    pub(super) steady: Duration,
}

/// An entry that waits for its turn.
pub(super) struct Held {
    pub(super) entry: Entry,
    /// What it is sorted by.
    pub(super) key: Timestamp,
    /// By the steady clock: it waits for nobody after this.
    pub(super) until: Duration,
}

/// A place in the source, and how many entries had been read there.
struct Mark {
    place: Position,
    at: u64,
}

/// What the source said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There may be more to read.
    Ready,
    /// There was nothing more at this moment.
    Idle(Now),
    /// It has ended.
    Ended,
}

pub(super) struct Member<S> {
    pub(super) name: String,
    pub(super) source: S,
    pub(super) held: VecDeque<Held>,
    pub(super) state: State,
    /// Oldest first. The first is the newest that is not after the last entry given; never empty.
    marks: VecDeque<Mark>,
    read: u64,
    given: u64,
    /// So many of the first held ones were read in an earlier run.
    restored: usize,
    /// The key of the last entry read: for those without a time.
    latest: Timestamp,
}

impl<S: Source> Member<S> {
    /// `passed`: so many of the entries to be read were given in an earlier run.
    pub(super) fn new(name: String, mut source: S, passed: u64) -> Result<Self, SourceError> {
        let place = source.position()?;
        Ok(Self {
            name,
            source,
            held: VecDeque::new(),
            state: State::Ready,
            marks: VecDeque::from([Mark { place, at: 0 }]),
            read: 0,
            given: passed,
            restored: 0,
            latest: Timestamp::MIN,
        })
    }

    /// Reads the next entry that was not given in an earlier run. `entry` is clear before, and after unless there is one.
    pub(super) fn read(&mut self, entry: &mut Entry, fields: &Fields, now: Now) -> Result<bool, SourceError> {
        loop {
            match self.source.read(entry, fields)? {
                Read::Entry => {
                    self.read += 1;
                    self.state = State::Ready;
                    let is_given = self.read <= self.given;
                    if is_given {
                        entry.clear();
                    }
                    self.mark(ENTRIES_BETWEEN_MARKS)?;
                    if !is_given {
                        return Ok(true);
                    }
                }
                Read::Idle => {
                    self.state = State::Idle(now);
                    self.mark(1)?;
                    return Ok(false);
                }
                Read::End => {
                    self.state = State::Ended;
                    self.mark(1)?;
                    return Ok(false);
                }
            }
        }
    }

    /// The time by which an entry just read is sorted; without a time, it stays behind the one before it.
    pub(super) fn key(&mut self, time: Option<Timestamp>) -> Timestamp {
        self.latest = time.unwrap_or(self.latest);
        self.latest
    }

    /// Notes that the first of the held entries is given.
    pub(super) fn give(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        if self.restored > 0 {
            self.restored -= 1;
        } else {
            self.given += 1;
            self.forget_marks();
        }
        Some(held)
    }

    /// Notes the place if so many entries were read since the last one noted.
    fn mark(&mut self, entries: u64) -> Result<(), SourceError> {
        if self.marks.back().is_none_or(|mark| self.read - mark.at >= entries) {
            let place = self.source.position()?;
            self.marks.push_back(Mark { place, at: self.read });
            self.forget_marks();
        }
        Ok(())
    }

    fn forget_marks(&mut self) {
        while self.marks.get(1).is_some_and(|mark| mark.at <= self.given) {
            self.marks.pop_front();
        }
    }

    /// Where a later run reads on. What is held of a source that has places is read again then.
    pub(super) fn position(&mut self) -> Result<MemberPosition, SourceError> {
        if self.read == self.given {
            self.mark(1)?;
        }
        let (place, at) = match self.marks.front() {
            Some(mark) => (mark.place.clone(), mark.at),
            None => (self.source.position()?, self.read),
        };
        let passed = if self.has_places()? { self.given.saturating_sub(at) } else { 0 };
        Ok(MemberPosition { name: self.name.clone(), place, passed })
    }

    /// What cannot be read again: the entries held of a source without places, and those of an earlier run.
    pub(super) fn pending(&mut self, fields: &Fields) -> Result<Vec<SavedEntry>, SourceError> {
        let lost = if self.has_places()? { self.restored } else { self.held.len() };
        Ok(self.held.iter().take(lost).map(|held| SavedEntry::new(&held.entry, fields)).collect())
    }

    /// A journal that was empty has no place either, but does once something was read.
    fn has_places(&mut self) -> Result<bool, SourceError> {
        Ok(self.read == 0 || self.source.position()? != Position::None)
    }

    /// Holds an entry of an earlier run.
    pub(super) fn restore(&mut self, held: Held) {
        self.held.insert(self.restored, held);
        self.restored += 1;
    }
}
