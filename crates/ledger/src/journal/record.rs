//! One record of the journal: a flow that began, ended or goes on, in about 40 bytes.
//!
//! Writing one allocates nothing and is guarded by the example `accept`. The masked endpoint stands at a fixed place, so
//! that a look-up passes over the other records without decoding them.

use std::net::IpAddr;
use std::sync::Arc;

use unmasq_flow::{Count, Destination, Endpoint, Flow, Origin, Protocol, Selector, Status, Traffic};

use crate::codec::{Bytes, base_of, bound_kind, put_bound, put_signed, put_varint, selector, selector_kind};

/// What a record says about its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It began; more will follow.
    Opened,
    /// It ended, and its beginning was recorded before.
    Ended,
    /// It ended, and this is the first and only record of it.
    Whole,
    /// It goes on in this hour (counted since the Unix epoch).
    Carried(i64),
}

// Bytes of a record, by place: length (of all of it), kind, protocol, shape (2), bounds, origin (2), masked number (2),
// masked address (4 or 16), client, target, server, then varints.
const KIND: usize = 1;
const SHAPE: usize = 3;
const BOUNDS: usize = 5;
const ORIGIN: usize = 6;
const MASKED: usize = 8;

const VOID: u8 = 0;
const OPENED: u8 = 1;
const ENDED: u8 = 2;
const WHOLE: u8 = 3;
const CARRIED: u8 = 4;
/// Not a flow: gives the number of an origin to the records that follow in the same frame.
pub(super) const ORIGIN_DEFINITION: u8 = 5;

const MASKED_V6: u16 = 1;
const CLIENT_V6: u16 = 1 << 1;
const TARGET_V6: u16 = 1 << 2;
const SERVER_V6: u16 = 1 << 3;
const MASKED_KIND: u16 = 4;
const CLIENT_KIND: u16 = 6;
const TARGET_KIND: u16 = 8;
const SERVER_KIND: u16 = 10;
/// Two bits: 0 kept, 1 hashed, 2 omitted, 3 (server only) the same as the target.
const TARGET_KEPT: u16 = 12;
const SERVER_KEPT: u16 = 14;

const HAS_TRAFFIC: u8 = 1 << 6;
const HAS_MARK: u8 = 1 << 7;

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

fn put_endpoint(out: &mut Vec<u8>, endpoint: Endpoint) {
    out.extend_from_slice(&endpoint.selector.number().unwrap_or(0).to_le_bytes());
    put_address(out, endpoint.address);
}

fn put_destination(out: &mut Vec<u8>, destination: Destination) {
    match destination {
        Destination::Kept(endpoint) => put_endpoint(out, endpoint),
        Destination::Hashed(bits) => out.extend_from_slice(&bits.to_le_bytes()),
        Destination::Omitted => {}
    }
}

fn endpoint_shape(endpoint: Endpoint, v6: u16, kind: u16) -> u16 {
    let family = if endpoint.address.is_ipv6() { v6 } else { 0 };
    family | selector_kind(endpoint.selector) << kind
}

fn destination_shape(destination: Destination, v6: u16, kind: u16, kept: u16) -> u16 {
    match destination {
        Destination::Kept(endpoint) => endpoint_shape(endpoint, v6, kind),
        Destination::Hashed(_) => 1 << kept,
        Destination::Omitted => 2 << kept,
    }
}

