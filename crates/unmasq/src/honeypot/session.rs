//! One connection: a proxy's header, then SSH, or a tarpit in its place.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use unmasq_flow::Timestamp;
use unmasq_honeypot::random;
use unmasq_honeypot::server::{Connection, Happening, Method};

use super::gate::{Hold, Permit};
use super::note::{News, Note, Opened, Software};
use super::proxy_header;
use super::socket::canonical;
use super::worker::{Shared, TURNED_AWAY};

/// How long a proxy may take for its header.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);
/// Between two lines of a tarpit.
const TARPIT_PAUSE: Duration = Duration::from_secs(10);
/// How long each answer takes for a client that is held up by its software.
const SLOW_ANSWER: Duration = Duration::from_secs(20);
/// Bytes taken from the socket at once, so that one client cannot keep the thread.
const MOST_AT_ONCE: usize = 64 << 10;

/// A connection.
pub(super) struct Session {
    stream: TcpStream,
    stage: Stage,
    opened: Arc<Opened>,
    software: Arc<Software>,
    began: Instant,
    attempts: u32,
    passwords: u32,
    /// The client has closed its side.
    has_ended: bool,
    permit: Permit,
    hold: Option<Hold>,
}

enum Stage {
    /// A trusted proxy has to say first whose connection it is.
    Header {
        bytes: Vec<u8>,
        until: Instant,
    },
    /// Lines of nonsense before an identification that never comes (RFC 4253, section 4.2, allows them).
    Tarpit {
        next: Instant,
        until: Instant,
        sent: u32,
        /// Bytes that may still come.
        bytes_left: u64,
    },
    Ssh(Box<Connection>),
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on. What to wait for.
    Goes { reading: bool, writing: bool },
    /// It is to be closed.
    Over,
}

impl Session {
    pub(super) fn new(
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: Permit,
        now: Instant,
    ) -> io::Result<Self> {
        let local = canonical(stream.local_addr()?);
        let destination = super::socket::destination(&stream, local, shared.transparent);
        let opened =
            Opened { session: number()?, peer, proxied: None, destination, local, at: Timestamp::now() };
        let is_proxy = shared.proxies.iter().any(|network| network.contains(&peer.ip()));
        let mut session = Self {
            stream,
            stage: Stage::Header { bytes: Vec::new(), until: now + HEADER_PATIENCE },
            opened: Arc::new(opened),
            software: Arc::default(),
            began: now,
            attempts: 0,
            passwords: 0,
            has_ended: false,
            permit,
            hold: None,
        };
        if !is_proxy {
            session.begin(shared, now)?;
        }
        Ok(session)
    }

