//! nftables' maps from clients to the public addresses and ports that they are translated into.
//!
//! A map `type ipv4_addr : interval ipv4_addr . inet_service` gives each client a range of ports, for a rule such as
//! `snat ip to ip saddr map @clients`. A watcher asks for the [generation](Maps::generation) of the ruleset, which is
//! one short message, and lists the map only if that is another than before.
//!
//! ```no_run
//! use unmasq_netfilter::maps::Maps;
//! use unmasq_netfilter::netns::Namespace;
//!
//! let mut maps = Maps::open(&Namespace::current())?;
//! let generation = maps.generation()?;
//! for mapping in maps.list(&"ip natmap clients".parse()?)?.ok_or("there is no such map")? {
//!     println!("{} has {:?} of {}", mapping.client, mapping.ports, mapping.to);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::conntrack::ParseError;
use crate::exchange::{ATTEMPTS, Dumped, Questions};
use crate::netns::Namespace;
use crate::sets::SetId;
use crate::sets::encode::question;
use crate::sets::kernel::{
    GENERATION_ID, GET_ELEMENTS, GET_GENERATION, GET_SET, NEW_ELEMENTS, NEW_GENERATION, NEW_SET, NFGENMSG,
    element, key_type, list, set,
};
use crate::sets::parse::{each_element, value};
use crate::wire::{self, Attribute, Attributes, Message, Request};
use crate::{Error, Result};

const READING: &str = "reading a map of nftables";
const LISTING: &str = "listing a map of nftables";
const GENERATION: &str = "asking for the generation of the ruleset";

/// nft's number of `ipv4_addr . inet_service`.
const ADDRESS_AND_PORT: u32 = key_type::IPV4_ADDR << key_type::BITS | key_type::INET_SERVICE;

/// An element of a map: what a client is translated into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Whose packets.
    pub client: Ipv4Addr,
    /// The address that they get; the first, if there are several.
    pub to: Ipv4Addr,
    /// The last address that they get; mostly the same. Not before [`Mapping::to`].
    pub to_last: Ipv4Addr,
    /// The ports that they get; `None` in a map of addresses alone. Not empty.
    pub ports: Option<RangeInclusive<u16>>,
}

/// Reads the maps of one namespace.
#[derive(Debug)]
pub struct Maps {
    questions: Questions,
}

impl Maps {
    /// Opens it in the namespace. Every use needs `CAP_NET_ADMIN` there.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        Ok(Self { questions: Questions::open(namespace, Some(rustix::net::netlink::NETFILTER))? })
    }

    /// The number of the ruleset: another one after each transaction that changed something, elements of sets and maps
    /// included. It wraps around. Elements that rules add, or that end by themselves, leave it as it is.
    pub fn generation(&mut self) -> Result<u32> {
        let request = |sequence| Request::new(GET_GENERATION, 0, sequence, &[0; NFGENMSG]).finish();
        self.questions
            .one(GENERATION, NEW_GENERATION, request, generation)?
            .ok_or(Error::Parse { doing: GENERATION, source: ParseError::Missing("NFTA_GEN_ID") })
    }

    /// What the map holds, in no order; `None` if there is no such table or map. What holds for all other clients
    /// (`*`) is left out.
    ///
    /// Its type must be `ipv4_addr` to `ipv4_addr` or `ipv4_addr . inet_service`, with or without `interval` before
    /// the latter; else it is [`Error::MapType`].
    pub fn list(&mut self, id: &SetId) -> Result<Option<Vec<Mapping>>> {
        let names = (set::TABLE, set::NAME);
        let request = |sequence| question(GET_SET, 0, sequence, id, names);
        let Some(form) = self.questions.one(READING, NEW_SET, request, form)? else { return Ok(None) };
        let form = form.ok_or_else(|| Error::MapType { map: id.to_string() })?;
        let names = (list::TABLE, list::SET);
        let mut attempt = 1;
        loop {
            let mut mappings = Vec::new();
            let dumped = self.questions.all(
                LISTING,
                NEW_ELEMENTS,
                |sequence| question(GET_ELEMENTS, wire::NLM_F_DUMP, sequence, id, names),
                |message| take(message, form, &mut mappings),
            )?;
            match dumped {
                Dumped::NotThere => return Ok(None),
                Dumped::Interrupted if attempt < ATTEMPTS => attempt += 1,
                Dumped::Whole | Dumped::Interrupted => return Ok(Some(mappings)),
            }
        }
    }
}

