//! An element as a person writes it, checked against the type of its set.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use unmasq_netfilter::sets::Member;

/// Longest name of an interface: `IFNAMSIZ` of linux/if.h, less its NUL.
const LONGEST_INTERFACE: usize = 15;

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Ipv4,
    Ipv6,
    Port,
    Interface,
    Mark,
    Ether,
    /// Another type of nft, by its name: checked by nft.
    Other(String),
}

/// An element that fits its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As it is shown, and as it is listed.
    pub(super) key: String,
    /// In nft's language.
    pub(super) nft: String,
    /// For a set of addresses.
    pub(super) member: Option<Member>,
    /// What a map gives, in nft's language.
    pub(super) value: Option<String>,
}

/// A part of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) shown: String,
    pub(super) nft: String,
}

impl Part {
    /// By nft's name of the type.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "ipv4_addr" => Self::Ipv4,
            "ipv6_addr" => Self::Ipv6,
            "inet_service" => Self::Port,
            "ifname" => Self::Interface,
            "mark" => Self::Mark,
            "ether_addr" => Self::Ether,
            other => Self::Other(other.to_owned()),
        }
    }

    fn parse(&self, text: &str, is_interval: bool) -> Result<Parsed, String> {
        let plain = |text: String| Ok(Parsed { nft: text.clone(), shown: text });
        match self {
            Self::Ipv4 => {
                plain(addresses::<Ipv4Addr>(text, "an IPv4 address, such as 192.0.2.1", is_interval)?)
            }
            Self::Ipv6 => {
                plain(addresses::<Ipv6Addr>(text, "an IPv6 address, such as 2001:db8::1", is_interval)?)
            }
            Self::Port => plain(one_or_range::<u16>(text, "a port, 0 to 65535", is_interval)?),
            Self::Mark => {
                let number =
                    text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
                let number = number.map_err(|_| wrong(text, "a mark, such as 7 or 0x1"))?;
                plain(number.to_string())
            }
            Self::Interface => {
                let bare = if is_interval { text.strip_suffix('*').unwrap_or(text) } else { text };
                let is_name = |c: char| c.is_ascii_graphic() && !"/\"*:;{}".contains(c);
                if !(1..=LONGEST_INTERFACE).contains(&text.len()) || !bare.chars().all(is_name) {
                    return Err(wrong(text, "the name of an interface, such as eth0"));
                }
                Ok(Parsed { nft: format!("\"{text}\""), shown: text.to_owned() })
            }
            Self::Ether => {
                let bytes: Vec<&str> = text.split(':').collect();
                let is_byte = |byte: &&str| byte.len() == 2 && byte.bytes().all(|c| c.is_ascii_hexdigit());
                if bytes.len() != 6 || !bytes.iter().all(is_byte) {
                    return Err(wrong(text, "a hardware address, such as 02:00:5e:10:00:01"));
                }
                plain(text.to_ascii_lowercase())
            }
            Self::Other(name) => {
                // Nothing that ends the element, or the statement, in nft's language.
                if text.is_empty()
                    || !text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.:/-".contains(&c))
                {
                    return Err(wrong(text, &format!("a value of nft's type {name}")));
                }
                plain(text.to_owned())
            }
        }
    }
}

fn wrong(text: &str, expected: &str) -> String {
    format!("{text:?} is not {expected}")
}

/// The parts of a key: between ` . `, or an address and a port with a colon.
pub(super) fn key(text: &str, parts: &[Part], is_interval: bool) -> Result<Vec<Parsed>, String> {
    let mut texts: Vec<&str> = text.trim().split(" . ").map(str::trim).collect();
    if let ([one], [Part::Ipv4 | Part::Ipv6, Part::Port]) = (&texts[..], parts)
        && let Some((address, port)) = one.rsplit_once(':')
    {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        // An IPv6 address alone ends with what looks like a port.
        match (bare, &parts[0]) {
            (Some(bare), _) => texts = vec![bare, port],
            (None, Part::Ipv4) => texts = vec![address, port],
            (None, _) => {}
        }
    }
    if texts.len() != parts.len() {
        let names: Vec<&str> = parts.iter().map(name).collect();
        return Err(format!("it has {} of the parts {}", texts.len(), names.join(" . ")));
    }
    texts.into_iter().zip(parts).map(|(text, part)| part.parse(text, is_interval)).collect()
}

/// The key and the value of a map's element.
pub(super) fn pair<'t>(text: &'t str, parts: &[Part]) -> (&'t str, Option<&'t str>) {
    if let Some((key, value)) = text.split_once(" : ") {
        return (key.trim(), Some(value.trim()));
    }
    // Of a key that has colons itself, the value stands behind a colon with blanks.
    if parts.iter().any(|part| matches!(part, Part::Ipv6 | Part::Ether | Part::Other(_))) {
        return (text, None);
    }
    match text.split_once(':') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (text, None),
    }
}

/// The member that a key of addresses is.
pub(super) fn address(parsed: &[Parsed], parts: &[Part]) -> Option<Member> {
    let (first, last) = match parsed.first()?.shown.as_str() {
        text if text.contains('/') => {
            let net: IpNet = text.parse().ok()?;
            (net.network(), net.broadcast())
        }
        text => {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            (from.parse().ok()?, to.parse().ok()?)
        }
    };
    let ports = match (parts.len(), parsed.get(1)) {
        (2, Some(ports)) => {
            let (from, to) = ports.shown.split_once('-').unwrap_or((&ports.shown, &ports.shown));
            Some(from.parse().ok()?..=to.parse().ok()?)
        }
        _ => None,
    };
    Member::range(first, last, ports)
}

