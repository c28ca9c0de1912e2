//! What a watch writes into the log: entries of `action_log`, and its own messages.
//!
//! ```text
//!  Record ──► Log ──► journald's native socket      all bytes kept, fields UNMASQ_CHAIN and UNMASQ_STEP
//!              │  or  /dev/log (RFC 3164)           one line, controls made visible
//!              │  or  standard error                likewise
//!              │  or  a file                        likewise, with time, identifier and level in front
//!              └─ a socket that is full: a small queue, tried again by `flush`; what does not fit is counted
//! ```
//!
//! Nothing here blocks: an engine that waited for journald, which may wait for a disk, would lose entries.

mod file;
mod native;
mod syslog;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// journald's native socket (systemd.journal-fields(7), "Native Journal Protocol").
pub const NATIVE: &str = "/run/systemd/journal/socket";
/// Where syslog listens.
pub const SYSLOG: &str = "/dev/log";

/// Entries that wait for a full socket, at most.
const MOST_QUEUED: usize = 1024;
/// Bytes of them, at most.
const MOST_QUEUED_BYTES: usize = 4 << 20;
/// A message is cut here: journald itself stops at 768 MiB, and no message of ours needs as much.
const LONGEST_MESSAGE: usize = 1 << 20;
/// A daemon that was not there is looked for again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// How grave an entry is: syslog's severities, and Pyruse's names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "syslog's own words")]
pub enum Level {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Level {
    /// All of them, gravest first, by the names that a configuration gives them.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("EMERG", Self::Emerg),
        ("ALERT", Self::Alert),
        ("CRIT", Self::Crit),
        ("ERR", Self::Err),
        ("WARNING", Self::Warning),
        ("NOTICE", Self::Notice),
        ("INFO", Self::Info),
        ("DEBUG", Self::Debug),
    ];

    /// The level of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }
}

/// One entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// `PRIORITY`.
    pub level: Level,
    /// `MESSAGE`: any bytes, newlines included.
    pub message: &'r [u8],
    /// `UNMASQ_CHAIN`: the chain that wrote it; none for messages of the watch itself.
    pub chain: Option<&'r str>,
    /// `UNMASQ_STEP`: the step, as `watch check` names it.
    pub step: Option<&'r str>,
    /// [`AGAIN`]: it is written because of an entry that the watch itself had written.
    pub again: bool,
}

/// The field of entries that the watch wrote because of entries of its own: none follows from them, so that a chain
/// that reads what it writes comes to an end. Only in the journal, where `_PID` says who wrote it.
pub const AGAIN: &str = "UNMASQ_AGAIN";

/// Where entries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// journald if it is there, else syslog, else standard error; looked at again whenever one has gone.
    Any,
    /// A native socket of journald.
    Journal(PathBuf),
    /// A syslog socket.
    Syslog(PathBuf),
    /// Standard error.
    Stderr,
    /// A file that is written on; standard error where it cannot be.
    File(PathBuf),
}

/// What became of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Taken by the socket.
    pub written: u64,
    /// That had to wait in the queue first.
    pub delayed: u64,
    /// Lost: the queue was full, or the daemon refused them.
    pub lost: u64,
}

/// The log.
#[derive(Debug)]
pub struct Log {
    identifier: String,
    /// In the order of preference; empty for standard error alone.
    targets: Vec<(Kind, PathBuf)>,
    link: Option<Link>,
    file: Option<std::fs::File>,
    /// What is less grave is not written.
    level: Level,
    /// Before this, an absent daemon is not looked for.
    next_look: Option<Instant>,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    tally: Tally,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Native,
    Syslog,
}

#[derive(Debug)]
struct Link {
    kind: Kind,
    socket: UnixDatagram,
}

/// What a socket did with a datagram.
enum Sent {
    Taken,
    /// It is full.
    Full,
    /// It will never take this one.
    Refused,
    /// Nobody is there.
    Gone,
}

impl Log {
    /// Opens the log. `identifier` is the `SYSLOG_IDENTIFIER` of its entries. A daemon that is not there is no error:
    /// the next target is taken, and standard error in the end.
    pub fn open(identifier: &str, target: &Target) -> Self {
        let targets = match target {
            Target::Any => vec![(Kind::Native, NATIVE.into()), (Kind::Syslog, SYSLOG.into())],
            Target::Journal(path) => vec![(Kind::Native, path.clone())],
            Target::Syslog(path) => vec![(Kind::Syslog, path.clone())],
            Target::Stderr | Target::File(_) => Vec::new(),
        };
        let file = match target {
            Target::File(path) => file::open(path)
                .inspect_err(|error| {
                    eprintln!("unmasq: {}: cannot be written: {error}; standard error is", path.display());
                })
                .ok(),
            Target::Any | Target::Journal(_) | Target::Syslog(_) | Target::Stderr => None,
        };
        let mut log = Self {
            identifier: identifier.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect(),
            targets,
            link: None,
            file,
            level: Level::Debug,
            next_look: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            tally: Tally::default(),
            buffer: Vec::new(),
        };
        log.connect();
        log
    }

