//! A writer that appends and rotates at random, and a reader that is killed at random and goes on from what it saved.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use unmasq_source::{Source as _, Start};

use crate::support::{PATIENCE, follow, message};

/// Set for the process that reads: what it reads, and where it writes.
const READER: &str = "UNMASQ_TEST_FOLLOW";

/// As splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % most
    }
}

/// The process that is killed. Not a test of its own: it does nothing unless it was started by one.
#[test]
fn reader_process() {
    let Some(folder) = std::env::var_os(READER).map(PathBuf::from) else { return };
    let output = folder.join("seen");
    let start = match whole_frames(&output).last() {
        Some((_, position)) => Start::At(serde_json::from_str(position).unwrap()),
        None => Start::Head,
    };
    let mut reader = follow(&folder.join("log/a.log"), start);
    let mut output = OpenOptions::new().create(true).append(true).open(output).unwrap();
    // What a process that is killed has written of a frame is no frame: begin a new one.
    output.write_all(b"\n").unwrap();
    loop {
        let mut lines = vec![message(&reader.wait().expect("followed for ever"))];
        lines.extend(reader.messages_now());
        let position = serde_json::to_string(&reader.position()).unwrap();
        for notice in reader.notices() {
            eprintln!("before {}: {notice}", lines[0]);
        }
        assert!(reader.source.counts().entries > 0);
        // One write: lines and position are there together or not at all.
        output.write_all(format!("{}\t{position}\tend\n", lines.join(" ")).as_bytes()).unwrap();
    }
}

/// The lines and the position of each whole frame.
fn whole_frames(path: &Path) -> Vec<(String, String)> {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_string(&mut text).expect("text");
    }
    let frames = text.lines().filter_map(|line| {
        let mut parts = line.split('\t');
        let frame = (parts.next()?.to_owned(), parts.next()?.to_owned());
        (parts.next() == Some("end")).then_some(frame)
    });
    frames.collect()
}

fn seen(folder: &Path) -> Vec<u64> {
    let frames = whole_frames(&folder.join("seen"));
    frames
        .iter()
        .flat_map(|(lines, _)| lines.split(' '))
        .map(|line| line.parse().expect("a number"))
        .collect()
}

fn wait_for_line(folder: &Path, line: u64) {
    let limit = Instant::now() + PATIENCE;
    while seen(folder).last() != Some(&line) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start_reader(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("its path"))
        .args(["--exact", "stress::reader_process", "--nocapture"])
        .env(READER, folder)
        .stdout(Stdio::null())
        .stderr(OpenOptions::new().create(true).append(true).open(folder.join("notices")).expect("a file"))
        .process_group(0)
        .spawn()
        .expect("this program")
}

fn kill(child: &mut Child) {
    child.kill().expect("it runs");
    child.wait().expect("it is killed");
}

/// How the writer rotates.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    Numbered,
    Dated,
    Copied,
}

struct Writer {
    directory: PathBuf,
    file: File,
    next: u64,
    rotations: u64,
}

impl Writer {
    fn new(folder: &Path) -> Self {
        let directory = folder.join("log");
        fs::create_dir(&directory).expect("made");
        let file = Self::open(&directory.join("a.log"));
        Self { directory, file, next: 0, rotations: 0 }
    }

    fn open(path: &Path) -> File {
        OpenOptions::new().create(true).append(true).open(path).expect("a log file")
    }

