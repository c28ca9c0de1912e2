//! Which flows: the filters that `export` takes.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use unmasq_flow::{Endpoint, Flow, Period, Protocol, Selector, Timestamp};
use unmasq_ledger::run::{AddressRange, Filter};
use unmasq_trace::time;

/// Filters. A flow must meet all that are given.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Flows that can have been alive at this time or later.
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    since: Option<String>,

    /// Flows that can have been alive at this time or earlier.
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    until: Option<String>,

    /// Flows that can have been alive at this time, as precise as it is given (such as 2026-11-21, or 14:32).
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"], help_heading = "Filters")]
    at: Option<String>,

    /// Zone of times that name none: an IANA name, UTC, or an offset such as +01:00.
    #[arg(long, value_name = "ZONE", help_heading = "Filters")]
    tz: Option<String>,

    /// Flows seen outside as this: an endpoint (203.0.113.1:53500), an address or a prefix.
    #[arg(long, value_name = "ENDPOINT", help_heading = "Filters")]
    masked: Option<Place>,

    /// Flows of this client: an address or a prefix (192.168.101.0/24), with a port if need be.
    #[arg(long, value_name = "ADDRESS", help_heading = "Filters")]
    client: Option<Place>,

    /// Flows toward this server: an address or a prefix, with a port if need be. Only those whose destination was kept.
    #[arg(long, value_name = "ADDRESS", help_heading = "Filters")]
    server: Option<Place>,

    /// Flows of this protocol: tcp, udp, icmp, … or a number.
    #[arg(long, value_name = "PROTOCOL", help_heading = "Filters")]
    proto: Option<Protocol>,

    /// Flows of this stream only. May be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    stream: Vec<String>,
}

/// An endpoint, an address, or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    addresses: AddressRange,
    selector: Selector,
}

impl Place {
    fn matches(self, endpoint: Endpoint) -> bool {
        self.addresses.contains(endpoint.address)
            && (self.selector == Selector::None || self.selector == endpoint.selector)
    }
}

impl FromStr for Place {
    type Err = unmasq_flow::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self {
                addresses: AddressRange::prefix(net.network(), net.prefix_len()),
                selector: Selector::None,
            });
        }
        let Endpoint { address, selector } = text.parse()?;
        Ok(Self { addresses: AddressRange::from(IpAddr::to_canonical(&address)), selector })
    }
}

/// The filters, ready for use.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What the ledger can look for.
    pub(super) filter: Filter,
    client: Option<Place>,
    server: Option<Place>,
    streams: Vec<String>,
}

impl Chosen {
    /// What the ledger's filter leaves to its caller: ports of client and server, and streams.
    pub(super) fn admits(&self, flow: &Flow) -> bool {
        self.client.is_none_or(|place| place.matches(flow.client))
            && self
                .server
                .is_none_or(|place| flow.server.endpoint().is_some_and(|server| place.matches(server)))
            && self.admits_stream(&flow.origin.stream)
    }

    fn admits_stream(&self, stream: &str) -> bool {
        self.streams.is_empty() || self.streams.iter().any(|name| name == stream)
    }
}

impl Selection {
    /// Reads the times, and checks that the streams are there.
    pub(super) fn choose(&self, known_streams: &[String]) -> anyhow::Result<Chosen> {
        for name in &self.stream {
            if !known_streams.contains(name) {
                bail!("--stream {name}: the ledger has no such stream, but {}", known_streams.join(", "));
            }
        }
        let zone = self.tz.as_deref().map(time::zone).transpose().context("--tz")?;
        let context = time::Context { now: jiff::Timestamp::now(), zone };
        let read = |flag: &str, text: &str| -> anyhow::Result<Period> {
            let asked = time::parse(text, &context).with_context(|| flag.to_owned())?;
            // A local time that occurred twice means both: an export rather holds too much than too little.
            let ends = asked
                .windows
                .iter()
                .copied()
                .reduce(|a, b| Period { from: a.from.min(b.from), to: a.to.max(b.to) });
            ends.with_context(|| format!("{flag} {text}: no such time"))
        };
        let period = match (&self.at, &self.since, &self.until) {
            (Some(at), ..) => read("--at", at)?,
            (None, since, until) => {
                let from = since.as_deref().map(|text| read("--since", text)).transpose()?;
                let to = until.as_deref().map(|text| read("--until", text)).transpose()?;
                let (from, to) = (
                    from.map_or(Timestamp::MIN, |period| period.from),
                    to.map_or(Timestamp::MAX, |period| period.to),
                );
                if from > to {
                    bail!("--since is later than --until");
                }
                Period { from, to }
            }
        };
        let filter = Filter {
            client: self.client.map(|place| place.addresses),
            server: self.server.map(|place| place.addresses),
            masked: self.masked.map(|place| place.addresses),
            masked_selector: self.masked.map_or(Selector::None, |place| place.selector),
            protocol: self.proto,
            period,
        };
        Ok(Chosen { filter, client: self.client, server: self.server, streams: self.stream.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_endpoint_an_address_or_a_prefix() {
        let is_in =
            |place: &str, endpoint: &str| place.parse::<Place>().unwrap().matches(endpoint.parse().unwrap());
        assert!(is_in("192.168.101.0/24", "192.168.101.7:80"));
        assert!(!is_in("192.168.101.0/24", "192.168.102.7:80"));
        assert!(is_in("192.168.101.7", "192.168.101.7#12"));
        assert!(is_in("192.168.101.7:80", "192.168.101.7:80"));
        assert!(!is_in("192.168.101.7:80", "192.168.101.7:81"));
        assert!(is_in("2001:db8::/32", "[2001:db8:7::1]:443"));
        assert!("192.168.101.0/33".parse::<Place>().is_err());
    }
}
