//! Room for many datagrams at once, allocated once.

use std::io;
use std::iter::Zip;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::slice;

/// Bytes for one datagram. The longest event that a kernel can make (IPv6, every extension, a long security
/// context) stays below 900; a longer one is counted as truncated, not silently cut.
const SLOT: usize = 1024;

/// Datagrams in one recvmmsg(2): the headers for it lie on the stack.
const CALL: usize = 64;

/// Datagrams received together. Made once and used for every [`super::EventSocket::receive`].
///
/// Iterating over `&batch` yields each datagram as bytes.
#[derive(Debug)]
pub struct Batch {
    memory: Box<[u8]>,
    /// Bytes in each slot that is in use; 0 for a datagram that was longer than a slot.
    lengths: Vec<u16>,
    truncated: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Most datagrams that one batch holds.
    pub const CAPACITY: usize = 256;

    /// An empty batch (256 KiB).
    pub fn new() -> Self {
        Self {
            memory: vec![0; Self::CAPACITY * SLOT].into_boxed_slice(),
            lengths: Vec::with_capacity(Self::CAPACITY),
            truncated: 0,
        }
    }

    /// Datagrams received.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Nothing received?
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Filled to the last slot, so that more is probably waiting?
    pub fn is_full(&self) -> bool {
        self.len() == Self::CAPACITY
    }

    /// Datagrams that did not fit into a slot and are left out, since the batch was made. Stays 0 with every
    /// kernel known; anything else is an event lost and belongs into the coverage.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// The datagrams in the order of their arrival.
    pub fn iter(&self) -> Datagrams<'_> {
        Datagrams { slots: self.memory.chunks_exact(SLOT).zip(&self.lengths) }
    }

    pub(super) fn clear(&mut self) {
        self.lengths.clear();
    }

    /// Replaces the content by what the socket has waiting; never blocks.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.clear();
        for slots in self.memory.chunks_exact_mut(CALL * SLOT) {
            match receive_into(socket, slots, &mut self.lengths, &mut self.truncated) {
                Ok(CALL) => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a [u8];
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over the datagrams of a [`Batch`].
#[derive(Clone, Debug)]
pub struct Datagrams<'a> {
    slots: Zip<slice::ChunksExact<'a, u8>, slice::Iter<'a, u16>>,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.slots.find(|(_, length)| **length > 0).map(|(slot, length)| &slot[..usize::from(*length)])
    }
}

/// One recvmmsg(2) of at most [`CALL`] datagrams; how many came.
fn receive_into(
    socket: BorrowedFd<'_>,
    slots: &mut [u8],
    lengths: &mut Vec<u16>,
    truncated: &mut u64,
) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; CALL];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; CALL];
    let mut count = 0;
    for ((slot, vector), header) in slots.chunks_exact_mut(SLOT).zip(&mut vectors).zip(&mut headers) {
        let vector = vector.write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT });
        // SAFETY: all-zero bytes are a valid msghdr: null pointers with zero lengths.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = ptr::from_mut(vector);
        message.msg_iovlen = 1;
        header.write(libc::mmsghdr { msg_hdr: message, msg_len: 0 });
        count += 1;
    }
    let first: *mut libc::mmsghdr = headers.as_mut_ptr().cast();
    // SAFETY: the first `count` headers are initialised, each with one iovec that describes a slot of its
    // own; headers, iovecs and slots are borrowed mutably or owned here and outlive the call.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            first,
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for header in &headers[..received.min(count)] {
        // SAFETY: the first `count` headers were initialised above.
        let header = unsafe { header.assume_init_ref() };
        let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        *truncated += u64::from(is_cut);
        // A slot's length fits 16 bits.
        lengths.push(if is_cut { 0 } else { header.msg_len as u16 });
    }
    Ok(received)
}
