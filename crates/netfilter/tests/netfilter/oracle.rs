//! The recorded stream as netlink-packet-netfilter reads it, compared field by field.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Emitable, NetlinkMessage, NetlinkPayload, Nla};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Tuple};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use unmasq_flow::{Endpoint, Protocol, Selector};
use unmasq_netfilter::conntrack::{Entry, EventKind};

use crate::recorded::{DATAGRAMS, only_event};

/// (kind, attributes) as the other decoder sees them.
fn decoded(datagram: &[u8]) -> (EventKind, Vec<ConntrackAttribute>) {
    let message = NetlinkMessage::<NetfilterMessage>::deserialize(datagram).expect("decodes");
    let NetlinkPayload::InnerMessage(NetfilterMessage {
        inner: NetfilterMessageInner::Conntrack(message),
        ..
    }) = message.payload
    else {
        panic!("not a conntrack message");
    };
    match message {
        ConntrackMessage::New(attributes) => (EventKind::New, attributes),
        ConntrackMessage::Delete(attributes) => (EventKind::Destroy, attributes),
        other => panic!("{other:?}"),
    }
}

/// An attribute that it does not know, by number. The flag bits are still in its kind.
fn raw(attributes: &[ConntrackAttribute], wanted: u16) -> Option<Vec<u8>> {
    attributes.iter().find_map(|attribute| match attribute {
        ConntrackAttribute::Other(other) if other.kind() & 0x3fff == wanted => Some(value(other)),
        _ => None,
    })
}

fn value(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes[4..4 + attribute.value_len()].to_vec()
}

#[derive(Debug, PartialEq)]
struct Side {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    ports: Option<(u16, u16)>,
    id: Option<u16>,
}

fn side(parts: &[Tuple]) -> Side {
    let (mut protocol, mut source, mut destination, mut ports, mut id) =
        (None, None, None, (None, None), None);
    for part in parts {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(ip) => source = Some(*ip),
                        IPTuple::DestinationAddress(ip) => destination = Some(*ip),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Tuple::Proto(selectors) => {
                for selector in selectors {
                    match selector {
                        ProtoTuple::Protocol(p) => protocol = Some(u8::from(*p)),
                        ProtoTuple::SourcePort(port) => ports.0 = Some(*port),
                        ProtoTuple::DestinationPort(port) => ports.1 = Some(*port),
                        ProtoTuple::Other(other) if other.kind() == 4 => {
                            id = Some(u16::from_be_bytes(value(other).try_into().unwrap()));
                        }
                        _ => {}
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let (source, destination) = (source.unwrap(), destination.unwrap());
    Side { protocol: protocol.unwrap(), source, destination, ports: ports.0.zip(ports.1), id }
}

fn expected_side(protocol: Protocol, source: Endpoint, destination: Endpoint) -> Side {
    let numbers = source.selector.number().zip(destination.selector.number());
    let id = match (source.selector, destination.selector) {
        (Selector::Id(id), _) | (_, Selector::Id(id)) => Some(id),
        _ => None,
    };
    Side {
        protocol: protocol.0,
        source: source.address,
        destination: destination.address,
        ports: numbers,
        id,
    }
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn another_decoder_reads_the_same() {
    for datagram in DATAGRAMS.iter() {
        let event = only_event(datagram);
        let Entry { protocol, client, target, server, masked, .. } = event.entry;
        let (kind, attributes) = decoded(datagram);
        assert_eq!(event.kind, kind);
        let mut seen = 0;
        for attribute in &attributes {
            match attribute {
                ConntrackAttribute::CtaTupleOrig(parts) => {
                    assert_eq!(side(parts), expected_side(protocol, client, target));
                }
                ConntrackAttribute::CtaTupleReply(parts) => {
                    assert_eq!(side(parts), expected_side(protocol, server, masked));
                }
                ConntrackAttribute::CtaStatus(status) => {
                    assert_eq!(Some(status.bits()), event.entry.status.map(|s| s.0));
                }
                ConntrackAttribute::CtaTimeout(seconds) => assert_eq!(Some(*seconds), event.entry.timeout),
                ConntrackAttribute::CtaMark(mark) => assert_eq!(*mark, event.entry.mark),
                _ => continue,
            }
            seen += 1;
        }
        assert!(seen >= 3, "{attributes:?}");
        let id = raw(&attributes, 12).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
        assert_eq!(id, event.entry.id);
        let nanos = |time: Option<unmasq_flow::Timestamp>| time.map(|t| t.as_nanos() as u64);
        assert_eq!(raw(&attributes, 27).map(|b| be64(&b)), nanos(event.entry.event_time));
        // A nest of two 12-byte attributes, each a header and eight bytes.
        assert_eq!(raw(&attributes, 20).map(|b| be64(&b[4..12])), nanos(event.entry.start));
        assert_eq!(raw(&attributes, 20).map(|b| be64(&b[16..24])), nanos(event.entry.stop));
        let traffic = event.entry.traffic;
        assert_eq!(raw(&attributes, 9).map(|b| be64(&b[4..12])), traffic.map(|t| t.original.packets));
        assert_eq!(raw(&attributes, 9).map(|b| be64(&b[16..24])), traffic.map(|t| t.original.bytes));
        assert_eq!(raw(&attributes, 10).map(|b| be64(&b[4..12])), traffic.map(|t| t.reply.packets));
        assert_eq!(raw(&attributes, 10).map(|b| be64(&b[16..24])), traffic.map(|t| t.reply.bytes));
    }
}
