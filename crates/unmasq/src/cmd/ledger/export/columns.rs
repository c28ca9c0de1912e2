//! The columns of an export: one table for CSV and Parquet, so that both say the same.

use std::fmt::Write as _;

use unmasq_flow::{Bound, Destination, Endpoint, Flow, Selector, Timestamp};

/// What a column holds; every column may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An instant: RFC 3339 in CSV, microseconds UTC in Parquet.
    Time,
    /// Text.
    Text,
    /// A number from 0 to 65535.
    U16,
    /// A number below 2^32.
    U32,
    /// A number below 2^64.
    U64,
}

/// One column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cell: fn(&Flow, &mut String) -> Cell,
}

/// A flow's value in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// Not known, or the flow has none.
    Empty,
    /// An instant.
    Time(Timestamp),
    /// A number.
    Number(u64),
    /// The text that was written into the buffer.
    Text,
}

const fn column(name: &'static str, kind: Kind, cell: fn(&Flow, &mut String) -> Cell) -> Column {
    Column { name, kind, cell }
}

/// All columns, in order.
pub(super) const COLUMNS: [Column; 31] = [
    column("start", Kind::Time, |f, _| earliest(f.start)),
    column("start_latest", Kind::Time, |f, _| latest(f.start)),
    column("start_bound", Kind::Text, |f, t| text(t, f.start.kind())),
    column("end", Kind::Time, |f, _| earliest(f.end)),
    column("end_latest", Kind::Time, |f, _| latest(f.end)),
    column("end_bound", Kind::Text, |f, t| text(t, f.end.kind())),
    column("protocol", Kind::Text, |f, t| text(t, f.protocol)),
    column("client_address", Kind::Text, |f, t| text(t, f.client.address)),
    column("client_port", Kind::U16, |f, _| port(f.client)),
    column("client_id", Kind::U16, |f, _| id(f.client)),
    column("masked_address", Kind::Text, |f, t| text(t, f.masked.address)),
    column("masked_port", Kind::U16, |f, _| port(f.masked)),
    column("masked_id", Kind::U16, |f, _| id(f.masked)),
    column("target_address", Kind::Text, |f, t| kept(f.target, |e| text(t, e.address))),
    column("target_port", Kind::U16, |f, _| kept(f.target, port)),
    column("target_id", Kind::U16, |f, _| kept(f.target, id)),
    column("target_hash", Kind::Text, |f, t| hashed(f.target, t)),
    column("server_address", Kind::Text, |f, t| kept(f.server, |e| text(t, e.address))),
    column("server_port", Kind::U16, |f, _| kept(f.server, port)),
    column("server_id", Kind::U16, |f, _| kept(f.server, id)),
    column("server_hash", Kind::Text, |f, t| hashed(f.server, t)),
    column("stream", Kind::Text, |f, t| text(t, &f.origin.stream)),
    column("namespace", Kind::Text, |f, t| text(t, &f.origin.namespace)),
    column("zone_original", Kind::U16, |f, _| Cell::Number(f.origin.zones.original.into())),
    column("zone_reply", Kind::U16, |f, _| Cell::Number(f.origin.zones.reply.into())),
    column("mark", Kind::U32, |f, _| Cell::Number(f.mark.into())),
    column("status", Kind::U32, |f, _| Cell::Number(f.status.0.into())),
    column("packets_original", Kind::U64, |f, _| {
        f.traffic.map_or(Cell::Empty, |t| Cell::Number(t.original.packets))
    }),
    column("bytes_original", Kind::U64, |f, _| {
        f.traffic.map_or(Cell::Empty, |t| Cell::Number(t.original.bytes))
    }),
    column("packets_reply", Kind::U64, |f, _| {
        f.traffic.map_or(Cell::Empty, |t| Cell::Number(t.reply.packets))
    }),
    column("bytes_reply", Kind::U64, |f, _| f.traffic.map_or(Cell::Empty, |t| Cell::Number(t.reply.bytes))),
];

fn instant(time: Timestamp) -> Cell {
    if time.is_finite() { Cell::Time(time) } else { Cell::Empty }
}

fn earliest(bound: Bound) -> Cell {
    instant(bound.earliest())
}

/// Only where it is another than the earliest.
fn latest(bound: Bound) -> Cell {
    match bound {
        Bound::Between(_, to) => instant(to),
        Bound::Exact(_) | Bound::Read(_) | Bound::Open | Bound::Unknown => Cell::Empty,
    }
}

fn text(buffer: &mut String, value: impl std::fmt::Display) -> Cell {
    // Writing into a string cannot fail.
    let _ = write!(buffer, "{value}");
    Cell::Text
}

fn port(endpoint: Endpoint) -> Cell {
    match endpoint.selector {
        Selector::Port(port) => Cell::Number(port.into()),
        Selector::Id(_) | Selector::None => Cell::Empty,
    }
}

fn id(endpoint: Endpoint) -> Cell {
    match endpoint.selector {
        Selector::Id(id) => Cell::Number(id.into()),
        Selector::Port(_) | Selector::None => Cell::Empty,
    }
}

fn kept(destination: Destination, cell: impl FnOnce(Endpoint) -> Cell) -> Cell {
    destination.endpoint().map_or(Cell::Empty, cell)
}

fn hashed(destination: Destination, buffer: &mut String) -> Cell {
    match destination {
        Destination::Hashed(bits) => text(buffer, format_args!("{bits:04x}")),
        Destination::Kept(_) | Destination::Omitted => Cell::Empty,
    }
}
