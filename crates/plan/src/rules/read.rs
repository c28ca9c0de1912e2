//! Rules of iptables-save(8) and of eduVPN's script, read into a plan.

use std::net::Ipv4Addr;

use unmasq_flow::Protocol;

use crate::clients::parse_net;
use crate::plan::{Allocation, Block, Plan, ProtocolSet};

/// A source translation that gives no client a range of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRule {
    /// Its line, from 1.
    pub line: usize,
    /// The line itself, cut to 200 characters.
    pub text: String,
}

/// What a file of rules says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesFile {
    /// Who has which ports.
    pub plan: Plan,
    /// Rules that translate sources in another way, ICMP aside. One that stands before the others can take flows from them.
    pub others: Vec<OtherRule>,
}

/// A text that cannot be read as rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// There is no table `nat` in it.
    #[error("no line \"*nat\" is in it: these are not rules of iptables-save with a table nat")]
    NoNat,
    /// The end is missing.
    #[error("the table nat is not ended by COMMIT: the file is cut off after line {line}")]
    CutOff {
        /// The last line.
        line: usize,
    },
    /// A line of the table nat is none that iptables-restore would take.
    #[error("line {line}: {reason}: {text:?}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
        /// The line, cut to 200 characters.
        text: String,
    },
    /// It is not text.
    #[error("not UTF-8 from byte {offset} on")]
    NotText {
        /// From 0.
        offset: usize,
    },
}

/// Reads a file of rules.
pub fn read(bytes: &[u8]) -> Result<RulesFile, RulesError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| RulesError::NotText { offset: error.valid_up_to() })?;
    let mut found = RulesFile::default();
    let mut allocations: Vec<Allocation> = Vec::new();
    let (mut is_nat, mut was_nat) = (false, false);
    let mut lines = 0;
    for (index, line) in text.lines().enumerate() {
        lines = index + 1;
        let at = |reason| RulesError::Line { line: lines, reason, text: line.chars().take(200).collect() };
        match line.as_bytes().first() {
            None | Some(b'#') => {}
            // As iptables-restore: a table goes on until its COMMIT, whatever follows.
            Some(b'*') if is_nat => return Err(at("a table begins before nat is ended by COMMIT")),
            Some(b'*') => {
                is_nat = line.trim_end() == "*nat";
                was_nat |= is_nat;
            }
            Some(b':') if is_nat => {}
            _ if !is_nat => {}
            _ if line.trim_end() == "COMMIT" => is_nat = false,
            _ => match rule(line).map_err(at)? {
                Rule::Allocation(allocation) => add(&mut allocations, allocation),
                Rule::Elsewhere => {}
                Rule::Other => {
                    found.others.push(OtherRule { line: lines, text: line.chars().take(200).collect() });
                }
            },
        }
    }
    match (was_nat, is_nat) {
        (false, _) => Err(RulesError::NoNat),
        (true, true) => Err(RulesError::CutOff { line: lines }),
        (true, false) => {
            found.plan = Plan::foreign(allocations);
            Ok(found)
        }
    }
}

/// The rule for UDP follows that for TCP: one allocation for both.
fn add(allocations: &mut Vec<Allocation>, new: Allocation) {
    match allocations.last_mut() {
        Some(last) if last.client == new.client && last.block == new.block => {
            last.protocols = last.protocols.union(new.protocols);
        }
        _ => allocations.push(new),
    }
}

enum Rule {
    Allocation(Allocation),
    /// Translates sources in another way.
    Other,
    /// Translates no source, or that of ICMP to an address alone.
    Elsewhere,
}

