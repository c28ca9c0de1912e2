//! The addresses of a WireGuard interface, as `wg-quick` reads them.
//!
//! ```text
//! [Interface]
//! Address = 10.43.0.1/24,10.44.0.1/24,fd43::1/64
//! ```
//!
//! A server's clients are the peers in the networks of its own addresses. IPv6 addresses are passed over. Like wg-quick,
//! this does not heed the case of sections and keys, takes everything behind `#` for a comment, and joins repeated keys.
//! Other keys are not looked at, nor are the peers: eduVPN adds them while the server runs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::Path;

use ipnet::Ipv4Net;
use unmasq_diagnostic::{Invalid, Problem};

use super::{ClientNetwork, lines};

/// Reads a server file's text; `file` is for messages and results.
///
/// ```
/// use std::path::Path;
/// use unmasq_eduvpn::node::wireguard;
///
/// let found = wireguard::parse(Path::new("wg0.conf"), "[Interface]\nAddress = 10.43.0.1/24, fd43::1/64\n")?;
/// assert_eq!(found[0].network.to_string(), "10.43.0.0/24");
/// assert_eq!(found[0].gateway.to_string(), "10.43.0.1");
/// # Ok::<(), unmasq_diagnostic::Invalid>(())
/// ```
pub fn parse(file: &Path, text: &str) -> Result<Vec<ClientNetwork>, Invalid> {
    let mut networks = Vec::new();
    let mut problems = Vec::new();
    let mut in_interface = false;
    for (number, start, line) in lines(text) {
        let line = line.split('#').next().unwrap_or_default();
        let key = line.split('=').next().unwrap_or_default();
        let word = key.trim();
        if word.starts_with('[') {
            in_interface = word.eq_ignore_ascii_case("[interface]");
            continue;
        }
        if !in_interface || !begins_with_address(word) {
            continue;
        }
        // Key and value are slices of the line, which has one = at most between them.
        let value = line.get(key.len() + 1..).unwrap_or_default();
        let at = start + line.len() - line.trim_start().len();
        if word.len() != "address".len() || value.trim().is_empty() {
            let message = "an address is written: Address = 10.43.0.1/24";
            problems.push(Problem::error(at..start + line.trim_end().len(), message));
            continue;
        }
        for (place, item) in items(value) {
            let place = start + key.len() + 1 + place.start..start + key.len() + 1 + place.end;
            match address(item) {
                Ok(Some((network, gateway))) => {
                    networks.push(ClientNetwork { network, gateway, file: file.to_owned(), line: number });
                }
                Ok(None) => {}
                Err(message) => problems.push(Problem::error(place, message)),
            }
        }
    }
    if problems.is_empty() { Ok(networks) } else { Err(Invalid::new(file, text, problems)) }
}

/// Is this the key, or is it the key with an address behind it and the = forgotten?
fn begins_with_address(word: &str) -> bool {
    word.split_ascii_whitespace().next().is_some_and(|first| first.eq_ignore_ascii_case("address"))
}

/// The parts between commas and blanks, and where they stand.
fn items(value: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    value
        .split_inclusive(|c: char| c == ',' || c.is_whitespace())
        .map(move |part| {
            let start = at;
            at += part.len();
            let item = part.trim_end_matches(|c: char| c == ',' || c.is_whitespace());
            (start..start + item.len(), item)
        })
        .filter(|(_, item)| !item.is_empty())
}

