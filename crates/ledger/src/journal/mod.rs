//! The journal: what was accepted and is not yet in a run.
//!
//! ```text
//! journal := frame(header) frame*          see `frame`; the payload's first byte says which kind
//!   header  'H' version number hour? millis?    this journal's number; the hour carried last; the wall clock
//!   records 'R' (origin | record)*              flows that began, ended or go on, and the origins they name
//!   mark    'C' mark                            a statement about coverage
//!   carried 'K' hour                            every flow alive at the hour's beginning has been carried into it
//! ```
//!
//! A journal has its name, `journal.000012`, from the beginning: taking the next one needs no rename, so that nothing
//! has to wait for a directory. Journals live until their flows are in runs.

mod batch;
mod expand;
mod fold;
mod record;

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use unmasq_flow::{Endpoint, Flow, Origin, Timestamp};

pub(crate) use batch::Batch;
pub(crate) use expand::{Context, end_hour, expand};
pub(crate) use fold::{Summary, condense, fold};
pub(crate) use record::Kind;

use crate::codec::{Bytes, from_millis, millis, put_signed, put_varint};
use crate::coverage::Mark;
use crate::frame::{Piece, Reader};
use record::Raw;

const FRAME_HEADER: u8 = b'H';
const FRAME_RECORDS: u8 = b'R';
const FRAME_MARK: u8 = b'C';
const FRAME_CARRIED: u8 = b'K';

/// The version of the journal's format.
const VERSION: u64 = 1;

/// How a journal begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Counts the journals of a stream from 1.
    pub(crate) number: u64,
    /// What was known when it was begun.
    pub(crate) context: Context,
}

impl Header {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, VERSION);
        put_varint(out, self.number);
        for value in [self.context.carried, self.context.now.map(millis)] {
            out.push(u8::from(value.is_some()));
            put_signed(out, value.unwrap_or(0));
        }
    }

    fn parse(mut bytes: Bytes<'_>) -> Option<Self> {
        if bytes.varint()? != VERSION {
            return None;
        }
        let number = bytes.varint()?;
        let mut optional = || {
            let is_there = bytes.byte()? == 1;
            let value = bytes.signed()?;
            Some(is_there.then_some(value))
        };
        let carried = optional()?;
        Some(Self { number, context: Context { carried, now: optional()?.map(from_millis) } })
    }
}

/// What a reader of a journal comes upon, in the order of writing.
#[derive(Debug)]
pub(crate) enum Item {
    /// A flow, what is said of it, and where in the file (the frame's place).
    Flow(Kind, Flow, u64),
    /// A statement about coverage.
    Mark(Mark),
    /// The hour has been carried.
    Carried(i64),
    /// The journal began so.
    Header(Header),
    /// Bytes from one place to another that are no frames. At the end of the file they may be a write under way.
    Damage {
        /// Place of the first byte.
        from: u64,
        /// Place behind the last.
        to: u64,
        /// Is it at the end of the file?
        is_tail: bool,
    },
}

/// Reads a journal. With `masked`, only the flows on that endpoint are decoded and given. Of a record that does not
/// decode within a frame whose checksum holds (a newer program's), the rest of the frame is reported as damage.
pub(crate) fn read(
    file: File,
    stream: &str,
    masked: Option<Endpoint>,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut origins: Vec<Option<Arc<Origin>>> = Vec::new();
    let mut reader = Reader::new(file);
    while let Some(piece) = reader.next()? {
        let flow = match piece {
            Piece::Frame { offset, payload } => match payload.split_first() {
                Some((&FRAME_RECORDS, records)) => {
                    read_records(Bytes(records), offset, stream, masked, &mut origins, each)
                }
                Some((&kind, rest)) => each(other_item(kind, rest, offset)),
                None => ControlFlow::Continue(()),
            },
            Piece::Damage { from, to } => each(Item::Damage { from, to, is_tail: false }),
            Piece::Tail { from, to } => each(Item::Damage { from, to, is_tail: true }),
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

fn other_item(kind: u8, payload: &[u8], offset: u64) -> Item {
    let mut bytes = Bytes(payload);
    let item = match kind {
        FRAME_HEADER => Header::parse(bytes).map(Item::Header),
        FRAME_MARK => Mark::parse(&mut bytes).map(Item::Mark),
        FRAME_CARRIED => bytes.signed().map(Item::Carried),
        _ => None,
    };
    item.unwrap_or(Item::Damage { from: offset, to: offset + payload.len() as u64, is_tail: false })
}

fn read_records(
    mut records: Bytes<'_>,
    offset: u64,
    stream: &str,
    masked: Option<Endpoint>,
    origins: &mut Vec<Option<Arc<Origin>>>,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while !records.is_empty() {
        let rest = records.0.len() as u64;
        let damage = Item::Damage { from: offset, to: offset + rest, is_tail: false };
        let Some(raw) = Raw::split(&mut records) else { return each(damage) };
        if let Some((number, mut origin)) = raw.origin_definition() {
            let slot = usize::from(number);
            if origins.len() <= slot {
                origins.resize(slot + 1, None);
            }
            origin.stream = stream.into();
            if origins[slot].as_deref() != Some(&origin) {
                origins[slot] = Some(origin.shared());
            }
            continue;
        }
        if masked.is_some_and(|masked| !raw.is_masked_as(masked)) {
            continue;
        }
        match raw.decode(|number| origins.get(usize::from(number)).cloned().flatten()) {
            // The look at the bytes lets an id pass for a port of the same number.
            Some((_, flow)) if masked.is_some_and(|masked| !masked.covers(flow.masked)) => {}
            Some((kind, flow)) => each(Item::Flow(kind, flow, offset))?,
            None => return each(damage),
        }
    }
    ControlFlow::Continue(())
}

/// Opens a journal for reading; `None` if it is gone, which means that its flows are in runs.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The wall clock that a mark states, if it states one.
pub(crate) fn wall_of(mark: &Mark) -> Option<Timestamp> {
    mark.clock().map(|clock| clock.wall)
}
