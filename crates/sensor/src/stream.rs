//! One direction of a connection: segments put in order, and what they say until the keys change.
//!
//! ```text
//!  segments (any order, twice, overlapping) ──► Stream ──► bytes in order ──► Side: Identification, then Hassh
//! ```
//!
//! Where segments overlap, the bytes that came first count.

use unmasq_ssh::frame::{self, Frame};
use unmasq_ssh::{Hassh, Identification, KexInit, message};

/// Most bytes that are looked at of a direction.
pub const MOST_BYTES: usize = 64 << 10;

/// Most segments that wait for one before them.
const MOST_WAITING: usize = 64;

/// Which side it is: whose lists a fingerprint is of, and who may talk before the identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its first line is its identification.
    Client,
    /// It may send lines before (RFC 4253, section 4.2).
    Server,
}

/// What one side has said of itself.
#[derive(Debug)]
pub(crate) struct Side {
    role: Role,
    /// What is known.
    pub(crate) identification: Option<Identification>,
    /// Likewise.
    pub(crate) hassh: Option<Hassh>,
    stage: Stage,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Identification,
    KexInit,
    /// All is known, or nothing more can be.
    Over,
}

impl Side {
    /// A side of which nothing is known. Without [`Side::begin`], it begins with the first segment that comes.
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            identification: None,
            hassh: None,
            stage: Stage::Identification,
            order: Order::default(),
        }
    }

    /// The sequence number of its first byte is known. What came before that was known is kept.
    pub(crate) fn begin(&mut self, first: u32) {
        if self.order.next.is_none() {
            self.order.next = Some(first);
            self.order.first = first;
        }
    }

    /// Is that the sequence number of its first byte?
    pub(crate) fn begins_at(&self, first: u32) -> bool {
        self.has_begun() && self.order.first == first
    }

    /// Is nothing more to be learnt?
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Is it known where its first byte is?
    pub(crate) fn has_begun(&self) -> bool {
        self.order.next.is_some()
    }

    /// Bytes that it keeps.
    pub(crate) fn held(&self) -> usize {
        self.order.kept()
    }

    /// Takes a segment's bytes. Hot; guarded by `bench/divert`.
    pub(crate) fn take(&mut self, sequence: u32, payload: &[u8]) {
        if self.stage == Stage::Over || payload.is_empty() {
            return;
        }
        self.order.put(sequence, payload);
        self.read();
        if self.stage == Stage::Over {
            self.order.forget();
        } else if self.order.is_full() {
            self.stage = Stage::Over;
            self.order.forget();
        }
    }

    fn read(&mut self) {
        loop {
            let before = self.order.at;
            match self.stage {
                Stage::Identification => self.read_line(),
                Stage::KexInit => self.read_packet(),
                Stage::Over => return,
            }
            if self.order.at == before {
                return;
            }
        }
    }

    fn read_line(&mut self) {
        let rest = &self.order.ready[self.order.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            let is_hopeless = match self.role {
                // It cannot become an identification any more.
                Role::Client => !b"SSH-".starts_with(&rest[..rest.len().min(4)]),
                Role::Server => false,
            };
            if is_hopeless || rest.len() >= Identification::MOST_BYTES {
                self.stage = Stage::Over;
            }
            return;
        };
        let line = &rest[..=end];
        match Identification::parse(line) {
            Ok(identification) => {
                // A protocol without KEXINIT, but for 1.99, which stands for both.
                let is_old =
                    identification.protocol().starts_with("1.") && identification.protocol() != "1.99";
                self.stage = if is_old { Stage::Over } else { Stage::KexInit };
                self.identification = Some(identification);
                self.order.at += end + 1;
            }
            Err(_) if self.role == Role::Server && !line.starts_with(b"SSH-") => self.order.at += end + 1,
            Err(_) => self.stage = Stage::Over,
        }
    }

    fn read_packet(&mut self) {
        match frame::read(&self.order.ready[self.order.at..]) {
            Frame::Partial => {}
            Frame::Bad => self.stage = Stage::Over,
            Frame::Whole { payload, length } => {
                match payload[0] {
                    message::KEXINIT => {
                        self.hassh = KexInit::parse(payload).map(|kexinit| match self.role {
                            Role::Client => Hassh::of_client(&kexinit),
                            Role::Server => Hassh::of_server(&kexinit),
                        });
                        self.stage = Stage::Over;
                    }
                    // After this, all is encrypted; and a disconnect is the last.
                    message::NEWKEYS | message::DISCONNECT => self.stage = Stage::Over,
                    _ => {}
                }
                self.order.at += length;
            }
        }
    }
}

/// Bytes in order, and those that came before their turn.
#[derive(Debug, Default)]
struct Order {
    /// The sequence number after the last byte of `ready`.
    next: Option<u32>,
    ready: Vec<u8>,
    /// How many of them were read.
    at: usize,
    /// By how far they are after the first byte of all.
    waiting: Vec<(u32, Vec<u8>)>,
    /// The sequence number of the first byte.
    first: u32,
}

