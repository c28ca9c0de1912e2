//! Reading a ledger, while writers are at work or long after.

mod find;
mod flows;
mod same;
pub(crate) mod source;
pub(crate) mod unended;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unmasq_flow::{Coverage, Endpoint, Flow, Period, Protocol, Timestamp};

use crate::LedgerError;
use crate::destination::DestinationKey;
use crate::hold::{self, Hold};
use crate::layout::{self, StreamKind};
use crate::run::{AddressRange, Filter};
use source::{Found as FoundRow, Place, Stream};

/// How many hours (that have anything) neighbours are looked for to either side.
const NEIGHBOUR_HOURS: usize = 24;

/// A question to a ledger: who was behind this endpoint then?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The endpoint as the far side sees it. An open selector means every selector.
    pub masked: Endpoint,
    /// The protocol; `None` for every one.
    pub protocol: Option<Protocol>,
    /// When.
    pub period: Period,
}

/// A flow that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The flow, with its end as far as any hour knows it.
    pub flow: Flow,
    /// Which row of which file says so, such as `gw1/2026/11/21/08/000017.run row 4711`.
    pub place: String,
    /// The stream.
    pub stream: String,
    /// Is the stream another program's log that was read in?
    pub is_import: bool,
}

/// What a ledger knows of a question.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The flows, stream by stream, by start.
    pub hits: Vec<Hit>,
    /// What each stream knows about the period.
    pub coverage: Vec<(String, Coverage)>,
    /// What could not be read. The hits are then not all.
    pub damage: Vec<String>,
}

/// The flows next to a time at which nobody was found, over all streams.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// The one that began last before the time.
    pub before: Option<Hit>,
    /// The one that began first after the time.
    pub after: Option<Hit>,
    /// What could not be read.
    pub damage: Vec<String>,
}

/// A stream of a ledger, for reading.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub(crate) stream: Stream,
}

impl StreamInfo {
    /// Its name: that of its directory.
    pub fn name(&self) -> &str {
        &self.stream.name
    }

    /// What it is for.
    pub fn kind(&self) -> StreamKind {
        self.stream.kind
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.stream.path
    }

    /// The key of its destinations' hashes, if it has one and this user may read it.
    pub fn destination_key(&self) -> Result<Option<DestinationKey>, LedgerError> {
        DestinationKey::read(&self.stream.path)
    }

    /// What it knows about a period.
    pub fn coverage(&self, period: Period) -> Result<Coverage, LedgerError> {
        // On an endpoint that no flow has: the journals are read for their statements only.
        let nobody = Filter::masked(Endpoint::v4([0, 0, 0, 0], 0), None, period);
        Ok(self.stream.live(&nobody)?.timeline.coverage(period))
    }

    /// Its legal holds.
    pub fn holds(&self) -> Result<Vec<Hold>, LedgerError> {
        hold::read(&self.stream.path)
    }

    /// Enters a legal hold, or replaces the one of this name.
    pub fn hold(&self, hold: &Hold) -> Result<(), LedgerError> {
        hold.write(&self.stream.path)
    }

    /// Removes a legal hold. Says whether there was one.
    pub fn release(&self, name: &str) -> Result<bool, LedgerError> {
        hold::remove(&self.stream.path, name)
    }
}

/// A ledger, for reading. Holds no file open: every question sees what is there at its moment.
#[derive(Clone, Debug)]
pub struct Ledger {
    directory: PathBuf,
    streams: Vec<StreamInfo>,
}

impl Ledger {
    /// Opens a ledger and lists its streams.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        layout::check_ledger(directory)?;
        let streams = Stream::all(directory)?.into_iter().map(|stream| StreamInfo { stream }).collect();
        Ok(Self { directory: directory.to_owned(), streams })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The streams, by name.
    pub fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// The stream of a name.
    pub fn stream(&self, name: &str) -> Option<&StreamInfo> {
        self.streams.iter().find(|stream| stream.name() == name)
    }

