//! What was accepted since the last flush, and the frames that it becomes.
//!
//! A flow that begins and ends between two flushes becomes one record: its beginning is struck out when its end comes.
//! [`Batch::push`] runs for every event of the gateway. It allocates nothing once its buffers have grown.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use unmasq_flow::{Bound, Flow, Origin};

use super::record::{self, Kind, Raw};
use super::{FRAME_CARRIED, FRAME_HEADER, FRAME_MARK, FRAME_RECORDS, Header};
use crate::codec::{Bytes, put_signed};
use crate::coverage::Mark;
use crate::frame;

/// A frame is closed at this size: what one damaged byte can cost.
const FRAME_BYTES: usize = 32 << 10;

/// Where a beginning stands that may still be struck out.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    at: u32,
    key_end: u32,
    hash: u32,
    start: Bound,
}

/// Records on their way to the journal.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    records: Vec<u8>,
    beginnings: Vec<Beginning>,
    /// Open addressing: number of a beginning + 1, or 0. Its length is a power of two.
    slots: Vec<u32>,
    origins: Origins,
    frames: Vec<u8>,
}

/// Numbers for origins. A frame defines those that it uses.
#[derive(Debug, Default)]
struct Origins {
    numbers: FxHashMap<Arc<Origin>, u16>,
    list: Vec<Arc<Origin>>,
    last: Option<(Arc<Origin>, u16)>,
    /// For each origin, the frame (by count) that defined it last.
    defined: Vec<u64>,
    frame: u64,
}

impl Origins {
    fn number(&mut self, origin: &Arc<Origin>) -> u16 {
        if let Some((last, number)) = &self.last
            && Arc::ptr_eq(last, origin)
        {
            return *number;
        }
        let number = if let Some(number) = self.numbers.get(origin) {
            *number
        } else {
            let number = self.list.len() as u16;
            self.numbers.insert(origin.clone(), number);
            self.list.push(origin.clone());
            self.defined.push(0);
            number
        };
        self.last = Some((origin.clone(), number));
        number
    }

    fn are_full(&self) -> bool {
        self.list.len() > usize::from(u16::MAX)
    }

    fn clear(&mut self) {
        *self = Self { frame: self.frame, ..Self::default() };
    }
}

fn hash(parts: (&[u8], &[u8])) -> u32 {
    let mut state = 0u64;
    let mut mix = |word: u64| state = (state.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for part in [parts.0, parts.1] {
        let mut words = part.chunks_exact(8);
        for word in &mut words {
            mix(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        mix(u64::from_le_bytes(rest));
    }
    (state >> 32) as u32
}

/// Can an end be that of a flow that began so? The kernel may give the end of a flow after the beginning of the next
/// with the same tuples; where that could be, both records are kept.
fn belongs(start: Bound, flow: &Flow) -> bool {
    if flow.end.latest() < start.earliest() {
        return false;
    }
    match (start, flow.start) {
        (Bound::Read(seen), Bound::Exact(own)) => own <= seen && seen.since(own).as_secs() < 1,
        (a, b) => a == b,
    }
}

impl Batch {
    /// Accepts a record.
    pub(crate) fn push(&mut self, kind: Kind, flow: &Flow) {
        if self.origins.are_full() {
            self.close_records();
            self.origins.clear();
        }
        let origin = self.origins.number(&flow.origin);
        let at = self.records.len();
        let key_end = record::put(&mut self.records, kind, origin, flow);
        match kind {
            Kind::Opened => self.remember(at, key_end, flow.start),
            Kind::Ended if !self.beginnings.is_empty() => self.join(at, key_end, flow),
            Kind::Ended | Kind::Whole | Kind::Carried(_) => {}
        }
    }

    fn remember(&mut self, at: usize, key_end: usize, start: Bound) {
        if (self.beginnings.len() + 1) * 2 > self.slots.len() {
            let count = (self.slots.len() * 2).max(1024);
            self.slots.clear();
            self.slots.resize(count, 0);
            for number in 0..self.beginnings.len() {
                self.place(number);
            }
        }
        let hash = hash(record::key(&self.records, at, key_end));
        self.beginnings.push(Beginning { at: at as u32, key_end: key_end as u32, hash, start });
        self.place(self.beginnings.len() - 1);
    }

    fn place(&mut self, number: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = self.beginnings[number].hash as usize & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = number as u32 + 1;
    }

    /// Strikes out the beginning of the flow whose end stands at `at`, and makes the end the whole record.
    fn join(&mut self, at: usize, key_end: usize, flow: &Flow) {
        let key = record::key(&self.records, at, key_end);
        let hash = hash(key);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            let beginning = self.beginnings[self.slots[slot] as usize - 1];
            let place = beginning.at as usize;
            if beginning.hash == hash
                && !record::is_void(&self.records, place)
                && record::key(&self.records, place, beginning.key_end as usize) == key
                && belongs(beginning.start, flow)
            {
                record::make_void(&mut self.records, place);
                record::make_whole(&mut self.records, at);
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Accepts a statement about coverage. It stands behind the records before it and before those after it.
    pub(crate) fn mark(&mut self, mark: &Mark) {
        let mut payload = vec![FRAME_MARK];
        mark.put(&mut payload);
        self.other(&payload);
    }

    /// Says that every flow alive at the beginning of the hour has its carry record.
    pub(crate) fn carried(&mut self, hour: i64) {
        let mut payload = vec![FRAME_CARRIED];
        put_signed(&mut payload, hour);
        self.other(&payload);
    }

    /// Begins a journal.
    pub(crate) fn header(&mut self, header: &Header) {
        let mut payload = vec![FRAME_HEADER];
        header.put(&mut payload);
        self.other(&payload);
    }

    fn other(&mut self, payload: &[u8]) {
        self.close_records();
        self.frames.extend_from_slice(&frame::wrap(payload));
    }

    /// Puts the records into frames. From here on they cannot be joined any more.
    pub(crate) fn close_records(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let mut bytes = Bytes(&self.records);
        let mut start = None;
        while let Some(raw) = Raw::split(&mut bytes) {
            if raw.is_void() {
                continue;
            }
            let frame_start = *start.get_or_insert_with(|| {
                self.origins.frame += 1;
                let start = self.frames.len();
                self.frames.resize(start + frame::HEAD, 0);
                self.frames.push(FRAME_RECORDS);
                start
            });
            let number = raw.origin_number().unwrap_or(0);
            let defined = &mut self.origins.defined[usize::from(number)];
            if *defined != self.origins.frame {
                *defined = self.origins.frame;
                record::put_origin(&mut self.frames, number, &self.origins.list[usize::from(number)]);
            }
            self.frames.extend_from_slice(raw.bytes());
            if self.frames.len() - frame_start >= FRAME_BYTES {
                frame::close(&mut self.frames, frame_start);
                start = None;
            }
        }
        if let Some(start) = start {
            frame::close(&mut self.frames, start);
        }
        self.records.clear();
        self.beginnings.clear();
        self.slots.fill(0);
    }

    /// Bytes that wait to be flushed, about.
    pub(crate) fn len(&self) -> usize {
        self.records.len() + self.frames.len()
    }

    /// Everything accepted, as frames, appended to `out`.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>) {
        self.close_records();
        if out.is_empty() {
            std::mem::swap(out, &mut self.frames);
        } else {
            out.append(&mut self.frames);
        }
    }
}
