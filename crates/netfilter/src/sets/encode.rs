//! Elements into messages.
//!
//! A set with intervals keeps each as two entries, the first key and the key after the last (net/netfilter/
//! nft_set_rbtree.c); a concatenation with intervals keeps first and last key in one (nft_set_pipapo.c).

use std::net::IpAddr;
use std::time::Duration;

use super::kernel::{BATCH_BEGIN, BATCH_END, DELETE_ELEMENTS, NEW_ELEMENTS, SUBSYSTEM, element, list};
use super::member::successor;
use super::{KeyType, Member, SetId, SetInfo};
use crate::wire::{NLM_F_CREATE, NLM_F_EXCL, Request};

/// A nest's length has 16 bits. An entry takes at most 116 bytes, and one more has to fit.
const NEST: usize = 65_000;

/// The shortest timeout that is not rounded to none on a kernel of 100 ticks a second.
const SHORTEST: Duration = Duration::from_millis(10);

/// A question about a set: a message of that kind, with the attributes that name table and set.
pub(crate) fn question(kind: u16, flags: u16, sequence: u32, id: &SetId, names: (u16, u16)) -> Vec<u8> {
    let mut request = Request::new(kind, flags, sequence, &[id.family().number(), 0, 0, 0]);
    request.put_name(names.0, id.table());
    request.put_name(names.1, id.set());
    request.finish()
}

/// What to do with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Put it there; an error if it is.
    Add(Option<Duration>),
    /// Take it away; an error if it is not there.
    Delete,
}

impl Step {
    const fn message(self) -> (u16, u16) {
        match self {
            Self::Add(_) => (NEW_ELEMENTS, NLM_F_CREATE | NLM_F_EXCL),
            Self::Delete => (DELETE_ELEMENTS, 0),
        }
    }
}

/// A transaction being written.
pub(super) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    open: Option<Open>,
}

/// The message that elements are being added to.
struct Open {
    set: usize,
    kind: (u16, u16),
    request: Request,
    nest: usize,
}

impl Batch {
    /// Its messages are numbered from the one given, which is the beginning itself.
    pub(super) fn new(sequence: u32) -> Self {
        let mut batch = Self { bytes: Vec::new(), sequence, open: None };
        batch.frame(BATCH_BEGIN);
        batch
    }

    /// Adds a step; returns the number of the message that it is in. Steps of one kind on one set share messages if
    /// `packed`. `number` is the set's, for telling sets apart.
    pub(super) fn step(
        &mut self,
        (number, set, info): (usize, &SetId, &SetInfo),
        member: &Member,
        step: Step,
        packed: bool,
    ) -> u32 {
        let kind = step.message();
        let fits = |open: &Open| {
            packed && open.set == number && open.kind == kind && open.request.len() - open.nest < NEST
        };
        if !self.open.as_ref().is_some_and(fits) {
            self.close();
            let mut request = Request::new(kind.0, kind.1, self.sequence, &[set.family().number(), 0, 0, 0]);
            request.put_name(list::TABLE, set.table());
            request.put_name(list::SET, set.set());
            let nest = request.begin(list::ELEMENTS);
            self.open = Some(Open { set: number, kind, request, nest });
            self.sequence = self.sequence.wrapping_add(1);
        }
        if let Some(open) = &mut self.open {
            put(&mut open.request, info, member, step);
        }
        self.sequence.wrapping_sub(1)
    }

    /// The whole, and the number that the next transaction can begin with.
    pub(super) fn finish(mut self) -> (Vec<u8>, u32) {
        self.close();
        self.frame(BATCH_END);
        (self.bytes, self.sequence)
    }

    fn close(&mut self) {
        if let Some(Open { mut request, nest, .. }) = self.open.take() {
            request.end(nest);
            self.bytes.extend_from_slice(&request.finish());
        }
    }

    fn frame(&mut self, kind: u16) {
        // The resource id is the subsystem, in the network's byte order.
        let [high, low] = SUBSYSTEM.to_be_bytes();
        self.bytes.extend_from_slice(&Request::new(kind, 0, self.sequence, &[0, 0, high, low]).finish());
        self.sequence = self.sequence.wrapping_add(1);
    }
}

fn put(request: &mut Request, info: &SetInfo, member: &Member, step: Step) {
    let is_range = info.is_interval && member.ports().is_some();
    request.nest(list::ONE, |entry| {
        put_key(entry, element::KEY, member.first(), member.ports().map(|(from, _)| from));
        if is_range {
            put_key(entry, element::KEY_END, member.last(), member.ports().map(|(_, to)| to));
        }
        if let Step::Add(timeout) = step
            && info.has_timeout
        {
            match timeout {
                Some(timeout) => put_milliseconds(entry, timeout.max(SHORTEST)),
                // Else the set's own would hold.
                None if info.default_timeout.is_some() => put_milliseconds(entry, Duration::ZERO),
                None => {}
            }
        }
    });
    // An interval that reaches the last address has no end.
    if info.is_interval
        && !is_range
        && let Some(end) = successor(member.last())
    {
        request.nest(list::ONE, |entry| {
            put_key(entry, element::KEY, end, None);
            entry.put(element::FLAGS, &element::FLAG_INTERVAL_END.to_be_bytes());
        });
    }
}

fn put_milliseconds(entry: &mut Request, timeout: Duration) {
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    // More than some hundred million years the kernel refuses (nf_msecs_to_jiffies64).
    entry.put(element::TIMEOUT, &milliseconds.min(u64::MAX / 4_000_000).to_be_bytes());
}

fn put_key(entry: &mut Request, kind: u16, address: IpAddr, port: Option<u16>) {
    let (mut key, mut length) = ([0; 20], 0);
    let mut append = |bytes: &[u8]| {
        key[length..length + bytes.len()].copy_from_slice(bytes);
        // Each part takes whole words of 32 bits.
        length = (length + bytes.len()).next_multiple_of(4);
    };
    match address {
        IpAddr::V4(v4) => append(&v4.octets()),
        IpAddr::V6(v6) => append(&v6.octets()),
    }
    if let Some(port) = port {
        append(&port.to_be_bytes());
    }
    entry.nest(kind, |data| data.put(element::VALUE, &key[..length]));
}

/// Can a set of that kind hold the member?
pub(super) fn fits(info: &SetInfo, member: &Member) -> bool {
    let is_one = member.is_single() && member.ports().is_none_or(|(from, to)| from == to);
    KeyType::of(member) == info.key && (is_one || info.is_interval)
}