/// What the elements of a map look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    has_ports: bool,
    /// First and last of an interval, one after the other.
    is_interval: bool,
}

impl Form {
    const fn length(self) -> usize {
        // Each part of a concatenation takes whole words of 32 bits.
        (if self.has_ports { 8 } else { 4 }) * (if self.is_interval { 2 } else { 1 })
    }
}

/// Reads the body of a `NFT_MSG_NEWSET`; `None` for any other map, and for a set.
fn form(message: &Message<'_>) -> Result<Option<Form>, ParseError> {
    let (mut flags, mut key, mut data, mut length) = (0, 0, 0, 0);
    for attribute in body(message)? {
        let attribute = attribute?;
        match attribute.kind {
            set::FLAGS => flags = attribute.be32("NFTA_SET_FLAGS")?,
            set::KEY_TYPE => key = attribute.be32("NFTA_SET_KEY_TYPE")?,
            set::DATA_TYPE => data = attribute.be32("NFTA_SET_DATA_TYPE")?,
            set::DATA_LENGTH => length = attribute.be32("NFTA_SET_DATA_LEN")?,
            _ => {}
        }
    }
    let has_ports = match data {
        key_type::IPV4_ADDR => false,
        ADDRESS_AND_PORT => true,
        _ => return Ok(None),
    };
    let is_map = key == key_type::IPV4_ADDR && flags & set::FLAG_MAP != 0 && flags & set::FLAG_INTERVAL == 0;
    // The kernel keeps no mark of an interval in what a map gives: only its length tells.
    let forms = [false, true].map(|is_interval| Form { has_ports, is_interval });
    Ok(forms.into_iter().find(|form| is_map && form.length() == length as usize))
}

/// Takes in the body of a `NFT_MSG_NEWSETELEM`.
fn take(message: &Message<'_>, form: Form, mappings: &mut Vec<Mapping>) -> Result<(), ParseError> {
    each_element(message, |entry| {
        mappings.extend(mapping(entry, form)?);
        Ok(())
    })
}

/// `None` for the element of all other clients, and for an interval that goes backwards, which nft does not make and
/// the kernel does not refuse.
fn mapping(entry: &Attribute<'_>, form: Form) -> Result<Option<Mapping>, ParseError> {
    let (mut key, mut data, mut flags) = (None, None, 0);
    for attribute in entry.nested() {
        let attribute = attribute?;
        match attribute.kind {
            element::KEY => key = value(&attribute)?,
            element::DATA => data = value(&attribute)?,
            element::FLAGS => flags = attribute.be32("NFTA_SET_ELEM_FLAGS")?,
            _ => {}
        }
    }
    if flags & element::FLAG_CATCHALL != 0 {
        return Ok(None);
    }
    let key = key.ok_or(ParseError::Missing("NFTA_SET_ELEM_KEY"))?;
    let data = data.ok_or(ParseError::Missing("NFTA_SET_ELEM_DATA"))?;
    let wrong =
        |value: &[u8], expected| ParseError::Size { name: "NFTA_DATA_VALUE", length: value.len(), expected };
    let client = <[u8; 4]>::try_from(key).map(Ipv4Addr::from).map_err(|_| wrong(key, 4))?;
    let length = form.length();
    if data.len() != length {
        return Err(wrong(data, length));
    }
    let (first, last) = if form.is_interval { data.split_at(length / 2) } else { (data, data) };
    let end = |part: &[u8]| {
        let (address, rest) = part.split_first_chunk::<4>()?;
        Some((Ipv4Addr::from(*address), rest.first_chunk().copied().map(u16::from_be_bytes)))
    };
    let ((to, from_port), (to_last, to_port)) = end(first).zip(end(last)).ok_or(wrong(data, length))?;
    let ports = from_port.zip(to_port).map(|(from, to)| from..=to);
    let is_forward = to <= to_last && ports.as_ref().is_none_or(|ports| !ports.is_empty());
    Ok(is_forward.then_some(Mapping { client, to, to_last, ports }))
}

