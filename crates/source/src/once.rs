//! A whole file, once, as fast as possible; also compressed with gzip or zstd, and standard input.

use std::fs::File;
use std::io::{self, Cursor, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use unmasq_entry::format::{Context, Format};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::decoder::Decoder;
use crate::records::READ_BYTES;
use crate::{Counts, FilePosition, Notice, Position, Read, Source, SourceError};

/// Reads to the end, and waits for it where it has to: for a file, or a pipe whose end is wanted.
pub struct Once {
    decoder: Decoder,
    input: Input,
    format: Format,
    path: PathBuf,
    latest: Timestamp,
    is_end: bool,
}

enum Input {
    /// What was looked at to know the format, then the file.
    Raw(Vec<u8>, OwnedFd),
    Decompressed(Vec<u8>, Box<dyn io::Read + Send>),
}

impl Once {
    /// Opens a file; `-` is standard input. Without a format, it is guessed from the first bytes. The newest that a
    /// record can be is the file's last change, unless `context` has an earlier time.
    pub fn open(path: &Path, format: Option<Format>, mut context: Context) -> Result<Self, SourceError> {
        let is_input = path.as_os_str() == "-";
        let name = if is_input { "standard input".to_owned() } else { format!("file {}", path.display()) };
        let failed = |source| SourceError::Open { path: path.to_owned(), source };
        let file = if is_input {
            let input = rustix::io::dup(io::stdin()).map_err(|e| failed(e.into()))?;
            File::from(input)
        } else {
            File::open(path).map_err(failed)?
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if metadata.is_file() {
            let changed =
                metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
            context.latest = context.latest.min(Timestamp::from_nanos(changed));
        }
        let latest = context.latest;
        let mut input = Input::open(file.into()).map_err(failed)?;
        let start = input.start().map_err(failed)?;
        let format = format.unwrap_or_else(|| Format::guess(start));
        Ok(Self {
            decoder: Decoder::new(name, format, context),
            input,
            format,
            path: path.to_owned(),
            latest,
            is_end: false,
        })
    }

    /// As [`Followed::containing`](crate::Followed::containing).
    #[must_use]
    pub fn containing(mut self, text: Option<&str>) -> Self {
        self.decoder.set_containing(text);
        self
    }

    /// The format given, or found.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl Input {
    fn open(file: OwnedFd) -> io::Result<Self> {
        let mut raw = Self::Raw(Vec::new(), file);
        let start = raw.start()?;
        let (is_gzip, is_zstd) =
            (start.starts_with(&[0x1f, 0x8b]), start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        if !is_gzip && !is_zstd {
            return Ok(raw);
        }
        let Self::Raw(start, file) = raw else { return Ok(raw) };
        let bytes = Cursor::new(start).chain(File::from(file));
        let reader: Box<dyn io::Read + Send> = if is_gzip {
            Box::new(flate2::read::MultiGzDecoder::new(bytes))
        } else {
            Box::new(zstd::Decoder::new(bytes)?)
        };
        Ok(Self::Decompressed(Vec::new(), reader))
    }

    /// The first bytes, which the next read gives again.
    fn start(&mut self) -> io::Result<&[u8]> {
        let mut start = Vec::new();
        self.read(&mut start)?;
        let (Self::Raw(kept, _) | Self::Decompressed(kept, _)) = self;
        *kept = start;
        Ok(kept)
    }

    fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let (Self::Raw(start, _) | Self::Decompressed(start, _)) = self;
        if !start.is_empty() {
            bytes.extend_from_slice(start);
            return Ok(std::mem::take(start).len());
        }
        match self {
            Self::Raw(_, file) => {
                bytes.reserve(READ_BYTES);
                loop {
                    match rustix::io::read(&*file, spare_capacity(bytes)) {
                        Err(rustix::io::Errno::INTR) => {}
                        result => return Ok(result?),
                    }
                }
            }
            Self::Decompressed(_, reader) => reader.take(READ_BYTES as u64).read_to_end(bytes),
        }
    }
}

impl Source for Once {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        loop {
            if self.decoder.next(self.is_end, entry, fields) {
                return Ok(Read::Entry);
            }
            if self.is_end {
                return Ok(Read::End);
            }
            let read = self.decoder.fill(self.latest, |bytes| self.input.read(bytes));
            let read =
                read.map_err(|source| SourceError::Read { name: self.decoder.meter.name.clone(), source })?;
            self.is_end = read == 0;
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        let records = &self.decoder.records;
        Ok(Position::File(FilePosition {
            path: self.path.clone(),
            offset: records.offset(),
            line: records.line(),
            ..FilePosition::default()
        }))
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
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
