//! How often each of any number of keys was counted, in bounded memory and exactly.
//!
//! Keys are counted in memory until whoever holds the tallies has one [spilled](Tally::spill): sorted into a file, a run, that has no name
//! and is gone with the process. At the end the runs are merged. A file holds `length key count`, both numbers as LEB128.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashTable;

/// Runs that are open at once; more are merged into one first.
const MOST_RUNS: usize = 64;
/// Buffer of a run (bytes).
const BUFFER: usize = 1 << 16;

/// Counts could not be put aside, or not be read back.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep counts in {}: {source}; name a folder with more room with --temp-dir", folder.display())]
pub struct SpillError {
    folder: PathBuf,
    source: io::Error,
}

/// Counts by key.
#[derive(Debug)]
pub struct Tally {
    folder: Arc<Path>,
    /// Seeded anew in each process: keys are an attacker's.
    hasher: foldhash::fast::RandomState,
    table: HashTable<Entry>,
    keys: Vec<u8>,
    runs: Vec<File>,
}

/// A key's place in `keys`, and its count.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    length: u32,
    count: u64,
}

impl Entry {
    fn key(self, keys: &[u8]) -> &[u8] {
        &keys[self.start as usize..][..self.length as usize]
    }
}

impl Tally {
    /// Nothing counted. Runs are written to this folder.
    pub fn new(folder: Arc<Path>) -> Self {
        Self {
            folder,
            hasher: foldhash::fast::RandomState::default(),
            table: HashTable::new(),
            keys: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Counts a key, which is shorter than 4 GiB. Hot: `bench/honeypot_report.py` measures it.
    #[inline]
    pub fn add(&mut self, key: &[u8], by: u64) -> Result<(), SpillError> {
        let hash = self.hasher.hash_one(key);
        let keys = &self.keys;
        if let Some(entry) = self.table.find_mut(hash, |entry| entry.key(keys) == key) {
            entry.count += by;
            return Ok(());
        }
        if self.keys.len() + key.len() > u32::MAX as usize {
            self.spill()?;
        }
        let (start, length) = (self.keys.len() as u32, key.len() as u32);
        self.keys.extend_from_slice(key);
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table.insert_unique(hash, Entry { start, length, count: by }, |entry| {
            hasher.hash_one(entry.key(keys))
        });
        Ok(())
    }

    /// Memory that is held (bytes).
    pub fn bytes(&self) -> usize {
        self.table.allocation_size() + self.keys.capacity()
    }

    /// Writes what is counted in memory to a file, and forgets it.
    pub fn spill(&mut self) -> Result<(), SpillError> {
        if self.table.is_empty() {
            return Ok(());
        }
        if self.runs.len() >= MOST_RUNS {
            self.merge_runs()?;
        }
        let run = self.write_run().map_err(|source| self.failed(source))?;
        self.runs.push(run);
        self.table = HashTable::new();
        self.keys = Vec::new();
        Ok(())
    }

    /// Takes in what another has counted.
    pub fn absorb(&mut self, mut other: Self) -> Result<(), SpillError> {
        self.runs.append(&mut other.runs);
        if self.runs.len() > MOST_RUNS {
            self.merge_runs()?;
        }
        for entry in &other.table {
            self.add(entry.key(&other.keys), entry.count)?;
        }
        Ok(())
    }

    /// Calls `each` with every key once and its count, in the order of keys.
    pub fn in_order<E: From<SpillError>>(
        mut self,
        mut each: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            for entry in self.sorted() {
                each(entry.key(&self.keys), entry.count)?;
            }
            return Ok(());
        }
        self.spill()?;
        let mut merge = Merge::new(std::mem::take(&mut self.runs)).map_err(|source| self.failed(source))?;
        while let Some((key, count)) = merge.next().map_err(|source| self.failed(source))? {
            each(&key, count)?;
        }
        Ok(())
    }

    /// The same in any order, which saves sorting what was never spilled.
    pub fn in_any_order<E: From<SpillError>>(
        self,
        mut each: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.runs.is_empty() {
            return self.in_order(each);
        }
        self.table.iter().try_for_each(|entry| each(entry.key(&self.keys), entry.count))
    }

    /// Calls `each` with every key once and its count, the most frequent first; of equal ones in the order of keys.
    pub fn by_count<E: From<SpillError>>(
        self,
        budget: usize,
        mut each: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        // Sorting by count is sorting by keys that begin with what is missing to the largest count.
        let mut ranked = Self::new(Arc::clone(&self.folder));
        let mut ranked_key = Vec::new();
        self.in_any_order(|key, count| {
            ranked_key.clear();
            ranked_key.extend_from_slice(&(!count).to_be_bytes());
            ranked_key.extend_from_slice(key);
            ranked.add(&ranked_key, 1)?;
            if ranked.bytes() > budget { ranked.spill() } else { Ok(()) }
        })?;
        ranked.in_order(|ranked_key, _| match ranked_key.split_first_chunk() {
            Some((count, key)) => each(key, !u64::from_be_bytes(*count)),
            None => Ok(()),
        })
    }

    fn sorted(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.table.iter().copied().collect();
        entries.sort_unstable_by(|a, b| a.key(&self.keys).cmp(b.key(&self.keys)));
        entries
    }

    fn write_run(&self) -> io::Result<File> {
        let mut out = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(&self.folder)?);
        for entry in self.sorted() {
            write_entry(&mut out, entry.key(&self.keys), entry.count)?;
        }
        rewound(out)
    }

