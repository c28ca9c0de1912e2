//! The systemd journal as a source: live, from a saved cursor, or to its end.
//!
//! Only the fields that chains use are kept; all of an entry's are looked at, as the library gives a repeated field only
//! that way (and finds each field by looking at all those before it: asking for two costs more than seeing all).
//! Guarded by `benches/journal.rs`.

mod hosts;

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use unmasq_entry::format::Encoding;
use unmasq_entry::journal_fields::push;
use unmasq_entry::{Entry, Fields, Value};
use unmasq_flow::Timestamp;
use unmasq_journal::{Changed, Cursor, Error, Where};

use crate::{Behind, Counts, Notice, Position, Read, Source, SourceError, Start};

pub use hosts::Hosts;

/// journald tells its readers of new entries up to 250 ms late, to tell of many at once, but they can be read at once:
/// this often it is looked for them.
const EAGER: Duration = Duration::from_millis(2);

/// As [`EAGER`], once nothing was written for [`QUIET`].
const RELAXED: Duration = Duration::from_millis(8);

/// See [`RELAXED`].
const QUIET: Duration = Duration::from_secs(60);

/// Whoever else writes journals tells at once, but not over network file systems.
const RECHECK: Duration = Duration::from_secs(1);

/// After so many entries, files that came and went are looked for even if there is more to read.
const ENTRIES_BETWEEN_LOOKS: u32 = 4096;

/// How a journal is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which journal.
    pub place: Where,
    /// Where to begin.
    pub start: Start,
    /// What `MESSAGE` is taken for where it is not UTF-8.
    pub encoding: Encoding,
    /// Whether to wait for more at its end.
    pub follow: bool,
}

/// A journal that gives entries.
pub struct Journal {
    library: unmasq_journal::Journal,
    options: Options,
    name: String,
    stand: Stand,
    /// The cursor of the last entry given, where the library no longer has it.
    last: Option<String>,
    counts: Counts,
    notices: VecDeque<Notice>,
    refused_told: u64,
    since_look: u32,
    latest: Instant,
}

