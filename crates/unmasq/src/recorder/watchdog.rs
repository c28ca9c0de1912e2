//! The watchdog of reliable mode: a process of its own, because a recorder that was stopped cannot help itself.
//!
//! In reliable mode the kernel keeps every DESTROY until the recorder has read it, and such entries count toward
//! `nf_conntrack_max`: a recorder that stands still would in the end cost users their new connections. The users'
//! traffic comes first. So the recorder hands each event socket to this process, tells it once a second that it
//! still makes progress, and the watchdog switches reliable mode off (the option belongs to the socket, whoever sets
//! it) when that stops for five seconds or the table is 80 % full; and on again when both have passed.
//!
//! ```text
//!  recorder ──'+' name, [event socket, nf_conntrack_count]──► watchdog
//!           ──'p' each second while every reader progresses──►
//!           ◄─'r'/'u' name: reliable / unreliable────────────
//! ```

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use unmasq_netfilter::reliable;

/// Without a sign of progress for this long, reliable mode is switched off.
const PATIENCE: Duration = Duration::from_secs(5);
/// Above this share of `nf_conntrack_max`, in percent, it is switched off.
const FILL_OFF: u64 = 80;
/// Below this share, in percent, it is switched on again.
const FILL_ON: u64 = 60;
/// How often the watchdog looks.
const BEAT: Duration = Duration::from_millis(500);

const ADD: u8 = b'+';
const REMOVE: u8 = b'-';
const PROGRESS: u8 = b'p';
const RELIABLE: u8 = b'r';
const UNRELIABLE: u8 = b'u';

/// The longest message: a kind and a file name.
const MAX_MESSAGE: usize = 256;

/// The recorder's side.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    socket: OwnedFd,
}

/// What the watchdog reports: a namespace, and whether its events are delivered reliably from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Switched {
    pub(super) namespace: String,
    pub(super) is_reliable: bool,
}

impl Guard {
    /// Starts the watchdog: this program again, with the hidden command `watchdog`.
    pub(super) fn start() -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let child = Command::new("/proc/self/exe")
            .arg("watchdog")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .env_remove("NOTIFY_SOCKET")
            .spawn()?;
        Ok(Self { child, socket: ours })
    }

    /// Gives the watchdog an event socket to care for.
    pub(super) fn add(&self, namespace: &str, events: BorrowedFd<'_>, count: &File) -> io::Result<()> {
        let fds = [events, count.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let parts = [IoSlice::new(&[ADD]), IoSlice::new(namespace.as_bytes())];
        sendmsg(&self.socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes a socket back before it is closed: the watchdog's duplicate would keep it, and its namespace, alive.
    pub(super) fn remove(&self, namespace: &str) -> io::Result<()> {
        self.send(&[IoSlice::new(&[REMOVE]), IoSlice::new(namespace.as_bytes())])
    }

    /// Signs that every reader has made progress since the last time.
    pub(super) fn progress(&self) -> io::Result<()> {
        match self.send(&[IoSlice::new(&[PROGRESS])]) {
            // It has not read the signs before; they say the same.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// What the watchdog has switched since the last call.
    pub(super) fn switched(&self) -> io::Result<Vec<Switched>> {
        let mut all = Vec::new();
        while let Some((kind, text, _)) = receive(self.socket.as_fd())? {
            all.push(Switched { namespace: text, is_reliable: kind == RELIABLE });
        }
        Ok(all)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        sendmsg(&self.socket, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It ends by itself when the socket closes; killing it too makes the wait below short in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message without waiting: kind, text, descriptors. `None` if there is none.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, String, Vec<OwnedFd>)>> {
    let mut bytes = [0_u8; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = match recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    ) {
        Ok(message) => message.bytes,
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some((kind, text)) = bytes[..received].split_first() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let fds = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    Ok(Some((*kind, String::from_utf8_lossy(text).into_owned(), fds)))
}

/// One socket that the watchdog cares for.
struct Charge {
    namespace: String,
    events: OwnedFd,
    count: File,
    is_reliable: bool,
}

/// The watchdog's side: the body of the hidden command. Ends when the recorder's side closes.
pub(crate) fn run() -> io::Result<()> {
    // A Ctrl-Z or a signal to the recorder's group must not stop the one that is there for that case.
    rustix::process::setsid()?;
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let mut charges: Vec<Charge> = Vec::new();
    let mut last_progress = Instant::now();
    loop {
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: BEAT.as_nanos() as _ };
        let mut fds = [PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            match receive(socket) {
                Ok(Some((ADD, namespace, fds))) => charges.extend(charge(namespace, fds)),
                Ok(Some((REMOVE, namespace, _))) => charges.retain(|c| c.namespace != namespace),
                Ok(Some(_)) => last_progress = Instant::now(),
                Ok(None) => break,
                // The recorder is gone, and with it the last reader of these sockets.
                Err(_) => return Ok(()),
            }
        }
        let max = number("/proc/sys/net/netfilter/nf_conntrack_max");
        for charge in &mut charges {
            let fill = fill_percent(&charge.count, max);
            let wanted = is_wanted(charge.is_reliable, last_progress.elapsed(), fill);
            if wanted != charge.is_reliable && reliable::set(charge.events.as_fd(), wanted).is_ok() {
                charge.is_reliable = wanted;
                let kind = [if wanted { RELIABLE } else { UNRELIABLE }];
                let parts = [IoSlice::new(&kind), IoSlice::new(charge.namespace.as_bytes())];
                // A recorder that does not read its mail learns of the loss from the socket's overrun too.
                let _ = sendmsg(
                    socket,
                    &parts,
                    &mut SendAncillaryBuffer::default(),
                    SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
                );
            }
        }
    }
}

/// The decision, apart from the world: should reliable mode be on?
fn is_wanted(is_on: bool, since_progress: Duration, fill_percent: Option<u64>) -> bool {
    let limit = if is_on { FILL_OFF } else { FILL_ON };
    // A fill that cannot be read is no reason to risk the users' traffic.
    since_progress < PATIENCE && fill_percent.is_some_and(|fill| fill < limit)
}

fn charge(namespace: String, fds: Vec<OwnedFd>) -> Option<Charge> {
    let mut fds = fds.into_iter();
    let (events, count) = (fds.next()?, fds.next()?);
    Some(Charge { namespace, events, count: File::from(count), is_reliable: true })
}

fn fill_percent(count: &File, max: Option<u64>) -> Option<u64> {
    let mut bytes = [0_u8; 32];
    let read = count.read_at(&mut bytes, 0).ok()?;
    let count: u64 = std::str::from_utf8(&bytes[..read]).ok()?.trim().parse().ok()?;
    // A maximum of 0 means none, so it is never full.
    max.map(|max| (count * 100).checked_div(max).unwrap_or(0))
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_first_and_reliable_mode_returns_when_there_is_room() {
        let calm = Duration::from_secs(1);
        assert!(is_wanted(true, calm, Some(79)));
        assert!(!is_wanted(true, calm, Some(80)));
        assert!(!is_wanted(false, calm, Some(70)), "not on again at once: it would flap");
        assert!(is_wanted(false, calm, Some(59)));
        assert!(!is_wanted(true, PATIENCE, Some(1)));
        assert!(!is_wanted(true, calm, None));
    }
}