/// Appends a record and says where its key (what tells a flow from another) ends. `origin` is the origin's number.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, origin: u16, flow: &Flow) -> usize {
    let start = out.len();
    let server_is_target = flow.server == flow.target && matches!(flow.server, Destination::Kept(_));
    let server_shape = if server_is_target {
        3 << SERVER_KEPT
    } else {
        destination_shape(flow.server, SERVER_V6, SERVER_KIND, SERVER_KEPT)
    };
    let shape = endpoint_shape(flow.masked, MASKED_V6, MASKED_KIND)
        | endpoint_shape(flow.client, CLIENT_V6, CLIENT_KIND)
        | destination_shape(flow.target, TARGET_V6, TARGET_KIND, TARGET_KEPT)
        | server_shape;
    let tag = match kind {
        Kind::Opened => OPENED,
        Kind::Ended => ENDED,
        Kind::Whole => WHOLE,
        Kind::Carried(_) => CARRIED,
    };
    let [shape_low, shape_high] = shape.to_le_bytes();
    let [origin_low, origin_high] = origin.to_le_bytes();
    let mut bounds = bound_kind(flow.start) | bound_kind(flow.end) << 3;
    if flow.traffic.is_some() {
        bounds |= HAS_TRAFFIC;
    }
    if flow.mark != 0 {
        bounds |= HAS_MARK;
    }
    out.extend_from_slice(&[0, tag, flow.protocol.0, shape_low, shape_high, bounds, origin_low, origin_high]);
    put_endpoint(out, flow.masked);
    put_endpoint(out, flow.client);
    put_destination(out, flow.target);
    if !server_is_target {
        put_destination(out, flow.server);
    }
    let key_end = out.len();
    put_varint(out, u64::from(flow.status.0));
    if flow.mark != 0 {
        put_varint(out, u64::from(flow.mark));
    }
    put_bound(out, flow.start, 0);
    put_bound(out, flow.end, base_of(flow.start));
    if let Some(traffic) = flow.traffic {
        for count in [traffic.original, traffic.reply] {
            put_varint(out, count.packets);
            put_varint(out, count.bytes);
        }
    }
    if let Kind::Carried(hour) = kind {
        put_signed(out, hour);
    }
    // The longest possible record has 183 bytes.
    out[start] = (out.len() - start) as u8;
    key_end
}

/// Defines an origin for the records that follow in the frame.
pub(super) fn put_origin(out: &mut Vec<u8>, number: u16, origin: &Origin) {
    let start = out.len();
    out.extend_from_slice(&[0, ORIGIN_DEFINITION]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&origin.zones.original.to_le_bytes());
    out.extend_from_slice(&origin.zones.reply.to_le_bytes());
    // A namespace is a file name: at most 255 bytes, cut to what the length byte can say.
    let mut end = origin.namespace.len().min(240);
    while !origin.namespace.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&origin.namespace.as_bytes()[..end]);
    out[start] = (out.len() - start) as u8;
}

/// The bytes that tell a flow from another, of the record at `start`: protocol and shape, then origin and endpoints.
pub(super) fn key(bytes: &[u8], start: usize, end: usize) -> (&[u8], &[u8]) {
    (&bytes[start + 2..start + BOUNDS], &bytes[start + ORIGIN..end])
}

/// Strikes out the record at `start`.
pub(super) fn make_void(bytes: &mut [u8], start: usize) {
    bytes[start + KIND] = VOID;
}

/// Is the record at `start` struck out?
pub(super) fn is_void(bytes: &[u8], start: usize) -> bool {
    bytes[start + KIND] == VOID
}

/// Makes the record at `start` the only one of its flow.
pub(super) fn make_whole(bytes: &mut [u8], start: usize) {
    bytes[start + KIND] = WHOLE;
}

