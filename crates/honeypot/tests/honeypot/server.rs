//! A small server: a thread a connection, blocking.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use unmasq_honeypot::hostkey::{HostKeys, KeyKind};
use unmasq_honeypot::profile::Profile;
use unmasq_honeypot::server::{Attempt, Connection, Delay, End, Happening, Limits, Peer, Setup};

/// A connection ends within milliseconds of what ends it; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How a connection went.
pub(crate) struct Report {
    pub(crate) peer: Peer,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) end: End,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    received: usize,
    sent: usize,
    /// All of it has been taken and answered, and nothing is to be done until there is more.
    is_waiting: bool,
}

/// By the client's end.
type Connections = Arc<Mutex<HashMap<SocketAddr, Progress>>>;

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    reports: Mutex<Receiver<Report>>,
    connections: Connections,
}

/// Host keys of all kinds, made once.
pub(crate) fn keys() -> HostKeys {
    static KEYS: LazyLock<HostKeys> = LazyLock::new(|| {
        HostKeys::generate(&[KeyKind::Rsa(2048), KeyKind::EcdsaP256, KeyKind::Ed25519]).unwrap()
    });
    KEYS.clone()
}

/// With that profile, no delays, and patience with a busy machine.
pub(crate) fn setup(profile: Profile) -> Setup {
    let limits = Limits {
        grace: Duration::from_secs(3600),
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
        let connections = Connections::default();
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (setup, sender, all) = (setup.clone(), sender.clone(), Arc::clone(&all));
                std::thread::spawn(move || serve(stream.unwrap(), setup, &all, &sender));
            }
        });
        Self { address, reports: Mutex::new(reports), connections }
    }

    /// Has it taken and answered all that this client has sent, and does it wait for more? The client has got what was said
    /// if that are as many bytes.
    pub(crate) fn waits_for(&self, client: SocketAddr, sent: usize, got: usize) -> bool {
        let connections = self.connections.lock().unwrap();
        connections
            .get(&client)
            .is_some_and(|progress| progress.is_waiting && (progress.received, progress.sent) == (sent, got))
    }

    /// The next connection that has ended.
    pub(crate) fn report(&self) -> Report {
        self.reports.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }
}

fn serve(mut stream: TcpStream, setup: Arc<Setup>, connections: &Connections, reports: &Sender<Report>) {
    let client = stream.peer_addr().unwrap();
    let progress = |change: &dyn Fn(&mut Progress)| {
        change(connections.lock().unwrap().entry(client).or_default());
    };
    progress(&|progress| *progress = Progress::default());
    let mut connection = Connection::new(setup, Instant::now());
    let mut attempts = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        while !connection.output().is_empty() {
            match stream.write(connection.output()) {
                Ok(sent) => {
                    connection.sent(sent);
                    progress(&|progress| progress.sent += sent);
                }
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
        progress(&|progress| progress.is_waiting = true);
        let read = stream.read(&mut buffer);
        progress(&|progress| {
            progress.is_waiting = false;
            progress.received += read.as_ref().map_or(0, |length| *length);
        });
        match read {
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
