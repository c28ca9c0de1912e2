//! The control protocol between hosts: TLS 1.3 on a TCP port, for clients with a certificate of the authority that
//! `tls_clients` names. A watch keeps such a connection open and asks about the moment, many times a second.
//!
//! What can be asked here is what [`ForOthers`] lets through. The certificates are read at the start, before
//! privileges are dropped: renewed ones count from the next start on.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::net::sockopt;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use unmasq_control::tls::{Identity, TlsError};
use unmasq_control::{Ask, Reply};

use super::server::{Answers, MAX_REQUEST, answer, respond};

/// Callers that have shown a certificate, at most; a watch needs one connection.
const MOST_CLIENTS: usize = 64;
/// Callers that have yet to show one, at most: strangers cannot take the places of clients.
const MOST_STRANGERS: usize = 32;
/// How long a stranger may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a client may leave a reply unread.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client may be silent for as long as it likes, but after this long it is asked whether it is still there.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);
/// Strangers turned away are told of at most this often.
const TELL: Duration = Duration::from_secs(10);

/// Where to listen, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) listen: SocketAddr,
    /// `authority` is that of the clients.
    pub(crate) identity: Identity,
}

/// A port that nobody answers at yet. Bound, and its key read, while we still may.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {address} (tls_listen): {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Bound {
    /// Reads the certificates and binds the port.
    pub(crate) fn bind(place: &Place) -> Result<Self, ListenError> {
        let config = place.identity.server()?;
        let listener = TcpListener::bind(place.listen)
            .map_err(|source| ListenError::Bind { address: place.listen, source })?;
        Ok(Self { listener, config })
    }

    /// Answers from a thread of its own, until the process ends.
    pub(crate) fn serve(self, answers: Arc<dyn Answers>) -> io::Result<()> {
        let answers = Arc::new(ForOthers(answers));
        thread::Builder::new().name("control-tls".to_owned()).spawn(move || self.accept(&answers)).map(drop)
    }

    fn accept(&self, answers: &Arc<ForOthers>) {
        let doors = Arc::new(Doors::default());
        loop {
            let (stream, from) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("unmasq: tls_listen: {error}");
                    // Out of descriptors or memory: both pass, and spinning would not help them to.
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let Some(seat) = Seat::take(&doors, Room::Strangers) else { continue };
            let (answers, config) = (Arc::clone(answers), Arc::clone(&self.config));
            let doors = Arc::clone(&doors);
            let spawned = thread::Builder::new().name("control-tls-conn".to_owned()).spawn(move || {
                let session = match shake_hands(stream, config) {
                    Ok(session) => session,
                    Err(error) => return doors.tell(from, &error),
                };
                drop(seat);
                let Some(_seat) = Seat::take(&doors, Room::Clients) else {
                    return doors.tell(from, &io::Error::other("too many clients are connected"));
                };
                // A client that went away concerns nobody.
                let _ = serve(session, &answers);
            });
            if let Err(error) = spawned {
                eprintln!("unmasq: tls_listen: {error}");
            }
        }
    }
}

/// Who is inside, and when the last stranger was told of.
#[derive(Debug, Default)]
struct Doors {
    strangers: AtomicUsize,
    clients: AtomicUsize,
    told: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Debug)]
enum Room {
    Strangers,
    Clients,
}

impl Doors {
    fn room(&self, room: Room) -> (&AtomicUsize, usize) {
        match room {
            Room::Strangers => (&self.strangers, MOST_STRANGERS),
            Room::Clients => (&self.clients, MOST_CLIENTS),
        }
    }

    /// Tells who was turned away and why, unless somebody was a moment ago: a scanner must not fill the log.
    fn tell(&self, from: SocketAddr, error: &io::Error) {
        let mut told = self.told.lock();
        if told.is_none_or(|at| at.elapsed() >= TELL) {
            *told = Some(Instant::now());
            eprintln!("unmasq: tls_listen: {from} was turned away: {error}");
        }
    }
}

/// A place in a room; free again when dropped.
struct Seat {
    doors: Arc<Doors>,
    room: Room,
}

impl Seat {
    fn take(doors: &Arc<Doors>, room: Room) -> Option<Self> {
        let (taken, most) = doors.room(room);
        if taken.fetch_add(1, Ordering::AcqRel) >= most {
            taken.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Self { doors: Arc::clone(doors), room })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.doors.room(self.room).0.fetch_sub(1, Ordering::AcqRel);
    }
}

type Session = StreamOwned<ServerConnection, TcpStream>;

/// TLS up to the point where the client's certificate has been verified.
fn shake_hands(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Session> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE_AFTER)?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    let until = Instant::now() + HANDSHAKE;
    while session.is_handshaking() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        // One read at a time, so that a caller who dribbles runs out of time.
        if session.wants_write() {
            session.write_tls(&mut stream)?;
        } else if session.read_tls(&mut stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        } else if let Err(error) = session.process_new_packets() {
            // The other side is told why; if it no longer listens, so be it.
            let _ = session.write_tls(&mut stream);
            return Err(io::Error::other(error));
        }
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(StreamOwned::new(session, stream))
}

fn serve(session: Session, answers: &ForOthers) -> io::Result<()> {
    let mut reader = BufReader::new(session);
    let mut line = String::new();
    loop {
        line.clear();
        // End of the stream, or a line without an end: there is nobody to be understood.
        if reader.by_ref().take(MAX_REQUEST).read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Ok(());
        }
        respond(reader.get_mut(), answer(&line, answers))?;
    }
}

/// What other hosts may ask.
struct ForOthers(Arc<dyn Answers>);

impl Answers for ForOthers {
    fn answer(&self, ask: Ask) -> Result<Vec<Reply>, String> {
        // A new question must say here whether it is for them.
        let is_for_others = match ask {
            Ask::Find { .. } | Ask::Client { .. } | Ask::Status => true,
            Ask::Watch(_) => false,
        };
        if is_for_others {
            return self.0.answer(ask);
        }
        Err("that may be asked on the recorder's own host only".to_owned())
    }
}