    fn name(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("a.log{suffix}"))
    }

    /// Some lines, sometimes in two writes, the first of which ends within a line.
    fn append(&mut self, random: &mut Random) {
        let count = random.below(40) + 1;
        let lines: Vec<_> = (self.next..self.next + count).map(|number| format!("{number:08}\n")).collect();
        let text = lines.concat();
        self.next += count;
        let (first, second) = text.split_at(random.below(text.len() as u64) as usize);
        self.file.write_all(first.as_bytes()).expect("written");
        if random.below(3) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
        self.file.write_all(second.as_bytes()).expect("written");
    }

    fn rotate(&mut self, rotation: Rotation, random: &mut Random) {
        self.rotations += 1;
        match rotation {
            Rotation::Numbered => self.shift(),
            Rotation::Dated => {
                let dated = self.name(&format!("-2026{:04}", self.rotations));
                fs::rename(self.name(""), dated).expect("renamed");
                // Dates are told apart by the time of the last write, which has the kernel's ticks.
                std::thread::sleep(Duration::from_millis(15));
            }
            Rotation::Copied => {
                self.shift_older();
                fs::copy(self.name(""), self.name(".1")).expect("rotated");
                self.file.set_len(0).expect("emptied");
                return;
            }
        }
        if random.below(2) == 0 {
            // The new file is there before its writer comes over, as logrotate's `create` has it.
            Self::open(&self.name(""));
            self.append(random);
        }
        self.file = Self::open(&self.name(""));
    }

    fn shift(&mut self) {
        self.shift_older();
        fs::rename(self.name(""), self.name(".1")).expect("rotated");
    }

    fn shift_older(&mut self) {
        for number in (1..self.rotations).rev() {
            let (from, to) = (self.name(&format!(".{number}")), self.name(&format!(".{}", number + 1)));
            if from.exists() {
                fs::rename(from, to).expect("renamed");
            }
        }
    }
}

fn every_line_is_seen_exactly_once(rotation: Rotation, seed: u64) {
    let folder = tempfile::tempdir().expect("a directory");
    let mut random = Random(seed);
    let mut writer = Writer::new(folder.path());
    let mut reader = start_reader(folder.path());
    // It begins with the file that is there when it starts: not with one that was rotated away before.
    writer.append(&mut random);
    wait_for_line(folder.path(), writer.next - 1);
    for _ in 0..400 {
        writer.append(&mut random);
        match random.below(40) {
            0..4 if writer.rotations < 40 => writer.rotate(rotation, &mut random),
            4 | 5 => {
                kill(&mut reader);
                // It misses some of what happens, or nothing.
                for _ in 0..random.below(5) {
                    writer.append(&mut random);
                    if random.below(3) == 0 && writer.rotations < 40 {
                        writer.rotate(rotation, &mut random);
                    }
                }
                reader = start_reader(folder.path());
            }
            6..20 => std::thread::sleep(Duration::from_millis(random.below(4))),
            _ => {}
        }
    }
    // The reader ends each frame with what there is, so that the last line comes at last.
    wait_for_line(folder.path(), writer.next - 1);
    kill(&mut reader);
    let seen = seen(folder.path());
    let wrong = seen.iter().zip(0..).position(|(seen, number)| *seen != number);
    if wrong.is_some() || seen.len() as u64 != writer.next {
        let at = wrong.unwrap_or(seen.len());
        let around = &seen[at.saturating_sub(3)..(at + 3).min(seen.len())];
        // The frame that begins wrongly or holds the wrong line, and those beside it.
        let frames = whole_frames(&folder.path().join("seen"));
        let mut lines_before = 0;
        let holds = frames.iter().position(|(lines, _)| {
            lines_before += lines.split(' ').count();
            lines_before > at
        });
        let holds = holds.unwrap_or(frames.len());
        let beside: Vec<_> = frames[holds.saturating_sub(2)..(holds + 2).min(frames.len())]
            .iter()
            .map(|(lines, position)| format!("{}: {position}", lines.get(..8).unwrap_or(lines)))
            .collect();
        panic!(
            "{rotation:?}, seed {seed}: line {at} of {} is not there once, but {around:?}\n{}\n{}",
            writer.next,
            beside.join("\n"),
            fs::read_to_string(folder.path().join("notices")).unwrap_or_default()
        );
    }
}

#[test]
fn numbered_files_are_read_exactly_once_whenever_the_reader_is_killed() {
    for seed in 1..4 {
        every_line_is_seen_exactly_once(Rotation::Numbered, seed);
    }
}

#[test]
fn dated_files_are_read_exactly_once_whenever_the_reader_is_killed() {
    for seed in 1..3 {
        every_line_is_seen_exactly_once(Rotation::Dated, seed);
    }
}

/// The writer does nothing between the copy and the emptying; what others would write then is lost.
#[test]
fn copied_files_are_read_exactly_once_whenever_the_reader_is_killed() {
    for seed in 1..4 {
        every_line_is_seen_exactly_once(Rotation::Copied, seed);
    }
}
