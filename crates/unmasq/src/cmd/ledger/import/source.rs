//! The files of an import as one stream of decompressed bytes, hashed as they are read.
//!
//! Several files are one log, in the order given: a connection that begins in `log.1` may end in `log`.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, bail};
use sha2::{Digest, Sha256};

/// Block that is read and hashed at once (bytes).
const BLOCK: usize = 1 << 18;

/// What was read of a log: its length and hash, as far as its last line feed and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Decompressed bytes up to and with the last line feed.
    pub(super) whole_lines: u64,
    /// SHA-256 of those, in hex.
    pub(super) whole_lines_hash: String,
    /// Decompressed bytes in all.
    pub(super) bytes: u64,
    /// SHA-256 of all, in hex.
    pub(super) hash: String,
}

/// Files to be read one after the other.
#[derive(Debug)]
pub(super) struct Source {
    paths: Vec<PathBuf>,
    /// Bytes read from disk so far, for the progress bar.
    read_from_disk: Rc<Cell<u64>>,
}

impl Source {
    /// Checks that every path is a regular file that can be opened: each may be read twice.
    pub(super) fn new(paths: &[PathBuf]) -> anyhow::Result<Self> {
        for path in paths {
            let metadata = metadata(path)?;
            if !metadata.is_file() {
                bail!("{} is not a regular file; write the log to a file first", path.display());
            }
            File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        }
        Ok(Self { paths: paths.to_vec(), read_from_disk: Rc::new(Cell::new(0)) })
    }

    /// Sum of the files' sizes on disk.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.paths.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum()
    }

    /// Bytes read from disk since the last [`Source::open`].
    pub(super) fn read_from_disk(&self) -> u64 {
        self.read_from_disk.get()
    }

    /// All files from the beginning, decompressed.
    pub(super) fn open(&self) -> Joined {
        self.read_from_disk.set(0);
        Joined {
            waiting: self.paths.iter().rev().cloned().collect(),
            current: None,
            counter: Rc::clone(&self.read_from_disk),
            needs_feed: false,
        }
    }

    /// Reads all of it for its length and hash, and for the hash of its first `prefix` bytes.
    pub(super) fn extent(&self, prefix: u64) -> anyhow::Result<(Extent, Option<String>)> {
        let mut reader = Hashed::new(self.open());
        let mut at_prefix = (prefix == 0).then(|| hex(Sha256::new()));
        let mut block = vec![0; BLOCK];
        loop {
            let left = prefix.saturating_sub(reader.bytes);
            let room = if left == 0 { BLOCK } else { usize::try_from(left).unwrap_or(BLOCK).min(BLOCK) };
            if reader.read(&mut block[..room])? == 0 {
                return Ok((reader.extent(), at_prefix));
            }
            if reader.bytes == prefix {
                at_prefix = Some(hex(reader.hash.clone()));
            }
        }
    }

    /// The last lines of an uncompressed log, and when its last file was last written.
    pub(super) fn tail(&self) -> Option<(Vec<u8>, std::time::SystemTime)> {
        let path = self.paths.last()?;
        let mut file = File::open(path).ok()?;
        if Compression::of(&mut BufReader::new(&mut file)).ok()? != Compression::None {
            return None;
        }
        let metadata = file.metadata().ok()?;
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(BLOCK as u64))).ok()?;
        let mut tail = Vec::new();
        file.take(BLOCK as u64).read_to_end(&mut tail).ok()?;
        Some((tail, metadata.modified().ok()?))
    }
}

