//! Raw frames onto an interface, many at once: for load generators. Needs `CAP_NET_RAW`.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::error::system;
use crate::netns::Namespace;
use crate::{Result, interfaces, sockopt};

/// linux/if_packet.h: hand frames to the driver without queueing discipline.
const PACKET_QDISC_BYPASS: libc::c_int = 20;

/// Frames of one sendmmsg(2).
const CALL: usize = 64;

/// Sends Ethernet frames out of one interface.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
}

impl Sender {
    /// For the interface of that name in the namespace.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let index = interfaces::index(namespace, interface)?;
        namespace.run(|| Self::open_here(index))?
    }

    fn open_here(index: u32) -> Result<Self> {
        const DOING: &str = "opening a packet socket";
        let flags = SocketFlags::CLOEXEC;
        // Protocol 0: it receives nothing.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(system(DOING, "CAP_NET_RAW"))?;
        bind(&socket, index, 0).map_err(system(DOING, "CAP_NET_RAW"))?;
        sockopt::set(socket.as_fd(), libc::SOL_PACKET, PACKET_QDISC_BYPASS, &1_i32)
            .map_err(system("setting PACKET_QDISC_BYPASS", "CAP_NET_RAW"))?;
        Ok(Self { socket })
    }

    /// Sends the frames in order and blocks until the driver has them all. Frames that the driver has no room
    /// for are tried again.
    pub fn send(&self, frames: &[&[u8]]) -> Result<()> {
        for chunk in frames.chunks(CALL) {
            let mut rest = chunk;
            while !rest.is_empty() {
                match send_some(&self.socket, rest) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(error)
                        if matches!(
                            error.raw_os_error(),
                            Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)
                        ) =>
                    {
                        std::thread::yield_now();
                    }
                    Err(error) => return Err(system("sending frames", "CAP_NET_RAW")(error)),
                }
            }
        }
        Ok(())
    }
}

/// Binds a packet socket to an interface, for frames of a protocol (`ETH_P_…`; 0: none, or what it was opened for).
pub(crate) fn bind(socket: &OwnedFd, interface: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = i32::try_from(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: pointer and length describe `address`, which lives through the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One sendmmsg(2) of at most [`CALL`] frames; how many went.
fn send_some(socket: &OwnedFd, frames: &[&[u8]]) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; CALL];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; CALL];
    let mut count = 0;
    for ((frame, vector), header) in frames.iter().zip(&mut vectors).zip(&mut headers) {
        // The kernel only reads what a sent iovec points to; the C struct merely lacks the const.
        let vector =
            vector.write(libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() });
        // SAFETY: all-zero bytes are a valid msghdr: null pointers with zero lengths.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = ptr::from_mut(vector);
        message.msg_iovlen = 1;
        header.write(libc::mmsghdr { msg_hdr: message, msg_len: 0 });
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised, each with one iovec over a frame that is borrowed
    // for the call.
    let sent =
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr().cast(), count as libc::c_uint, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
