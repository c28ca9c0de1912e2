//! The power goes at every moment: whatever the disk holds then opens, and holds everything that was synced.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use unmasq_flow::{Endpoint, Flow, Period};
use unmasq_ledger::run::Filter;
use unmasq_ledger::storage::{Appender, Disk, Storage};
use unmasq_ledger::{Ledger, Retention, VerifyOptions, Writer, WriterOptions};

use crate::common::{alive, all, at, directory_in_memory, ended, flow, start};

/// An operation that changed the disk, in the order in which they were done.
#[derive(Clone, Debug)]
enum Operation {
    Create(PathBuf, u64),
    Write(u64, Vec<u8>),
    Sync(u64),
    Truncate(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateDir(PathBuf),
    RemoveDir(PathBuf),
    SyncDir(PathBuf),
}

#[derive(Debug, Default)]
struct Log {
    operations: Vec<Operation>,
    files: u64,
    names: HashMap<PathBuf, u64>,
}

/// Does what the disk does, and writes it down.
#[derive(Clone, Debug)]
struct Recorder {
    root: PathBuf,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct RecordedFile {
    file: Arc<dyn Appender>,
    id: u64,
    log: Arc<Mutex<Log>>,
}

impl Appender for RecordedFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.log.lock();
        let count = self.file.write(bytes)?;
        log.operations.push(Operation::Write(self.id, bytes[..count].to_vec()));
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        // What the real disk does is of no concern: the log is the disk here.
        self.log.lock().operations.push(Operation::Sync(self.id));
        Ok(())
    }
}

impl Recorder {
    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    fn file(&self, log: &mut Log, path: &Path, file: Arc<dyn Appender>, is_new: bool) -> Arc<dyn Appender> {
        let name = self.name(path);
        if is_new {
            log.files += 1;
            let id = log.files;
            log.names.insert(name.clone(), id);
            log.operations.push(Operation::Create(name.clone(), id));
        }
        Arc::new(RecordedFile { file, id: log.names[&name], log: self.log.clone() })
    }
}

impl Storage for Recorder {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        let mut log = self.log.lock();
        let file = Disk.create(path)?;
        Ok(self.file(&mut log, path, file, true))
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        let mut log = self.log.lock();
        let file = Disk.append(path)?;
        Ok(self.file(&mut log, path, file, false))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let mut log = self.log.lock();
        log.operations.push(Operation::Truncate(self.name(path), length));
        Disk.truncate(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.log.lock();
        let (old, new) = (self.name(from), self.name(to));
        let id = log.names.remove(&old).unwrap();
        log.names.insert(new.clone(), id);
        log.operations.push(Operation::Rename(old, new));
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log.lock();
        log.operations.push(Operation::Remove(self.name(path)));
        Disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log.lock();
        log.operations.push(Operation::CreateDir(self.name(path)));
        Disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log.lock();
        Disk.remove_dir(path)?;
        log.operations.push(Operation::RemoveDir(self.name(path)));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.log.lock().operations.push(Operation::SyncDir(self.name(path)));
        Ok(())
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(u64),
}

/// What the disk holds for sure, and what it would hold if all that is pending reached it.
#[derive(Default)]
struct Machine {
    synced: HashMap<u64, Vec<u8>>,
    written: HashMap<u64, Vec<u8>>,
    durable: BTreeMap<PathBuf, Node>,
    names: BTreeMap<PathBuf, Node>,
}

/// What reaches the disk of that which is pending when the power goes.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    NamesOnly,
    BytesOnly,
    NamesAndHalfOfTheBytes,
    NamesAndZeros,
    Everything,
}

const LUCK: [Luck; 6] = [
    Luck::Nothing,
    Luck::NamesOnly,
    Luck::BytesOnly,
    Luck::NamesAndHalfOfTheBytes,
    Luck::NamesAndZeros,
    Luck::Everything,
];