fn metadata(path: &Path) -> anyhow::Result<Metadata> {
    path.metadata().with_context(|| format!("cannot open {}", path.display()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
    Refused(&'static str),
}

impl Compression {
    /// By the file's first bytes; its name may say anything.
    fn of(reader: &mut impl BufRead) -> io::Result<Self> {
        let head = reader.fill_buf()?;
        Ok(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Refused("xz: decompress it first (xz -dk FILE)"),
            [b'B', b'Z', b'h', ..] => Self::Refused("bzip2: decompress it first (bzip2 -dk FILE)"),
            _ => Self::None,
        })
    }
}

/// The files, one after the other. A file that ends within a line ends that line.
pub(super) struct Joined {
    waiting: Vec<PathBuf>,
    current: Option<(PathBuf, Box<dyn Read>)>,
    counter: Rc<Cell<u64>>,
    /// The last byte given out was no line feed.
    needs_feed: bool,
}

impl Joined {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        let file = Counted { file: File::open(path)?, counter: Rc::clone(&self.counter) };
        let mut file = BufReader::with_capacity(BLOCK, file);
        Ok(match Compression::of(&mut file)? {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
            Compression::Refused(how) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, format!("compressed with {how}")));
            }
        })
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((path, reader)) = &mut self.current {
                let named = |error: io::Error| {
                    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
                };
                let count = reader.read(buffer).map_err(named)?;
                if count > 0 {
                    self.needs_feed = buffer[count - 1] != b'\n';
                    return Ok(count);
                }
                self.current = None;
            }
            let Some(path) = self.waiting.pop() else { return Ok(0) };
            let reader = self.open(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
            })?;
            self.current = Some((path, reader));
            if std::mem::take(&mut self.needs_feed) {
                // A buffer is never empty here: `BufReader` and `read_to_end` ask for some bytes.
                buffer[0] = b'\n';
                return Ok(1);
            }
        }
    }
}

struct Counted {
    file: File,
    counter: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.counter.set(self.counter.get() + count as u64);
        Ok(count)
    }
}

/// A reader whose bytes are hashed as they pass.
pub(super) struct Hashed<R> {
    reader: R,
    hash: Sha256,
    bytes: u64,
    whole_lines: u64,
    hash_of_whole_lines: Sha256,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, hash: Sha256::new(), bytes: 0, whole_lines: 0, hash_of_whole_lines: Sha256::new() }
    }

    /// What has passed so far.
    pub(super) fn extent(&self) -> Extent {
        Extent {
            whole_lines: self.whole_lines,
            whole_lines_hash: hex(self.hash_of_whole_lines.clone()),
            bytes: self.bytes,
            hash: hex(self.hash.clone()),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let block = &buffer[..count];
        if let Some(feed) = block.iter().rposition(|b| *b == b'\n') {
            let (whole, rest) = block.split_at(feed + 1);
            self.hash.update(whole);
            self.hash_of_whole_lines = self.hash.clone();
            self.whole_lines = self.bytes + whole.len() as u64;
            self.hash.update(rest);
        } else {
            self.hash.update(block);
        }
        self.bytes += count as u64;
        Ok(count)
    }
}

/// The digest as text.
pub(super) fn hex(hash: Sha256) -> String {
    unmasq_ledger::Hash(hash.finalize().into()).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_are_joined_and_decompressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "one\ntwo").unwrap();
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(path("b")).unwrap(), flate2::Compression::fast());
        gzip.write_all(b"three\n").unwrap();
        gzip.finish().unwrap();
        std::fs::write(path("c"), zstd::encode_all(&b"four"[..], 1).unwrap()).unwrap();
        let source = Source::new(&[path("a"), path("b"), path("c")]).unwrap();

        let mut text = String::new();
        let mut reader = Hashed::new(source.open());
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\nfour");
        assert_eq!(source.read_from_disk(), source.size_on_disk());

        let (extent, prefix) = source.extent(14).unwrap();
        assert_eq!(extent, reader.extent());
        assert_eq!((extent.whole_lines, extent.bytes), (14, 18));
        assert_eq!(prefix.as_ref(), Some(&extent.whole_lines_hash));
        assert_eq!(source.extent(99).unwrap().1, None, "shorter than the prefix asked for");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Source::new(&[folder.path().join("no")]).unwrap_err().to_string().contains("no"));
        assert!(
            Source::new(&[folder.path().to_owned()]).unwrap_err().to_string().contains("not a regular file")
        );
        let path = folder.path().join("log.xz");
        std::fs::write(&path, b"\xfd7zXZ\0\0").unwrap();
        let error = Source::new(&[path]).unwrap().extent(0).unwrap_err().to_string();
        assert!(error.contains("log.xz") && error.contains("xz -dk"), "{error}");
    }
}
