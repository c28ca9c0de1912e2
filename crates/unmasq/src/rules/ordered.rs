//! The side of the one who asks: starts the keeper, tells it what to do, hears what it says; and does the rest itself if the
//! keeper is killed.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::job::{Answer, Event, Job};

/// A keeper at work.
#[derive(Debug)]
pub(crate) struct Keeper {
    socket: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Keeper {
    /// Starts one: this program again, in a session of its own, so that nothing that ends the terminal ends it.
    pub(crate) fn start(job: &Job) -> anyhow::Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket")?;
        Command::new("/proc/self/exe")
            .args(["rules", "keeper"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the keeper of the rules")?;
        let lines = BufReader::new(ours.try_clone().context("cannot use a socket")?);
        let mut keeper = Self { socket: ours, lines };
        keeper
            .send(&serde_json::to_string(job)?)
            .context("cannot tell the keeper of the rules what to do")?;
        Ok(keeper)
    }

    /// The socket, to wait at.
    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Says something.
    pub(crate) fn say(&mut self, answer: Answer) -> anyhow::Result<()> {
        Ok(self.send(&serde_json::to_string(&answer)?)?)
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        self.socket.write_all(format!("{line}\n").as_bytes())
    }

    /// What it says next; `None` if it has ended.
    pub(crate) fn hear(&mut self) -> anyhow::Result<Option<Event>> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            other => {
                other.context("cannot hear the keeper of the rules")?;
                Ok(Some(serde_json::from_str(&line).context("the keeper of the rules says something odd")?))
            }
        }
    }

    /// Is there more that it has said already?
    pub(crate) fn has_more(&self) -> bool {
        !self.lines.buffer().is_empty()
    }
}
