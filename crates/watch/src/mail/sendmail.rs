//! A sendmail-like program: the message on its standard input, the outcome by its exit status.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::MailError;
use super::letter::Letter;
use super::transport::{Delivery, Unreachable};

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long its last words may take once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is kept of what it says.
const MOST_WORDS: usize = 2000;

/// A program such as sendmail, msmtp or nullmailer's, run for each mail. No shell is involved. It must take the
/// recipients from the message (`-t`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sendmail {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How long it may take before it is killed, with all that it started; a minute.
    pub patience: Duration,
}

/// Exit statuses by which a program refuses for good (sysexits.h): EX_DATAERR, EX_NOUSER, EX_NOHOST. Any other may be
/// a matter of its configuration, and passes once that is mended.
const REFUSALS: [i32; 3] = [65, 67, 68];

impl Sendmail {
    /// With the usual patience.
    pub fn new<W: Into<String>>(argv: impl IntoIterator<Item = W>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), patience: PATIENCE }
    }

    pub(super) fn checked(&self) -> Result<Self, MailError> {
        match self.argv.first() {
            Some(program) if !program.is_empty() => Ok(self.clone()),
            _ => Err(MailError::Setting("the command of sendmail is empty".to_owned())),
        }
    }

    pub(super) fn deliver(&self, letter: &Letter) -> Result<Delivery, Unreachable> {
        let (status, words) = self.run(&letter.body).map_err(Unreachable)?;
        if status.success() {
            return Ok(Delivery::default());
        }
        let reason = format!("{} ended with {status}: {}", self.argv[0], words.trim());
        match status.code() {
            Some(code) if REFUSALS.contains(&code) => {
                let refused = letter.envelope.to.iter().map(|to| (to.clone(), reason.clone())).collect();
                Ok(Delivery { refused, later: Vec::new() })
            }
            _ => Err(Unreachable(reason)),
        }
    }

    /// Runs it with this message. Gives its status and the beginning of what it said.
    fn run(&self, body: &[u8]) -> Result<(ExitStatus, String), String> {
        let program = &self.argv[0];
        let failed = |error: io::Error| format!("cannot run {program}: {error}");
        let (output, for_output) = io::pipe().map_err(failed)?;
        let for_errors = for_output.try_clone().map_err(failed)?;
        let child = Command::new(program)
            .args(&self.argv[1..])
            .stdin(input(body).map_err(failed)?)
            .stdout(for_output)
            .stderr(for_errors)
            // A group of its own, to be killed as one.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (words, is_silent) = listen(output);
        let status = self.wait(child).map_err(failed)?;
        // What it left behind may go on to hold the pipe; nobody waits for that.
        let _ = is_silent.recv_timeout(LAST_WORDS);
        let words = words.lock().clone();
        match status {
            Some(status) => Ok((status, words)),
            None => Err(format!("{program} took longer than {:?} and was killed: {words}", self.patience)),
        }
    }

    /// Its status; none if it was killed for taking too long.
    fn wait(&self, mut child: Child) -> io::Result<Option<ExitStatus>> {
        let pid = Pid::from_child(&child);
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let until = Instant::now() + self.patience;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The group may be gone by now.
                let _ = kill_process_group(pid, Signal::KILL);
                child.wait()?;
                return Ok(None);
            }
            let mut ended = [PollFd::new(&descriptor, PollFlags::IN)];
            let limit = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut ended, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The message as a file in memory: a program that reads none of it cannot hold us up. Line ends are the system's.
fn input(body: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create(c"unmasq-mail", MemfdFlags::CLOEXEC)?);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => file.write_all(line).and_then(|()| file.write_all(b"\n"))?,
            None => file.write_all(line)?,
        }
    }
    file.rewind()?;
    Ok(file.into())
}

/// Reads what it says until the end, and keeps the beginning. The receiver is disconnected at the end.
fn listen(mut output: io::PipeReader) -> (Arc<Mutex<String>>, Receiver<()>) {
    let words = Arc::new(Mutex::new(String::new()));
    let (speaking, is_silent) = bounded(0);
    let heard = Arc::clone(&words);
    let listen = move || {
        let mut part = [0; 1024];
        while let Ok(length @ 1..) = output.read(&mut part) {
            let mut heard = heard.lock();
            if heard.len() < MOST_WORDS {
                heard.push_str(&String::from_utf8_lossy(&part[..length]));
            }
        }
        drop(speaking);
    };
    // Without it the program is told that nobody listens, which is no reason to keep a mail back.
    let _ = thread::Builder::new().name("mail-output".to_owned()).spawn(listen);
    (words, is_silent)
}
