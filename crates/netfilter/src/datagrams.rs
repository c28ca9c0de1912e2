//! Room for many packets at once, as the sockets of a sensor give them: longer than events of conntrack, and with what
//! the kernel says beside each.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Datagrams in one recvmmsg(2): the headers for it lie on the stack.
const CALL: usize = 64;

/// Eight-byte words for what the kernel says beside a datagram: one `tpacket_auxdata` with its header (16 + 20 bytes).
const CONTROL: usize = 8;

/// Datagrams received together, allocated once.
#[derive(Debug)]
pub(crate) struct Datagrams {
    memory: Box<[u8]>,
    slot: usize,
    received: Vec<Received>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Received {
    /// Bytes in its slot.
    length: usize,
    /// Was it longer than that?
    is_cut: bool,
    control: Option<Auxiliary>,
}

/// linux/if_packet.h: `struct tpacket_auxdata`, as far as it is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Auxiliary {
    /// Flags.
    pub(crate) status: u32,
    /// The tag that was taken off the frame.
    pub(crate) vlan_control: u16,
}

impl Datagrams {
    /// For so many at once, of at most so many bytes each.
    pub(crate) fn new(capacity: usize, slot: usize) -> Self {
        Self {
            memory: vec![0; capacity * slot].into_boxed_slice(),
            slot,
            received: Vec::with_capacity(capacity),
        }
    }

    /// Are they as many as can be, so that more is probably waiting?
    pub(crate) fn is_full(&self) -> bool {
        self.received.len() * self.slot == self.memory.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.received.len()
    }

    /// In the order of their arrival: bytes, whether they were cut, and what the kernel said.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], bool, Option<Auxiliary>)> {
        let slots = self.memory.chunks_exact(self.slot).zip(&self.received);
        slots.map(|(slot, received)| (&slot[..received.length], received.is_cut, received.control))
    }

    /// Replaces the content by what the socket has waiting; never blocks.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.received.clear();
        for slots in self.memory.chunks_mut(CALL * self.slot) {
            let asked = slots.len() / self.slot;
            match receive_into(socket, slots, self.slot, &mut self.received) {
                Ok(count) if count == asked => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One recvmmsg(2) of at most [`CALL`] datagrams; how many came.
fn receive_into(
    socket: BorrowedFd<'_>,
    slots: &mut [u8],
    slot: usize,
    received: &mut Vec<Received>,
) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; CALL];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; CALL];
    // Of eight-byte words, as control messages are aligned so.
    let mut controls = [[0_u64; CONTROL]; CALL];
    let mut count = 0;
    let room = vectors.iter_mut().zip(&mut headers).zip(&mut controls);
    for (bytes, ((vector, header), control)) in slots.chunks_exact_mut(slot).zip(room) {
        let vector = vector.write(libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: slot });
        // SAFETY: all-zero bytes are a valid msghdr: null pointers with zero lengths.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = ptr::from_mut(vector);
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control) as _;
        header.write(libc::mmsghdr { msg_hdr: message, msg_len: 0 });
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised, each with one iovec that describes a slot of its own and a
    // control buffer of its own; all of them are borrowed mutably or owned here and outlive the call.
    let came = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let came = usize::try_from(came).map_err(|_| io::Error::last_os_error())?;
    for (header, control) in headers[..came.min(count)].iter().zip(&controls) {
        // SAFETY: the first `count` headers were initialised above.
        let header = unsafe { header.assume_init_ref() };
        let told = header.msg_hdr.msg_controllen;
        received.push(Received {
            length: (header.msg_len as usize).min(slot),
            is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            control: auxiliary(control, told),
        });
    }
    Ok(came)
}

/// Reads the first control message, if it is of a packet socket: `struct cmsghdr` (length, level, type), then
/// `struct tpacket_auxdata`.
fn auxiliary(control: &[u64; CONTROL], told: usize) -> Option<Auxiliary> {
    const LENGTH: usize = size_of::<libc::cmsghdr>();
    let mut bytes = [0; CONTROL * 8];
    for (word, place) in control.iter().zip(bytes.chunks_exact_mut(8)) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let u32_at = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let level_at = LENGTH - 8;
    let is_ours =
        u32_at(level_at)? == libc::SOL_PACKET as u32 && u32_at(level_at + 4)? == libc::PACKET_AUXDATA as u32;
    // Status, two lengths, two offsets, then the tag.
    if !is_ours || told < LENGTH + 18 {
        return None;
    }
    let tag = bytes.get(LENGTH + 16..LENGTH + 18)?.try_into().ok()?;
    Some(Auxiliary { status: u32_at(LENGTH)?, vlan_control: u16::from_ne_bytes(tag) })
}
