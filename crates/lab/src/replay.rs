//! A captured connection, sent many times over with other clients: load for a sensor.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::packet::Sender;
use unmasq_sensor::packet::{self, Link, Vlan};
use unmasq_sensor::pcap::Capture;

use crate::LabError;
use crate::error::Doing;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// One connection's frames, and who its client is.
#[derive(Clone, Debug)]
pub struct Replay {
    frames: Vec<Frame>,
}

/// A frame, and where its client stands in it.
#[derive(Clone, Debug)]
struct Frame {
    bytes: Vec<u8>,
    address_at: usize,
    port_at: usize,
}

impl Replay {
    /// The first connection over IPv4 of a capture of Ethernet frames without tags, as long as it lasts.
    pub fn read(capture: &[u8]) -> Result<Self, LabError> {
        let other = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
        let doing = || "reading a capture".to_owned();
        let mut capture = Capture::open(capture).map_err(|error| other(&error)).doing(doing)?;
        let (mut frames, mut ends) = (Vec::new(), None);
        while let Some((_, link, bytes)) =
            capture.next_packet().map_err(|error| other(&error)).doing(doing)?
        {
            let Ok(segment) = packet::read(link, Vlan::default(), bytes) else { continue };
            if link != Link::Ethernet || !segment.source.is_ipv4() || !segment.vlan.ids().is_empty() {
                continue;
            }
            let (client, server) = *ends.get_or_insert((segment.source, segment.destination));
            let is_from_client = (segment.source, segment.destination) == (client, server);
            let is_from_server = (segment.source, segment.destination) == (server, client);
            if !is_from_client && !is_from_server {
                continue;
            }
            let tcp = ETHERNET + usize::from(bytes[ETHERNET] & 0x0f) * 4;
            let (address_at, port_at) =
                if is_from_client { (ETHERNET + 12, tcp) } else { (ETHERNET + 16, tcp + 2) };
            frames.push(Frame { bytes: bytes.to_vec(), address_at, port_at });
        }
        if frames.is_empty() {
            return Err(other(&"no connection over IPv4 is in it")).doing(doing);
        }
        Ok(Self { frames })
    }

    /// Frames of a connection.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Sends it `count` times within about that time, out of an interface of the namespace of that name: the clients from 10.0.0.0 on,
    /// so many connections at once. How long it took.
    pub fn run_in(
        &self,
        namespace: &str,
        interface: &str,
        count: u32,
        at_once: u32,
        within: Duration,
    ) -> Result<Duration, LabError> {
        let doing = || format!("sending frames out of {interface} of {namespace}");
        let failed = |error: unmasq_netfilter::Error| std::io::Error::other(error);
        let sender = Namespace::named(namespace)
            .and_then(|namespace| Sender::open(&namespace, interface))
            .map_err(failed)
            .doing(doing)?;
        let began = Instant::now();
        let at_once = at_once.max(1);
        for first in (0..count).step_by(at_once as usize) {
            let clients = first..count.min(first.saturating_add(at_once));
            for frame in &self.frames {
                let frames: Vec<Vec<u8>> = clients.clone().map(|client| frame.of(client)).collect();
                let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
                sender.send(&frames).map_err(failed).doing(doing)?;
            }
            let due = within.mul_f64(f64::from(clients.end) / f64::from(count));
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        Ok(began.elapsed())
    }
}

impl Frame {
    /// The frame of the client of that number.
    fn of(&self, client: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let address = Ipv4Addr::from(0x0a00_0000 | (client & 0x00ff_ffff));
        bytes[self.address_at..self.address_at + 4].copy_from_slice(&address.octets());
        let port = 1024 + (client % 60_000) as u16;
        bytes[self.port_at..self.port_at + 2].copy_from_slice(&port.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use unmasq_sensor::{Captured, Limits, Sensor, Sighting};

    use super::*;

    #[test]
    fn each_copy_is_a_whole_handshake_of_its_own_client() {
        let replay = Replay::read(include_bytes!("../../sensor/tests/data/handshakes.pcap")).unwrap();
        let mut sensor = Sensor::new(vec![22], Limits::default());
        let mut whole = Vec::new();
        for frame in &replay.frames {
            for client in 0..3 {
                let bytes = frame.of(client);
                let captured = Captured::new(unmasq_flow::Timestamp::from_seconds(1), Link::Ethernet, &bytes);
                sensor.take(&captured, &mut |sighting| {
                    if let Sighting::Whole(seen) = sighting {
                        whole.push((seen.tuple.source.to_string(), seen.client_hassh.is_some()));
                    }
                });
            }
        }
        whole.sort();
        let expected = ["10.0.0.0:1024", "10.0.0.1:1025", "10.0.0.2:1026"].map(|end| (end.to_owned(), true));
        assert_eq!(whole, expected);
    }
}