/// Reads the body of a `NFT_MSG_NEWGEN`.
fn generation(message: &Message<'_>) -> Result<u32, ParseError> {
    for attribute in body(message)? {
        let attribute = attribute?;
        if attribute.kind == GENERATION_ID {
            return attribute.be32("NFTA_GEN_ID");
        }
    }
    Err(ParseError::Missing("NFTA_GEN_ID"))
}

fn body<'a>(message: &Message<'a>) -> Result<Attributes<'a>, ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    message.body.get(NFGENMSG..).map(Attributes).ok_or(short)
}

/// The parsers on any bytes.
pub(crate) fn fuzz(bytes: &[u8]) {
    for (has_ports, is_interval) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut mappings = Vec::new();
        for message in wire::Messages::new(bytes).map_while(std::result::Result::ok) {
            // An error is a right answer to most bytes.
            let _ = (form(&message), generation(&message));
            let _ = take(&message, Form { has_ports, is_interval }, &mut mappings);
        }
        assert!(mappings.len() * 8 <= bytes.len() + 3, "{} in {} bytes", mappings.len(), bytes.len());
        for mapping in mappings {
            assert!(mapping.to <= mapping.to_last && mapping.ports.is_some() == has_ports);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Messages;

    /// What the kernel lists of these, if their data looks so.
    fn listed(mappings: &[Mapping], form: Form) -> Vec<Mapping> {
        let mut request = Request::new(NEW_ELEMENTS, 0, 1, &[2, 0, 0, 0]);
        request.nest(list::ELEMENTS, |elements| {
            for mapping in mappings {
                let mut data = Vec::new();
                let ports = mapping.ports.as_ref();
                let last = (mapping.to_last, ports.map(RangeInclusive::end));
                let ends = [(mapping.to, ports.map(RangeInclusive::start)), last];
                for (address, port) in &ends[..if form.is_interval { 2 } else { 1 }] {
                    data.extend(address.octets());
                    data.extend(port.iter().flat_map(|port| port.to_be_bytes()));
                    data.resize(data.len().next_multiple_of(4), 0);
                }
                elements.nest(list::ONE, |one| {
                    one.nest(element::KEY, |key| key.put(element::VALUE, &mapping.client.octets()));
                    one.nest(element::DATA, |nest| nest.put(element::VALUE, &data));
                });
            }
        });
        let bytes = request.finish();
        let mut read = Vec::new();
        for message in Messages::new(&bytes) {
            take(&message.unwrap(), form, &mut read).unwrap();
        }
        read
    }

    proptest! {
        #[test]
        fn what_the_kernel_has_is_what_is_listed(
            parts in prop::collection::vec(any::<(u32, u32, u32, u16, u16)>(), 0..200),
            has_ports in any::<bool>(),
            is_interval in any::<bool>(),
        ) {
            let of = |(client, a, b, from, to): &(u32, u32, u32, u16, u16)| {
                let (b, to) = if is_interval { (b, to) } else { (a, from) };
                Mapping {
                    client: Ipv4Addr::from(*client),
                    to: Ipv4Addr::from(*a.min(b)),
                    to_last: Ipv4Addr::from(*a.max(b)),
                    ports: has_ports.then_some(*from.min(to)..=*from.max(to)),
                }
            };
            let mappings: Vec<Mapping> = parts.iter().map(of).collect();
            prop_assert_eq!(listed(&mappings, Form { has_ports, is_interval }), mappings);
        }
    }

    #[test]
    fn an_interval_that_goes_backwards_is_left_out() {
        let mapping = Mapping {
            client: Ipv4Addr::LOCALHOST,
            to: Ipv4Addr::new(192, 0, 2, 2),
            to_last: Ipv4Addr::new(192, 0, 2, 1),
            ports: None,
        };
        assert_eq!(listed(&[mapping], Form { has_ports: false, is_interval: true }), []);
    }
}
