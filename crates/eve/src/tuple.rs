//! Who talks to whom, and the two numbers that name the conversation.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use unmasq_flow::Timestamp;

/// The protocol number of TCP.
const TCP: u8 = 6;

/// A TCP connection, from the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The client.
    pub source: SocketAddr,
    /// The server.
    pub destination: SocketAddr,
}

impl Tuple {
    /// The Community ID, version 1 with seed 0: the same for both directions, and in Suricata, Zeek and Arkime.
    pub fn community_id(&self) -> String {
        let ends = {
            let (a, b) = (self.source, self.destination);
            let key = |end: SocketAddr| (octets(end.ip()), end.port());
            if key(a) <= key(b) { [a, b] } else { [b, a] }
        };
        let mut hash = Sha1::new();
        hash.update([0, 0]);
        hash.update(octets(ends[0].ip()));
        hash.update(octets(ends[1].ip()));
        hash.update([TCP, 0]);
        hash.update(ends[0].port().to_be_bytes());
        hash.update(ends[1].port().to_be_bytes());
        format!("1:{}", STANDARD.encode(hash.finalize()))
    }

    /// Suricata's `flow_id`: from when the flow was first seen and a hash of the tuple, in 51 bits, so that JavaScript can hold it.
    pub fn flow_id(&self, since: Timestamp) -> u64 {
        // 32 bits of FNV-1a: Suricata's hash has a random seed for each start, so any will do.
        let hash = octets(self.source.ip())
            .into_iter()
            .chain(octets(self.destination.ip()))
            .chain(self.source.port().to_be_bytes())
            .chain(self.destination.port().to_be_bytes())
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let micros = since.as_nanos().rem_euclid(1_000_000_000) / 1000;
        let seconds = since.as_seconds() as u64 & 0xffff;
        ((seconds << 48) | ((micros as u64 & 0xffff) << 32) | u64::from(hash)) & 0x0007_ffff_ffff_ffff
    }
}

/// The bytes of an address in network order.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn community_ids_are_those_of_the_specification() {
        // The baseline of the reference implementation (corelight/pycommunityid): 128.232.110.120:34855 → 66.35.250.204:80.
        let tuple = Tuple {
            source: "128.232.110.120:34855".parse().unwrap(),
            destination: "66.35.250.204:80".parse().unwrap(),
        };
        assert_eq!(tuple.community_id(), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let back = Tuple { source: tuple.destination, destination: tuple.source };
        assert_eq!(back.community_id(), tuple.community_id());
    }

    #[test]
    fn flow_ids_differ_and_fit_into_a_double() {
        let tuple = |port| Tuple {
            source: SocketAddr::new([192, 0, 2, 1].into(), port),
            destination: "[2001:db8::1]:22".parse().unwrap(),
        };
        let at = Timestamp::from_nanos(i64::MAX - 1);
        assert!(tuple(1).flow_id(at) < 1 << 51);
        assert_ne!(tuple(1).flow_id(at), tuple(2).flow_id(at));
        assert_ne!(tuple(1).flow_id(at), tuple(1).flow_id(Timestamp::from_seconds(1)));
    }
}
