//! A sendmail-like program: the message on its standard input, the outcome by its exit status.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::MailError;
use super::letter::Letter;
use super::transport::{Delivery, Unreachable};

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that are kept of what it says.
const MOST_WORDS: usize = 2000;
/// What a pipe of Linux holds (pipe(7)).
const PIPE_BYTES: usize = 64 << 10;

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
        let mut words = Words::new(output).map_err(failed)?;
        let child = Command::new(program)
            .args(&self.argv[1..])
            .stdin(input(body).map_err(failed)?)
            .stdout(for_output)
            .stderr(for_errors)
            // A group of its own, to be killed as one.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let status = self.wait(child, &mut words).map_err(failed)?;
        let words = words.end();
        match status {
            Some(status) => Ok((status, words)),
            None => Err(format!("{program} took longer than {:?} and was killed: {words}", self.patience)),
        }
    }

    /// Its status, when all that it said is heard; none if it was killed for taking too long.
    fn wait(&self, mut child: Child, words: &mut Words) -> io::Result<Option<ExitStatus>> {
        let pid = Pid::from_child(&child);
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let until = Instant::now() + self.patience;
        loop {
            // In this order: what a process has said that has ended is in the pipe.
            let status = child.try_wait()?;
            words.hear()?;
            if status.is_some() {
                return Ok(status);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The group may be gone by now.
                let _ = kill_process_group(pid, Signal::KILL);
                child.wait()?;
                words.hear()?;
                return Ok(None);
            }
            let mut awaited = vec![PollFd::new(&descriptor, PollFlags::IN)];
            awaited.extend(words.output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
            let limit = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut awaited, Some(&limit)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The beginning of what a program says.
struct Words {
    /// None at its end: all who could say something have ended.
    output: Option<io::PipeReader>,
    heard: Vec<u8>,
}

impl Words {
    fn new(output: io::PipeReader) -> io::Result<Self> {
        fcntl_setfl(&output, OFlags::NONBLOCK)?;
        Ok(Self { output: Some(output), heard: Vec::new() })
    }

    /// Takes what is there, without waiting.
    fn hear(&mut self) -> io::Result<()> {
        let mut part = [0; 4096];
        // What a pipe holds, and no more: who never ceases to speak is not to hold us up.
        for _ in 0..PIPE_BYTES / part.len() {
            let Some(output) = &mut self.output else { break };
            match output.read(&mut part) {
                Ok(0) => self.output = None,
                Ok(length) => {
                    let room = MOST_WORDS - self.heard.len();
                    self.heard.extend_from_slice(&part[..length.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// As text.
    fn end(self) -> String {
        // What the program left behind may say more: nobody waits for that, and it is not to die of a pipe without a
        // reader. Should the thread not start, it does.
        if let Some(mut output) = self.output
            && fcntl_setfl(&output, OFlags::empty()).is_ok()
        {
            let hear = move || io::copy(&mut output, &mut io::sink());
            let _ = thread::Builder::new().name("mail-output".to_owned()).spawn(hear);
        }
        String::from_utf8_lossy(&self.heard).into_owned()
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