    fn merge_runs(&mut self) -> Result<(), SpillError> {
        let runs = std::mem::take(&mut self.runs);
        let merged = || {
            let mut merge = Merge::new(runs)?;
            let mut out = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(&self.folder)?);
            while let Some((key, count)) = merge.next()? {
                write_entry(&mut out, &key, count)?;
            }
            rewound(out)
        };
        let merged = merged().map_err(|source| self.failed(source))?;
        self.runs.push(merged);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SpillError {
        SpillError { folder: self.folder.to_path_buf(), source }
    }
}

fn rewound(out: BufWriter<File>) -> io::Result<File> {
    let mut file = out.into_inner()?;
    file.rewind()?;
    Ok(file)
}

fn write_entry(out: &mut impl Write, key: &[u8], count: u64) -> io::Result<()> {
    write_number(out, key.len() as u64)?;
    out.write_all(key)?;
    write_number(out, count)
}

fn write_number(out: &mut impl Write, mut number: u64) -> io::Result<()> {
    while number >= 0x80 {
        out.write_all(&[number as u8 | 0x80])?;
        number >>= 7;
    }
    out.write_all(&[number as u8])
}

/// `None` at the end of the file.
fn read_number(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(Some(number));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The next entry of a run: compared by key, then run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: Vec<u8>,
    run: usize,
    count: u64,
}

/// Sorted runs as one.
struct Merge {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merge {
    fn new(runs: Vec<File>) -> io::Result<Self> {
        let runs = runs.into_iter().map(|run| BufReader::with_capacity(BUFFER, run)).collect();
        let mut merge = Self { runs, heads: BinaryHeap::new() };
        for run in 0..merge.runs.len() {
            let mut head = Head { key: Vec::new(), run, count: 0 };
            if merge.read(&mut head)? {
                merge.heads.push(Reverse(head));
            }
        }
        Ok(merge)
    }

    /// Reads the next entry of the head's run into it. False at its end.
    fn read(&mut self, head: &mut Head) -> io::Result<bool> {
        let run = &mut self.runs[head.run];
        let Some(length) = read_number(run)? else { return Ok(false) };
        head.key.clear();
        if run.take(length).read_to_end(&mut head.key)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.count = read_number(run)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(true)
    }

    /// Puts the next entry of the head's run in its place.
    fn read_on(&mut self, mut head: Head) -> io::Result<()> {
        if self.read(&mut head)? {
            self.heads.push(Reverse(head));
        }
        Ok(())
    }