/// Reads a line such as `[3:180] -A POSTROUTING -s 192.168.101.2/32 -o wan -p tcp -j SNAT --to-source 192.0.2.1:65280-65535`.
fn rule(line: &str) -> Result<Rule, &'static str> {
    let rest = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ").ok_or("a counter that does not end")?.1,
        None => line,
    };
    let mut words = Words(rest);
    if !matches!(words.next(), Some("-A" | "-I")) {
        return Err("not a rule (-A CHAIN …)");
    }
    words.next().ok_or("a rule without a chain")?;
    let (mut client, mut protocol, mut target, mut to) = (None, None, None, None);
    // Whatever else narrows a rule (an interface, a set) still leaves the ports to this client.
    let (mut is_negated, mut is_of_all_but) = (false, false);
    while let Some(word) = words.next() {
        let is_not = std::mem::replace(&mut is_negated, word == "!");
        match word {
            "-s" | "--source" | "--src" => client = Some(words.next().ok_or("-s without an address")?),
            "-p" | "--protocol" | "--proto" => {
                protocol = Some(words.next().ok_or("-p without a protocol")?);
            }
            "-j" | "--jump" => target = Some(words.next().ok_or("-j without a target")?),
            "--to-source" => to = Some(words.next().ok_or("--to-source without an address")?),
            // What follows is text, whatever it looks like.
            "--comment" | "--log-prefix" | "--string" | "--hex-string" => drop(words.next()),
            _ => {}
        }
        is_of_all_but |=
            is_not && matches!(word, "-s" | "--source" | "--src" | "-p" | "--protocol" | "--proto");
    }
    let to = match target {
        Some("SNAT") => to.ok_or("SNAT without --to-source")?,
        Some("MASQUERADE" | "NETMAP") => return Ok(Rule::Other),
        _ => return Ok(Rule::Elsewhere),
    };
    let (addresses, ports) = to.split_once(':').map_or((to, None), |(to, ports)| (to, Some(ports)));
    let address = single_address(addresses)?;
    let source = client.map(single_source).transpose()?.flatten();
    let Some(ports) = ports else {
        let is_icmp = protocol.is_some_and(|p| p.parse() == Ok(Protocol::ICMP));
        let is_plain = is_icmp && !is_of_all_but && address.is_some();
        return Ok(if is_plain { Rule::Elsewhere } else { Rule::Other });
    };
    let ports = ports.parse().map_err(|_| "a range of ports that is none in --to-source")?;
    let protocol: Option<Protocol> =
        protocol.map(|p| p.parse().map_err(|_| "an unknown protocol")).transpose()?;
    let protocols = protocol.map_or(ProtocolSet::NONE, ProtocolSet::only);
    Ok(match (source, address) {
        // Nobody sends from there. eduVPN's script writes it for the client of some /30.
        (Some(client), Some(_)) if client.is_unspecified() && !is_of_all_but => Rule::Elsewhere,
        (Some(client), Some(address)) if !protocols.is_empty() && !is_of_all_but => {
            Rule::Allocation(Allocation { client, block: Block { address, ports }, protocols })
        }
        _ => Rule::Other,
    })
}

/// The words of a line. Quotes hold together what they enclose (with `\"` for a quote in it), as in iptables-restore; the
/// word is then given with them, so that it is taken for no option.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let (mut is_quoted, mut is_escaped) = (false, false);
        let ends = |byte: u8| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                _ => return byte.is_ascii_whitespace() && !is_quoted,
            }
            false
        };
        let (word, rest) = text.split_at(text.bytes().position(ends).unwrap_or(text.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// The address of a source that is one: `192.168.101.2`, `192.168.101.2/32`, `192.168.101.2/255.255.255.255`. `None` for a
/// network, whose mask can have holes.
fn single_source(text: &str) -> Result<Option<Ipv4Addr>, &'static str> {
    if let Some(net) = parse_net(text) {
        return Ok((net.prefix_len() == 32).then(|| net.addr()));
    }
    let parse = |part: &str| part.parse::<Ipv4Addr>().map_err(|_| "a source that is no IPv4 address");
    let (address, mask) = text.split_once('/').unwrap_or((text, ""));
    Ok((parse(mask)? == Ipv4Addr::BROADCAST).then_some(parse(address)?))
}

/// The address of `--to-source`. Of several (`192.0.2.1-192.0.2.9`) or any (none before the colon), a client has none to
/// itself: `None`.
fn single_address(text: &str) -> Result<Option<Ipv4Addr>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |part: &str| part.parse::<Ipv4Addr>().map_err(|_| "an address that is none in --to-source");
    let (first, last) = (parse(first)?, parse(last)?);
    Ok((first == last).then_some(first))
}

#[cfg(test)]
mod tests;
