//! An import's side of the ledger's writer: which flows are opened, carried and ended, and when.
//!
//! A trace reads only the hour that it asks about, and the newest one before it into which all open flows were carried. So
//! whenever the log reaches another UTC hour, every flow that is open is carried into it; a flow that begins and ends within
//! one hour is written once, as a whole. A flow of which no end was seen stays open in the ledger, so that the rest of a log
//! that has grown can still end it.

use std::path::Path;

use unmasq_flow::{Bound, Flow, Timestamp};
use unmasq_import::{Paired, Pairer};
use unmasq_ledger::{LedgerError, Writer, WriterOptions, WriterStats};

/// The furthest that one line can move the time on (hours). A single line with an absurd time must not, a log that really has
/// such a gap confirms it with its next line.
const MAX_LEAP: i64 = 31 * 24;

pub(super) struct Store {
    writer: Writer,
    /// The hour that the log has reached.
    hour: Option<i64>,
    /// A leap that the next line must confirm.
    leap: Option<i64>,
    failed: Option<LedgerError>,
}

impl Store {
    pub(super) fn open(ledger: &Path, stream: &str) -> Result<Self, LedgerError> {
        let options = WriterOptions { is_import: true, ..WriterOptions::default() };
        let (writer, _) = Writer::open(ledger, stream, options)?;
        Ok(Self { writer, hour: None, leap: None, failed: None })
    }

    /// The log has reached this time: if it is in another hour, what is open is carried there. `is_replay`: an earlier import
    /// has written that already.
    pub(super) fn advance(&mut self, time: Timestamp, pairer: &mut Pairer, is_replay: bool) {
        let hour = time.hour();
        let Some(reached) = self.hour else {
            self.hour = Some(hour);
            return;
        };
        if hour <= reached {
            return;
        }
        if hour - reached > MAX_LEAP && self.leap != Some(hour) {
            self.leap = Some(hour);
            return;
        }
        self.carry(hour, pairer, is_replay);
        self.hour = Some(hour);
        self.leap = None;
    }

    /// The replay is over: the hour that was reached is stated again, for the ends that come now.
    pub(super) fn resume(&mut self, pairer: &mut Pairer) {
        pairer.mark_known();
        if let Some(hour) = self.hour {
            self.carry(hour, pairer, false);
        }
    }

    fn carry(&mut self, hour: i64, pairer: &mut Pairer, is_replay: bool) {
        if is_replay {
            return;
        }
        pairer.give_open(&mut |paired| {
            let flow = still_open(&paired.flow);
            if !paired.is_known {
                self.writer.opened(&flow);
            }
            self.writer.carry_one(hour, &flow);
        });
        let done = self.writer.carry_done(hour);
        self.fail(done);
    }

    /// Writes a flow that is known as well as it will be.
    pub(super) fn put(&mut self, paired: &Paired) {
        match (paired.flow.end, paired.is_known) {
            // It is there already, and nothing more was learnt.
            (Bound::Unknown | Bound::Open, true) => {}
            (Bound::Unknown | Bound::Open, false) => self.writer.opened(&still_open(&paired.flow)),
            (_, is_known) => self.writer.ended(&paired.flow, is_known),
        }
    }

    /// Hands what was written to the operating system; tells what went wrong since the last time.
    pub(super) fn flush(&mut self) -> Result<(), LedgerError> {
        let flushed = self.writer.flush();
        self.fail(flushed);
        self.failed.take().map_or(Ok(()), Err)
    }

    fn fail(&mut self, result: Result<(), LedgerError>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// Seals everything and leaves.
    pub(super) fn finish(mut self) -> Result<WriterStats, LedgerError> {
        self.flush()?;
        self.writer.finish_sealed()
    }
}

fn still_open(flow: &Flow) -> Flow {
    Flow { end: Bound::Open, ..flow.clone() }
}