    /// The socket.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// When it wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Header { until, .. } => Some(*until),
            Stage::Tarpit { next, until, .. } => Some(*next.min(until)),
            Stage::Ssh(connection) => connection.deadline(),
        }
    }

    /// Reads what has come, answers it and tells of it. Hot.
    pub(super) fn turn(
        &mut self,
        shared: &Arc<Shared>,
        buffer: &mut [u8],
        can_read: bool,
        now: Instant,
    ) -> Fate {
        if can_read && !self.has_ended && self.read(shared, buffer, now).is_err() {
            self.has_ended = true;
            return Fate::Over;
        }
        self.wake(now);
        self.tell(shared);
        if self.write().is_err() {
            return Fate::Over;
        }
        self.fate(now)
    }

    /// Tells that it is over.
    pub(super) fn close(self, shared: &Shared, now: Instant) {
        let reason = match &self.stage {
            Stage::Header { .. } if self.opened.proxied.is_some() => {
                "too many connections of this address".to_owned()
            }
            Stage::Header { .. } => "no valid header of the PROXY protocol".to_owned(),
            Stage::Tarpit { sent, .. } if self.has_ended => {
                format!("held up for {sent} lines, closed by the client")
            }
            Stage::Tarpit { sent, .. } => format!("held up for {sent} lines"),
            Stage::Ssh(connection) => {
                connection.end().map_or_else(|| "the connection broke".to_owned(), ToString::to_string)
            }
        };
        if let Stage::Ssh(connection) = &self.stage
            && connection.leaves_unread()
        {
            // sshd closes with bytes that it has not read, to which its kernel answers with a reset; here they are read.
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
        let lasted = now.duration_since(self.began);
        let (software, attempts) = (Arc::clone(&self.software), self.attempts);
        self.note(shared, News::Ended { software, lasted, attempts, reason });
    }

    /// SSH, or a tarpit, now that it is known who it is.
    fn begin(&mut self, shared: &Arc<Shared>, now: Instant) -> io::Result<()> {
        if self.permit.claim(self.opened.source()).is_err() {
            shared.metrics.refused.add(["address"], 1);
            // As sshd does: whether it arrives is not our concern.
            let _ = self.stream.write(TURNED_AWAY);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.note(shared, News::Accepted);
        self.hold = shared.gate.hold(self.opened.source());
        self.stage = if self.hold.is_some() {
            let bytes_left = shared.setup.limits.bytes;
            Stage::Tarpit { next: now, until: now + shared.tarpit_time, sent: 0, bytes_left }
        } else {
            Stage::Ssh(Box::new(Connection::new(Arc::clone(&shared.setup), now)))
        };
        Ok(())
    }

    fn read(&mut self, shared: &Arc<Shared>, buffer: &mut [u8], now: Instant) -> io::Result<()> {
        let mut taken = 0;
        while taken < MOST_AT_ONCE && self.wants_input() {
            let length = match self.stream.read(buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    if let Stage::Ssh(connection) = &mut self.stage {
                        connection.end_of_input(now);
                    }
                    return Ok(());
                }
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            taken += length;
            self.take(shared, &buffer[..length], now)?;
        }
        Ok(())
    }

    fn take(&mut self, shared: &Arc<Shared>, new: &[u8], now: Instant) -> io::Result<()> {
        match &mut self.stage {
            Stage::Ssh(connection) => connection.receive(new, now),
            Stage::Tarpit { until, bytes_left, .. } => {
                *bytes_left = bytes_left.saturating_sub(new.len() as u64);
                if *bytes_left == 0 {
                    *until = now;
                }
            }
            Stage::Header { bytes, .. } => {
                bytes.extend_from_slice(new);
                let header = match proxy_header::read(bytes) {
                    proxy_header::Read::Partial => return Ok(()),
                    proxy_header::Read::Bad => return Err(io::ErrorKind::InvalidData.into()),
                    proxy_header::Read::Whole(header) => header,
                };
                let rest = bytes.split_off(header.length);
                if let Some(ends) = header.ends {
                    let opened = Arc::make_mut(&mut self.opened);
                    (opened.proxied, opened.destination) = (Some(ends.client), ends.destination);
                }
                self.begin(shared, now)?;
                if !rest.is_empty() {
                    return self.take(shared, &rest, now);
                }
            }
        }
        Ok(())
    }

    fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Header { .. } | Stage::Tarpit { .. } => true,
            Stage::Ssh(connection) => connection.wants_input(),
        }
    }

    fn wake(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Header { .. } => {}
            Stage::Ssh(connection) => {
                if connection.deadline().is_some_and(|deadline| deadline <= now) {
                    connection.wake(now);
                }
            }
            Stage::Tarpit { next, .. } if *next > now => {}
            Stage::Tarpit { next, sent, .. } => {
                *next = now + TARPIT_PAUSE;
                *sent += 1;
                // A line that does not fit waits for the next: the client is slow enough already.
                let _ = self.stream.write(&nonsense());
            }
        }
    }

    /// Tells of what has happened.
    fn tell(&mut self, shared: &Arc<Shared>) {
        while let Stage::Ssh(connection) = &mut self.stage
            && let Some(happening) = connection.next()
        {
            match happening {
                Happening::Identified => {
                    self.software = Arc::new(Software::of(connection.peer()));
                    let software = self.software.identification.as_ref().map_or("", |line| line.software());
                    if self.hold.is_none() {
                        self.hold = shared.gate.hold_software(software);
                        if let (Some(_), Stage::Ssh(connection)) = (&self.hold, &mut self.stage) {
                            connection.slow_down(SLOW_ANSWER);
                        }
                    }
                }
                Happening::Negotiated => {
                    self.software = Arc::new(Software::of(connection.peer()));
                    shared.metrics.negotiated.add(1);
                    self.note(shared, News::Negotiated(Arc::clone(&self.software)));
                }
                Happening::Attempt(attempt) => {
                    self.attempts += 1;
                    shared.gate.note_attempt(self.opened.source());
                    let is_password = matches!(
                        attempt.method,
                        Method::Password { .. } | Method::KeyboardInteractive { .. }
                    );
                    self.passwords += u32::from(is_password);
                    let software = Arc::clone(&self.software);
                    let attempt = Box::new(attempt);
                    self.note(shared, News::Attempt { software, attempt, passwords: self.passwords });
                }
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Stage::Ssh(connection) = &mut self.stage else { return Ok(()) };
        while !connection.output().is_empty() {
            match self.stream.write(connection.output()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => connection.sent(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fate(&self, now: Instant) -> Fate {
        let reading = !self.has_ended && self.wants_input();
        match &self.stage {
            Stage::Ssh(connection) if connection.output().is_empty() => {
                if connection.is_over() {
                    Fate::Over
                } else {
                    Fate::Goes { reading, writing: false }
                }
            }
            Stage::Ssh(_) => Fate::Goes { reading, writing: true },
            Stage::Header { until, .. } | Stage::Tarpit { until, .. } if self.has_ended || *until <= now => {
                Fate::Over
            }
            Stage::Header { .. } | Stage::Tarpit { .. } => Fate::Goes { reading, writing: false },
        }
    }

    fn note(&self, shared: &Shared, news: News) {
        let note = Note { opened: Arc::clone(&self.opened), at: Timestamp::now(), news };
        // The writer ends after all workers, so it hears everything; while it has much to write, clients wait here.
        let _ = shared.notes.send(note);
    }
}

/// A number that no other connection has.
fn number() -> io::Result<u64> {
    random::bytes().map(u64::from_ne_bytes).map_err(io::Error::other)
}

/// A line that is no identification: 3 to 32 letters and digits.
fn nonsense() -> Vec<u8> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // Without random bytes the line is the same each time, which does no harm.
    let bytes: [u8; 33] = random::bytes().unwrap_or([0; 33]);
    let length = 3 + usize::from(bytes[32]) % 30;
    let letters = bytes.iter().take(length).map(|byte| LETTERS[usize::from(byte % 32)]);
    letters.chain(*b"\r\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_identification() {
        for _ in 0..100 {
            let line = nonsense();
            assert!(line.ends_with(b"\r\n") && (5..=34).contains(&line.len()) && !line.starts_with(b"SSH-"));
        }
    }
}
