//! Several sources read as one, by the time of their entries.
//!
//! ```text
//!  journal of host A ──► ▪▪▪ ─┐
//!  journal of host B ──► ▪    ├─ the earliest ──► entry
//!  syslog socket     ──►      ┘    … at once if each other source has shown a later one, else after the allowance
//! ```
//!
//! **To the end** of all ([`Order::Exact`]), the order is that of the times, whatever the sources; entries of one
//! source stay in its order.
//!
//! **Live** ([`Order::Live`]), an entry waits until no other source can bring an earlier one any more, or until it is
//! the *allowance* older than now: so much later than its time says, by delivery and by clocks that differ, an entry of
//! another source may arrive and still come in order. What is later than that comes when it comes; nothing is dropped. No
//! entry waits longer than the allowance after its arrival, and none at all while all sources have more to read, as when
//! catching up. A time in the future counts as now.
//!
//! What was read and not yet given is not lost by a restart: [`Merge::position`](Source::position) is after the last entry
//! given of each source, and has with it what is held of those that have no places (sockets).

mod member;
#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use unmasq_entry::saved::SavedEntry;
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::{Behind, Counts, MemberPosition, Notice, Position, Read, Source, SourceError};
use member::{Held, Member, Now, State};

/// Most entries held at once; past it the earliest is given though its time has not come.
const MOST_ENTRIES: usize = 65_536;

/// Most bytes held at once; as [`MOST_ENTRIES`].
const MOST_BYTES: usize = 64 << 20;

/// A source with nothing to read is not asked again for so long while others have entries: asking is a system call.
const REST: Duration = Duration::from_millis(1);

/// In what order the entries of several sources are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By time; each source is waited for. For sources that end.
    Exact,
    /// By time as far as entries arrive at most `allowance` after the time they bear.
    Live {
        /// The longest that an entry waits.
        allowance: Duration,
    },
}

/// Several sources as one: of any kinds, or all of one.
pub struct Merge<S = Box<dyn Source>> {
    name: String,
    order: Order,
    members: Vec<Member<S>>,
    /// Entries to read into.
    spare: Vec<Entry>,
    held: usize,
    held_bytes: usize,
    hurried: u64,
    hurried_told: u64,
    begin: Instant,
    /// Those of the held entries.
    fields: Option<Fields>,
    /// The member whose entry was given last.
    last: usize,
    wake: Option<Duration>,
}

impl<S: Source> Merge<S> {
    /// Of no source yet.
    pub fn new(name: impl Into<String>, order: Order) -> Self {
        Self {
            name: name.into(),
            order,
            members: Vec::new(),
            spare: Vec::new(),
            held: 0,
            held_bytes: 0,
            hurried: 0,
            hurried_told: 0,
            begin: Instant::now(),
            fields: None,
            last: 0,
            wake: None,
        }
    }

