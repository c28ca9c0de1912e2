//! The client network of an OpenVPN server, as OpenVPN reads its file.
//!
//! ```text
//! server 10.42.42.0 255.255.255.0
//! ```
//!
//! `server` gives the network's first address to the server itself (`helper.c` of OpenVPN). `server-ipv6` is passed over.
//! Words may be quoted, `\` keeps the next character, a word that begins with `#` or `;` begins a comment, `--` in front
//! of a directive means nothing, and `<ca>` to `</ca>` is another file's content (`parse_line` and `check_inline_file` of
//! `options.c`).
//!
//! Stricter than OpenVPN: of two `server` lines OpenVPN takes the last, and of `010.8.0.0` or `10.8` it makes an address;
//! both are errors here.
//!
//! A server that is set up without `server`, by `mode server` and `ifconfig`, has no network here.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use ipnet::Ipv4Net;
use unmasq_diagnostic::{Invalid, Problem};

use super::{ClientNetwork, lines};

/// The longest prefix that OpenVPN serves clients in: 255.255.255.248.
const LONGEST: u8 = 29;

/// Reads a server file's text; `file` is for messages and results.
///
/// ```
/// use std::path::Path;
/// use unmasq_eduvpn::node::openvpn;
///
/// let found = openvpn::parse(Path::new("internet-0.conf"), "server 10.42.42.0 255.255.255.0\n")?;
/// assert_eq!(found[0].gateway.to_string(), "10.42.42.1");
/// # Ok::<(), unmasq_diagnostic::Invalid>(())
/// ```
pub fn parse(file: &Path, text: &str) -> Result<Vec<ClientNetwork>, Invalid> {
    let mut networks: Vec<ClientNetwork> = Vec::new();
    let mut problems = Vec::new();
    let mut inline: Option<Inline<'_>> = None;
    for (number, start, line) in lines(text) {
        if let Some(open) = &inline {
            if open.ends_with(line) {
                inline = None;
            }
            continue;
        }
        let words = match words(line) {
            Ok(words) => words,
            Err(at) if first_word(line) == "server" => {
                let message = "this quote has no end; close it";
                problems.push(Problem::error(start + at..start + line.len(), message));
                continue;
            }
            // OpenVPN will refuse it. It may hold a password, and does not matter here.
            Err(_) => continue,
        };
        let Some(directive) = words.first() else { continue };
        if let Some(name) = inline_name(line, &words) {
            inline = Some(Inline { name, at: start + directive.place.start..start + directive.place.end });
            continue;
        }
        if directive.name() != "server" {
            continue;
        }
        let place = |word: &Word| start + word.place.start..start + word.place.end;
        if let Some(first) = networks.first() {
            let message = format!("line {} has a server directive already; keep one of them", first.line);
            problems.push(Problem::error(place(directive), message));
            continue;
        }
        match server(&words) {
            Ok((network, gateway)) => {
                networks.push(ClientNetwork { network, gateway, file: file.to_owned(), line: number });
            }
            Err((word, message)) => problems.push(Problem::error(place(word), message)),
        }
    }
    if let Some(Inline { name, at }) = inline {
        problems.push(Problem::error(at, format!("this has no end; write </{name}> on a line")));
    }
    if problems.is_empty() { Ok(networks) } else { Err(Invalid::new(file, text, problems)) }
}

/// A content of another file that has begun.
struct Inline<'t> {
    /// `ca` of `<ca>`.
    name: &'t str,
    /// Where `<ca>` stands.
    at: Range<usize>,
}

impl Inline<'_> {
    /// Does it end with this line? What stands behind `</ca>` does not matter to OpenVPN.
    fn ends_with(&self, line: &str) -> bool {
        let rest = line.trim_start().strip_prefix("</").and_then(|rest| rest.strip_prefix(self.name));
        rest.is_some_and(|rest| rest.starts_with('>'))
    }
}

/// The name of the content that a line begins, if it is `<name>` alone.
fn inline_name<'t>(line: &'t str, words: &[Word]) -> Option<&'t str> {
    let [only] = words else { return None };
    let written = line.get(only.place.clone())?;
    written.strip_prefix('<')?.strip_suffix('>').filter(|name| !name.is_empty())
}

