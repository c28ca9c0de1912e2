//! Many SSH clients in one thread: each exchanges keys and tries passwords, or exchanges keys and is silent.
//!
//! For benches of servers that let nobody in. The client is the honeypot's own, which does not look at the host key: what is measured
//! is the server.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use unmasq_honeypot::client::{Client, Offer};
use unmasq_ssh::message;
use unmasq_ssh::wire::Write as _;

use crate::LabError;
use crate::error::Doing;

/// Messages of RFC 4252 and RFC 4253.
const SERVICE_REQUEST: u8 = 5;
const SERVICE_ACCEPT: u8 = 6;
const USERAUTH_REQUEST: u8 = 50;
const USERAUTH_FAILURE: u8 = 51;
const USERAUTH_SUCCESS: u8 = 52;
/// How long a server's silence is waited for.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Whom they ask.
    pub server: SocketAddr,
    /// How many connections there are at once.
    pub connections: u32,
    /// Passwords that each tries.
    pub attempts: u32,
    /// What they say that they are.
    pub identification: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Passwords that were refused.
    pub attempts: u64,
    /// Passwords that were accepted: none at a honeypot.
    pub accepted: u64,
    /// Key exchanges that came to their end.
    pub exchanges: u64,
    /// Connections that could not be made, or ended before their last attempt.
    pub broken: u64,
}

/// A client's connection.
struct Connection {
    stream: TcpStream,
    client: Client,
    is_ready: bool,
    left: u32,
}

/// All of them.
struct Clients<'a> {
    load: &'a Load,
    poll: OwnedFd,
    open: HashMap<u64, Connection>,
    next: u64,
    done: Done,
}

impl Load {
    /// Tries passwords for so long, each connection followed by another.
    pub fn try_passwords(&self, how_long: Duration) -> Result<Done, LabError> {
        let mut clients = Clients::new(self)?;
        let begin = Instant::now();
        while begin.elapsed() < how_long {
            let missing = (self.connections as usize).saturating_sub(clients.open.len());
            for _ in 0..missing {
                clients.connect();
            }
            clients.turn()?;
        }
        Ok(clients.done)
    }

    /// Makes connections that exchange keys and then say nothing, and calls `all_there` when they are. No more than `hurry` are
    /// being made at once.
    pub fn stay_silent(
        &self,
        hurry: u32,
        patience: Duration,
        all_there: impl FnOnce(Done),
    ) -> Result<Done, LabError> {
        let mut clients = Clients::new(self)?;
        let begin = Instant::now();
        while clients.done.exchanges < u64::from(self.connections) && begin.elapsed() < patience {
            let made = clients.next.min(u64::from(self.connections));
            let being_made = clients.open.values().filter(|connection| !connection.is_ready).count() as u64;
            let room = u64::from(hurry).saturating_sub(being_made).min(u64::from(self.connections) - made);
            for _ in 0..room {
                clients.connect();
            }
            clients.turn()?;
            if room == 0 && being_made == 0 {
                break;
            }
        }
        all_there(clients.done);
        Ok(clients.done)
    }
}

impl<'a> Clients<'a> {
    fn new(load: &'a Load) -> Result<Self, LabError> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "making an epoll set".into())?;
        Ok(Self { load, poll, open: HashMap::new(), next: 0, done: Done::default() })
    }

    fn connect(&mut self) {
        let key = self.next;
        self.next += 1;
        match self.connected(key) {
            Ok(connection) => {
                self.open.insert(key, connection);
            }
            Err(_) => self.done.broken += 1,
        }
    }

    fn connected(&self, key: u64) -> io::Result<Connection> {
        let server = self.load.server;
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        match net::connect(&socket, &server) {
            // A server whose backlog is full must not hold up the others.
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        // The server speaks first, and only then do we. Small messages fit into the socket's buffer: only reading has to wait.
        epoll::add(&self.poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
        let identification = self.load.identification.clone();
        Ok(Connection {
            stream,
            client: Client::new(Offer { identification, ..Offer::default() }),
            is_ready: false,
            left: self.load.attempts,
        })
    }

    /// Goes on with every connection that has something to read.
    fn turn(&mut self) -> Result<(), LabError> {
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error)).doing(|| "waiting for servers".into()),
        }
        for event in &events {
            let key = event.data.u64();
            let Some(connection) = self.open.get_mut(&key) else { continue };
            if connection.go_on(&mut self.done) == Next::Over {
                // Closing takes it out of the epoll set.
                self.open.remove(&key);
            }
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Over,
}

impl Connection {
    fn go_on(&mut self, done: &mut Done) -> Next {
        let mut bytes = [0; 16_384];
        let is_end = loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => break true,
                Ok(count) => self.client.receive(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(_) => break true,
            }
        };
        let answered = self.answer(done);
        let sent = self.flush();
        match answered {
            Ok(Next::Over) => Next::Over,
            Ok(Next::Wait) if sent.is_ok() && !is_end => Next::Wait,
            _ => {
                done.broken += 1;
                Next::Over
            }
        }
    }

    fn answer(&mut self, done: &mut Done) -> Result<Next, unmasq_honeypot::client::ClientError> {
        while let Some(payload) = self.client.next()? {
            match payload.first() {
                Some(&USERAUTH_FAILURE) => {
                    done.attempts += 1;
                    self.left = self.left.saturating_sub(1);
                    if self.left == 0 {
                        return Ok(Next::Over);
                    }
                    self.password(done.attempts)?;
                }
                Some(&SERVICE_ACCEPT) => self.password(done.attempts)?,
                Some(&USERAUTH_SUCCESS) => {
                    done.accepted += 1;
                    return Ok(Next::Over);
                }
                // Counted as broken by whoever sees the connection end.
                Some(&message::DISCONNECT) => break,
                // Banners, EXT_INFO and the like.
                _ => {}
            }
        }
        if self.client.is_ready() && !self.is_ready {
            self.is_ready = true;
            done.exchanges += 1;
            if self.left > 0 {
                let mut request = vec![SERVICE_REQUEST];
                request.put_string(b"ssh-userauth");
                self.client.send(&request)?;
            }
        }
        Ok(Next::Wait)
    }

    fn password(&mut self, number: u64) -> Result<(), unmasq_honeypot::client::ClientError> {
        let mut request = vec![USERAUTH_REQUEST];
        request.put_string(b"root");
        request.put_string(b"ssh-connection");
        request.put_string(b"password");
        request.put_boolean(false);
        request.put_string(format!("password{number}").as_bytes());
        self.client.send(&request)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.client.output().is_empty() {
            let sent = self.stream.write(self.client.output())?;
            self.client.sent(sent);
        }
        Ok(())
    }
}