impl Machine {
    fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(name, id) => {
                self.names.insert(name.clone(), Node::File(*id));
                self.written.insert(*id, Vec::new());
            }
            Operation::Write(id, bytes) => self.written.get_mut(id).unwrap().extend(bytes),
            Operation::Sync(id) => {
                self.synced.insert(*id, self.written[id].clone());
            }
            Operation::Truncate(name, length) => {
                let Some(Node::File(id)) = self.names.get(name) else { return };
                let length = usize::try_from(*length).unwrap();
                self.written.get_mut(id).unwrap().truncate(length);
            }
            Operation::Rename(from, to) => {
                let node = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), node);
            }
            Operation::Remove(name) | Operation::RemoveDir(name) => {
                self.names.remove(name);
            }
            Operation::CreateDir(name) => {
                self.names.insert(name.clone(), Node::Directory);
            }
            Operation::SyncDir(directory) => {
                let is_inside = |name: &PathBuf| name.parent() == Some(directory);
                self.durable.retain(|name, _| !is_inside(name));
                let inside = self.names.iter().filter(|(name, _)| is_inside(name));
                self.durable.extend(inside.map(|(name, node)| (name.clone(), node.clone())));
            }
        }
    }

    fn bytes(&self, id: u64, luck: Luck) -> Vec<u8> {
        let written = self.written.get(&id).cloned().unwrap_or_default();
        let synced = self.synced.get(&id).cloned().unwrap_or_default();
        match luck {
            Luck::Nothing | Luck::NamesOnly => synced,
            Luck::BytesOnly | Luck::Everything => written,
            Luck::NamesAndHalfOfTheBytes | Luck::NamesAndZeros => {
                let half = usize::midpoint(synced.len(), written.len()).max(synced.len()).min(written.len());
                let mut bytes = written[..half].to_vec();
                if matches!(luck, Luck::NamesAndZeros) {
                    bytes.resize(written.len(), 0);
                }
                bytes
            }
        }
    }

    fn build(&self, root: &Path, luck: Luck) {
        let names = if matches!(luck, Luck::Nothing | Luck::BytesOnly) { &self.durable } else { &self.names };
        for (name, node) in names {
            // A directory comes before what is in it; what is in one that is not there is lost with it.
            let path = root.join(name);
            if !path.parent().unwrap().is_dir() {
                continue;
            }
            match node {
                Node::Directory => fs::create_dir_all(&path).unwrap(),
                Node::File(id) => fs::write(&path, self.bytes(*id, luck)).unwrap(),
            }
        }
    }
}

/// Something that was true from some operation on.
struct Promise {
    after: usize,
    flows: Vec<Flow>,
}

const OPTIONS: WriterOptions = WriterOptions {
    is_import: false,
    destinations: unmasq_flow::DestinationPolicy::Keep,
    retention: Retention { keep: Some(Duration::from_secs(2 * 3600)), max_size: None },
    rotate_after: Duration::from_secs(60),
    rotate_records: 1 << 19,
    buffer_bytes: 1 << 20,
};

/// Four hours of a gateway's life: flows, journals, seals, merges, a restart, a pruning.
fn live(recorder: &Recorder) -> (Vec<Promise>, Vec<Flow>) {
    let mut promises = Vec::new();
    let mut flows: Vec<Flow> = Vec::new();
    let mut port = 1000;
    let (mut writer, _) =
        Writer::open_on(Arc::new(recorder.clone()), &recorder.root, "gw1", OPTIONS).unwrap();
    start(&mut writer, at(0));
    for minute in 0..12 {
        // Twenty minutes at a time, so that hours begin and the first ones grow too old.
        let now = at(minute * 1200);
        if now.hour() > at((minute - 1) * 1200).hour() {
            let living: Vec<Flow> = flows.iter().filter(|flow| !flow.end.is_closed()).cloned().collect();
            writer.carry(now.hour(), &living).unwrap();
        }
        for _ in 0..3 {
            port += 1;
            let begun = flow(1, port, now + Duration::from_secs(1));
            writer.opened(&begun);
            flows.push(begun);
        }
        if let Some(old) = flows.iter_mut().rev().nth(5) {
            *old = ended(old, now + Duration::from_secs(1));
            writer.ended(old, true);
        }
        alive(&mut writer, now + Duration::from_secs(2));
        if minute % 3 == 1 {
            writer.seal_all().unwrap();
        } else {
            writer.sync().unwrap();
        }
        promises.push(Promise { after: recorder.log.lock().operations.len(), flows: flows.clone() });
        if minute == 5 {
            drop(writer);
            writer = Writer::open_on(Arc::new(recorder.clone()), &recorder.root, "gw1", OPTIONS).unwrap().0;
            start(&mut writer, now + Duration::from_secs(3));
        }
    }
    drop(writer);
    (promises, flows)
}

