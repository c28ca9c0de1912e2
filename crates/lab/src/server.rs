//! Servers that note who came: the truth that a trace is compared with.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use unmasq_flow::{Protocol, Timestamp};
use unmasq_netfilter::transparent;

use crate::error::Doing;
use crate::{LabError, Node};

/// Somebody was seen by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who it was, as the server sees it: the masked endpoint.
    pub peer: SocketAddr,
    /// Where it was seen: the server's own endpoint.
    pub local: SocketAddr,
    /// When the connection was accepted or the datagram read; the flow began shortly before.
    pub at: Timestamp,
}

/// An echo server on a thread, with its sockets in a namespace. Notes each TCP connection and each UDP
/// datagram.
#[derive(Debug)]
pub struct Server {
    protocol: Protocol,
    address: SocketAddr,
    log: Arc<Log>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Vec<Sighting>>,
    grew: Condvar,
}

impl Log {
    fn note(&self, protocol: Protocol, peer: SocketAddr, local: SocketAddr) {
        self.seen.lock().push(Sighting { protocol, peer, local, at: Timestamp::now() });
        self.grew.notify_all();
    }
}

impl Server {
    /// A TCP server. Connections stay open until the client closes them. Port 0 takes a free one.
    pub fn tcp(node: &Node, address: SocketAddr) -> Result<Self, LabError> {
        let listener =
            node.run(|| TcpListener::bind(address))?.doing(|| format!("listening on tcp {address}"))?;
        let address = listener.local_addr().doing(|| "asking for the server's address".into())?;
        Self::start(Protocol::TCP, address, move |log, stop| serve_tcp(&listener, address, log, stop))
    }

    /// A TCP server as a transparent proxy has one: it takes connections that were meant for other addresses, which it notes
    /// as its own. The rules that bring them to it are the caller's.
    pub fn transparent(node: &Node, address: SocketAddr) -> Result<Self, LabError> {
        let opened = node.run(|| transparent::tcp_listener(address))?;
        let listener = opened.map_err(io::Error::other).doing(|| format!("listening for tcp {address}"))?;
        Self::start(Protocol::TCP, address, move |log, stop| serve_tcp(&listener, address, log, stop))
    }

    /// A UDP server. Every datagram goes back to where it came from. Port 0 takes a free one.
    pub fn udp(node: &Node, address: SocketAddr) -> Result<Self, LabError> {
        let socket =
            node.run(|| UdpSocket::bind(address))?.doing(|| format!("listening on udp {address}"))?;
        let address = socket.local_addr().doing(|| "asking for the server's address".into())?;
        Self::start(Protocol::UDP, address, move |log, stop| serve_udp(&socket, address, log, stop))
    }

    fn start(
        protocol: Protocol,
        address: SocketAddr,
        serve: impl FnOnce(&Log, &OwnedFd) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, LabError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).doing(|| "making an eventfd".into())?;
        let (log, stop) = (Arc::new(Log::default()), Arc::new(stop));
        let thread = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || {
                if let Err(error) = serve(&log, &stop) {
                    eprintln!("unmasq-lab: the server at {address} ends: {error}");
                }
            })
        };
        Ok(Self { protocol, address, log, stop, thread: Some(thread) })
    }

    /// Does it speak TCP (else UDP)?
    pub fn is_tcp(&self) -> bool {
        self.protocol == Protocol::TCP
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it has seen, in the order of their arrival.
    pub fn seen(&self) -> Vec<Sighting> {
        self.log.seen.lock().clone()
    }

    /// Waits until it has seen `count` in all, and returns them.
    pub fn wait(&self, count: usize, patience: Duration) -> Result<Vec<Sighting>, LabError> {
        let deadline = Instant::now() + patience;
        let mut seen = self.log.seen.lock();
        while seen.len() < count {
            if self.log.grew.wait_until(&mut seen, deadline).timed_out() {
                let event = format!("{count} sightings at {}, {} came", self.address, seen.len());
                return Err(LabError::Timeout { event, after: patience });
            }
        }
        Ok(seen.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An eventfd takes this always; if not, the thread is left to the end of the process.
        if rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic of the server has been printed by its thread.
            let _ = thread.join();
        }
    }
}

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// The descriptors that became readable.
fn ready(poll: &OwnedFd, events: &mut Vec<epoll::Event>) -> io::Result<()> {
    events.clear();
    match epoll::wait(poll, rustix::buffer::spare_capacity(events), None::<&Timespec>) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn watch(poll: &OwnedFd, source: impl AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(poll, source, EventData::new_u64(key), EventFlags::IN)?)
}

fn serve_tcp(listener: &TcpListener, local: SocketAddr, log: &Log, stop: &OwnedFd) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poll, listener, LISTENER)?;
    watch(&poll, stop, STOP)?;
    let mut open: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = Vec::with_capacity(64);
    let mut buffer = [0; 4096];
    loop {
        ready(&poll, &mut events)?;
        for event in &events {
            match event.data.u64() {
                STOP => return Ok(()),
                LISTENER => {
                    // Gone again before it was accepted is no fault of the server.
                    let Ok((stream, peer)) = listener.accept() else { continue };
                    log.note(Protocol::TCP, peer, stream.local_addr().unwrap_or(local));
                    let key = stream.as_raw_fd() as u64;
                    watch(&poll, &stream, key)?;
                    open.insert(key, stream);
                }
                key => {
                    let Some(stream) = open.get_mut(&key) else { continue };
                    let went_well = match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => false,
                        Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
                    };
                    if !went_well {
                        open.remove(&key); // Closing takes it out of the epoll set.
                    }
                }
            }
        }
    }
}

fn serve_udp(socket: &UdpSocket, local: SocketAddr, log: &Log, stop: &OwnedFd) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poll, socket, LISTENER)?;
    watch(&poll, stop, STOP)?;
    let mut events = Vec::with_capacity(2);
    let mut buffer = vec![0; 65_536];
    loop {
        ready(&poll, &mut events)?;
        for event in &events {
            if event.data.u64() == STOP {
                return Ok(());
            }
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                log.note(Protocol::UDP, peer, local);
                // A lost answer is the client's to notice, as on any network.
                let _ = socket.send_to(&buffer[..length], peer);
            }
        }
    }
}
