//! Elements out of messages.

use std::net::IpAddr;
use std::time::Duration;

use super::kernel::{NFGENMSG, element, list};
use super::member::{Listed, Member, address, predecessor};
use super::{KeyType, SetInfo};
use crate::conntrack::ParseError;
use crate::wire::{Attribute, Attributes, Message};

/// Collects what a set holds, from the messages of a dump.
#[derive(Debug)]
pub(super) struct Listing {
    key: KeyType,
    /// Each interval comes as two entries, in no order that could be relied on.
    is_halved: bool,
    whole: Vec<Listed>,
    halves: Vec<Half>,
}

/// The first address of an interval, or the first after one.
#[derive(Clone, Copy, Debug)]
struct Half {
    address: IpAddr,
    is_start: bool,
    timeout: Option<Duration>,
    expires: Option<Duration>,
}

impl Listing {
    pub(super) fn new(info: &SetInfo) -> Self {
        let has_ports = matches!(info.key, KeyType::Ipv4Port | KeyType::Ipv6Port);
        Self {
            key: info.key,
            is_halved: info.is_interval && !has_ports,
            whole: Vec::new(),
            halves: Vec::new(),
        }
    }

    /// Takes in the body of a `NFT_MSG_NEWSETELEM`.
    pub(super) fn take(&mut self, message: &Message<'_>) -> Result<(), ParseError> {
        each_element(message, |entry| self.entry(entry))
    }

    fn entry(&mut self, entry: &Attribute<'_>) -> Result<(), ParseError> {
        let (mut key, mut key_end, mut flags) = (None, None, 0);
        let (mut timeout, mut expires) = (None, None);
        for attribute in entry.nested() {
            let attribute = attribute?;
            match attribute.kind {
                element::KEY => key = value(&attribute)?,
                element::KEY_END => key_end = value(&attribute)?,
                element::FLAGS => flags = attribute.be32("NFTA_SET_ELEM_FLAGS")?,
                element::TIMEOUT => timeout = milliseconds(&attribute, "NFTA_SET_ELEM_TIMEOUT")?,
                element::EXPIRATION => expires = milliseconds(&attribute, "NFTA_SET_ELEM_EXPIRATION")?,
                _ => {}
            }
        }
        if flags & element::FLAG_CATCHALL != 0 {
            return Ok(());
        }
        let key = key.ok_or(ParseError::Missing("NFTA_SET_ELEM_KEY"))?;
        let (first, from) = self.split(key)?;
        if self.is_halved {
            let is_start = flags & element::FLAG_INTERVAL_END == 0;
            self.halves.push(Half { address: first, is_start, timeout, expires });
            return Ok(());
        }
        let (last, to) = key_end.map_or(Ok((first, from)), |key| self.split(key))?;
        let ports = from.zip(to).map(|(from, to)| from..=to);
        // A range that goes backwards is nothing that a kernel could have.
        let member = Member::range(first, last, ports);
        self.whole.extend(member.map(|member| Listed { member, timeout, expires }));
        Ok(())
    }

    /// The address and the port of a key.
    fn split(&self, key: &[u8]) -> Result<(IpAddr, Option<u16>), ParseError> {
        let (expected, width, has_port) = match self.key {
            KeyType::Ipv4 => (4, 4, false),
            KeyType::Ipv6 => (16, 16, false),
            KeyType::Ipv4Port => (8, 4, true),
            KeyType::Ipv6Port => (20, 16, true),
            KeyType::Other { length, .. } => (length as usize, 0, false),
        };
        let wrong = ParseError::Size { name: "NFTA_DATA_VALUE", length: key.len(), expected };
        if key.len() != expected {
            return Err(wrong);
        }
        let (bytes, rest) = key.split_at_checked(width).ok_or(wrong)?;
        let port = rest.first_chunk().copied().map(u16::from_be_bytes);
        Ok((address(bytes).ok_or(wrong)?, port.filter(|_| has_port)))
    }

    /// All of it. An interval without an end goes up to the next one, or to the last address.
    pub(super) fn finish(mut self) -> Vec<Listed> {
        self.halves.sort_unstable_by_key(|half| (half.address, half.is_start));
        let mut open: Option<Half> = None;
        for half in &self.halves {
            if let Some(start) = open.take() {
                let last = predecessor(half.address);
                self.whole.extend(last.and_then(|last| start.up_to(last)));
            }
            if half.is_start {
                open = Some(*half);
            }
        }
        if let Some(start) = open {
            let last = match start.address {
                IpAddr::V4(_) => IpAddr::from([0xff; 4]),
                IpAddr::V6(_) => IpAddr::from([0xff; 16]),
            };
            self.whole.extend(start.up_to(last));
        }
        self.whole
    }
}

