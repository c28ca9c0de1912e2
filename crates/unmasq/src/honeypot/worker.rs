//! A thread that serves connections: one loop over epoll(7).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::Sender;
use ipnet::IpNet;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt;
use slab::Slab;
use unmasq_honeypot::server::Setup;

use super::gate::Gate;
use super::metrics::Metrics;
use super::note::Note;
use super::session::{Fate, Session};
use super::socket::canonical;

/// Connections accepted at once, before those that are there are served again.
const BURST: usize = 64;
/// Events taken at once.
const EVENTS: usize = 512;
/// What sshd of Debian 12 sends to whom it turns away (`drop_connection` of sshd.c).
pub(super) const TURNED_AWAY: &[u8] = b"Exceeded MaxStartups\r\n";
/// How long to wait when there is not even a descriptor to turn somebody away with.
const PAUSE: Duration = Duration::from_millis(10);
/// The event of the end, and above it those of the listeners.
const STOP: u64 = u64::MAX;

/// What all workers share.
pub(super) struct Shared {
    pub(super) setup: Arc<Setup>,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) transparent: bool,
    pub(super) proxies: Vec<IpNet>,
    pub(super) gate: Arc<Gate>,
    pub(super) tarpit_time: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) notes: Sender<Note>,
    pub(super) stop: Arc<OwnedFd>,
}

/// One of them.
pub(super) struct Worker {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    sessions: Slab<Entry>,
    /// When to wake which: may be too early, never too late.
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Given away for a connection that is closed at once, when there is no other descriptor.
    spare: Option<OwnedFd>,
    serial: u64,
}

struct Entry {
    session: Session,
    /// Tells it from an earlier one in the same place.
    serial: u64,
    waits_for: EventFlags,
    armed: Option<Instant>,
}

impl Worker {
    pub(super) fn open(shared: Arc<Shared>) -> anyhow::Result<Self> {
        let open = || -> io::Result<OwnedFd> {
            let epoll = epoll::create(CreateFlags::CLOEXEC)?;
            epoll::add(&epoll, &shared.stop, EventData::new_u64(STOP), EventFlags::IN)?;
            for (index, listener) in shared.listeners.iter().enumerate() {
                // Of several workers that wait, one is woken.
                epoll::add(&epoll, listener, listener_data(index), EventFlags::IN | EventFlags::EXCLUSIVE)?;
            }
            Ok(epoll)
        };
        let epoll = open().context("cannot wait for connections")?;
        let spare = spare().context("cannot keep a descriptor")?;
        Ok(Self {
            shared,
            epoll,
            sessions: Slab::new(),
            timers: BinaryHeap::new(),
            spare: Some(spare),
            serial: 0,
        })
    }