    /// The next key, with its counts of all runs added.
    fn next(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        let Some(Reverse(first)) = self.heads.pop() else { return Ok(None) };
        let (key, mut sum) = (first.key.clone(), first.count);
        self.read_on(first)?;
        while self.heads.peek().is_some_and(|head| head.0.key == key) {
            let Some(Reverse(same)) = self.heads.pop() else { break };
            sum += same.count;
            self.read_on(same)?;
        }
        Ok(Some((key, sum)))
    }
}

/// The most frequent keys of a tally, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The most frequent first; of equal ones in the order of keys.
    pub rows: Vec<(Vec<u8>, u64)>,
    /// How many different keys there are.
    pub distinct: u64,
    /// The sum of all counts.
    pub sum: u64,
}

impl Top {
    /// Reads a whole tally.
    pub fn of(tally: Tally, most: usize) -> Result<Self, SpillError> {
        let mut top = Self::default();
        let mut heap: BinaryHeap<(Reverse<u64>, Vec<u8>)> = BinaryHeap::new();
        tally.in_any_order(|key, count| {
            top.distinct += 1;
            top.sum += count;
            if heap.len() < most {
                heap.push((Reverse(count), key.to_vec()));
            } else if let Some(mut least) = heap.peek_mut()
                && (Reverse(count), key) < (least.0, least.1.as_slice())
            {
                *least = (Reverse(count), key.to_vec());
            }
            Ok::<(), SpillError>(())
        })?;
        top.rows = heap.into_sorted_vec().into_iter().map(|(count, key)| (key, count.0)).collect();
        Ok(top)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn empty() -> Tally {
        Tally::new(std::env::temp_dir().into())
    }

    fn ranked(counts: &HashMap<Vec<u8>, u64>) -> Vec<(Vec<u8>, u64)> {
        let mut rows: Vec<_> = counts.iter().map(|(key, count)| (key.clone(), *count)).collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        rows
    }

    #[test]
    fn more_runs_than_may_be_open_are_merged() {
        let mut tally = empty();
        for round in 0..(3 * MOST_RUNS as u32) {
            tally.add(b"every", 1).unwrap();
            tally.add(&(round % 7).to_be_bytes(), 2).unwrap();
            tally.spill().unwrap();
            assert!(tally.runs.len() <= MOST_RUNS);
        }
        let top = Top::of(tally, 1).unwrap();
        assert_eq!(top.rows, [(b"every".to_vec(), 192)]);
        assert_eq!((top.distinct, top.sum), (8, 3 * 192));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let mut tally = Tally::new(Path::new("/nonexistent/folder").into());
        tally.add(b"a", 1).unwrap();
        let error = tally.spill().unwrap_err().to_string();
        assert!(error.starts_with("cannot keep counts in /nonexistent/folder: "), "{error}");
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_map(
            keys in prop::collection::vec((prop::collection::vec(0_u8..4, 0..4), 1_u64..300), 0..200),
            spills in prop::collection::vec(any::<bool>(), 200),
            parts in 1_usize..4,
            most in 0_usize..30,
        ) {
            let mut naive: HashMap<Vec<u8>, u64> = HashMap::new();
            let mut tallies: Vec<Tally> = (0..parts).map(|_| empty()).collect();
            for (place, ((key, by), spill)) in keys.iter().zip(&spills).enumerate() {
                *naive.entry(key.clone()).or_default() += by;
                let tally = &mut tallies[place % parts];
                tally.add(key, *by).unwrap();
                if *spill && place % 5 == 0 {
                    tally.spill().unwrap();
                }
            }
            let mut twin = empty();
            let mut whole = empty();
            for tally in tallies {
                whole.absorb(tally).unwrap();
            }
            for (key, by) in &keys {
                twin.add(key, *by).unwrap();
            }
            let expected = ranked(&naive);
            let mut found = Vec::new();
            twin.by_count(1, |key, count| {
                found.push((key.to_vec(), count));
                Ok::<(), SpillError>(())
            }).unwrap();
            prop_assert_eq!(&found, &expected);
            let top = Top::of(whole, most).unwrap();
            prop_assert_eq!(&top.rows[..], &expected[..expected.len().min(most)]);
            prop_assert_eq!(top.distinct, expected.len() as u64);
            prop_assert_eq!(top.sum, naive.values().sum::<u64>());
        }
    }
}