    /// Adds a source. `saved`: the place where it was opened, if one was saved under this name, which should not be
    /// another's.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        source: S,
        saved: Option<&MemberPosition>,
    ) -> Result<(), SourceError> {
        let saved = saved.map(|saved| saved.held.clone()).unwrap_or_default();
        self.members.push(Member::new(name.into(), source, saved)?);
        Ok(())
    }

    /// How many sources there are, those that have ended included.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many entries were given before their time as more were held than memory is meant for.
    pub fn hurried(&self) -> u64 {
        self.hurried
    }

    /// One of the sources, which may have more to read after what is done to it.
    pub(crate) fn member_mut(&mut self, name: &str) -> Option<&mut S> {
        let member = self.members.iter_mut().find(|member| member.name == name)?;
        member.state = State::Ready;
        Some(&mut member.source)
    }

    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), steady: self.begin.elapsed() }
    }

    /// As [`Source::read`], at a given moment.
    fn step(&mut self, entry: &mut Entry, fields: &Fields, now: Now) -> Result<Read, SourceError> {
        self.wake = None;
        if self.fields.is_none() {
            self.fields = Some(fields.clone());
        }
        for of in 0..self.members.len() {
            for saved in std::mem::take(&mut self.members[of].saved) {
                let mut entry = Entry::new(fields);
                saved.restore(&mut entry, fields);
                let held = self.hold(of, entry, Position::None, now);
                self.members[of].held.push_back(held);
            }
        }
        if self.held == 0
            && let Some(only) = self.only()
        {
            self.last = only;
            return self.members[only].pass_on(entry, fields, now);
        }
        for of in 0..self.members.len() {
            if self.members[of].held.is_empty() && self.is_to_ask(of, now) {
                self.read_one(of, fields, now)?;
            }
        }
        loop {
            let Some(first) = self.first() else {
                let is_over = self.members.iter().all(|member| member.state == State::Ended);
                return Ok(if is_over { Read::End } else { Read::Idle });
            };
            match self.waits_for(first) {
                None => return Ok(self.give(first, entry)),
                // It was asked before the entry came of age: once more.
                Some(other) if self.is_of_age(first, now) => self.read_one(other, fields, now)?,
                Some(_) if self.order == Order::Exact => return Ok(Read::Idle),
                Some(_) if self.is_full() => {
                    self.hurried += 1;
                    return Ok(self.give(first, entry));
                }
                Some(_) => {
                    if !self.read_ahead(fields, now)? {
                        let until = self.members[first].held.front().map(|held| held.until);
                        self.wake = until.map(|until| until.saturating_sub(now.steady));
                        return Ok(Read::Idle);
                    }
                }
            }
        }
    }

    /// The member that has not ended, if there is one only: its entries wait for nobody's.
    fn only(&self) -> Option<usize> {
        let mut open = (0..self.members.len()).filter(|of| self.members[*of].state != State::Ended);
        open.next().filter(|_| open.next().is_none())
    }

    /// The member with the earliest entry.
    fn first(&self) -> Option<usize> {
        let heads = self.members.iter().enumerate();
        let heads = heads.filter_map(|(of, member)| Some((member.held.front()?.key, of)));
        heads.min().map(|(_, of)| of)
    }

    fn is_to_ask(&self, of: usize, now: Now) -> bool {
        match self.members[of].state {
            State::Ready => true,
            State::Idle(asked) => now.steady.saturating_sub(asked.steady) >= REST || self.held == 0,
            State::Ended => false,
        }
    }

    /// A source that could still bring an entry before the first one of this member.
    fn waits_for(&self, first: usize) -> Option<usize> {
        let held = self.members[first].held.front()?;
        self.members.iter().position(|member| {
            member.held.is_empty()
                && match member.state {
                    State::Ready => true,
                    State::Ended => false,
                    State::Idle(asked) => !self.is_past(held, asked),
                }
        })
    }

    fn is_of_age(&self, first: usize, now: Now) -> bool {
        self.members[first].held.front().is_some_and(|held| self.is_past(held, now))
    }

    /// Is nothing earlier than this entry to be expected at that moment?
    fn is_past(&self, held: &Held, at: Now) -> bool {
        match self.order {
            Order::Exact => false,
            Order::Live { allowance } => at.steady >= held.until || at.wall.since(held.key) > allowance,
        }
    }

    /// May a source that was not asked at this moment have something?
    fn has_more(&self, of: usize, now: Now) -> bool {
        match self.members[of].state {
            State::Ready => true,
            State::Idle(asked) => asked != now,
            State::Ended => false,
        }
    }

    fn is_full(&self) -> bool {
        self.held >= MOST_ENTRIES || self.held_bytes >= MOST_BYTES
    }

    fn give(&mut self, of: usize, entry: &mut Entry) -> Read {
        let Some(mut held) = self.members[of].give() else { return Read::Idle };
        self.held -= 1;
        self.held_bytes -= held.entry.size();
        self.last = of;
        std::mem::swap(entry, &mut held.entry);
        held.entry.clear();
        self.spare.push(held.entry);
        Read::Entry
    }

    /// Reads the next entry of a member, if it has one.
    fn read_one(&mut self, of: usize, fields: &Fields, now: Now) -> Result<(), SourceError> {
        let mut entry = self.spare.pop().unwrap_or_else(|| Entry::new(fields));
        match self.members[of].read(&mut entry, fields, now) {
            Ok(Some(place)) => {
                let held = self.hold(of, entry, place, now);
                self.members[of].held.push_back(held);
                Ok(())
            }
            Ok(None) => {
                self.spare.push(entry);
                Ok(())
            }
            Err(error) => {
                entry.clear();
                self.spare.push(entry);
                Err(error)
            }
        }
    }

    fn hold(&mut self, of: usize, entry: Entry, place: Position, now: Now) -> Held {
        self.held += 1;
        self.held_bytes += entry.size();
        let member = &mut self.members[of];
        match self.order {
            Order::Exact => Held { key: member.key(entry.time), until: now.steady, entry, place },
            Order::Live { allowance } => {
                let key = member.key(entry.time.or(Some(now.wall))).min(now.wall);
                let until = now.steady + allowance.saturating_sub(now.wall.since(key));
                Held { entry, key, until, place }
            }
        }
    }

    /// Takes what the sources have while the first entry waits, so that sockets do not overflow and each entry's wait
    /// begins when it arrives. True if something came.
    fn read_ahead(&mut self, fields: &Fields, now: Now) -> Result<bool, SourceError> {
        let before = self.held;
        for of in 0..self.members.len() {
            while self.has_more(of, now) && !self.is_full() {
                self.read_one(of, fields, now)?;
            }
        }
        Ok(self.held > before)
    }
}

