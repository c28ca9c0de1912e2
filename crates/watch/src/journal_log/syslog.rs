//! RFC 3164 as /dev/log takes it: `<PRI>Mmm dd hh:mm:ss identifier[pid]: message`, one line.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use jiff::Zoned;

use super::Record;

/// Facility `daemon` (RFC 5424, table 1).
const FACILITY: u8 = 3;
/// Longest line: what common daemons take without cutting (rsyslog's `maxMessageSize`).
const LONGEST: usize = 8192;

/// A record as a datagram.
pub(super) fn encode(out: &mut Vec<u8>, identifier: &str, record: &Record<'_>) {
    let stamp = Zoned::now().strftime("%b %e %H:%M:%S").to_string();
    let priority = FACILITY * 8 + record.level as u8;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "<{priority}>{stamp} {identifier}[{}]: ", std::process::id());
    encode_line(out, record);
    out.truncate(LONGEST);
}

/// The message on one line: controls and bytes that are no UTF-8 made visible, the chain in front.
pub(super) fn encode_line(out: &mut Vec<u8>, record: &Record<'_>) {
    if let Some(chain) = record.chain {
        visible(out, chain.as_bytes());
        out.extend_from_slice(b": ");
    }
    visible(out, record.message);
}

fn visible(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default().map(|c| c as u8));
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        out.extend(chunk.invalid().escape_ascii());
    }
}

/// Sends one datagram.
pub(super) fn send(socket: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    socket.send(datagram).map(drop)
}
