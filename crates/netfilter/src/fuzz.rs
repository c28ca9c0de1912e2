//! Entry points for fuzzing: plain functions over any bytes, run by `cargo fuzz` and by the tests on a corpus
//! and on mutations. They panic when something that must always hold does not.

use crate::addresses::{self, LocalAddresses};
use crate::conntrack;
use crate::rtnetlink;
use crate::wire::Messages;

/// Parses the bytes as a datagram of conntrack messages.
///
/// # Panics
///
/// If the report does not agree with the events, or with how many messages so many bytes can hold.
pub fn conntrack(bytes: &[u8]) {
    let mut seen = 0;
    let Ok(progress) = conntrack::parse(bytes, &mut |_| seen += 1) else { return };
    assert_eq!(progress.events, seen);
    assert_eq!(progress.damaged > 0, progress.first_damage.is_some());
    let messages = progress.events as usize + progress.damaged as usize + progress.others as usize;
    assert!(messages * 16 <= bytes.len() + 3, "{messages} messages in {} bytes", bytes.len());
    if progress.events == 1 && progress.damaged + progress.others == 0 {
        // The same event again when more follows it: nothing of it was read from beyond its end.
        let mut longer = bytes.to_vec();
        longer.resize(longer.len().next_multiple_of(4), 0);
        longer.extend_from_slice(bytes);
        let mut events = Vec::new();
        if conntrack::parse(&longer, &mut |event| events.push(event)).is_ok()
            && let [first, second, ..] = events[..]
        {
            assert_eq!(first, second);
        }
    }
}

/// Parses the bytes as a datagram of address changes, and as what is said of links and routes.
pub fn addresses(bytes: &[u8]) {
    // An error is a right answer to most bytes.
    let _ = addresses::note_all(&mut LocalAddresses::default(), bytes);
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = (rtnetlink::link(&message), rtnetlink::default_route(&message));
    }
}

/// Reads the bytes as what nftables and ipset say of sets, and nftables of maps.
///
/// # Panics
///
/// If more is read than so many bytes can hold, or something that no set can hold.
pub fn fuzz_sets(bytes: &[u8]) {
    crate::sets::fuzz::parse_all(bytes);
    crate::ipset::fuzz::parse_all(bytes);
    crate::maps::fuzz(bytes);
}

/// Parses the bytes as a datagram of logged packets.
///
/// # Panics
///
/// If a packet is longer than what it is in.
pub fn nflog(bytes: &[u8]) {
    // An error is a right answer to most bytes.
    let _ = crate::nflog::parse(bytes, &mut |logged| assert!(logged.packet.len() <= bytes.len()));
}
