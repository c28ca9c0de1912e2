//! The server's side of a connection: bytes and time in, bytes and happenings out.
//!
//! What sshd does was measured on OpenSSH 9.2p1 (`tests/honeypot/probes.rs` compares the two). There is no way to a success: no
//! code here knows how to write SSH_MSG_USERAUTH_SUCCESS.
//!
//! ```
//! use std::{sync::Arc, time::{Duration, Instant}};
//! use unmasq_honeypot::hostkey::{HostKeys, KeyKind};
//! use unmasq_honeypot::profile::Profile;
//! use unmasq_honeypot::server::{Connection, Delay, Limits, Setup};
//!
//! let setup = Arc::new(Setup {
//!     profile: Profile::debian_12(),
//!     keys: HostKeys::generate(&[KeyKind::Ed25519])?,
//!     limits: Limits { grace: Duration::from_secs(120), attempts: 6, bytes: 1 << 20, delay: Delay::Fixed(Duration::ZERO) },
//! });
//! let now = Instant::now();
//! let mut connection = Connection::new(setup, now);
//! assert!(connection.output().starts_with(b"SSH-2.0-OpenSSH_9.2p1"));
//! connection.sent(connection.output().len());
//! connection.receive(b"GET / HTTP/1.0\r\n", now);
//! assert_eq!(connection.output(), b"Invalid SSH identification string.\r\n");
//! assert!(connection.is_over());
//! # Ok::<(), unmasq_honeypot::hostkey::KeyError>(())
//! ```

mod attempt;
mod authentication;
mod compat;
mod end;
mod exchange;
mod greeting;
mod session;
mod verify;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unmasq_ssh::{Hassh, Identification, KexInit, Negotiated};

pub use end::End;
use greeting::Greeting;
use session::Session;

use crate::hostkey::HostKeys;
use crate::profile::{Failure, Profile};
use crate::record::Signature;

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the server looks like.
    pub profile: Profile,
    /// Its host keys. Algorithms of the profile that no key is there for are not offered, as with sshd.
    pub keys: HostKeys,
    /// How much it puts up with.
    pub limits: Limits,
}

/// How much a connection may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the beginning to the end of a connection (LoginGraceTime of sshd; its default is two minutes).
    pub grace: Duration,
    /// Failures until it ends (MaxAuthTries of sshd; its default is 6). The first `none` is free.
    pub attempts: u32,
    /// Most bytes read of a connection; then it ends.
    pub bytes: u64,
    /// Before the answer to a failed attempt.
    pub delay: Delay,
}

/// How long a failed attempt waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// As the profile's server makes it wait; its greeting takes its time, too.
    Profile,
    /// So long, whatever was tried.
    Fixed(Duration),
}

/// Something to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The client has said what it is: [`Peer::identification`].
    Identified,
    /// The client has sent its lists: the rest of [`Peer`]. What both use is not there if they have nothing in common.
    Negotiated,
    /// The client tried to get in.
    Attempt(Attempt),
}

/// An attempt to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// As sent: whatever bytes they are.
    pub username: Vec<u8>,
    /// The service that it wants: `ssh-connection`.
    pub service: Vec<u8>,
    /// Which attempt of the connection, from 1, as sshd counts: a `none` that comes first is 0.
    pub number: u32,
    /// With what.
    pub method: Method,
}

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing: asks for the methods.
    None,
    /// A password.
    Password {
        /// As sent.
        password: Vec<u8>,
        /// The one to change to, if the client wants to.
        new: Option<Vec<u8>>,
    },
    /// Keyboard-interactive; without answers if it was not prompted for any, as the profile has not the method.
    KeyboardInteractive {
        /// As sent.
        answers: Vec<Vec<u8>>,
    },
    /// A public key.
    PublicKey {
        /// The signature's algorithm, as sent.
        algorithm: Vec<u8>,
        /// The public key's bytes.
        key: Vec<u8>,
        /// Was there a signature, and was it right?
        signature: Signature,
    },
    /// Another method.
    Other {
        /// Its name, as sent.
        name: Vec<u8>,
        /// What follows the name, as sent.
        rest: Vec<u8>,
    },
}

/// What is known of the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// What it says it is.
    pub identification: Option<Identification>,
    /// What it offers.
    pub kexinit: Option<KexInit>,
    /// Its fingerprint.
    pub hassh: Option<Hassh>,
    /// Ours, as it saw it.
    pub hassh_server: Option<Arc<Hassh>>,
    /// What both use.
    pub negotiated: Option<Negotiated>,
}

