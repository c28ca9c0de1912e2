//! Standard input, or another stream of bytes, while it comes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use unmasq_entry::format::{Context, Format};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::decoder::Decoder;
use crate::records::READ_BYTES;
use crate::{Counts, Notice, Position, Read, Source, SourceError};

/// A pipe, a terminal, a connection. It is polled before each read and not made non-blocking: that would change it for
/// whoever shares it.
pub struct Stdin {
    decoder: Decoder,
    stream: OwnedFd,
    is_end: bool,
}

impl Stdin {
    /// Standard input.
    pub fn open(format: Format, context: Context) -> Result<Self, SourceError> {
        let stream = rustix::io::dup(io::stdin())
            .map_err(|e| SourceError::Open { path: "-".into(), source: e.into() })?;
        Ok(Self::of(stream, "standard input", format, context))
    }

    /// Another stream.
    pub fn of(stream: OwnedFd, name: &str, format: Format, context: Context) -> Self {
        Self { decoder: Decoder::new(name.to_owned(), format, context), stream, is_end: false }
    }

    /// How many bytes came; `None`: none now.
    fn fill(&mut self) -> Result<Option<usize>, Errno> {
        let mut ready = [PollFd::new(&self.stream, PollFlags::IN)];
        if poll(&mut ready, Some(&Timespec::default()))? == 0 {
            return Ok(None);
        }
        let stream = &self.stream;
        let read = self.decoder.fill(Timestamp::now(), |bytes| {
            bytes.reserve(READ_BYTES);
            Ok(rustix::io::read(stream, spare_capacity(bytes))?)
        });
        read.map(Some).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
    }
}

impl Source for Stdin {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        loop {
            if self.decoder.next(self.is_end, entry, fields) {
                return Ok(Read::Entry);
            }
            if self.is_end {
                return Ok(Read::End);
            }
            match self.fill() {
                Ok(Some(count)) => self.is_end = count == 0,
                Ok(None) | Err(Errno::AGAIN) => return Ok(Read::Idle),
                Err(Errno::INTR) => {}
                Err(e) => {
                    let name = self.decoder.meter.name.clone();
                    return Err(SourceError::Read { name, source: e.into() });
                }
            }
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(Position::None)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        if self.is_end { Vec::new() } else { vec![self.stream.as_fd()] }
    }

    fn name(&self) -> &str {
        &self.decoder.meter.name
    }

    fn counts(&self) -> Counts {
        self.decoder.meter.counts
    }

    fn notice(&mut self) -> Option<Notice> {
        self.decoder.meter.notices.pop()
    }
}