fn check(machine: &Machine, luck: Luck, synced: &[Flow], accepted: &[Flow], operations: &[Operation]) {
    let number = operations.len();
    let directory = directory_in_memory();
    machine.build(directory.path(), luck);
    let context = format!("after {number} operations, with {luck:?}");
    let (mut writer, _) =
        Writer::open(directory.path(), "gw1", OPTIONS).unwrap_or_else(|error| panic!("{context}: {error}"));
    writer.flush().unwrap();
    let ledger = Ledger::open(directory.path()).unwrap();
    let found = all(&ledger, &Filter::default());
    let mut clients: Vec<Endpoint> = found.iter().map(|hit| hit.flow.client).collect();
    clients.sort_unstable();
    assert!(clients.windows(2).all(|pair| pair[0] != pair[1]), "{context}: a flow twice: {clients:?}");
    // What was pruned may be gone; what was not must be there, with the end that was synced.
    let oldest = ledger.streams()[0].coverage(Period::ALWAYS).unwrap();
    let pruned = oldest.gaps.iter().filter(|gap| gap.reason == unmasq_flow::GapReason::Pruned);
    let kept_since = pruned.map(|gap| gap.period.to).max().unwrap_or(at(-1));
    for flow in synced.iter().filter(|flow| flow.end.latest() >= kept_since) {
        let hit = found.iter().find(|hit| hit.flow.client == flow.client);
        let hit = hit.unwrap_or_else(|| panic!("{context}: {} is lost", flow.client));
        if flow.end.is_closed() {
            assert_eq!(hit.flow.end, flow.end, "{context}");
        }
    }
    // And what the stream calls covered is complete, synced or not.
    for flow in accepted.iter().filter(|flow| flow.start.earliest() >= kept_since) {
        let moment = Period::at(flow.start.earliest());
        let is_covered = ledger.streams()[0].coverage(moment).unwrap().is_complete();
        let is_there = found.iter().any(|hit| hit.flow.client == flow.client);
        let last = &operations[operations.len().saturating_sub(6)..];
        assert!(
            is_there || !is_covered,
            "{context}: {} is missing where all is covered: {last:?}",
            flow.client
        );
    }
    let report = ledger.verify(&VerifyOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(report.streams[0].problems, vec![], "{context}");
}

#[test]
fn whatever_a_power_cut_leaves_opens_and_holds_what_was_synced() {
    let directory = directory_in_memory();
    let recorder = Recorder { root: directory.path().to_owned(), log: Arc::default() };
    let (promises, accepted) = live(&recorder);
    let operations = recorder.log.lock().operations.clone();
    let mut machine = Machine::default();
    for (number, operation) in operations.iter().enumerate() {
        machine.step(operation);
        let promise = promises.iter().rev().find(|promise| promise.after <= number + 1);
        let synced = promise.map_or(&[][..], |promise| &promise.flows);
        // Each moment with one kind of luck, and every kind in turn: all pairs would take minutes.
        check(&machine, LUCK[number % LUCK.len()], synced, &accepted, &operations[..=number]);
    }
    assert!(operations.len() > 200, "only {} operations", operations.len());
}