/// What the next read does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Goes to the next entry.
    Before,
    /// Gives the entry that the library stands on: the one to begin after has gone, this is the next.
    On,
    /// As `Before`; the library stands on the last entry given and can tell its cursor.
    After,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stand, last, counts, .. } = self;
        f.debug_struct("Journal")
            .field("name", name)
            .field("stand", stand)
            .field("last", last)
            .field("counts", counts)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens it.
    pub fn open(options: Options) -> Result<Self, SourceError> {
        let name = match &options.place {
            Where::System => "journal".to_owned(),
            Where::Namespace(namespace) => format!("journal namespace {namespace}"),
            Where::Directory(path) => format!("journal {}", path.display()),
            Where::Files(paths) => match paths.first() {
                Some(path) => format!("journal {}", path.display()),
                None => "journal of no files".to_owned(),
            },
        };
        let library = opened(&options, &name)?;
        let mut source = Self {
            library,
            stand: Stand::Before,
            last: None,
            counts: Counts::default(),
            notices: VecDeque::new(),
            refused_told: 0,
            since_look: 0,
            latest: Instant::now(),
            options,
            name,
        };
        for unreadable in source.options.place.unreadable() {
            source.notices.push_back(Notice::loss(format!("not read: {unreadable}")));
        }
        source.begin()?;
        Ok(source)
    }

    /// Reads on in other files: those of a journal whose files are listed, after they changed. Refused, it goes on in the
    /// old ones.
    pub(crate) fn reopen(&mut self, place: Where) -> Result<(), SourceError> {
        self.keep_cursor()?;
        let (old_place, old_stand) = (std::mem::replace(&mut self.options.place, place), self.stand);
        let result = opened(&self.options, &self.name).and_then(|new| {
            let old = std::mem::replace(&mut self.library, new);
            let result = match self.last.clone() {
                Some(cursor) => self.resume(&cursor, false),
                None => self.library.seek_head().map_err(|error| self.failed(&error)),
            };
            result.inspect_err(|_| self.library = old)
        });
        if result.is_err() {
            self.options.place = old_place;
            self.stand = old_stand;
        }
        result
    }

    fn begin(&mut self) -> Result<(), SourceError> {
        match self.options.start.clone() {
            Start::Head => self.library.seek_head().map_err(|error| self.failed(&error)),
            Start::Tail => {
                self.library.seek_tail().map_err(|error| self.failed(&error))?;
                // None in an empty journal.
                self.last = self.library.cursor().ok();
                Ok(())
            }
            // The journal was empty then: all that is in it came later.
            Start::At(Position::Beginning | Position::None) => {
                self.library.seek_head().map_err(|error| self.failed(&error))
            }
            Start::At(Position::Cursor(cursor)) => {
                self.resume(&cursor, true)?;
                self.last = Some(cursor);
                Ok(())
            }
            Start::At(position) => Err(SourceError::Position { name: self.name.clone(), position }),
        }
    }

    /// Stands after the entry of this cursor; where it has gone, before the next one. `is_start`: a journal that has
    /// nothing as late is another one; while reading, its next entries have still to be written.
    fn resume(&mut self, cursor: &str, is_start: bool) -> Result<(), SourceError> {
        self.try_resume(cursor, is_start).map_err(|error| self.failed(&error))
    }

    fn try_resume(&mut self, cursor: &str, is_start: bool) -> Result<(), Error> {
        self.stand = Stand::Before;
        self.library.seek_cursor(cursor)?;
        if self.library.next()? {
            if !self.library.is_at(cursor)? {
                self.stand = Stand::On;
                let next = self.library.cursor()?;
                self.tell_of_gap(cursor, &next);
            }
            return Ok(());
        }
        // Past the end, with the cursor's entry gone. The library goes on with what sorts after it.
        self.library.seek_cursor(cursor)?;
        if !is_start {
            return Ok(());
        }
        let written = cursor.parse().map(|cursor: Cursor| cursor.written()).unwrap_or_default();
        self.library.seek_tail()?;
        let newest = self.library.realtime().ok();
        if newest.is_some_and(|newest| newest > written) {
            // Written just now, and sorts before for another reason than time: not to be passed over.
            return self.library.seek_realtime(written);
        }
        self.notices.push_back(Notice::loss(format!(
            "{}: reading stopped at an entry of {}, and there is none as late: the journal was emptied, is another, or \
             the clock was set back; reading goes on with what is written from now on",
            self.name,
            moment(written),
        )));
        Ok(())
    }

    /// The entry that was read last has gone, and the library stands on another.
    fn tell_of_gap(&mut self, last: &str, next: &str) {
        let (Ok(last), Ok(next)) = (last.parse::<Cursor>(), next.parse::<Cursor>()) else { return };
        if last.sequence == next.sequence && !last.leaves_a_gap_to(&next) {
            return;
        }
        let most = match next.number.checked_sub(last.number) {
            Some(numbers) if last.sequence == next.sequence => format!(", {} at most", numbers - 1),
            _ => String::new(),
        };
        self.notices.push_back(Notice::loss(format!(
            "{}: the entry at which reading stopped, of {}, is no longer there: entries after it may have been removed \
             unread{most}; reading goes on with the next one there is, of {}",
            self.name,
            moment(last.written()),
            moment(next.written()),
        )));
    }

    /// Looks for files that came and went; true if there may be more to read.
    fn look(&mut self) -> Result<bool, SourceError> {
        if self.since_look > 0 {
            self.since_look = 0;
            self.latest = Instant::now();
        }
        self.keep_cursor()?;
        match self.library.process().map_err(|error| self.failed(&error))? {
            Changed::Nothing => Ok(false),
            Changed::Appended => Ok(true),
            Changed::Invalidated => {
                if let Some(cursor) = self.last.clone() {
                    self.resume(&cursor, false)?;
                }
                Ok(true)
            }
        }
    }

    /// Before the library may let go of the file that the last entry is in.
    fn keep_cursor(&mut self) -> Result<(), SourceError> {
        if self.stand == Stand::After {
            self.last = Some(self.library.cursor().map_err(|error| self.failed(&error))?);
            self.stand = Stand::Before;
        }
        Ok(())
    }

    fn fill(&mut self, entry: &mut Entry, fields: &Fields) -> Result<(), Error> {
        let written = self.library.realtime()?;
        let time = timestamp(written);
        let encoding = self.options.encoding;
        let mut bytes = 0;
        self.library.each_field(|name, value| {
            bytes += name.len() + value.len() + 2;
            let Some(slot) = fields.find_bytes(name) else { return };
            push(entry, slot, fields.journal_kind(slot), value, encoding);
        })?;
        self.counts.bytes += bytes as u64;
        entry.time = Some(time);
        // What python-systemd adds.
        if let Some(slot) = fields.find("__REALTIME_TIMESTAMP") {
            entry.set(slot, Value::Time(time));
        }
        if let Some(slot) = fields.find("__MONOTONIC_TIMESTAMP") {
            let (since, boot) = self.library.monotonic()?;
            entry.set(slot, Value::Monotonic(since, boot));
        }
        if let Some(slot) = fields.find("__CURSOR") {
            entry.set(slot, Value::Text(&self.library.cursor()?));
        }
        Ok(())
    }

    fn failed(&self, error: &Error) -> SourceError {
        SourceError::Journal { name: self.name.clone(), what: error.to_string() }
    }

    /// Goes to the entry to give; false: none now.
    fn advance(&mut self) -> Result<bool, SourceError> {
        if self.stand == Stand::On {
            return Ok(true);
        }
        if self.options.follow && self.since_look >= ENTRIES_BETWEEN_LOOKS {
            self.look()?;
            if self.stand == Stand::On {
                return Ok(true);
            }
        }
        if self.library.next().map_err(|error| self.failed(&error))? {
            return Ok(true);
        }
        if !self.options.follow || !self.look()? {
            return Ok(false);
        }
        Ok(self.stand == Stand::On || self.library.next().map_err(|error| self.failed(&error))?)
    }
}