/// The network of a `server` directive and its first address, or the word that is wrong.
fn server(words: &[Word]) -> Result<(Ipv4Net, Ipv4Addr), (&Word, &'static str)> {
    const SHAPE: &str = "server wants a network and a mask: server 10.42.42.0 255.255.255.0";
    let (network, mask) = match words {
        [_, network, mask] => (network, mask),
        [_, network, mask, option] if option.text == "nopool" => (network, mask),
        [_, _, _, option, ..] => return Err((option, "behind the mask of server only nopool is allowed")),
        [directive, ..] => return Err((directive, SHAPE)),
        [] => return Err((&NO_WORD, SHAPE)),
    };
    let address: Ipv4Addr = network.text.parse().map_err(|_| (network, SHAPE))?;
    let netmask: Ipv4Addr = mask.text.parse().map_err(|_| (mask, SHAPE))?;
    let length = ipnet::ipv4_mask_to_prefix(netmask)
        .map_err(|_| (mask, "this is no network mask; write it as 255.255.255.0"))?;
    if length > LONGEST {
        return Err((mask, "OpenVPN refuses a network so small; its mask is 255.255.255.248 or shorter"));
    }
    let whole = Ipv4Net::new(address, length).map_err(|_| (mask, SHAPE))?;
    let Some(first) = whole.hosts().next().filter(|_| whole.trunc() == whole) else {
        return Err((
            network,
            "this is not the network's own address, so OpenVPN refuses it; clear its host bits",
        ));
    };
    Ok((whole, first))
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// Without quotes and backslashes.
    text: String,
    /// As written, in bytes of the line.
    place: Range<usize>,
}

/// Stands where there is no word to blame. A line without words never gets that far.
static NO_WORD: Word = Word { text: String::new(), place: 0..0 };

impl Word {
    /// A directive's name: `--server` is `server`.
    fn name(&self) -> &str {
        self.text.strip_prefix("--").filter(|name| !name.is_empty()).unwrap_or(&self.text)
    }
}

/// The first word as it is written, for lines that cannot be cut into words.
fn first_word(line: &str) -> &str {
    let word = line.split_whitespace().next().unwrap_or_default();
    word.strip_prefix("--").unwrap_or(word)
}

