//! A connection to a recorder: made on a thread of its own, since names and hosts may take their time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use unmasq_control::tls::Identity;
use unmasq_control::{Ask, Reply, Request};

use super::{Place, RemoteError};

/// How long each step of connecting may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection without a word for this long is tried,
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(20);
/// this often,
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// before it is given up.
const KEEP_ALIVE_TIMES: u32 = 3;
/// Longest line of a reply; a flow has under 1000 bytes.
pub(super) const LONGEST_LINE: usize = 64 << 10;

/// How a connection is made.
#[derive(Clone, Debug)]
pub(super) enum Opener {
    Tls { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
    Unix(PathBuf),
}

/// A connection on which questions may be asked. It never blocks.
pub(super) enum Link {
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl Opener {
    pub(super) fn new(place: &Place, identity: Option<&Identity>) -> Result<Self, RemoteError> {
        Ok(match place {
            Place::Unix(path) => Self::Unix(path.clone()),
            Place::Tls { host, port } => Self::Tls {
                host: host.clone(),
                port: *port,
                name: ServerName::try_from(host.clone()).map_err(|_| RemoteError::Name(host.clone()))?,
                config: identity.ok_or(RemoteError::NoIdentity)?.client()?,
            },
        })
    }

    /// Connects and asks how the recorder is: only its answer tells that it took our certificate, since in TLS 1.3 the
    /// client is done before the server has looked at it.
    pub(super) fn open(&self) -> io::Result<Link> {
        let mut link = match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Link::Unix(stream)
            }
            Self::Tls { host, port, name, config } => {
                let stream = connect(host, *port)?;
                let session =
                    ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                Link::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        let request = serde_json::to_string(&Request::new(Ask::Status))?;
        let asked = writeln!(link, "{request}").and_then(|()| link.flush());
        asked.and_then(|()| greeted(&mut link)).map_err(|error| link.reason(error))?;
        match &link {
            Link::Tls(stream) => stream.sock.set_nonblocking(true)?,
            Link::Unix(stream) => stream.set_nonblocking(true)?,
        }
        Ok(link)
    }
}

impl Link {
    /// Why the other side ended it, if it said so: its last words may have come before our writing failed.
    fn reason(&mut self, error: io::Error) -> io::Error {
        let Self::Tls(stream) = self else { return error };
        if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
            return error;
        }
        match stream.conn.read_tls(&mut stream.sock).map(|_| stream.conn.process_new_packets()) {
            Ok(Err(alert)) => io::Error::other(alert),
            _ => error,
        }
    }

    /// Has TLS something to send that the socket did not take yet?
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.conn.wants_write(),
            Self::Unix(_) => false,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tls(stream) => stream.sock.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE_AFTER)?;
                sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE_EVERY)?;
                sockopt::set_tcp_keepcnt(&stream, KEEP_ALIVE_TIMES)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the reply to the first question.
fn greeted(link: &mut Link) -> io::Result<()> {
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            match serde_json::from_slice(&received[..end])? {
                Reply::End { .. } => return Ok(()),
                Reply::Error(message) => return Err(io::Error::other(message)),
                Reply::Status(_) | Reply::Watch(_) | Reply::Flow(_) | Reply::Covered(_) => {}
            }
            received.drain(..=end);
        }
        let length = link.read(&mut part)?;
        if length == 0 || received.len() > LONGEST_LINE {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&part[..length]);
    }
}
