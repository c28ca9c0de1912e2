//! The header of the PROXY protocol (haproxy.org, proxy-protocol.txt), by which a proxy says whose connection it hands over.

use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, PartialResult, v1, v2};

use super::socket::canonical;

/// Longest header: version 2 with all its extensions may have 64 KiB, and nobody sends more than a fraction.
const LONGEST: usize = 4096;

/// What the front of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More has to come.
    Partial,
    /// A header.
    Whole(Header),
    /// No header.
    Bad,
}

/// A header of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its bytes.
    pub(super) length: usize,
    /// `None` if the proxy does not say, or speaks for itself.
    pub(super) ends: Option<Ends>,
}

/// Whose connection it is, and where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) destination: SocketAddr,
}

impl Ends {
    fn new(client: (impl Into<IpAddr>, u16), destination: (impl Into<IpAddr>, u16)) -> Self {
        let [client, destination] = [(client.0.into(), client.1), (destination.0.into(), destination.1)]
            .map(|(address, port)| canonical(SocketAddr::new(address, port)));
        Self { client, destination }
    }
}

/// Reads the header at the front.
pub(super) fn read(bytes: &[u8]) -> Read {
    let parsed = HeaderResult::parse(bytes);
    if parsed.is_incomplete() {
        return if bytes.len() < LONGEST { Read::Partial } else { Read::Bad };
    }
    match parsed {
        HeaderResult::V1(Ok(header)) => {
            let ends = match header.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(tcp) => Some(Ends::new(
                    (tcp.source_address, tcp.source_port),
                    (tcp.destination_address, tcp.destination_port),
                )),
                v1::Addresses::Tcp6(tcp) => Some(Ends::new(
                    (tcp.source_address, tcp.source_port),
                    (tcp.destination_address, tcp.destination_port),
                )),
            };
            Read::Whole(Header { length: header.header.len(), ends })
        }
        HeaderResult::V2(Ok(header)) => {
            let ends = match (header.command, &header.addresses) {
                (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
                (v2::Command::Proxy, v2::Addresses::IPv4(tcp)) => Some(Ends::new(
                    (tcp.source_address, tcp.source_port),
                    (tcp.destination_address, tcp.destination_port),
                )),
                (v2::Command::Proxy, v2::Addresses::IPv6(tcp)) => Some(Ends::new(
                    (tcp.source_address, tcp.source_port),
                    (tcp.destination_address, tcp.destination_port),
                )),
            };
            Read::Whole(Header { length: header.len(), ends })
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Read::Bad,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_proxy_says_who_the_client_is_in_either_version() {
        let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.9 4242 22\r\nSSH-2.0-x\r\n";
        let ends = Some(Ends {
            client: "192.0.2.7:4242".parse().unwrap(),
            destination: "198.51.100.9:22".parse().unwrap(),
        });
        assert_eq!(read(v1), Read::Whole(Header { length: v1.len() - 11, ends }));
        assert_eq!(read(&v1[..20]), Read::Partial);
        let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        v2.extend([192, 0, 2, 7, 198, 51, 100, 9, 0x10, 0x92, 0, 22]);
        v2.extend(b"SSH-2.0-x");
        assert_eq!(read(&v2), Read::Whole(Header { length: 28, ends }));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Read::Whole(Header { length: 15, ends: None }));
        let check = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
        assert_eq!(read(check), Read::Whole(Header { length: 16, ends: None }), "a proxy's own check");
    }

    #[test]
    fn who_sends_no_header_is_refused() {
        assert_eq!(read(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Read::Bad);
        assert_eq!(read(b"PROXY TCP4 192.0.2.7 nonsense 1 2\r\n"), Read::Bad);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_refused_or_wait(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for front in [&b""[..], b"PROXY ", b"PROXY TCP6 ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
                let mut all = front.to_vec();
                all.extend(&bytes);
                if let Read::Whole(header) = read(&all) {
                    prop_assert!(header.length <= all.len());
                }
            }
        }
    }
}
