//! Bytes of a run, checked: trailer, index, pages and blocks.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::assemble::add_parity;
use super::block::{BlockBytes, BlockReader, Columns};
use super::code::{Corrupt, PADDING, Tables};
use super::dictionary;
use super::layout::{
    self, BlockEntry, Dictionary, HEADER, Index, PARITY_GROUP, Pages, TRAILER, TRAILER_HASH, Trailer,
};
use super::{Damage, FORMAT_VERSION, RunError};

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Source {
    File(File),
    /// A fuzzer's. Checksums are not compared, or no fuzzer would get past them.
    Bytes(Vec<u8>),
}

impl Source {
    fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn has_checksum(&self, bytes: &[u8], expected: u32) -> bool {
        matches!(self, Self::Bytes(_)) || crc32fast::hash(bytes) == expected
    }

    fn read(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, offset),
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset).ok();
                let found = from.and_then(|from| bytes.get(from..)?.get(..out.len()));
                out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// The addresses of a page, or why they cannot be read.
type PageCell = OnceLock<Result<Box<[IpAddr]>, Damage>>;

/// An open run file: its index in memory, the rest on demand.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
    source: Source,
    pub(super) length: u64,
    pub(super) version: u16,
    pub(super) sha256: [u8; 32],
    pub(super) index: Index,
    index_offset: u64,
    index_length: u64,
    pages: [Vec<PageCell>; 3],
}

/// More than an index of 2^31 rows needs: a bound on what a damaged length can make us allocate.
const MAX_INDEX: u64 = 1 << 28;

impl RunFile {
    pub(super) fn open(path: &Path, source: Source) -> Result<Self, RunError> {
        let not_a_run = |what| RunError::NotARun { path: path.to_owned(), what };
        let io = |doing: &str, e| RunError::io(path, doing, e);
        let length = source.length().map_err(|e| io("read its size", e))?;
        let least = (HEADER + 2 * TRAILER) as u64;
        if length < least {
            return Err(not_a_run("it is too short"));
        }
        let mut ends = [[0; TRAILER]; 2];
        source
            .read(ends.as_flattened_mut(), length - 2 * TRAILER as u64)
            .map_err(|e| io("read its end", e))?;
        let Some(trailer) = ends.iter().rev().find_map(Trailer::decode) else {
            return Err(not_a_run("its end is no trailer"));
        };
        if trailer.version == 0 || trailer.version > FORMAT_VERSION {
            return Err(RunError::Version { path: path.to_owned(), version: trailer.version });
        }
        let (offset, size) = (trailer.index_offset, u64::from(trailer.index_length));
        if offset.checked_add(2 * size).is_none_or(|end| end != length - 2 * TRAILER as u64)
            || size > MAX_INDEX
        {
            return Err(not_a_run("its index is not where its trailer says"));
        }
        let mut bytes = vec![0; size as usize];
        let mut wrong = "both copies of the index have a wrong checksum".to_owned();
        for copy in 0..2 {
            source.read(&mut bytes, offset + copy * size).map_err(|e| io("read its index", e))?;
            if !source.has_checksum(&bytes, trailer.index_crc) {
                continue;
            }
            match Index::decode(&bytes, offset) {
                Ok(index) => {
                    let pages = [0, 1, 2].map(|d| vec![OnceLock::new(); index.dictionaries[d].pages.len()]);
                    return Ok(Self {
                        path: path.to_owned(),
                        source,
                        length,
                        version: trailer.version,
                        sha256: trailer.sha256,
                        index,
                        index_offset: offset,
                        index_length: size,
                        pages,
                    });
                }
                Err(corrupt) => wrong = corrupt.to_string(),
            }
        }
        let rows = 0;
        Err(Damage { path: path.to_owned(), block: None, offset, length: 2 * size, rows, what: wrong }.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a block into `buffer`.
    pub(super) fn block<'a>(
        &self,
        number: usize,
        buffer: &'a mut Vec<u8>,
        columns: &'a mut Columns,
    ) -> Result<BlockReader<'a>, Damage> {
        let entry = &self.index.blocks[number];
        self.load(entry.offset, entry.length, buffer).map_err(|e| self.block_damage(number, &e))?;
        if !self.is_intact(&buffer[..entry.length as usize]) {
            return Err(self.block_damage(number, &"wrong checksum"));
        }
        let bytes =
            BlockBytes::new(buffer, entry.rows as usize).map_err(|e| self.block_damage(number, &e))?;
        Ok(BlockReader::new(bytes, columns, self.index.hour, entry.first_key))
    }

