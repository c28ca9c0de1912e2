//! What an ipset is like.

use std::time::Duration;

use super::kernel::{NFGENMSG, command, data};
use crate::conntrack::ParseError;
use crate::sets::Member;
use crate::wire::{Attribute, Attributes, Message};

/// The types of ipset that elements can be put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetType {
    /// `hash:ip`.
    HashIp,
    /// `hash:net`.
    HashNet,
    /// `hash:ip,port`. Elements are put and listed for TCP.
    HashIpPort,
    /// Another.
    Other,
}

/// What an ipset is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// Its type.
    pub kind: SetType,
    /// The type's name, and the family's where it is `inet6`: `hash:ip family inet6`.
    pub type_name: String,
    /// Does it hold IPv6?
    pub is_v6: bool,
    /// Created with `timeout`: elements can end by themselves.
    pub has_timeout: bool,
    /// For how long an element stays that says nothing of its own; `None` for ever.
    pub default_timeout: Option<Duration>,
    /// Created with `netmask` or `bitmask`: each address stands for more than itself, which is wider than what was asked
    /// for.
    pub is_masked: bool,
    /// Elements that it holds.
    pub count: Option<u32>,
    /// Most elements.
    pub most: Option<u32>,
}

impl SetInfo {
    /// Can it hold the element, no more and no less?
    pub fn fits(&self, member: &Member) -> bool {
        let has_one_port = member.ports().is_some_and(|(from, to)| from == to);
        let shape = match self.kind {
            SetType::HashIp => member.is_single() && member.ports().is_none() && !self.is_masked,
            SetType::HashNet => {
                // Of all addresses there is no element (net/netfilter/ipset/ip_set_hash_net.c).
                member.ports().is_none() && member.as_network().is_some_and(|net| net.prefix_len() > 0)
            }
            SetType::HashIpPort => member.is_single() && has_one_port && !self.is_masked,
            SetType::Other => false,
        };
        shape && member.first().is_ipv6() == self.is_v6
    }
}

/// Reads the first message of a list; `None` if it is one that only goes on.
pub(super) fn parse(message: &Message<'_>) -> Result<Option<SetInfo>, ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    let (mut name, mut family, mut header) = (None, 0, None);
    for attribute in Attributes(message.body.get(NFGENMSG..).ok_or(short)?) {
        let attribute = attribute?;
        match attribute.kind {
            command::TYPE => name = Some(text(attribute.value)),
            command::FAMILY => family = attribute.u8("IPSET_ATTR_FAMILY")?,
            command::DATA => header = Some(attribute),
            _ => {}
        }
    }
    let (Some(name), Some(header)) = (name, header) else { return Ok(None) };
    let is_v6 = libc::c_int::from(family) == libc::AF_INET6;
    let mut info = SetInfo {
        kind: match name.as_str() {
            "hash:ip" => SetType::HashIp,
            "hash:net" => SetType::HashNet,
            "hash:ip,port" => SetType::HashIpPort,
            _ => SetType::Other,
        },
        type_name: if is_v6 { format!("{name} family inet6") } else { name },
        is_v6,
        has_timeout: false,
        default_timeout: None,
        is_masked: false,
        count: None,
        most: None,
    };
    for attribute in header.nested() {
        let attribute = attribute?;
        match attribute.kind {
            data::TIMEOUT => {
                info.has_timeout = true;
                info.default_timeout = seconds(&attribute)?;
            }
            data::NETMASK | data::BITMASK => info.is_masked = true,
            data::MOST => info.most = Some(attribute.be32("IPSET_ATTR_MAXELEM")?),
            data::COUNT => info.count = Some(attribute.be32("IPSET_ATTR_ELEMENTS")?),
            _ => {}
        }
    }
    Ok(Some(info))
}

/// 0 is for ever.
pub(super) fn seconds(attribute: &Attribute<'_>) -> Result<Option<Duration>, ParseError> {
    let seconds = attribute.be32("IPSET_ATTR_TIMEOUT")?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}