    /// Serves until the end is asked for.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffer = vec![0; 16 << 10];
        loop {
            let timeout =
                self.timers.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
            let timeout = timeout.map(|timeout| Timespec {
                tv_sec: timeout.as_secs() as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            });
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for connections"),
            }
            let now = Instant::now();
            for event in &events {
                match event.data.u64() {
                    STOP => {
                        self.end(now);
                        return Ok(());
                    }
                    data if data & LISTENER != 0 => self.accept((data & !LISTENER) as usize, now),
                    key => self.serve(key as usize, event.flags, &mut buffer, now),
                }
            }
            self.wake(&mut buffer, now);
            let (open, held) = self.shared.gate.counts();
            self.shared.metrics.open.set(open.into());
            self.shared.metrics.held.set(held.into());
        }
    }

    /// Those whose time has come.
    fn wake(&mut self, buffer: &mut [u8], now: Instant) {
        while let Some(Reverse((at, key, serial))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            if let Some(entry) = self.sessions.get_mut(key)
                && entry.serial == serial
            {
                entry.armed = None;
                self.serve(key, EventFlags::empty(), buffer, now);
            }
        }
    }

    fn serve(&mut self, key: usize, flags: EventFlags, buffer: &mut [u8], now: Instant) {
        let Some(entry) = self.sessions.get_mut(key) else { return };
        let can_read = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        match entry.session.turn(&self.shared, buffer, can_read, now) {
            Fate::Over => self.close(key, now),
            Fate::Goes { reading, writing } => {
                let mut wanted = EventFlags::empty();
                wanted.set(EventFlags::IN, reading);
                wanted.set(EventFlags::OUT, writing);
                if wanted != entry.waits_for {
                    let data = EventData::new_u64(key as u64);
                    if epoll::modify(&self.epoll, entry.session.stream(), data, wanted).is_err() {
                        return self.close(key, now);
                    }
                    entry.waits_for = wanted;
                }
                // A hang-up is reported whether it is waited for or not: without anything left to do, it is the end.
                if wanted.is_empty() && flags.contains(EventFlags::HUP) {
                    return self.close(key, now);
                }
                self.arm(key);
            }
        }
    }

    fn arm(&mut self, key: usize) {
        let Some(entry) = self.sessions.get_mut(key) else { return };
        let Some(deadline) = entry.session.deadline() else { return };
        if entry.armed.is_none_or(|armed| deadline < armed) {
            entry.armed = Some(deadline);
            self.timers.push(Reverse((deadline, key, entry.serial)));
        }
    }

    fn close(&mut self, key: usize, now: Instant) {
        let entry = self.sessions.remove(key);
        // The socket leaves epoll when it is closed.
        entry.session.close(&self.shared, now);
        if self.sessions.is_empty() {
            self.timers.clear();
        }
    }

    fn end(&mut self, now: Instant) {
        for key in self.sessions.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            self.close(key, now);
        }
    }

    fn accept(&mut self, listener: usize, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let Some(listener) = shared.listeners.get(listener) else { return };
        for _ in 0..BURST {
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, canonical(peer), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhausted(&error) => self.turn_away_one(listener),
                // The client has gone again, or a firewall said no: that concerns this one connection (accept(2)).
                Err(_) => {}
            }
        }
    }

    /// There is no descriptor left: the spare one is given for the next client, which is closed, so that the queue moves.
    fn turn_away_one(&mut self, listener: &TcpListener) {
        self.shared.metrics.refused.add(["descriptors"], 1);
        if self.spare.take().is_none() {
            std::thread::sleep(PAUSE);
        }
        drop(listener.accept());
        self.spare = spare().ok();
    }

    fn admit(&mut self, stream: TcpStream, peer: std::net::SocketAddr, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let Some(permit) = shared.gate.admit() else {
            shared.metrics.refused.add(["full"], 1);
            let _ = stream.set_nonblocking(true);
            // As sshd does: whether it arrives is not our concern.
            let _ = io::Write::write(&mut &stream, TURNED_AWAY);
            return;
        };
        let begin = || -> io::Result<Session> {
            stream.set_nonblocking(true)?;
            sockopt::set_tcp_nodelay(&stream, true)?;
            Session::new(&shared, stream, peer, permit, now)
        };
        // A client that has gone in this instant, or has too many connections, is none.
        let Ok(session) = begin() else { return };
        shared.metrics.accepted.add(1);
        self.serial += 1;
        let waits_for = EventFlags::IN;
        let key = self.sessions.insert(Entry { session, serial: self.serial, waits_for, armed: None });
        let stream = self.sessions[key].session.stream();
        if epoll::add(&self.epoll, stream.as_fd(), EventData::new_u64(key as u64), waits_for).is_err() {
            return self.close(key, now);
        }
        // The identification goes out at once.
        self.serve(key, EventFlags::empty(), &mut [0; 1], now);
    }
}

/// Is there no descriptor, or no memory, for another connection?
fn is_exhausted(error: &io::Error) -> bool {
    let error = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(error, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Marks the data of a listener's event.
const LISTENER: u64 = 1 << 62;

fn listener_data(index: usize) -> EventData {
    EventData::new_u64(LISTENER | index as u64)
}

/// A descriptor that stands for nothing.
fn spare() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}