/// Output that is not taken, from which on no more input is read.
const MOST_OUTPUT: usize = 64 * 1024;
/// Input that makes no packet yet, from which on no more is read: the largest packet (`unmasq_ssh::frame::MOST_PACKET`) with
/// its length, and the longest tag.
const MOST_INPUT: usize = 256 * 1024 + 4 + 64;

/// A connection. Small until the client has said something.
pub struct Connection {
    setup: Arc<Setup>,
    stage: Stage,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of the output: taken already.
    taken: usize,
    /// Of the output: may be taken. What is behind waits until `held_until`.
    released: usize,
    held_until: Option<Instant>,
    grace_ends: Instant,
    /// When it was last told the time.
    last: Instant,
    /// Bytes that may still be read.
    bytes_left: u64,
    is_input_over: bool,
    least_delay: Duration,
    happenings: VecDeque<Happening>,
    peer: Box<Peer>,
    end: Option<End>,
    leaves_unread: bool,
}

enum Stage {
    Greeting(Greeting),
    Packets(Box<Session>),
    Over,
}

/// What became of the input's front.
enum Progress {
    /// More is needed.
    Starved,
    /// Something was done; perhaps there is more.
    Made,
    /// An attempt failed: the answer is in the output, and waits.
    Failed(Failure),
    /// It is over.
    Ended(End),
}

impl Connection {
    /// A client has connected. The identification is in the output: at once, or after the profile's delay.
    pub fn new(setup: Arc<Setup>, now: Instant) -> Self {
        let mut output = setup.profile.identification().line().as_bytes().to_vec();
        output.extend(b"\r\n");
        let mut connection = Self {
            stage: Stage::Greeting(Greeting::new()),
            input: Vec::new(),
            taken: 0,
            released: 0,
            output,
            held_until: None,
            grace_ends: now + setup.limits.grace,
            last: now,
            bytes_left: setup.limits.bytes,
            is_input_over: false,
            least_delay: Duration::ZERO,
            happenings: VecDeque::new(),
            peer: Box::default(),
            end: None,
            leaves_unread: false,
            setup,
        };
        let delay = match connection.setup.limits.delay {
            Delay::Fixed(_) => Ok(Duration::ZERO),
            Delay::Profile => connection.setup.profile.delay().draw_greeting(),
        };
        match delay {
            Ok(delay) => connection.hold(0, delay, now),
            Err(reason) => connection.finish(End::Broken(reason)),
        }
        connection
    }

