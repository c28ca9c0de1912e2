//! Packets before there are keys (RFC 4253, section 6): length, padding, payload, padding.

/// Most bytes of a packet, its length field excluded (`PACKET_MAX_SIZE` of OpenSSH's packet.c is 256 KiB; RFC 4253 asks for 35,000).
pub const MOST_PACKET: u32 = 256 * 1024;

/// What is at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// More bytes are needed.
    Partial,
    /// A packet.
    Whole {
        /// Its payload, which begins with the message number; never empty.
        payload: &'a [u8],
        /// Its length on the wire.
        length: usize,
    },
    /// No packet can begin so: the length or the padding is out of range.
    Bad,
}

/// Reads the packet at the front.
pub fn read(bytes: &[u8]) -> Frame<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Frame::Partial };
    let length = u32::from_be_bytes(*length);
    // OpenSSH's bounds: at least padding length, message number and four bytes of padding, in blocks of eight.
    if !(1 + 4..=MOST_PACKET).contains(&length) || !(length + 4).is_multiple_of(8) {
        return Frame::Bad;
    }
    let Some(packet) = rest.get(..length as usize) else { return Frame::Partial };
    let padding = usize::from(packet[0]);
    match packet.get(1..packet.len().saturating_sub(padding)) {
        Some(payload) if padding >= 4 && !payload.is_empty() => {
            Frame::Whole { payload, length: length as usize + 4 }
        }
        _ => Frame::Bad,
    }
}

/// Writes a packet without encryption, with padding of zeros, as OpenSSH does before there are keys.
pub fn write(payload: &[u8], out: &mut Vec<u8>) {
    let unpadded = 4 + 1 + payload.len();
    let mut padding = 8 - unpadded % 8;
    if padding < 4 {
        padding += 8;
    }
    out.extend(u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX).to_be_bytes());
    out.push(padding as u8);
    out.extend(payload);
    out.resize(out.len() + padding, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(payload in prop::collection::vec(any::<u8>(), 1..200), more in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = Vec::new();
            write(&payload, &mut bytes);
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(read(&bytes[..cut]), Frame::Partial);
            }
            bytes.extend(more);
            prop_assert_eq!(read(&bytes), Frame::Whole { payload: &payload, length });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Frame::Whole { payload, length } = read(&bytes) {
                prop_assert!(payload.len() < length && length <= bytes.len());
            }
        }
    }

    #[test]
    fn lengths_out_of_range_are_refused() {
        assert_eq!(read(&[0, 0, 0, 0, 0]), Frame::Bad);
        assert_eq!(read(b"GET / HTTP"), Frame::Bad);
        assert_eq!(read(&[0, 0, 0, 12, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Frame::Bad);
    }
}