/// Cuts a line into words; the place of a quote that has no end is an error.
fn words(line: &str) -> Result<Vec<Word>, usize> {
    let mut words = Vec::new();
    let mut rest = line.char_indices().peekable();
    loop {
        while rest.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
        let Some(&(start, first)) = rest.peek() else { return Ok(words) };
        if matches!(first, '#' | ';') {
            return Ok(words);
        }
        let mut text = String::new();
        let quote = matches!(first, '"' | '\'').then_some(first);
        if quote.is_some() {
            rest.next();
        }
        loop {
            let Some((at, c)) = rest.next() else {
                if quote.is_some() {
                    return Err(start);
                }
                words.push(Word { text, place: start..line.len() });
                break;
            };
            match (c, quote) {
                // In single quotes a backslash is one.
                ('\\', None | Some('"')) => {
                    let Some((_, kept)) = rest.next() else { return Err(at) };
                    text.push(kept);
                }
                (c, Some(quote)) if c == quote => {
                    words.push(Word { text, place: start..at + 1 });
                    break;
                }
                (c, None) if c.is_ascii_whitespace() => {
                    words.push(Word { text, place: start..at });
                    break;
                }
                _ => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let networks = parse(Path::new("a.conf"), text).unwrap_or_else(|error| panic!("{error}"));
        networks.iter().map(|n| format!("{} {} {}", n.network, n.gateway, n.line)).collect()
    }

    fn wrong(text: &str) -> String {
        parse(Path::new("a.conf"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_eduvpns_portal_writes_is_read() {
        let text = "# OpenVPN Server Config | Automatically Generated | Do NOT modify!\nverb 3\ndev-type tun\ntopology subnet\nserver 10.42.42.0 255.255.255.128\nserver-ipv6 fd42::/112\nmax-clients 124\nsetenv PROFILE_ID internet\n<ca>\n-----BEGIN CERTIFICATE-----\nserver 1.1.1.0 255.255.255.0\n</ca>\n<tls-crypt>\n#\n</tls-crypt>\npush \"redirect-gateway def1 ipv6\"\npush \"route 0.0.0.0 0.0.0.0\"";
        assert_eq!(found(text), ["10.42.42.0/25 10.42.42.1 5"]);
    }

    #[test]
    fn words_are_cut_as_by_openvpn() {
        for line in [
            "server 10.8.0.0 255.255.255.0",
            "\t--server \"10.8.0.0\"\t'255.255.255.0' # comment",
            "server 10.8.0.0 255.255.255.0 nopool ; comment",
            "ser\\ver 10.8.0.0 255.255.255.0\r",
        ] {
            assert_eq!(found(line), ["10.8.0.0/24 10.8.0.1 1"], "{line}");
        }
        for line in [
            "# server 1",
            ";server 1",
            "server-bridge",
            "push \"server 1\"",
            "Server 1",
            "client",
            "",
            "auth 'x",
        ] {
            assert!(found(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn inline_content_ends_with_its_own_tag() {
        let text =
            "<key>\n<ca>\n</ca>\nserver 1.1.1.0 255.255.255.0\n  </key> \nserver 10.8.0.0 255.255.255.0\n";
        assert_eq!(found(text), ["10.8.0.0/24 10.8.0.1 6"]);
        assert_eq!(
            wrong("port 1\n<key>\nsecret\n"),
            "a.conf:2:1: this has no end; write </key> on a line\n  |\n2 | <key>\n  | ^^^^^\n"
        );
        assert!(found("<key> inline\nclient").is_empty());
    }

    #[test]
    fn what_openvpn_would_refuse_is_marked() {
        for (line, column, message) in [
            ("server", 1, "server wants a network and a mask"),
            ("server 10.8.0.0", 1, "server wants a network and a mask"),
            ("server 10.8.0.0/24 255.255.255.0", 8, "server wants a network and a mask"),
            ("server 10.8.0.0 24", 17, "server wants a network and a mask"),
            ("server 10.8.0.0 255.0.255.0", 17, "no network mask"),
            ("server 10.8.0.0 255.255.255.252", 17, "so small"),
            ("server 10.8.0.1 255.255.255.0", 8, "not the network's own address"),
            ("server 10.8.0.0 255.255.255.0 pool", 31, "only nopool"),
            ("server 10.8.0.0 255.255.255.0 nopool x", 31, "only nopool"),
            ("server 10.8.0.0 '255.255.255.0", 17, "quote has no end"),
            ("server 10.8.0.0 255.255.255.0\\", 30, "quote has no end"),
        ] {
            let error = wrong(&format!("port 1\n{line}\n"));
            assert!(
                error.starts_with(&format!("a.conf:2:{column}: ")) && error.contains(message),
                "{line}: {error}"
            );
        }
        let twice = wrong("server 10.8.0.0 255.255.255.0\nserver 10.9.0.0 255.255.255.0\n");
        assert!(twice.starts_with("a.conf:2:1: line 1 has a server directive already"), "{twice}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", near in "([<>/#;'\"\\\\ \n\r\té]|server|10.8.0.0|255.255.255.0|ca|--){0,40}") {
            let _ = parse(Path::new("f"), &text);
            let _ = parse(Path::new("f"), &near);
        }

        #[test]
        fn what_is_written_is_read_as_the_same(bits in any::<u32>(), length in 0u8..=LONGEST, quoted in any::<bool>()) {
            let network = Ipv4Net::new(bits.into(), length).unwrap().trunc();
            let (address, mask) = (network.addr(), network.netmask());
            let text = if quoted {
                format!("server \"{address}\" '{mask}' nopool\n")
            } else {
                format!("topology subnet\nserver {address} {mask}\n")
            };
            let found = parse(Path::new("f"), &text).unwrap();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].network, network);
            prop_assert_eq!(u32::from(found[0].gateway), u32::from(address) + 1);
        }
    }
}