    /// Bytes came. While [`Connection::wants_input`] says no, none should be read.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if self.end.is_some() {
            self.leaves_unread |= !bytes.is_empty();
            return;
        }
        let most = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        let read = &bytes[..bytes.len().min(most)];
        self.bytes_left -= read.len() as u64;
        self.input.extend_from_slice(read);
        self.advance(now);
        if self.end.is_none() && (read.len() < bytes.len() || self.input.len() > 2 * MOST_INPUT) {
            self.finish(End::TooManyBytes);
        }
    }

    /// The client has closed its side.
    pub fn end_of_input(&mut self, now: Instant) {
        self.is_input_over = true;
        self.advance(now);
    }

    /// The deadline has come (or has not: then nothing happens).
    pub fn wake(&mut self, now: Instant) {
        if now >= self.grace_ends {
            // sshd dies of its alarm, whatever it is about to say.
            self.output.truncate(self.released);
            self.held_until = None;
            if self.end.is_some() {
                self.output.clear();
                (self.taken, self.released) = (0, 0);
            }
            self.finish(End::GraceTime);
        }
        self.advance(now);
    }

    /// When to call [`Connection::wake`].
    pub fn deadline(&self) -> Option<Instant> {
        let is_done = self.is_over() && self.output().is_empty();
        let grace = (!is_done).then_some(self.grace_ends);
        self.held_until.into_iter().chain(grace).min()
    }

    /// What may be sent.
    pub fn output(&self) -> &[u8] {
        &self.output[self.taken..self.released]
    }

    /// So many bytes of the output were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.released);
        if self.taken == self.output.len() {
            // Idle connections should cost little.
            self.output = Vec::new();
            (self.taken, self.released) = (0, 0);
        }
        // What was left lying because too much waited to be sent. No time has passed that matters.
        self.advance(self.last);
    }

    /// Should more be read? Not while an answer waits, or is not taken.
    pub fn wants_input(&self) -> bool {
        self.end.is_none() && !self.is_input_over && self.can_go_on() && self.input.len() < MOST_INPUT
    }

    /// Nothing more will come: close when the output is sent.
    pub fn is_over(&self) -> bool {
        self.end.is_some() && self.held_until.is_none()
    }

    /// Was something received that sshd would not have read before it closes? Its kernel then resets the connection.
    pub fn leaves_unread(&self) -> bool {
        self.leaves_unread
    }

    /// What has happened since the last call.
    #[expect(clippy::should_implement_trait, reason = "there may be more later: no iterator ends so")]
    pub fn next(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// From now on each answer waits at least so long.
    pub fn slow_down(&mut self, delay: Duration) {
        self.least_delay = delay;
    }

    /// What is known of the other side.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Why it ended.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn can_go_on(&self) -> bool {
        self.held_until.is_none() && self.output.len() - self.taken < MOST_OUTPUT
    }

    fn finish(&mut self, end: End) {
        self.stage = Stage::Over;
        self.input = Vec::new();
        self.end.get_or_insert(end);
    }

    /// Does what can be done.
    fn advance(&mut self, now: Instant) {
        self.last = now;
        if self.held_until.is_some_and(|due| now >= due) {
            self.held_until = None;
            self.released = self.output.len();
        }
        let mut done = 0;
        while self.end.is_none() && self.can_go_on() {
            let before = self.output.len();
            let progress = self.step(&mut done);
            let delay = match progress {
                Progress::Starved if self.is_input_over => {
                    self.finish(End::ClientClosed);
                    break;
                }
                Progress::Starved => break,
                Progress::Made => Ok(Duration::ZERO),
                Progress::Failed(failure) => self.failure_delay(failure),
                Progress::Ended(end) => {
                    let delay =
                        end.failure().map_or(Ok(Duration::ZERO), |failure| self.failure_delay(failure));
                    self.finish(end);
                    delay
                }
            };
            match delay {
                Ok(delay) => self.hold(before, delay.max(self.least_delay), now),
                Err(reason) => self.finish(End::Broken(reason)),
            }
        }
        self.input.drain(..done.min(self.input.len()));
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    /// The output from `before` on waits so long.
    fn hold(&mut self, before: usize, delay: Duration, now: Instant) {
        if self.output.len() == before || delay.is_zero() {
            self.released = self.output.len();
        } else {
            self.held_until = Some(now + delay);
        }
    }

    fn failure_delay(&self, failure: Failure) -> Result<Duration, crate::random::NoRandomness> {
        match self.setup.limits.delay {
            Delay::Fixed(delay) => Ok(delay),
            Delay::Profile => {
                let user = match &self.stage {
                    Stage::Packets(session) => session.user(),
                    Stage::Greeting(_) | Stage::Over => &[],
                };
                self.setup.profile.delay().draw(failure, user)
            }
        }
    }

    /// One line or packet, of the input from `done` on.
    fn step(&mut self, done: &mut usize) -> Progress {
        match &mut self.stage {
            Stage::Greeting(greeting) => {
                let text = self.setup.profile.text();
                match greeting.read(&self.input, text, &mut self.output) {
                    greeting::Read::Partial => Progress::Starved,
                    greeting::Read::Refused { end, read } => {
                        self.leaves_unread = self.input.len() > read;
                        Progress::Ended(end)
                    }
                    greeting::Read::Line { line, length } => {
                        *done += length;
                        let line = line.to_vec();
                        match Session::new(&self.setup, line, &mut self.output, &mut self.peer) {
                            Ok(session) => self.stage = Stage::Packets(Box::new(session)),
                            Err(reason) => return Progress::Ended(End::Broken(reason)),
                        }
                        if self.peer.identification.is_some() {
                            self.happenings.push_back(Happening::Identified);
                        }
                        Progress::Made
                    }
                }
            }
            Stage::Packets(session) => {
                let mut outcome = session::Outcome {
                    setup: &self.setup,
                    output: &mut self.output,
                    peer: &mut self.peer,
                    happenings: &mut self.happenings,
                };
                session.step(&mut self.input, done, &mut outcome)
            }
            Stage::Over => Progress::Starved,
        }
    }
}

#[cfg(test)]
mod tests;
