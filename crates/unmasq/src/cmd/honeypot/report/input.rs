//! The files of a report in blocks of whole lines, decompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use unmasq_honeypot::report::LineError;

/// A block's size, and the longest line (bytes). A honeypot's lines have some hundred, or a few thousand with all lists.
pub(super) const BLOCK: usize = 1 << 20;
/// Buffer in front of a decompressor (bytes).
const BUFFER: usize = 1 << 17;

/// Files, each opened once to see that it can be.
pub(super) struct Input {
    paths: Vec<PathBuf>,
}

/// Whole lines of one file; the last may lack its line feed.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Which file, by its place.
    pub(super) file: usize,
    /// The number of the first line in the file, from 1.
    pub(super) first_line: u64,
    /// The lines.
    pub(super) bytes: Vec<u8>,
}

/// What a file consists of.
#[derive(Debug)]
pub(super) enum Piece {
    /// Lines.
    Lines(Block),
    /// A line that is too long to be one: the file's place and the line's number.
    Damaged(usize, u64, LineError),
}

impl Input {
    /// Checks that every file can be opened.
    pub(super) fn open(paths: &[PathBuf]) -> anyhow::Result<Self> {
        for path in paths.iter().filter(|path| !is_standard(path)) {
            let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_folder {
                bail!("{} is a folder; name the files in it", path.display());
            }
        }
        if paths.iter().filter(|path| is_standard(path)).count() > 1 {
            bail!("- is standard input, which can be read once only");
        }
        Ok(Self { paths: paths.to_vec() })
    }

    /// The name of a file, for people.
    pub(super) fn name(&self, file: usize) -> String {
        match self.paths.get(file) {
            Some(path) if is_standard(path) => "standard input".to_owned(),
            Some(path) => path.display().to_string(),
            None => String::new(),
        }
    }

    /// How many files there are.
    pub(super) const fn files(&self) -> usize {
        self.paths.len()
    }

    /// The sum of the files' sizes on disk, if all are files.
    pub(super) fn size(&self) -> Option<u64> {
        let size = |path: &PathBuf| path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
        self.paths.iter().map(size).sum()
    }

    /// Reads a file to its end, in buffers that `buffer` gives, and calls `each` with what it consists of. `read` counts the bytes
    /// read from the disk.
    pub(super) fn read<E: From<io::Error>>(
        &self,
        file: usize,
        read: &Arc<AtomicU64>,
        mut buffer: impl FnMut() -> Vec<u8>,
        mut each: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = self.decompressed(file, read)?;
        let mut next_line = 1;
        let mut rest: Vec<u8> = Vec::new();
        let mut is_in_long_line = false;
        loop {
            let mut bytes = buffer();
            bytes.clear();
            bytes.append(&mut rest);
            let room = (BLOCK - bytes.len()) as u64;
            let result = reader.by_ref().take(room).read_to_end(&mut bytes);
            let is_end = result.as_ref().map_or(true, |count| *count == 0 && room > 0);
            if is_in_long_line {
                // The end of what was told already.
                let Some(end) = memchr::memchr(b'\n', &bytes) else {
                    if is_end {
                        return result.map(drop).map_err(E::from);
                    }
                    continue;
                };
                bytes.drain(..=end);
                is_in_long_line = false;
            }
            if !is_end {
                if let Some(end) = memchr::memrchr(b'\n', &bytes) {
                    rest.extend_from_slice(&bytes[end + 1..]);
                    bytes.truncate(end + 1);
                } else if bytes.len() >= BLOCK {
                    each(Piece::Damaged(file, next_line, LineError::TooLong(BLOCK)))?;
                    next_line += 1;
                    is_in_long_line = true;
                    continue;
                } else {
                    rest = bytes;
                    continue;
                }
            }
            if result.is_err() {
                // What stands after the last line feed is no line.
                bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1));
            }
            let first_line = next_line;
            next_line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            if !bytes.is_empty() {
                each(Piece::Lines(Block { file, first_line, bytes }))?;
            }
            if is_end {
                return result.map(drop).map_err(E::from);
            }
        }
    }

    fn decompressed(&self, file: usize, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let path = self.paths.get(file).ok_or(io::ErrorKind::NotFound)?;
        let counted: Box<dyn Read> = if is_standard(path) {
            Box::new(io::stdin())
        } else {
            Box::new(Counted { file: File::open(path)?, read: Arc::clone(read) })
        };
        let mut reader = BufReader::with_capacity(BUFFER, counted);
        // By its first bytes; a name may say anything.
        Ok(match reader.fill_buf()? {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(reader)?),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                return Err(refused("xz: decompress it first (xz -dk FILE)"));
            }
            [b'B', b'Z', b'h', ..] => return Err(refused("bzip2: decompress it first (bzip2 -dk FILE)")),
            _ => Box::new(reader),
        })
    }
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

fn refused(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("compressed with {how}"))
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every line with its number, and damage.
    fn lines(bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, bytes).unwrap();
        let (mut lines, mut damaged) = (Vec::new(), Vec::new());
        let each = |piece| {
            match piece {
                Piece::Lines(block) => {
                    let of_block = block.bytes.split_inclusive(|byte| *byte == b'\n');
                    lines.extend((block.first_line..).zip(of_block.map(<[u8]>::to_vec)));
                }
                Piece::Damaged(_, line, _) => damaged.push(line),
            }
            Ok::<(), io::Error>(())
        };
        Input::open(&[path]).unwrap().read(0, &Arc::default(), Vec::new, each).unwrap();
        (lines, damaged)
    }

    #[test]
    fn a_line_too_long_is_told_and_passed_over() {
        let mut bytes = b"a\n".to_vec();
        bytes.extend(vec![b'x'; 3 * BLOCK + 7]);
        bytes.extend(b"\nb\n");
        assert_eq!(lines(&bytes), (vec![(1, b"a\n".to_vec()), (3, b"b\n".to_vec())], vec![2]));
        assert_eq!(lines(&vec![b'x'; 2 * BLOCK]), (Vec::new(), vec![1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn every_line_is_there_once_with_its_number(lengths in prop::collection::vec(0_usize..40_000, 0..120), feed in any::<bool>()) {
            let mut bytes = Vec::new();
            for (place, length) in lengths.iter().enumerate() {
                bytes.extend(vec![b'a' + (place % 26) as u8; *length]);
                bytes.push(b'\n');
            }
            if !feed {
                bytes.pop();
            }
            let expected: Vec<_> = (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec)).collect();
            let (found, damaged) = lines(&bytes);
            prop_assert!(damaged.is_empty());
            prop_assert!(found == expected);
        }
    }
}
