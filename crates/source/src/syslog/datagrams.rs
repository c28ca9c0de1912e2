//! Messages that come as datagrams.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, socket_with,
    sockopt,
};
use unmasq_entry::format::{Context, Format, Parser, Record};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use super::set_received;
use crate::decoder::Meter;
use crate::{Counts, Notice, Position, Read, Source, SourceError};

/// Room for the longest message: a UDP datagram has at most 64 KiB, a Unix one `net.core.wmem_max` (212 KiB by default).
const MOST_DATAGRAM: usize = 256 << 10;

/// What the kernel may hold while we are busy: some 100,000 lines.
const QUEUE_BYTES: usize = 64 << 20;

/// How often the kernel is asked what it dropped.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A datagram socket.
pub struct Datagrams {
    meter: Meter,
    parser: Parser,
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Removed at the end.
    bound: Option<Bound>,
    losses: Option<Losses>,
}

/// A socket in the file system, and its inode: another's is not removed.
struct Bound {
    path: PathBuf,
    inode: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            // A socket that stays is taken over by the next one that is bound there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Datagrams {
    /// Receives UDP datagrams there.
    pub fn udp(address: SocketAddr, context: Context) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = datagram_socket(family)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        bind(&socket, &address)?;
        let losses = Losses { inode: rustix::fs::fstat(&socket)?.st_ino, asked: Instant::now() };
        let mut datagrams = Self::new(socket, format!("syslog udp://{address}"), context);
        datagrams.losses = Some(losses);
        Ok(datagrams)
    }

    /// Receives what is sent to a Unix socket of that path, which is made. A stale one there is replaced, one that
    /// somebody receives at is not.
    pub fn unix(path: &Path, mode: u32, context: Context) -> io::Result<Self> {
        let socket = datagram_socket(AddressFamily::UNIX)?;
        let address = SocketAddrUnix::new(path)?;
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            match connect(&datagram_socket(AddressFamily::UNIX)?, &address) {
                Err(Errno::CONNREFUSED) => fs::remove_file(path)?,
                // Somebody is there; binding will say so.
                _ => return Err(Errno::ADDRINUSE.into()),
            }
        }
        bind(&socket, &address)?;
        let bound = Bound { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let mut datagrams = Self::new(socket, format!("syslog unix:{}", path.display()), context);
        datagrams.bound = Some(bound);
        Ok(datagrams)
    }

    fn new(socket: OwnedFd, name: String, context: Context) -> Self {
        // Beyond the system's limit with the privilege, up to it without.
        if sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, QUEUE_BYTES);
        }
        Self {
            meter: Meter::new(name),
            parser: Parser::new(Format::Syslog, context),
            socket,
            buffer: vec![0; MOST_DATAGRAM],
            bound: None,
            losses: None,
        }
    }

    /// The port, for a socket that was bound to port 0.
    pub fn local_port(&self) -> Option<u16> {
        let address = rustix::net::getsockname(&self.socket).ok()?;
        SocketAddr::try_from(address).ok().map(|address| address.port())
    }

    /// Tells what the kernel dropped since the last time.
    fn ask_losses(&mut self) {
        let Some(losses) = &mut self.losses else { return };
        if losses.asked.elapsed() < ASK_EVERY {
            return;
        }
        losses.asked = Instant::now();
        let Some(lost) = losses.count() else { return };
        if lost > self.meter.counts.lost {
            let new = lost - self.meter.counts.lost;
            self.meter.counts.lost = lost;
            let name = &self.meter.name;
            let notice =
                Notice::loss(format!("{name}: the kernel dropped {new} messages, as too many came at once"));
            self.meter.notices.push(notice);
        }
    }
}

fn datagram_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::DGRAM, flags, None)?)
}

/// The kernel's count of datagrams that had no room.
struct Losses {
    inode: u64,
    asked: Instant,
}

impl Losses {
    /// From `/proc/net/udp`: `SO_MEMINFO` and `SO_RXQ_OVFL` have no safe form here.
    fn count(&self) -> Option<u64> {
        ["udp", "udp6"].into_iter().find_map(|table| {
            let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
            drops(&table, self.inode)
        })
    }
}

/// The last column of the line that has this inode in its tenth.
fn drops(table: &str, inode: u64) -> Option<u64> {
    let mut lines = table.lines().skip(1).map(str::split_ascii_whitespace);
    lines.find_map(|mut words| {
        let is_ours = words.nth(9)?.parse() == Ok(inode);
        is_ours.then(|| words.next_back()?.parse().ok())?
    })
}

impl Source for Datagrams {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        loop {
            let length = match recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => {
                    self.ask_losses();
                    return Ok(Read::Idle);
                }
                // An ICMP error about something sent is no concern of a receiver.
                Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(e) => {
                    return Err(SourceError::Read { name: self.meter.name.clone(), source: e.into() });
                }
            };
            self.meter.counts.bytes += length as u64;
            if length > self.buffer.len() {
                self.meter.cut("");
            }
            let message = trim_end(&self.buffer[..length.min(self.buffer.len())]);
            if message.is_empty() {
                continue;
            }
            let received = Timestamp::now();
            self.parser.set_latest(received);
            if self.meter.parse(&mut self.parser, Record::Bytes(message), String::new, entry, fields) {
                set_received(entry, received);
                return Ok(Read::Entry);
            }
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(Position::None)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.as_fd()]
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

/// Without the line end or NUL that many programs send at the end of a message.
pub(super) fn trim_end(message: &[u8]) -> &[u8] {
    let length = message.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &message[..length.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_those_of_the_sockets_own_line() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1234: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 3\n\
            1235: 00000000:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 17\n";
        assert_eq!(drops(table, 4712), Some(17));
        assert_eq!(drops(table, 1), None);
    }
}
