//! The parsers on any bytes.

use super::kernel::{NEW_ELEMENTS, NEW_SET};
use super::parse::Listing;
use super::{Form, KeyType, SetInfo, events, info};
use crate::wire::Messages;

/// Every kind of set that is read in a way of its own.
const KINDS: [(KeyType, bool); 6] = [
    (KeyType::Ipv4, false),
    (KeyType::Ipv4, true),
    (KeyType::Ipv6, true),
    (KeyType::Ipv4Port, false),
    (KeyType::Ipv6Port, true),
    (KeyType::Other { number: 0, length: 2 }, false),
];

pub(crate) fn parse_all(bytes: &[u8]) {
    let mut events = 0;
    // An error is a right answer to most bytes.
    let _ = events::parse(bytes, &mut |_| events += 1);
    assert!(events * 16 <= bytes.len() + 3, "{events} messages in {} bytes", bytes.len());
    for (key, is_interval) in KINDS {
        let like = SetInfo {
            key,
            has_timeout: true,
            is_interval,
            form: Form::Set,
            size: None,
            default_timeout: None,
        };
        let mut listing = Listing::new(&like);
        for message in Messages::new(bytes).map_while(Result::ok) {
            match message.kind {
                NEW_SET => drop(info::parse(&message)),
                NEW_ELEMENTS => drop(listing.take(&message)),
                _ => {}
            }
        }
        let listed = listing.finish();
        assert!(listed.len() * 4 <= bytes.len() + 3, "{} elements in {} bytes", listed.len(), bytes.len());
        for one in listed {
            assert!(one.member.first() <= one.member.last());
            assert_eq!(one.member.first().is_ipv4(), one.member.last().is_ipv4());
            assert!(is_interval || one.member.ports().is_some() || one.member.is_single());
        }
    }
}