impl Order {
    /// Bytes in order, and those that wait.
    fn kept(&self) -> usize {
        self.ready.len() + self.waiting.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    fn is_full(&self) -> bool {
        self.ready.len() >= MOST_BYTES
    }

    fn forget(&mut self) {
        self.ready = Vec::new();
        self.waiting = Vec::new();
        self.at = 0;
    }

    fn put(&mut self, sequence: u32, payload: &[u8]) {
        let next = *self.next.get_or_insert_with(|| {
            self.first = sequence;
            sequence
        });
        // By serial number arithmetic: what is more than half of all numbers ahead lies behind.
        let ahead = sequence.wrapping_sub(next) as i32;
        if ahead <= 0 {
            self.append(payload, ahead);
            self.fit();
            // What is in order comes before what waits.
            while self.kept() > MOST_BYTES && self.waiting.pop().is_some() {}
            return;
        }
        let distance = sequence.wrapping_sub(self.first);
        let is_near = distance as usize + payload.len() <= MOST_BYTES;
        let has_room = self.kept() + payload.len() <= MOST_BYTES && self.waiting.len() < MOST_WAITING;
        let is_there = self.waiting.iter().any(|(at, bytes)| *at == distance && bytes.len() >= payload.len());
        if is_near && has_room && !is_there {
            self.waiting.push((distance, payload.to_vec()));
        }
    }

    /// Appends what is new of a segment that begins so far before the next byte (0 or less).
    fn append(&mut self, payload: &[u8], ahead: i32) {
        let known = ahead.unsigned_abs() as usize;
        let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) else { return };
        let room = MOST_BYTES.saturating_sub(self.ready.len());
        let new = &new[..new.len().min(room)];
        self.ready.extend_from_slice(new);
        self.next = self.next.map(|next| next.wrapping_add(new.len() as u32));
    }

    /// Appends what waited and has its turn now.
    fn fit(&mut self) {
        loop {
            let Some(next) = self.next else { return };
            let reached = next.wrapping_sub(self.first);
            let Some(nth) = self.waiting.iter().position(|(at, _)| *at <= reached) else { return };
            let (at, bytes) = self.waiting.remove(nth);
            self.append(&bytes, -((reached - at).min(MOST_BYTES as u32) as i32));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client sends: identification, a message to be ignored, KEXINIT, and something after.
    fn said(role: Role) -> Vec<u8> {
        let mut bytes = if role == Role::Server { b"welcome\r\nto us\r\n".to_vec() } else { Vec::new() };
        bytes.extend(b"SSH-2.0-libssh_0.10.6\r\n");
        frame::write(&[message::IGNORE, 0, 0, 0, 0], &mut bytes);
        let lists = ["kex", "", "aes", "aes", "mac", "mac", "none", "none", "", ""].map(str::to_owned);
        let kexinit = KexInit { cookie: [7; 16], lists, first_kex_packet_follows: false };
        frame::write(&kexinit.to_payload(), &mut bytes);
        bytes.extend([9; 40]);
        bytes
    }

    fn begun(role: Role, first: u32) -> Side {
        let mut side = Side::new(role);
        side.begin(first);
        side
    }

    fn is_known(side: &Side) -> bool {
        side.identification.as_ref().is_some_and(|id| id.software() == "libssh_0.10.6")
            && side.hassh.as_ref().is_some_and(|hassh| hassh.string == "kex;aes;mac;none")
    }

    proptest! {
        #[test]
        fn the_order_of_segments_does_not_matter(
            first: u32,
            cuts in prop::collection::vec(0usize..200, 0..12),
            order in any::<prop::sample::Index>(),
            twice: bool,
            is_server: bool,
        ) {
            let role = if is_server { Role::Server } else { Role::Client };
            let bytes = said(role);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
            let count = pieces.len();
            pieces.rotate_left(order.index(count));
            if twice {
                // With bytes before and after that are known already.
                let wider = pieces.iter().map(|r| r.start.saturating_sub(3)..(r.end + 5).min(bytes.len()));
                pieces.extend(wider.collect::<Vec<_>>());
            }
            let mut side = begun(role, first);
            for piece in pieces {
                side.take(first.wrapping_add(piece.start as u32), &bytes[piece]);
            }
            prop_assert!(is_known(&side) && side.is_over() && side.held() == 0);
        }

        #[test]
        fn memory_is_bounded_whatever_comes(
            segments in prop::collection::vec((0u32..200_000, 0usize..3000, any::<u8>()), 0..120),
        ) {
            let mut side = begun(Role::Server, 0);
            for (at, length, byte) in segments {
                side.take(at, &vec![byte; length]);
                prop_assert!(side.held() <= MOST_BYTES);
            }
        }
    }

    #[test]
    fn what_is_far_ahead_is_not_kept() {
        let mut side = begun(Role::Client, 0);
        side.take(MOST_BYTES as u32, b"x");
        assert_eq!(side.held(), 0);
        side.take(MOST_BYTES as u32 - 1, b"x");
        assert_eq!(side.held(), 1);
    }

    #[test]
    fn the_first_of_overlapping_bytes_count() {
        let mut side = begun(Role::Client, 100);
        side.take(100, b"SSH-2.0-first");
        side.take(108, b"other_one\r\n");
        assert_eq!(side.identification.as_ref().map(Identification::software), Some("first_one"));
        assert_eq!(side.identification.unwrap().line(), "SSH-2.0-first_one");
    }

    #[test]
    fn a_side_that_speaks_another_protocol_is_let_go_at_once() {
        for line in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"SSH-2.0-\r\n", b"SSH-1.5-x\n"] {
            let mut side = begun(Role::Client, 0);
            side.take(0, line);
            assert!(side.is_over(), "{line:?}");
        }
        let mut server = begun(Role::Server, 0);
        server.take(0, &vec![b'x'; Identification::MOST_BYTES]);
        assert!(server.is_over());
    }

    #[test]
    fn what_cannot_be_a_packet_ends_it_and_the_identification_stays() {
        let mut side = Side::new(Role::Client);
        side.take(5, b"SSH-2.0-x\nGET / HTTP/1.1\r\n");
        assert!(side.is_over());
        assert_eq!((side.identification.unwrap().software(), side.hassh), ("x", None));
    }
}
