//! Messages that come over TCP, on many connections.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, accept_with, bind, listen, recv, socket_with, sockopt,
};
use unmasq_entry::format::{Context, Format, Parser, Record};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use super::framing::{Framing, MOST_MESSAGE};
use super::set_received;
use crate::decoder::Meter;
use crate::{Counts, Notice, Position, Read, Source, SourceError};

/// Most connections at a time; for one more, the one that was silent the longest is closed.
pub(super) const MOST_CONNECTIONS: usize = 512;

/// The listening socket's name among the events; connections count from 1.
const LISTENER: u64 = 0;

/// Reads between two looks for connections that have become ready, while others never cease to be.
const POLL_EVERY: u64 = 16;

/// A listening socket and its connections.
pub struct Streams {
    meter: Meter,
    parser: Parser,
    listener: OwnedFd,
    /// Tells which of them are ready; it is itself what the engine polls.
    events: OwnedFd,
    connections: HashMap<u64, Connection>,
    /// Connections that may have something, in turn.
    ready: VecDeque<u64>,
    /// Grows with each connection, and with each time one is heard.
    clock: u64,
}

struct Connection {
    stream: OwnedFd,
    framing: Framing,
    /// When it was heard last.
    heard: u64,
    /// It is among the ready ones.
    is_ready: bool,
    is_end: bool,
}

impl Streams {
    /// Accepts connections there.
    pub fn listen(address: SocketAddr, context: Context) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&listener, false)?;
        }
        bind(&listener, &address)?;
        listen(&listener, 128)?;
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&events, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self {
            meter: Meter::new(format!("syslog tcp://{address}")),
            parser: Parser::new(Format::Syslog, context),
            listener,
            events,
            connections: HashMap::new(),
            ready: VecDeque::new(),
            clock: LISTENER,
        })
    }

    /// The port, for a socket that was bound to port 0.
    pub fn local_port(&self) -> Option<u16> {
        let address = rustix::net::getsockname(&self.listener).ok()?;
        SocketAddr::try_from(address).ok().map(|address| address.port())
    }

    /// Asks the kernel who is ready; false: nobody.
    fn poll(&mut self) -> Result<bool, Errno> {
        let mut events = Vec::with_capacity(64);
        rustix::io::retry_on_intr(|| {
            epoll::wait(&self.events, spare_capacity(&mut events), Some(&Timespec::default()))
        })?;
        for event in &events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                id => {
                    if let Some(connection) = self.connections.get_mut(&id)
                        && !std::mem::replace(&mut connection.is_ready, true)
                    {
                        self.ready.push_back(id);
                    }
                }
            }
        }
        Ok(!self.ready.is_empty())
    }

    fn accept(&mut self) -> Result<(), Errno> {
        loop {
            let stream = match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => stream,
                Err(Errno::AGAIN) => return Ok(()),
                // Closed before it was accepted; or no descriptors left: it stays in the queue.
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    if !self.close_most_silent() {
                        return Ok(());
                    }
                    continue;
                }
                Err(e) => return Err(e),
            };
            if self.connections.len() >= MOST_CONNECTIONS {
                self.close_most_silent();
            }
            self.clock += 1;
            let id = self.clock;
            epoll::add(&self.events, &stream, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?;
            let connection =
                Connection { stream, framing: Framing::default(), heard: id, is_ready: true, is_end: false };
            self.connections.insert(id, connection);
            self.ready.push_back(id);
        }
    }

    fn close_most_silent(&mut self) -> bool {
        let silent =
            self.connections.iter().min_by_key(|(_, connection)| connection.heard).map(|(id, _)| *id);
        let Some(id) = silent else { return false };
        self.connections.remove(&id);
        let notice = format!(
            "{}: has {MOST_CONNECTIONS} connections; the one that was silent the longest is closed",
            self.meter.name
        );
        self.meter.notices.push(Notice::loss(notice));
        true
    }

    fn failed(&self, error: Errno) -> SourceError {
        SourceError::Read { name: self.meter.name.clone(), source: error.into() }
    }
}

impl Connection {
    /// Reads once; how many bytes, `None`: nothing now.
    fn fill(&mut self) -> Option<usize> {
        let room = self.framing.room();
        room.reserve(MOST_MESSAGE);
        match recv(&self.stream, spare_capacity(room), RecvFlags::DONTWAIT) {
            Ok((count, _)) => {
                self.is_end = count == 0;
                Some(count)
            }
            Err(Errno::AGAIN) => None,
            Err(Errno::INTR) => Some(0),
            // Reset by the other side: what it sent before is still good.
            Err(_) => {
                self.is_end = true;
                Some(0)
            }
        }
    }
}

impl Source for Streams {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        loop {
            let Some(&id) = self.ready.front() else {
                match self.poll() {
                    Ok(true) => continue,
                    Ok(false) => return Ok(Read::Idle),
                    Err(e) => return Err(self.failed(e)),
                }
            };
            let Some(connection) = self.connections.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            let is_end = connection.is_end;
            while let Some(message) = connection.framing.next(is_end) {
                if message.is_cut {
                    self.meter.cut("");
                }
                let record = Record::Bytes(message.bytes);
                if !message.bytes.is_empty()
                    && self.meter.parse(&mut self.parser, record, String::new, entry, fields)
                {
                    set_received(entry, Timestamp::now());
                    return Ok(Read::Entry);
                }
            }
            if is_end {
                self.connections.remove(&id);
                continue;
            }
            self.parser.set_latest(Timestamp::now());
            match connection.fill() {
                None => {
                    connection.is_ready = false;
                    self.ready.pop_front();
                }
                Some(count) => {
                    self.meter.counts.bytes += count as u64;
                    self.clock += 1;
                    connection.heard = self.clock;
                    // The others' turn comes before the second read, also of those that were silent.
                    self.ready.rotate_left(1);
                    if self.clock.is_multiple_of(POLL_EVERY) {
                        self.poll().map_err(|e| self.failed(e))?;
                    }
                }
            }
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(Position::None)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.events.as_fd()]
    }

    fn name(&self) -> &str {
        &self.meter.name
    }

    fn counts(&self) -> Counts {
        self.meter.counts
    }

    fn notice(&mut self) -> Option<Notice> {
        self.meter.notices.pop()
    }
}