fn name(part: &Part) -> &str {
    match part {
        Part::Ipv4 => "ipv4_addr",
        Part::Ipv6 => "ipv6_addr",
        Part::Port => "inet_service",
        Part::Interface => "ifname",
        Part::Mark => "mark",
        Part::Ether => "ether_addr",
        Part::Other(name) => name,
    }
}

fn addresses<A>(text: &str, expected: &str, is_interval: bool) -> Result<String, String>
where
    A: FromStr + Ord + Display + Into<IpAddr>,
{
    let Some((address, bits)) = text.split_once('/') else {
        return one_or_range::<A>(text, expected, is_interval);
    };
    let (Ok(address), Ok(bits)) = (address.parse::<A>(), bits.parse::<u8>()) else {
        return Err(wrong(text, expected));
    };
    let net = IpNet::new(address.into(), bits).map_err(|_| format!("{text:?} has too long a prefix"))?;
    if net.addr() != net.network() {
        return Err(format!("{text:?} has bits behind its prefix; the network is {}", net.trunc()));
    }
    if net.prefix_len() == net.max_prefix_len() {
        return Ok(net.addr().to_string());
    }
    if is_interval { Ok(net.to_string()) } else { Err(single(text)) }
}

fn one_or_range<T: FromStr + Ord + Display>(
    text: &str,
    expected: &str,
    is_interval: bool,
) -> Result<String, String> {
    let one = |text: &str| text.parse::<T>().map_err(|_| wrong(text, expected));
    let Some((from, to)) = text.split_once('-') else { return Ok(one(text)?.to_string()) };
    let (from, to) = (one(from)?, one(to)?);
    if from > to {
        return Err(format!("{text:?} goes backwards"));
    }
    if is_interval { Ok(format!("{from}-{to}")) } else { Err(single(text)) }
}

fn single(text: &str) -> String {
    format!("{text:?} is more than one, and the set was made without `flags interval`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, parts: &[Part], is_interval: bool) -> Result<String, String> {
        let parsed = key(text, parts, is_interval)?;
        Ok(parsed.into_iter().map(|part| part.shown).collect::<Vec<_>>().join(" . "))
    }

    #[test]
    fn an_element_is_what_its_type_says() {
        for (text, part, is_interval, expected) in [
            ("192.0.2.1", Part::Ipv4, false, "192.0.2.1"),
            ("192.0.2.1/32", Part::Ipv4, false, "192.0.2.1"),
            ("192.0.2.0/24", Part::Ipv4, true, "192.0.2.0/24"),
            ("192.0.2.1-192.0.2.9", Part::Ipv4, true, "192.0.2.1-192.0.2.9"),
            ("2001:DB8::0:1", Part::Ipv6, false, "2001:db8::1"),
            ("443", Part::Port, false, "443"),
            ("8000-8099", Part::Port, true, "8000-8099"),
            ("eth0.5", Part::Interface, false, "eth0.5"),
            ("ppp*", Part::Interface, true, "ppp*"),
            ("0x1f", Part::Mark, false, "31"),
            ("02:00:5E:10:00:01", Part::Ether, false, "02:00:5e:10:00:01"),
            ("tcp", Part::of("inet_proto"), false, "tcp"),
        ] {
            assert_eq!(shown(text, &[part], is_interval).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_of_another_type_is_refused_with_the_reason() {
        for (text, part, is_interval, needle) in [
            ("2001:db8::1", Part::Ipv4, true, "not an IPv4 address"),
            ("192.0.2.256", Part::Ipv4, true, "not an IPv4 address"),
            ("192.0.2.0/24", Part::Ipv4, false, "`flags interval`"),
            ("192.0.2.1/24", Part::Ipv4, true, "the network is 192.0.2.0/24"),
            ("192.0.2.0/33", Part::Ipv4, true, "too long a prefix"),
            ("192.0.2.9-192.0.2.1", Part::Ipv4, true, "backwards"),
            ("ssh", Part::Port, false, "not a port"),
            ("65536", Part::Port, false, "not a port"),
            ("a-very-long-name", Part::Interface, false, "name of an interface"),
            ("eth\"", Part::Interface, false, "name of an interface"),
            ("ppp*", Part::Interface, false, "name of an interface"),
            ("1; flush ruleset", Part::of("inet_proto"), false, "inet_proto"),
            ("tcp }", Part::of("inet_proto"), false, "inet_proto"),
        ] {
            let error = shown(text, &[part], is_interval).unwrap_err();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_and_a_port_are_written_in_two_ways() {
        let v4 = [Part::Ipv4, Part::Port];
        assert_eq!(shown("192.0.2.1 . 443", &v4, false).as_deref(), Ok("192.0.2.1 . 443"));
        assert_eq!(shown("192.0.2.1:443", &v4, false).as_deref(), Ok("192.0.2.1 . 443"));
        let v6 = [Part::Ipv6, Part::Port];
        assert_eq!(shown("[2001:db8::1]:443", &v6, false).as_deref(), Ok("2001:db8::1 . 443"));
        assert!(shown("2001:db8::443", &v6, false).unwrap_err().contains("it has 1 of the parts"));
        let member = address(&key("192.0.2.0/30 . 80-90", &v4, true).unwrap(), &v4).unwrap();
        assert_eq!(member.to_string(), "192.0.2.0/30 . 80-90");
    }
}