    fn is_intact(&self, block: &[u8]) -> bool {
        let parts = block.split_last_chunk::<4>();
        parts.is_some_and(|(body, sum)| self.source.has_checksum(body, u32::from_le_bytes(*sum)))
    }

    pub(super) fn block_damage(&self, number: usize, what: &dyn ToString) -> Damage {
        let BlockEntry { offset, length, rows, .. } = self.index.blocks[number];
        Damage {
            path: self.path.clone(),
            block: Some(number),
            offset,
            length: length.into(),
            rows: rows.into(),
            what: what.to_string(),
        }
    }

    fn load(&self, offset: u64, length: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        let length = length as usize;
        buffer.clear();
        // Parts were checked to lie inside of the file, so this is no more than the file is long.
        buffer.resize(length + PADDING, 0);
        self.source.read(&mut buffer[..length], offset)
    }

    /// The address with a number. Reads its page when first asked for.
    pub(super) fn address(&self, of: Dictionary, number: u32) -> Result<IpAddr, Damage> {
        let entries = &self.index.dictionaries[of as usize].pages;
        let page = entries.partition_point(|p| p.addresses_before + p.addresses <= number);
        let found = match entries.get(page) {
            Some(entry) => self.page(of, page)?.get((number - entry.addresses_before) as usize),
            None => None,
        };
        found.copied().ok_or_else(|| Damage {
            path: self.path.clone(),
            block: None,
            offset: 0,
            length: 0,
            rows: 1,
            what: format!("there is no address {number}"),
        })
    }

    /// The addresses of a page.
    pub(super) fn page(&self, of: Dictionary, number: usize) -> Result<&[IpAddr], Damage> {
        let read = || self.read_page(of, number).map(|(addresses, _)| addresses.into_boxed_slice());
        match self.pages[of as usize][number].get_or_init(read) {
            Ok(addresses) => Ok(addresses),
            Err(damage) => Err(damage.clone()),
        }
    }

    /// The addresses of a page, and how often each occurs in the run.
    pub(super) fn read_page(&self, of: Dictionary, number: usize) -> Result<(Vec<IpAddr>, Vec<u32>), Damage> {
        let entry = &self.index.dictionaries[of as usize].pages[number];
        let mut bytes = Vec::new();
        let is_read = self.load(entry.offset, entry.length, &mut bytes);
        if is_read.is_err() || !self.source.has_checksum(&bytes[..entry.length as usize], entry.crc) {
            bytes = self.restored(of, number).ok_or_else(|| {
                self.page_damage(of, number, "wrong checksum, and another page next to it is damaged too")
            })?;
        }
        let decoded = dictionary::decode(&bytes, entry.addresses as usize, &mut Tables::default());
        let (addresses, mut counts) = decoded.map_err(|Corrupt(what)| self.page_damage(of, number, what))?;
        counts.resize(addresses.len(), entry.count.max(1));
        Ok((addresses, counts))
    }

    /// A damaged page, from the other pages of its group and their parity.
    fn restored(&self, of: Dictionary, number: usize) -> Option<Vec<u8>> {
        let Index { dictionaries, .. } = &self.index;
        let Pages { pages, parities } = &dictionaries[of as usize];
        let group = number / PARITY_GROUP;
        let parity = parities.get(group)?;
        let mut sum = Vec::new();
        self.load(parity.offset, parity.length, &mut sum).ok()?;
        sum.truncate(parity.length as usize);
        if crc32fast::hash(&sum) != parity.crc {
            return None;
        }
        let mut bytes = Vec::new();
        for (n, entry) in pages.iter().enumerate().skip(group * PARITY_GROUP).take(PARITY_GROUP) {
            if n != number {
                self.load(entry.offset, entry.length, &mut bytes).ok()?;
                add_parity(&mut sum, &bytes[..entry.length as usize]);
            }
        }
        let entry = &pages[number];
        sum.resize(entry.length as usize, 0);
        (crc32fast::hash(&sum) == entry.crc).then(|| {
            sum.extend_from_slice(&[0; PADDING]);
            sum
        })
    }