/// The network and the address in it; nothing for one of IPv6.
fn address(item: &str) -> Result<Option<(Ipv4Net, Ipv4Addr)>, &'static str> {
    let (address, length) = item.split_once('/').map_or((item, None), |(a, l)| (a, Some(l)));
    let digits = |text: &str, max: u8| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|length| is_number && *length <= max)
    };
    if address.parse::<Ipv6Addr>().is_ok() {
        let fits = length.is_none_or(|text| digits(text, 128).is_some());
        return if fits { Ok(None) } else { Err("a prefix length of IPv6 is a number from 0 to 128") };
    }
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return Err("this is no IP address; write it as 10.43.0.1/24 or fd43::1/64");
    };
    let wanted = "a prefix length is a number from 0 to 32; write the address as 10.43.0.1/24";
    let length = length.map_or(Some(32), |text| digits(text, 32)).ok_or(wanted)?;
    let network = Ipv4Net::new(address, length).map_err(|_| wanted)?.trunc();
    Ok(Some((network, address)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let networks = parse(Path::new("wg0.conf"), text).unwrap_or_else(|error| panic!("{error}"));
        networks.iter().map(|n| format!("{} {} {}", n.network, n.gateway, n.line)).collect()
    }

    fn wrong(text: &str) -> String {
        parse(Path::new("wg0.conf"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_eduvpns_portal_writes_is_read() {
        let text = "[Interface]\nMTU = 1392\nAddress = 10.43.43.1/24,10.44.44.1/25,fd43::1/64,fd44::1/64\nListenPort = 51820\nPrivateKey = AAAA=";
        assert_eq!(found(text), ["10.43.43.0/24 10.43.43.1 3", "10.44.44.0/25 10.44.44.1 3"]);
    }

    #[test]
    fn case_blanks_comments_and_repeated_keys_are_as_in_wg_quick() {
        let text = "# Address = 1.1.1.1/24\r\n\n  [interface] # here\n\tADDRESS=10.0.0.9/8#, 11.0.0.1/8\naddress =  fd00::1 10.1.0.1/16 ,, 10.2.0.1/16,\n";
        assert_eq!(
            found(text),
            ["10.0.0.0/8 10.0.0.9 4", "10.1.0.0/16 10.1.0.1 5", "10.2.0.0/16 10.2.0.1 5"]
        );
    }

    #[test]
    fn only_the_interface_has_addresses() {
        assert!(
            found("Address = x\n[Peer]\nAddress = y\nAllowedIPs = 10.0.0.2/32\n[Interface]\nAddresses = z\n")
                .is_empty()
        );
        assert_eq!(found("[Peer]\n[Interface]\nAddress = 10.0.0.1/24\n").len(), 1);
        assert_eq!(found("[Interface]\nAddress = 10.0.0.1\n"), ["10.0.0.1/32 10.0.0.1 2"]);
    }

    #[test]
    fn what_is_no_address_is_marked() {
        assert_eq!(
            wrong("[Interface]\nAddress = 10.0.0.1/24, 10.0.1/24\n"),
            "wg0.conf:2:24: this is no IP address; write it as 10.43.0.1/24 or fd43::1/64\n  |\n2 | Address = 10.0.0.1/24, 10.0.1/24\n  |                        ^^^^^^^^^"
        .to_owned() + "\n");
        for (value, message) in [
            ("= 10.0.0.1/33", "prefix length is a number from 0 to 32"),
            ("= 10.0.0.1/", "prefix length is a number from 0 to 32"),
            ("= 10.0.0.1/+8", "prefix length is a number from 0 to 32"),
            ("= fd00::1/129", "prefix length of IPv6"),
            ("= ", "an address is written"),
            ("10.0.0.1/24", "an address is written"),
            ("", "an address is written"),
        ] {
            let error = wrong(&format!("[Interface]\nPrivateKey = secret=\nAddress {value}\n"));
            assert!(error.starts_with("wg0.conf:3:") && error.contains(message), "{value}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let error = parse(Path::new("f"), "[Interface]\nAddress = a, 10.0.0.1/24, b\nAddress\n").unwrap_err();
        assert_eq!(
            error.problems().map(|(line, column, _)| (line, column)).collect::<Vec<_>>(),
            [(2, 11), (2, 27), (3, 1)]
        );
    }

    fn gateway() -> impl Strategy<Value = (Ipv4Net, Ipv4Addr)> {
        (any::<u32>(), 1u8..=30, any::<u32>()).prop_map(|(bits, length, host)| {
            let network = Ipv4Net::new(bits.into(), length).unwrap().trunc();
            let hosts = u32::MAX >> length;
            let gateway = Ipv4Addr::from(u32::from(network.addr()) + 1 + host % (hosts - 1));
            (network, gateway)
        })
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", near in "([\\[\\]=,/#. \n\r\ta1]|Address|Interface|10.0.0.1/24|é){0,40}") {
            let _ = parse(Path::new("f"), &text);
            let _ = parse(Path::new("f"), &near);
            let _ = parse(Path::new("f"), &format!("[Interface]\n{near}"));
            let _ = super::super::parse(Path::new("f"), &near);
        }

        #[test]
        fn what_is_written_is_read_as_the_same(
            lines in proptest::collection::vec(proptest::collection::vec(gateway(), 1..4), 0..5)
        ) {
            let line = |items: &Vec<(Ipv4Net, Ipv4Addr)>| {
                let items: Vec<_> =
                    items.iter().map(|(network, gateway)| format!("{gateway}/{}", network.prefix_len())).collect();
                format!("Address = fd00::1/64, {}\n", items.join(", "))
            };
            let text = format!("[Interface]\n{}", lines.iter().map(line).collect::<String>());
            let found = parse(Path::new("f"), &text).unwrap();
            let found: Vec<_> = found.iter().map(|n| (n.line, n.network, n.gateway)).collect();
            let wanted: Vec<_> = lines.iter().enumerate()
                .flat_map(|(nth, items)| items.iter().map(move |(network, gateway)| (nth + 2, *network, *gateway)))
                .collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
