//! A small server: a thread a connection, blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use unmasq_honeypot::hostkey::{HostKeys, KeyKind};
use unmasq_honeypot::profile::Profile;
use unmasq_honeypot::server::{Attempt, Connection, Delay, End, Happening, Limits, Peer, Setup};

/// How a connection went.
pub(crate) struct Report {
    pub(crate) peer: Peer,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) end: End,
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    reports: Receiver<Report>,
}

/// Host keys of all kinds, made once.
pub(crate) fn keys() -> HostKeys {
    static KEYS: LazyLock<HostKeys> = LazyLock::new(|| {
        HostKeys::generate(&[KeyKind::Rsa(2048), KeyKind::EcdsaP256, KeyKind::Ed25519]).unwrap()
    });
    KEYS.clone()
}

/// With that profile, and no delays.
pub(crate) fn setup(profile: Profile) -> Setup {
    let limits = Limits {
        grace: Duration::from_secs(60),
        attempts: 6,
        bytes: 1 << 20,
        delay: Delay::Fixed(Duration::ZERO),
    };
    Setup { profile, keys: keys(), limits }
}

impl Server {
    pub(crate) fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reports) = channel();
        let setup = Arc::new(setup);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (setup, sender) = (setup.clone(), sender.clone());
                std::thread::spawn(move || serve(stream.unwrap(), setup, &sender));
            }
        });
        Self { address, reports }
    }

    /// The next connection that has ended.
    pub(crate) fn report(&self) -> Report {
        self.reports.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn serve(mut stream: TcpStream, setup: Arc<Setup>, reports: &Sender<Report>) {
    let mut connection = Connection::new(setup, Instant::now());
    let mut attempts = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        while !connection.output().is_empty() {
            match stream.write(connection.output()) {
                Ok(sent) => connection.sent(sent),
                Err(_) => connection.sent(connection.output().len()),
            }
        }
        while let Some(happening) = connection.next() {
            if let Happening::Attempt(attempt) = happening {
                attempts.push(attempt);
            }
        }
        if connection.is_over() {
            break;
        }
        if !connection.wants_input() {
            if let Some(deadline) = connection.deadline() {
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            }
            connection.wake(Instant::now());
            continue;
        }
        let left = connection.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        stream.set_read_timeout(left.map(|left| left.max(Duration::from_millis(1)))).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => connection.end_of_input(Instant::now()),
            Ok(length) => connection.receive(&buffer[..length], Instant::now()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                connection.wake(Instant::now());
            }
            Err(_) => connection.end_of_input(Instant::now()),
        }
    }
    if connection.leaves_unread() {
        // As a kernel does that has bytes left which nobody has read.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    } else {
        let _ = stream.shutdown(Shutdown::Both);
    }
    drop(stream);
    let report = Report { peer: connection.peer().clone(), attempts, end: connection.end().unwrap().clone() };
    // Nobody may want to know any more.
    let _ = reports.send(report);
}
