//! Elements into messages, and out of them.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::info::{SetInfo, seconds};
use super::kernel::{ADD, BIG_ENDIAN, DELETE, NFGENMSG, PROTOCOL, TCP, command, data};
use super::{Name, SetType};
use crate::conntrack::ParseError;
use crate::sets::member::address;
use crate::sets::{Action, Change, Listed, Member};
use crate::wire::{Attribute, Attributes, Message, NLM_F_ACK, NLM_F_EXCL, Request};

/// The longest time of an element, 24 days (`IPSET_MAX_TIMEOUT`): a longer one is cut to this, and to be put there anew
/// by whoever wants it for longer.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs((u32::MAX as u64 >> 1) / 1000);

/// A command on one set.
pub(super) fn begin(kind: u16, flags: u16, sequence: u32, is_v6: bool, name: &Name) -> Request {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let mut request = Request::new(kind, flags, sequence, &[family as u8, 0, 0, 0]);
    request.put(command::PROTOCOL, &[PROTOCOL]);
    request.put_name(command::NAME, name.as_str());
    request
}

/// A message with all of these changes, which are of one kind. Their lines are their places, from 1.
pub(super) fn changes(sequence: u32, name: &Name, info: &SetInfo, changes: &[Change]) -> Vec<u8> {
    let is_removal = changes.first().is_some_and(|change| change.action == Action::Remove);
    // Without the flag, an addition replaces the time of an element that is there; with it, a removal says whether
    // there was something.
    let (kind, flags) = if is_removal { (DELETE, NLM_F_EXCL) } else { (ADD, 0) };
    let mut request = begin(kind, flags | NLM_F_ACK, sequence, info.is_v6, name);
    // The kernel writes the line of a bad element here.
    request.put(command::LINE, &0_u32.to_ne_bytes());
    request.nest(command::ELEMENTS, |list| {
        for (line, change) in (1_u32..).zip(changes) {
            list.nest(command::DATA, |entry| put(entry, info, change, line));
        }
    });
    request.finish()
}

fn put(entry: &mut Request, info: &SetInfo, change: &Change, line: u32) {
    let Change { member, action, .. } = change;
    entry.nest(data::IP, |ip| match member.first() {
        IpAddr::V4(v4) => ip.put(data::IPV4 | BIG_ENDIAN, &v4.octets()),
        IpAddr::V6(v6) => ip.put(data::IPV6 | BIG_ENDIAN, &v6.octets()),
    });
    if info.kind == SetType::HashNet
        && let Some(net) = member.as_network()
    {
        entry.put(data::CIDR, &[net.prefix_len()]);
    }
    if let Some((port, _)) = member.ports() {
        entry.put(data::PORT | BIG_ENDIAN, &port.to_be_bytes());
        entry.put(data::PROTOCOL, &[TCP]);
    }
    if let (Action::Put(timeout), true) = (action, info.has_timeout) {
        let seconds = timeout.map_or(0, |timeout| {
            let timeout = timeout.min(LONGEST_TIMEOUT);
            // Rounded up, and never to 0, which is for ever.
            timeout.as_secs().max(1) as u32 + u32::from(timeout.as_secs() > 0 && timeout.subsec_nanos() > 0)
        });
        entry.put(data::TIMEOUT | BIG_ENDIAN, &seconds.to_be_bytes());
    }
    entry.put(data::LINE, &line.to_ne_bytes());
}

/// Takes in the elements of a message of a list.
pub(super) fn list(message: &Message<'_>, listed: &mut Vec<Listed>) -> Result<(), ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    for attribute in Attributes(message.body.get(NFGENMSG..).ok_or(short)?) {
        let attribute = attribute?;
        if attribute.kind == command::ELEMENTS {
            for entry in attribute.nested() {
                listed.extend(element(&entry?)?);
            }
        }
    }
    Ok(())
}

/// `None` for what is not an element as we put it: an exception, a port of another protocol.
fn element(entry: &Attribute<'_>) -> Result<Option<Listed>, ParseError> {
    let (mut ip, mut prefix, mut port, mut protocol, mut expires, mut flags) =
        (None, None, None, TCP, None, 0);
    for attribute in entry.nested() {
        let attribute = attribute?;
        match attribute.kind {
            data::IP => {
                for inner in attribute.nested() {
                    ip = address(inner?.value).or(ip);
                }
            }
            data::CIDR => prefix = Some(attribute.u8("IPSET_ATTR_CIDR")?),
            data::PORT => port = Some(attribute.be16("IPSET_ATTR_PORT")?),
            data::PROTOCOL => protocol = attribute.u8("IPSET_ATTR_PROTO")?,
            data::TIMEOUT => expires = seconds(&attribute)?,
            data::FLAGS => flags = attribute.be32("IPSET_ATTR_CADT_FLAGS")?,
            _ => {}
        }
    }
    let ip = ip.ok_or(ParseError::Missing("IPSET_ATTR_IP"))?;
    if flags & data::FLAG_NO_MATCH != 0 || protocol != TCP {
        return Ok(None);
    }
    // A prefix that no address can have is nothing that a kernel could have.
    let Ok(net) = prefix.map_or(Ok(IpNet::from(ip)), |prefix| IpNet::new(ip, prefix)) else {
        return Ok(None);
    };
    Ok(Some(Listed { member: Member::network(net, port), timeout: None, expires }))
}
