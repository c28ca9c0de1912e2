//! What the fuzz targets call: parsers of outside bytes, as plain functions. No part of the interface.

use std::net::Ipv4Addr;
use std::path::Path;

use rustc_hash::FxHashSet;
use unmasq_flow::Protocol;

use crate::{Allocation, Block, Plan, ProtocolSet, history, rules};

/// Rules of iptables-save or of eduVPN's script: read, and if they are a plan, printed and read again.
///
/// # Panics
///
/// If what was printed does not read as what was read.
pub fn rules(bytes: &[u8]) {
    let Ok(first) = rules::read(bytes) else { return };
    let printer = rules::Iptables { plan: &first.plan, out_interface: None };
    let printed = printer.file(&rules::Header::Unmasq("now".to_owned()));
    let again = rules::read(printed.as_bytes()).expect("what was printed can be read");
    assert_eq!(printable(&again.plan), printable(&first.plan), "{printed}");
}

/// Who has what by which protocol, of those that are printed. Of rules that stand twice, once.
fn printable(plan: &Plan) -> Vec<(Ipv4Addr, Block, Protocol)> {
    let of = |a: &Allocation| {
        let (client, block) = (a.client, a.block);
        a.protocols.intersection(ProtocolSet::TCP_UDP).iter().map(move |protocol| (client, block, protocol))
    };
    // Of one client and protocol, the first decides; in between others may stand.
    let mut seen = FxHashSet::default();
    let mut printable: Vec<_> =
        plan.allocations.iter().flat_map(of).filter(|one| seen.insert(*one)).collect();
    printable.sort_by_key(|(client, _, protocol)| (*client, *protocol));
    printable
}

/// A file of rows, and an index.
pub fn history(bytes: &[u8]) {
    history::parse_any(Path::new("fuzz"), bytes);
}