impl<S: Source> Source for Merge<S> {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        let now = self.now();
        self.step(entry, fields, now)
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        let fields = self.fields.as_ref();
        let places = self.members.iter_mut().map(|member| member.position(fields));
        places.collect::<Result<_, _>>().map(Position::Merged)
    }

    fn last_place(&mut self) -> Result<Option<String>, SourceError> {
        let Some(member) = self.members.get_mut(self.last) else { return Ok(None) };
        Ok(match member.place()? {
            Position::None => None,
            place @ Position::File(_) => Some(format!("{}: {place}", member.name)),
            place => Some(place.to_string()),
        })
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let open = self.members.iter().filter(|member| member.state != State::Ended);
        open.flat_map(|member| member.source.descriptors()).collect()
    }

    fn wake(&self) -> Option<Duration> {
        let open = self.members.iter().filter(|member| member.state != State::Ended);
        open.filter_map(|member| member.source.wake()).chain(self.wake).min()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn refit(&mut self, old: &Fields, new: &Fields) {
        self.fields = Some(new.clone());
        self.spare.clear();
        self.held_bytes = 0;
        for member in &mut self.members {
            member.source.refit(old, new);
            for held in &mut member.held {
                let saved = SavedEntry::new(&held.entry, old);
                held.entry = Entry::new(new);
                saved.restore(&mut held.entry, new);
                self.held_bytes += held.entry.size();
            }
        }
    }

    fn behind(&self) -> Option<Behind> {
        let all = || self.members.iter().filter_map(|member| member.source.behind());
        let times = all().filter_map(|behind| match behind {
            Behind::Time(time) => Some(time),
            Behind::Bytes(_) => None,
        });
        let bytes = all().filter_map(|behind| match behind {
            Behind::Bytes(bytes) => Some(bytes),
            Behind::Time(_) => None,
        });
        times.max().map(Behind::Time).or_else(|| bytes.reduce(|a, b| a + b).map(Behind::Bytes))
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for Counts { entries, bytes, undecodable, cut, lost } in
            self.members.iter().map(|m| m.source.counts())
        {
            sum.entries += entries;
            sum.bytes += bytes;
            sum.undecodable += undecodable;
            sum.cut += cut;
            sum.lost += lost;
        }
        sum
    }

    fn notice(&mut self) -> Option<Notice> {
        if self.hurried > self.hurried_told {
            let hurried = self.hurried - self.hurried_told;
            self.hurried_told = self.hurried;
            return Some(Notice::note(format!(
                "{}: {hurried} entries were not held for those of other sources: more than {MOST_ENTRIES} waited, or \
                 more than {} MiB of them",
                self.name,
                MOST_BYTES >> 20,
            )));
        }
        self.members.iter_mut().find_map(|member| member.source.notice())
    }
}

impl Source for Box<dyn Source> {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        self.as_mut().read(entry, fields)
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        self.as_mut().position()
    }

    fn last_place(&mut self) -> Result<Option<String>, SourceError> {
        self.as_mut().last_place()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.as_ref().descriptors()
    }

    fn wake(&self) -> Option<Duration> {
        self.as_ref().wake()
    }

    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn refit(&mut self, old: &Fields, new: &Fields) {
        self.as_mut().refit(old, new);
    }

    fn behind(&self) -> Option<Behind> {
        self.as_ref().behind()
    }

    fn counts(&self) -> Counts {
        self.as_ref().counts()
    }

    fn notice(&mut self) -> Option<Notice> {
        self.as_mut().notice()
    }
}
