//! The parsers on any bytes.

use super::connection::line_of;
use super::{encode, info};
use crate::wire::Messages;

pub(crate) fn parse_all(bytes: &[u8]) {
    let mut listed = Vec::new();
    for message in Messages::new(bytes).map_while(Result::ok) {
        // An error is a right answer to most bytes.
        let _ = (info::parse(&message), encode::list(&message, &mut listed));
        line_of(message.body);
    }
    assert!(listed.len() * 4 <= bytes.len() + 3, "{} elements in {} bytes", listed.len(), bytes.len());
    for one in listed {
        assert!(one.member.first() <= one.member.last() && one.member.as_network().is_some());
    }
}