    /// The flows on a masked endpoint that can have been alive in a period. Reads the hours of the period, the journals,
    /// and for flows that outlived the period the later hours up to their end; never the whole ledger.
    pub fn find(&self, query: &Query) -> Result<Found, LedgerError> {
        let mut answer = Found::default();
        for StreamInfo { stream } in &self.streams {
            let mut live = stream.live(&Filter::masked(query.masked, query.protocol, query.period))?;
            answer.damage.append(&mut live.damage);
            let found =
                find::find(stream, query.masked, query.protocol, query.period, &live, &mut answer.damage)?;
            answer.hits.extend(found.into_iter().map(|found| hit(stream, found)));
            stream.note_pruned(&mut live)?;
            answer.coverage.push((stream.name.clone(), live.timeline.coverage(query.period)));
        }
        Ok(answer)
    }

    /// The flows on a masked endpoint that began next before and next after a time, within about a day.
    pub fn neighbours(
        &self,
        masked: Endpoint,
        protocol: Option<Protocol>,
        at: Timestamp,
    ) -> Result<Neighbours, LedgerError> {
        let mut answer = Neighbours::default();
        let start = |hit: &Hit| hit.flow.start.earliest();
        for StreamInfo { stream } in &self.streams {
            let mut live = stream.live(&Filter::masked(masked, protocol, Period::at(at)))?;
            answer.damage.append(&mut live.damage);
            let near =
                find::neighbours(stream, masked, protocol, at, NEIGHBOUR_HOURS, &live, &mut answer.damage)?;
            if let Some(one) = near.before.map(|found| hit(stream, found))
                && answer.before.as_ref().is_none_or(|best| start(best) < start(&one))
            {
                answer.before = Some(one);
            }
            if let Some(one) = near.after.map(|found| hit(stream, found))
                && answer.after.as_ref().is_none_or(|best| start(&one) < start(best))
            {
                answer.after = Some(one);
            }
        }
        Ok(answer)
    }

    /// All flows of a client (an address or a range) that can have been alive in a period, each once, about in the order
    /// of their ends. Returns what could not be read.
    pub fn client(
        &self,
        client: impl Into<AddressRange>,
        period: Period,
        each: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Vec<String>, LedgerError> {
        self.flows(&Filter::client(client, period), each)
    }

    /// All flows that pass a filter, each once, stream by stream, hour by hour of their ends; those that have not ended
    /// come last. Returns what could not be read.
    pub fn flows(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Vec<String>, LedgerError> {
        let mut damage = Vec::new();
        for StreamInfo { stream } in &self.streams {
            let mut live = stream.live(filter)?;
            damage.append(&mut live.damage);
            let mut namer = Namer::new(stream);
            let done = flows::flows(stream, filter, &live, &mut damage, &mut |found| each(namer.hit(found)))?;
            if done.is_break() {
                break;
            }
        }
        Ok(damage)
    }

    /// What each stream knows about a period.
    pub fn coverage(&self, period: Period) -> Result<Vec<(String, Coverage)>, LedgerError> {
        self.streams.iter().map(|stream| Ok((stream.name().to_owned(), stream.coverage(period)?))).collect()
    }
}

fn hit(stream: &Stream, found: FoundRow) -> Hit {
    Namer::new(stream).hit(found)
}

/// Makes hits of rows, with the file's name put together only where it is not that of the row before.
struct Namer<'a> {
    stream: &'a Stream,
    /// Hour and number of the run that `text` names.
    run: Option<(i64, u64)>,
    text: String,
}

impl<'a> Namer<'a> {
    fn new(stream: &'a Stream) -> Self {
        Self { stream, run: None, text: String::new() }
    }

    fn hit(&mut self, found: FoundRow) -> Hit {
        Hit {
            flow: found.row.flow,
            place: self.place(&found.place),
            stream: self.stream.name.clone(),
            is_import: self.stream.kind.is_import,
        }
    }

    fn place(&mut self, place: &Place) -> String {
        let Place::Run { hour, number, row } = *place else { return format!("{}/{place}", self.stream.name) };
        let name = &self.stream.name;
        if self.run != Some((hour, number)) {
            self.text = format!("{name}/{}", Place::run_name(hour, number));
            self.run = Some((hour, number));
        }
        // Row numbers have up to ten digits or so.
        let mut text = String::with_capacity(self.text.len() + " row ".len() + 10);
        text.push_str(&self.text);
        text.push_str(" row ");
        let _ = write!(text, "{row}");
        text
    }
}