impl Half {
    fn up_to(&self, last: IpAddr) -> Option<Listed> {
        let member = Member::range(self.address, last, None)?;
        Some(Listed { member, timeout: self.timeout, expires: self.expires })
    }
}

/// Hands over each element in the body of a `NFT_MSG_NEWSETELEM`.
pub(crate) fn each_element(
    message: &Message<'_>,
    mut each: impl FnMut(&Attribute<'_>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    for attribute in Attributes(message.body.get(NFGENMSG..).ok_or(short)?) {
        let attribute = attribute?;
        if attribute.kind == list::ELEMENTS {
            for entry in attribute.nested() {
                each(&entry?)?;
            }
        }
    }
    Ok(())
}

/// The bytes of a key, or of what a map gives for one.
pub(crate) fn value<'a>(attribute: &Attribute<'a>) -> Result<Option<&'a [u8]>, ParseError> {
    for inner in attribute.nested() {
        let inner = inner?;
        if inner.kind == element::VALUE {
            return Ok(Some(inner.value));
        }
    }
    Ok(None)
}

/// 0 is for ever.
fn milliseconds(attribute: &Attribute<'_>, name: &'static str) -> Result<Option<Duration>, ParseError> {
    let value = attribute.be64(name)?;
    Ok((value > 0).then(|| Duration::from_millis(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode::{Batch, Step};
    use super::super::{Form, SetId};
    use super::*;
    use crate::wire::Messages;

    /// What the kernel would list of a batch of additions, if it repeated them.
    fn repeated(info: &SetInfo, members: &[Member], packed: bool) -> Vec<Listed> {
        let id: SetId = "inet t s".parse().unwrap();
        let mut batch = Batch::new(1);
        for member in members {
            batch.step((0, &id, info), member, Step::Add(Some(Duration::from_secs(9))), packed);
        }
        let (bytes, next) = batch.finish();
        let mut listing = Listing::new(info);
        let mut sequence = 1;
        for message in Messages::new(&bytes) {
            let message = message.unwrap();
            assert_eq!(message.sequence, sequence);
            sequence += 1;
            if message.kind == crate::sets::kernel::NEW_ELEMENTS {
                listing.take(&message).unwrap();
            }
        }
        assert_eq!(sequence, next);
        listing.finish()
    }

    fn any_members(is_v6: bool, has_ports: bool, is_interval: bool) -> impl Strategy<Value = Vec<Member>> {
        let one = (any::<[u8; 16]>(), any::<u8>(), any::<u16>()).prop_map(move |(bytes, prefix, port)| {
            let [a, b, c, d, ..] = bytes;
            let address = if is_v6 { IpAddr::from(bytes) } else { IpAddr::from([a, b, c, d]) };
            let width = if is_v6 { 128 } else { 32 };
            let prefix = if is_interval { prefix % (width + 1) } else { width };
            Member::network(ipnet::IpNet::new(address, prefix).unwrap(), has_ports.then_some(port))
        });
        prop::collection::vec(one, 0..200).prop_map(|mut members| {
            // What a set of intervals can hold: none overlaps another.
            let mut kept: Vec<Member> = Vec::new();
            members.sort();
            for member in members {
                if kept.iter().all(|other| !other.overlaps(&member)) {
                    kept.push(member);
                }
            }
            kept
        })
    }

    fn like(is_v6: bool, has_ports: bool, is_interval: bool) -> SetInfo {
        let key = match (is_v6, has_ports) {
            (false, false) => KeyType::Ipv4,
            (true, false) => KeyType::Ipv6,
            (false, true) => KeyType::Ipv4Port,
            (true, true) => KeyType::Ipv6Port,
        };
        SetInfo { key, has_timeout: true, is_interval, form: Form::Set, size: None, default_timeout: None }
    }

    proptest! {
        #[test]
        fn what_is_put_is_what_is_listed(
            (info, members) in any::<(bool, bool, bool)>().prop_flat_map(|(v6, ports, interval)| {
                (Just(like(v6, ports, interval)), any_members(v6, ports, interval))
            }),
            packed in any::<bool>(),
        ) {
            let mut listed = repeated(&info, &members, packed);
            listed.sort_by_key(|one| one.member);
            prop_assert_eq!(listed.iter().map(|one| one.member).collect::<Vec<_>>(), members);
            prop_assert!(listed.iter().all(|one| one.timeout == Some(Duration::from_secs(9))));
        }
    }

    #[test]
    fn a_message_never_grows_past_what_a_nest_can_be() {
        let members: Vec<Member> =
            (0..10_000_u128).map(|n| Member::address(std::net::Ipv6Addr::from(n * 2).into(), None)).collect();
        assert_eq!(repeated(&like(true, false, true), &members, true).len(), 10_000);
    }
}