    fn page_damage(&self, of: Dictionary, number: usize, what: &str) -> Damage {
        let entry = &self.index.dictionaries[of as usize].pages[number];
        Damage {
            path: self.path.clone(),
            block: None,
            offset: entry.offset,
            length: entry.length.into(),
            rows: 0,
            what: format!("page {number} of the {of:?} dictionary: {what}"),
        }
    }

    /// The number of a masked address: the place where it is, or would be (`Err`), among the sorted ones.
    pub(super) fn masked_number(&self, address: IpAddr) -> Result<Result<u32, u32>, Damage> {
        let entries = &self.index.dictionaries[Dictionary::Masked as usize].pages;
        let Some(page) = entries.partition_point(|p| p.first.is_some_and(|f| f <= address)).checked_sub(1)
        else {
            return Ok(Err(0));
        };
        let before = entries[page].addresses_before;
        let found = self.page(Dictionary::Masked, page)?.binary_search(&address);
        Ok(found.map(|n| before + n as u32).map_err(|n| before + n as u32))
    }

    /// Everything of the file that is not a block: what is damaged, even if a copy or the parity makes up for it.
    pub(super) fn check_frame(&self) -> Vec<Damage> {
        let mut damage = Vec::new();
        let mut part = |offset: u64, length: u64, what: &str| {
            let (path, what) = (self.path.clone(), what.to_owned());
            damage.push(Damage { path, block: None, offset, length, rows: 0, what });
        };
        let read = |offset, length: u64| {
            let mut bytes = vec![0; length as usize];
            self.source.read(&mut bytes, offset).map(|()| bytes).ok()
        };
        if read(0, HEADER as u64).is_none_or(|bytes| bytes != layout::header()) {
            part(0, HEADER as u64, "the header is damaged; nothing is lost");
        }
        for of in [Dictionary::Masked, Dictionary::Clients, Dictionary::Fars] {
            let Pages { pages, parities } = &self.index.dictionaries[of as usize];
            let pages = pages.iter().map(|p| (p.offset, p.length, p.crc));
            for (offset, length, crc) in pages.chain(parities.iter().map(|p| (p.offset, p.length, p.crc))) {
                if read(offset, length.into()).is_none_or(|bytes| crc32fast::hash(&bytes) != crc) {
                    part(
                        offset,
                        length.into(),
                        "a page of addresses is damaged; its parity makes up for one of them",
                    );
                }
            }
        }
        let copies: Vec<_> =
            (0..2).map(|n| read(self.index_offset + n * self.index_length, self.index_length)).collect();
        let expected = self.index.encode();
        for (copy, n) in copies.into_iter().zip(0..) {
            if copy.is_none_or(|bytes| bytes != expected) {
                let offset = self.index_offset + n * self.index_length;
                part(offset, self.index_length, "a copy of the index is damaged; the other one is in use");
            }
        }
        for n in 1..=2 {
            let offset = self.length - n * TRAILER as u64;
            let trailer = read(offset, TRAILER as u64).and_then(|b| Trailer::decode(&b.try_into().ok()?));
            if trailer.is_none() {
                part(offset, TRAILER as u64, "a copy of the trailer is damaged; the other one is in use");
            }
        }
        damage
    }

    /// The SHA-256 of the bytes before where the file states it.
    pub(super) fn hash(&self) -> io::Result<[u8; 32]> {
        let end = self.length - 2 * TRAILER as u64 + TRAILER_HASH as u64;
        let (mut hasher, mut at, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        while at < end {
            let step = buffer.len().min((end - at) as usize);
            self.source.read(&mut buffer[..step], at)?;
            hasher.update(&buffer[..step]);
            at += step as u64;
        }
        Ok(hasher.finalize().into())
    }
}
