//! One connection of a capture.

use std::time::{Duration, Instant};

use unmasq_ssh::wire::Write;

use super::delay::Measured;
use super::{CaptureError, offer_of};
use crate::client::{Client, Offer};

/// SSH_MSG_SERVICE_ACCEPT.
pub(super) const SERVICE_ACCEPT: u8 = 6;
/// SSH_MSG_EXT_INFO.
pub(super) const EXT_INFO: u8 = 7;
/// SSH_MSG_USERAUTH_FAILURE.
pub(super) const FAILURE: u8 = 51;
/// SSH_MSG_USERAUTH_BANNER.
pub(super) const BANNER: u8 = 53;
/// SSH_MSG_USERAUTH_INFO_REQUEST.
pub(super) const INFO_REQUEST: u8 = 60;
/// After so many answers a server is taken to go on for ever.
pub(super) const MOST_ANSWERS: u32 = 30;

/// How often `none` is asked before passwords, to know what an answer at once takes: the first one sets up sshd's PAM.
pub(super) const NONES: u32 = 2;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// What it says to what is no identification.
    Garbage,
    /// What it says to protocol 1.
    OldProtocol,
    /// Lists, extensions, banner and methods.
    Methods,
    /// `none`, and once more with a role behind the user name: is it the same user?
    Roles,
    /// The host key of an algorithm.
    HostKey(String),
    /// `none` twice, then wrong passwords until it ends: with the user name and this number behind.
    Passwords(u32),
    /// `none` until it ends.
    Others,
    /// The prompt of keyboard-interactive.
    Prompt,
}

impl Task {
    /// For an error: when it was that the server closed.
    pub(super) const fn purpose(&self) -> &'static str {
        match self {
            Self::Garbage | Self::OldProtocol => "at once",
            Self::Methods | Self::Roles => "before it named its methods",
            Self::HostKey(_) => "before it showed its host key",
            Self::Passwords(_) | Self::Others => "before it refused anything",
            Self::Prompt => "before it asked anything",
        }
    }
}

/// What happens on it.
pub(super) enum Event {
    /// Keys are in use.
    Ready,
    /// A packet under keys.
    Packet(Vec<u8>),
}

/// A connection.
pub(super) struct Run {
    task: Task,
    client: Client,
    /// What is said, and what came, if it is no client of the protocol.
    raw: Option<(Vec<u8>, Vec<u8>)>,
    was_ready: bool,
    /// A packet that came with the keys.
    behind: Option<Vec<u8>>,
    /// When it was opened, until something comes.
    opened: Option<Instant>,
    asked: Option<Instant>,
    answers: u32,
}

impl Run {
    /// A connection that is opened now.
    pub(super) fn new(task: Task, now: Instant) -> Self {
        let offer = match &task {
            Task::HostKey(algorithm) => offer_of(algorithm),
            _ => Offer::default(),
        };
        let raw = match task {
            Task::Garbage => Some(&b"GET / HTTP/1.0\r\n"[..]),
            Task::OldProtocol => Some(&b"SSH-1.5-x\r\n"[..]),
            _ => None,
        };
        Self {
            task,
            client: Client::new(offer),
            raw: raw.map(|said| (said.to_vec(), Vec::new())),
            was_ready: false,
            behind: None,
            opened: Some(now),
            asked: None,
            answers: 0,
        }
    }

    pub(super) const fn task(&self) -> &Task {
        &self.task
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Answers to requests for authentication so far.
    pub(super) const fn answers(&self) -> u32 {
        self.answers
    }

    pub(super) fn output(&self) -> &[u8] {
        match &self.raw {
            Some((said, _)) => said,
            None => self.client.output(),
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        match &mut self.raw {
            Some((said, _)) => drop(said.drain(..bytes.min(said.len()))),
            None => self.client.sent(bytes),
        }
    }

    /// How long it was silent, if these are the first bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant) -> Option<Duration> {
        match &mut self.raw {
            Some((_, came)) if came.len() < 64 * 1024 => came.extend_from_slice(bytes),
            Some(_) => {}
            None => self.client.receive(bytes),
        }
        self.opened.take().map(|opened| now.saturating_duration_since(opened))
    }

    /// What came after the identification.
    pub(super) fn text_after_line(&self) -> String {
        let came = self.raw.as_ref().map_or(&[][..], |(_, came)| came);
        let line = came.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        super::text(&came[line..])
    }

    pub(super) fn next(&mut self) -> Result<Option<Event>, CaptureError> {
        if self.raw.is_some() {
            return Ok(None);
        }
        let packet = match self.behind.take() {
            Some(packet) => Some(packet),
            None => self.client.next()?,
        };
        if self.client.is_ready() && !self.was_ready {
            self.was_ready = true;
            self.behind = packet;
            return Ok(Some(Event::Ready));
        }
        Ok(packet.map(Event::Packet))
    }

    pub(super) fn ask_service(&mut self, now: Instant) -> Result<(), CaptureError> {
        let mut request = vec![5];
        request.put_string(b"ssh-userauth");
        self.asked = Some(now);
        Ok(self.client.send(&request)?)
    }

    /// A request for authentication was answered.
    pub(super) fn count_answer(&mut self) {
        self.answers += 1;
    }

    /// How long an answer to a failure took, without the way there and back.
    pub(super) fn measured(&mut self, now: Instant, round_trip: Duration) -> Option<Measured> {
        let took = self.took(now)?.saturating_sub(round_trip);
        let user = match self.task {
            Task::Passwords(number) => number,
            Task::Garbage
            | Task::OldProtocol
            | Task::Methods
            | Task::Roles
            | Task::HostKey(_)
            | Task::Others
            | Task::Prompt => u32::MAX,
        };
        Some(Measured { took, user })
    }

    /// How long the answer took.
    pub(super) fn took(&mut self, now: Instant) -> Option<Duration> {
        self.asked.take().map(|asked| now.saturating_duration_since(asked))
    }

    /// Asks for what the connection is for.
    pub(super) fn ask(&mut self, user: &str, password: &str, now: Instant) -> Result<(), CaptureError> {
        let mut request = vec![50];
        let head = |request: &mut Vec<u8>, user: &str, method: &str| {
            for field in [user, "ssh-connection", method] {
                request.put_string(field.as_bytes());
            }
        };
        match self.task {
            Task::Passwords(number) if self.answers < NONES => {
                head(&mut request, &format!("{user}{number}"), "none");
            }
            Task::Passwords(number) => {
                head(&mut request, &format!("{user}{number}"), "password");
                request.put_boolean(false);
                request.put_string(password.as_bytes());
            }
            Task::Prompt => {
                head(&mut request, user, "keyboard-interactive");
                request.put_string(b"");
                request.put_string(b"");
            }
            Task::Roles if self.answers > 0 => head(&mut request, &format!("{user}/x"), "none"),
            Task::Garbage
            | Task::OldProtocol
            | Task::Methods
            | Task::Roles
            | Task::HostKey(_)
            | Task::Others => {
                head(&mut request, user, "none");
            }
        }
        self.asked = Some(now);
        Ok(self.client.send(&request)?)
    }
}