/// A record as it lies in a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// Takes the record at the head of `bytes`.
    pub(crate) fn split(bytes: &mut Bytes<'a>) -> Option<Self> {
        let length = usize::from(*bytes.0.first()?);
        if length < 2 {
            return None;
        }
        Some(Self(bytes.take(length)?))
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_void(self) -> bool {
        self.0[KIND] == VOID
    }

    pub(super) fn origin_number(self) -> Option<u16> {
        Bytes(self.0.get(ORIGIN..)?).u16()
    }

    /// The origin that this record defines, with its number.
    pub(super) fn origin_definition(self) -> Option<(u16, Origin)> {
        if self.0[KIND] != ORIGIN_DEFINITION {
            return None;
        }
        let mut rest = Bytes(&self.0[2..]);
        let number = rest.u16()?;
        let zones = unmasq_flow::Zones { original: rest.u16()?, reply: rest.u16()? };
        let namespace = std::str::from_utf8(rest.0).ok()?;
        Some((number, Origin { stream: "".into(), namespace: namespace.into(), zones }))
    }

    /// Can it be of a flow on this endpoint? An open selector means every selector.
    pub(crate) fn is_masked_as(self, masked: Endpoint) -> bool {
        let Some(shape) = self.0.get(SHAPE..BOUNDS) else { return false };
        let is_v6 = shape[0] & MASKED_V6 as u8 != 0;
        let Some(rest) = self.0.get(MASKED..) else { return false };
        let number_fits = match masked.selector {
            Selector::None => true,
            Selector::Port(n) | Selector::Id(n) => rest.starts_with(&n.to_le_bytes()),
        };
        number_fits
            && match masked.address {
                IpAddr::V4(v4) => !is_v6 && rest.get(2..6) == Some(&v4.octets()[..]),
                IpAddr::V6(v6) => is_v6 && rest.get(2..18) == Some(&v6.octets()[..]),
            }
    }

    /// The flow and what is said of it. `origins` gives the origin of a number.
    pub(crate) fn decode(self, origins: impl FnOnce(u16) -> Option<Arc<Origin>>) -> Option<(Kind, Flow)> {
        let mut bytes = Bytes(&self.0[KIND..]);
        let tag = bytes.byte()?;
        let protocol = Protocol(bytes.byte()?);
        let shape = bytes.u16()?;
        let bounds = bytes.byte()?;
        let origin = origins(bytes.u16()?)?;
        let masked = endpoint(&mut bytes, shape, MASKED_V6, MASKED_KIND)?;
        let client = endpoint(&mut bytes, shape, CLIENT_V6, CLIENT_KIND)?;
        let target = destination(&mut bytes, shape, TARGET_V6, TARGET_KIND, TARGET_KEPT)?;
        let server = match shape >> SERVER_KEPT & 3 {
            3 => target,
            _ => destination(&mut bytes, shape, SERVER_V6, SERVER_KIND, SERVER_KEPT)?,
        };
        let status = Status(u32::try_from(bytes.varint()?).ok()?);
        let mark = if bounds & HAS_MARK == 0 { 0 } else { u32::try_from(bytes.varint()?).ok()? };
        let start = bytes.bound(bounds & 7, 0)?;
        let end = bytes.bound(bounds >> 3 & 7, base_of(start))?;
        let mut count = || Some(Count { packets: bytes.varint()?, bytes: bytes.varint()? });
        let traffic = if bounds & HAS_TRAFFIC == 0 {
            None
        } else {
            Some(Traffic { original: count()?, reply: count()? })
        };
        let kind = match tag {
            OPENED => Kind::Opened,
            ENDED => Kind::Ended,
            WHOLE => Kind::Whole,
            CARRIED => Kind::Carried(bytes.signed()?),
            _ => return None,
        };
        let flow = Flow {
            origin,
            protocol,
            client,
            target,
            server,
            masked,
            mark,
            status,
            start,
            end,
            traffic,
            kernel_id: None,
        };
        Some((kind, flow))
    }
}

fn endpoint(bytes: &mut Bytes<'_>, shape: u16, v6: u16, kind: u16) -> Option<Endpoint> {
    let number = bytes.u16()?;
    let address = bytes.address(shape & v6 != 0)?;
    Some(Endpoint::new(address, selector(shape >> kind & 3, number)?))
}

