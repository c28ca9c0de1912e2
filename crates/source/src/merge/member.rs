//! One of several sources: what was read of it and not given yet, and the places of that.

use std::collections::VecDeque;
use std::time::Duration;

use unmasq_entry::saved::SavedEntry;
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::{MemberPosition, Position, Read, Source, SourceError};

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
    /// Of the source, after this entry.
    pub(super) place: Position,
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
    /// Held in an earlier run: to be held again with the first read, when the fields are known.
    pub(super) saved: Vec<SavedEntry>,
    pub(super) state: State,
    /// After the last entry given; `None`: where the source stands.
    place: Option<Position>,
    /// The key of the last entry read: for those without a time.
    latest: Timestamp,
}

impl<S: Source> Member<S> {
    pub(super) fn new(name: String, mut source: S, saved: Vec<SavedEntry>) -> Result<Self, SourceError> {
        let place = source.position()?;
        Ok(Self {
            name,
            source,
            held: VecDeque::new(),
            saved,
            state: State::Ready,
            place: Some(place),
            latest: Timestamp::MIN,
        })
    }

    /// Reads the next entry, and its place, if there is one. `entry` is clear before, and after unless there is one.
    pub(super) fn read(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        now: Now,
    ) -> Result<Option<Position>, SourceError> {
        // The source goes on, and what was given stays.
        if self.place.is_none() {
            self.place = Some(self.source.position()?);
        }
        self.state = match self.source.read(entry, fields)? {
            Read::Entry => {
                self.state = State::Ready;
                return self.source.position().map(Some);
            }
            Read::Idle => State::Idle(now),
            Read::End => State::Ended,
        };
        Ok(None)
    }

    /// The time by which an entry just read is sorted; without a time, it stays behind the one before it.
    pub(super) fn key(&mut self, time: Option<Timestamp>) -> Timestamp {
        self.latest = time.unwrap_or(self.latest);
        self.latest
    }

    /// The first of the held entries.
    pub(super) fn give(&mut self) -> Option<Held> {
        let mut held = self.held.pop_front()?;
        // An entry of an earlier run has no place here any more.
        if held.place != Position::None {
            self.place = Some(std::mem::take(&mut held.place));
        }
        Some(held)
    }

    /// Gives the next entry as it is read, where nothing is held.
    pub(super) fn pass_on(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        now: Now,
    ) -> Result<Read, SourceError> {
        let read = self.source.read(entry, fields)?;
        self.state = match read {
            Read::Entry => {
                self.place = None;
                State::Ready
            }
            Read::Idle => State::Idle(now),
            Read::End => State::Ended,
        };
        Ok(read)
    }

    /// After the last entry given.
    pub(super) fn place(&mut self) -> Result<Position, SourceError> {
        self.place.clone().map_or_else(|| self.source.position(), Ok)
    }

    /// Where a later run reads on. What is held and has a place is read again then. `fields`: those of what is held.
    pub(super) fn position(&mut self, fields: Option<&Fields>) -> Result<MemberPosition, SourceError> {
        let place = self.place()?;
        let lost = self.held.iter().take_while(|held| held.place == Position::None);
        let lost = lost.filter_map(|held| fields.map(|fields| SavedEntry::new(&held.entry, fields)));
        let held = self.saved.iter().cloned().chain(lost).collect();
        Ok(MemberPosition { name: self.name.clone(), place, held })
    }
}