impl Source for Journal {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        loop {
            if !self.advance()? {
                return Ok(if self.options.follow { Read::Idle } else { Read::End });
            }
            self.stand = Stand::After;
            self.since_look += 1;
            match self.fill(entry, fields) {
                Ok(()) => {
                    self.counts.entries += 1;
                    return Ok(Read::Entry);
                }
                // A damaged place in a file: the entries after it can be read.
                Err(error) => {
                    entry.clear();
                    self.counts.undecodable += 1;
                    if self.counts.undecodable == 1 {
                        self.notices.push_back(Notice::loss(format!("an entry was passed over: {error}")));
                    }
                }
            }
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        self.keep_cursor()?;
        Ok(self.last.clone().map_or(Position::Beginning, Position::Cursor))
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.library.descriptor().into_iter().collect()
    }

    fn wake(&self) -> Option<Duration> {
        let is_of_journald = !matches!(self.options.place, Where::Files(_));
        self.options.follow.then(|| match self.latest.elapsed() {
            _ if !is_of_journald => RECHECK,
            quiet if quiet < QUIET => EAGER,
            _ => RELAXED,
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn behind(&self) -> Option<Behind> {
        None
    }

    fn counts(&self) -> Counts {
        Counts { cut: self.library.refused(), ..self.counts }
    }

    fn notice(&mut self) -> Option<Notice> {
        let refused = self.library.refused();
        if refused > self.refused_told {
            self.refused_told = refused;
            return Some(Notice::loss(format!(
                "{}: {refused} values longer than {} bytes were left out",
                self.name,
                unmasq_journal::Journal::LONGEST,
            )));
        }
        self.notices.pop_front()
    }
}

fn opened(options: &Options, name: &str) -> Result<unmasq_journal::Journal, SourceError> {
    let failed = |error: Error| SourceError::Journal { name: name.to_owned(), what: error.to_string() };
    let mut journal = unmasq_journal::Journal::open(&options.place).map_err(failed)?;
    if options.follow {
        journal.watch().map_err(failed)?;
    }
    Ok(journal)
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

fn moment(since_epoch: Duration) -> String {
    timestamp(since_epoch)
        .to_millis_text()
        .map_or_else(|| "an unknown time".to_owned(), |text| text.to_string())
}