fn destination(bytes: &mut Bytes<'_>, shape: u16, v6: u16, kind: u16, kept: u16) -> Option<Destination> {
    match shape >> kept & 3 {
        0 => Some(Destination::Kept(endpoint(bytes, shape, v6, kind)?)),
        1 => Some(Destination::Hashed(bytes.u16()?)),
        2 => Some(Destination::Omitted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unmasq_flow::{Bound, Timestamp, Zones};

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        let selector = prop_oneof![
            Just(Selector::None),
            any::<u16>().prop_map(Selector::Port),
            any::<u16>().prop_map(Selector::Id)
        ];
        (any::<IpAddr>(), selector).prop_map(|(address, selector)| Endpoint::new(address, selector))
    }

    fn destination() -> impl Strategy<Value = Destination> {
        prop_oneof![
            endpoint().prop_map(Destination::Kept),
            any::<u16>().prop_map(Destination::Hashed),
            Just(Destination::Omitted)
        ]
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        let any_time = (i64::MIN / 1_000_000 + 1..i64::MAX / 1_000_000).prop_map(Timestamp::from_millis);
        let usual = (0..100_000_000i64).prop_map(|ms| Timestamp::from_millis(1_795_000_000_000 + ms));
        prop_oneof![4 => usual, 1 => any_time, 1 => Just(Timestamp::MIN), 1 => Just(Timestamp::MAX)]
    }

    fn bound() -> impl Strategy<Value = Bound> {
        prop_oneof![
            time().prop_map(Bound::Exact),
            time().prop_map(Bound::Read),
            (time(), time()).prop_map(|(a, b)| Bound::Between(a.min(b), a.max(b))),
            Just(Bound::Open),
            Just(Bound::Unknown)
        ]
    }

    fn flow() -> impl Strategy<Value = Flow> {
        let count = || (any::<u64>(), any::<u64>()).prop_map(|(packets, bytes)| Count { packets, bytes });
        let traffic =
            prop::option::of((count(), count()).prop_map(|(original, reply)| Traffic { original, reply }));
        let zones = (any::<u16>(), any::<u16>()).prop_map(|(original, reply)| Zones { original, reply });
        let place = ("[a-z]{0,15}", zones, any::<u8>());
        let ends = (endpoint(), destination(), destination(), any::<bool>(), endpoint());
        let rest = (any::<u32>(), any::<u32>(), bound(), bound(), traffic);
        (place, ends, rest).prop_map(|(place, ends, rest)| {
            let server = if ends.3 { ends.1 } else { ends.2 };
            Flow {
                origin: Origin::new("gw1", &place.0).with_zones(place.1).shared(),
                protocol: Protocol(place.2),
                client: ends.0,
                target: ends.1,
                server,
                masked: ends.4,
                mark: rest.0,
                status: Status(rest.1),
                start: rest.2,
                end: rest.3,
                traffic: rest.4,
                kernel_id: None,
            }
        })
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Opened),
            Just(Kind::Ended),
            Just(Kind::Whole),
            any::<i64>().prop_map(Kind::Carried)
        ]
    }

    proptest! {
        #[test]
        fn every_record_reads_back(flow in flow(), kind in kind(), number: u16) {
            let mut bytes = Vec::new();
            put(&mut bytes, kind, number, &flow);
            prop_assert!(bytes.len() < 256);
            let raw = Raw::split(&mut Bytes(&bytes)).unwrap();
            prop_assert!(raw.is_masked_as(flow.masked));
            prop_assert!(raw.is_masked_as(Endpoint::address_only(flow.masked.address)));
            let origin = flow.origin.clone();
            prop_assert_eq!(raw.decode(|n| (n == number).then_some(origin)), Some((kind, flow)));
        }

        #[test]
        fn every_origin_reads_back(namespace in "\\PC{0,80}", original: u16, reply: u16, number: u16) {
            let origin = Origin::new("", &namespace).with_zones(Zones { original, reply });
            let mut bytes = Vec::new();
            put_origin(&mut bytes, number, &origin);
            let read = Raw::split(&mut Bytes(&bytes)).and_then(Raw::origin_definition);
            let (read_number, read) = read.unwrap();
            prop_assert_eq!((read_number, read.zones), (number, origin.zones));
            prop_assert!(namespace.starts_with(&*read.namespace));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut rest = Bytes(&bytes);
            while let Some(raw) = Raw::split(&mut rest) {
                raw.is_masked_as(Endpoint::v4([1, 2, 3, 4], 5));
                raw.origin_definition();
                raw.decode(|_| Some(Origin::default().shared()));
            }
        }
    }
}
