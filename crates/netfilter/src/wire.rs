//! Netlink's framing: messages in a datagram, attributes in a message, and the building of requests.
//!
//! Headers are in the machine's byte order; what netfilter puts into attributes is in the network's.
//! See include/uapi/linux/netlink.h and net/netlink/attr.c of Linux.

use crate::conntrack::ParseError;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_MULTI: u16 = 0x2;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Upper bits of an attribute's type: `NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`.
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The netlink port that it answers, or whose request caused it.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram. After an error there is no next message: its place is not known.
pub(crate) struct Messages<'a> {
    datagram: &'a [u8],
    offset: usize,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self { datagram, offset: 0 }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.datagram.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let broken = |length| ParseError::Frame { offset: self.offset, length, available: rest.len() };
        let Some((header, _)) = rest.split_first_chunk::<HEADER>() else {
            let error = broken(0);
            self.offset = usize::MAX;
            return Some(Err(error));
        };
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]);
        let Some(body) = rest.get(HEADER..length as usize) else {
            let error = broken(length);
            self.offset = usize::MAX;
            return Some(Err(error));
        };
        self.offset = self.offset.saturating_add(aligned(length as usize));
        Some(Ok(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            body,
        }))
    }
}

/// Does the datagram answer the request of that number? Not an earlier one that was given up half-way.
pub(crate) fn is_answer_to(datagram: &[u8], sequence: u32) -> bool {
    matches!(Messages::new(datagram).next(), Some(Ok(message)) if message.sequence == sequence)
}

/// The (negated) error number that begins the body of `NLMSG_ERROR` and `NLMSG_DONE`.
pub(crate) fn error_number(message: &Message<'_>) -> Result<i32, ParseError> {
    let (number, _) = message
        .body
        .split_first_chunk::<4>()
        .ok_or(ParseError::Short { kind: message.kind, length: message.body.len() })?;
    Ok(i32::from_ne_bytes(*number).saturating_neg())
}

/// One attribute. `kind` is without the flag bits, so that a nested one compares equal to its constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes in a nest.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }

    /// The value, which must have exactly this length.
    #[inline]
    pub(crate) fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], ParseError> {
        self.value.try_into().map_err(|_| ParseError::Size { name, length: self.value.len(), expected: N })
    }

    #[inline]
    pub(crate) fn u8(&self, name: &'static str) -> Result<u8, ParseError> {
        self.bytes(name).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn be16(&self, name: &'static str) -> Result<u16, ParseError> {
        self.bytes(name).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn be32(&self, name: &'static str) -> Result<u32, ParseError> {
        self.bytes(name).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn be64(&self, name: &'static str) -> Result<u64, ParseError> {
        self.bytes(name).map(u64::from_be_bytes)
    }
}

/// A run of attributes.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0;
        let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<4>() else {
            self.0 = &[];
            // Fewer than four bytes cannot be an attribute. The kernel pads to four and leaves none.
            return (!rest.is_empty()).then_some(Err(ParseError::Attribute { kind: 0, length: rest.len() }));
        };
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let kind = u16::from_ne_bytes([*k0, *k1]) & KIND_MASK;
        let Some(value) = rest.get(4..length) else {
            self.0 = &[];
            return Some(Err(ParseError::Attribute { kind, length }));
        };
        self.0 = rest.get(aligned(length)..).unwrap_or(&[]);
        Some(Ok(Attribute { kind, value }))
    }
}

/// Rounded up to a multiple of four.
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// A request being built.
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A message of that kind, with the fixed part that follows the header.
    pub(crate) fn new(kind: u16, flags: u16, sequence: u32, fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// Adds a text with the NUL that ends it.
    pub(crate) fn put_name(&mut self, kind: u16, name: &str) {
        self.header(kind, name.len() + 1);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// Adds a nest of what the closure adds.
    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.begin(kind);
        inside(self);
        self.end(start);
    }

    /// Begins a nest; the place that [`Request::end`] needs.
    pub(crate) fn begin(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        start
    }

    /// Ends the nest that began there. It must be shorter than 64 KiB.
    pub(crate) fn end(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message, with its length filled in.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }

    fn header(&mut self, kind: u16, value_length: usize) {
        self.bytes.extend_from_slice(&((value_length + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }
}