    /// Writes nothing that is less grave.
    #[must_use]
    pub fn at_least(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Where entries go now, for messages.
    pub fn goes_to(&self) -> &'static str {
        if self.file.is_some() {
            return "a file";
        }
        match self.link.as_ref().map(|link| link.kind) {
            Some(Kind::Native) => "the journal",
            Some(Kind::Syslog) => "syslog",
            None => "standard error",
        }
    }

    /// Writes an entry, or puts it into the queue if the socket is full. Never blocks.
    pub fn write(&mut self, record: &Record<'_>) {
        if record.level > self.level {
            return;
        }
        let message = &record.message[..record.message.len().min(LONGEST_MESSAGE)];
        let record = Record { message, ..*record };
        if let Some(file) = &mut self.file {
            match file::write(file, &self.identifier, &record) {
                Ok(()) => self.tally.written += 1,
                Err(_) => self.write_to_stderr(&record),
            }
            return;
        }
        if self.link.is_none() {
            self.connect();
        }
        let Some(kind) = self.link.as_ref().map(|link| link.kind) else {
            self.write_to_stderr(&record);
            return;
        };
        let mut datagram = std::mem::take(&mut self.buffer);
        datagram.clear();
        match kind {
            Kind::Native => native::encode(&mut datagram, &self.identifier, &record),
            Kind::Syslog => syslog::encode(&mut datagram, &self.identifier, &record),
        }
        self.flush();
        // Order is kept: nothing overtakes what waits.
        let sent = if self.queue.is_empty() { self.send(&datagram) } else { Sent::Full };
        match sent {
            Sent::Taken => self.tally.written += 1,
            Sent::Refused => self.tally.lost += 1,
            Sent::Full => self.put_off(&datagram),
            Sent::Gone => self.write_to_stderr(&record),
        }
        self.buffer = datagram;
    }

    /// Tries again to write what waits. To be called once in a while, or when [`Log::descriptor`] can be written.
    pub fn flush(&mut self) {
        while let Some(datagram) = self.queue.pop_front() {
            match self.send(&datagram) {
                Sent::Taken => self.tally.written += 1,
                Sent::Refused => self.tally.lost += 1,
                Sent::Full => {
                    self.queue.push_front(datagram);
                    return;
                }
                Sent::Gone => {
                    // They are in the form that the daemon which has gone would have understood.
                    self.tally.lost += 1 + self.queue.len() as u64;
                    self.queue.clear();
                    self.queued_bytes = 0;
                    return;
                }
            }
            self.queued_bytes -= datagram.len();
        }
    }

    /// The socket, if something waits for it: poll it for writing, then call [`Log::flush`].
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let link = self.link.as_ref().filter(|_| !self.queue.is_empty())?;
        Some(link.socket.as_fd())
    }

    /// What became of the entries so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn put_off(&mut self, datagram: &[u8]) {
        if self.queue.len() >= MOST_QUEUED || self.queued_bytes + datagram.len() > MOST_QUEUED_BYTES {
            self.tally.lost += 1;
            return;
        }
        self.tally.delayed += 1;
        self.queued_bytes += datagram.len();
        self.queue.push_back(datagram.to_vec());
    }

    fn write_to_stderr(&mut self, record: &Record<'_>) {
        let mut line = Vec::new();
        syslog::encode_line(&mut line, record);
        line.push(b'\n');
        match io::stderr().write_all(&line) {
            Ok(()) => self.tally.written += 1,
            Err(_) => self.tally.lost += 1,
        }
    }

    /// Takes the first target that answers, unless it was tried a moment ago.
    fn connect(&mut self) {
        if self.next_look.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.link = self
            .targets
            .iter()
            .find_map(|(kind, path)| Some(Link { kind: *kind, socket: open_socket(path).ok()? }));
        self.next_look = self.link.is_none().then(|| Instant::now() + RETRY);
    }

    fn send(&mut self, datagram: &[u8]) -> Sent {
        let Some(Link { kind, socket }) = &self.link else { return Sent::Gone };
        let sent = match kind {
            Kind::Native => native::send(socket, datagram),
            Kind::Syslog => syslog::send(socket, datagram),
        };
        match sent {
            Ok(()) => return Sent::Taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Full,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Sent::Full,
            // ENOBUFS: the kernel's memory for sockets is used up, which passes.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                return Sent::Full;
            }
            Err(error) if !is_gone(&error) => return Sent::Refused,
            Err(_) => {}
        }
        // A daemon that was started anew listens at a new socket; of the same kind, the datagram fits.
        let before = *kind;
        self.link = None;
        self.next_look = None;
        self.connect();
        let Some(Link { kind, socket }) = &self.link else { return Sent::Gone };
        if *kind != before {
            return Sent::Gone;
        }
        let again = match kind {
            Kind::Native => native::send(socket, datagram),
            Kind::Syslog => syslog::send(socket, datagram),
        };
        match again {
            Ok(()) => Sent::Taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Full,
            Err(_) => Sent::Gone,
        }
    }
}

fn open_socket(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected, NotFound};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected | NotFound | BrokenPipe)
}

#[cfg(test)]
mod tests;
