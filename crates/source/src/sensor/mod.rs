//! SSH handshakes off the wire, as entries with the members of Suricata's `ssh` events.
//!
//! ```text
//!  NFLOG group, interface ──► Packets ──► unmasq_sensor::Sensor ──► an entry when the client's software is known
//!                                                             └───► an entry with all that was seen
//! ```
//!
//! The first has the `event_type` `ssh_client`, and nothing of the server: it is there before the connection goes on. The
//! second has `ssh`, and is what an EVE file has.

mod packets;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use unmasq_entry::{Entry, Fields, Value};
use unmasq_flow::Timestamp;
use unmasq_sensor::{Handshake, Limits, Sensor, Sighting};
use unmasq_ssh::Identification;

use crate::decoder::Meter;
use crate::{Counts, Notice, Position, Read, Source, SourceError};

pub use packets::{Packets, Place};

/// Connections looked at for their age in one step.
const MOST_EXPIRED: usize = 1024;

/// Batches of packets read in one step.
const MOST_BATCHES: usize = 32;

/// The names of the members that an entry can have.
pub const FIELDS: [&str; 19] = [
    "timestamp",
    "flow_id",
    "in_iface",
    "event_type",
    "vlan",
    "src_ip",
    "src_port",
    "dest_ip",
    "dest_port",
    "proto",
    "community_id",
    "ssh.client.proto_version",
    "ssh.client.software_version",
    "ssh.client.hassh.hash",
    "ssh.client.hassh.string",
    "ssh.server.proto_version",
    "ssh.server.software_version",
    "ssh.server.hassh.hash",
    "ssh.server.hassh.string",
];

/// A sensor as a source.
pub struct Sensed {
    packets: Packets,
    sensor: Sensor,
    /// Sightings of the last packets read.
    ready: VecDeque<Sighting>,
    meter: Meter,
    told: Losses,
}

/// What was told of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Losses {
    lost: u64,
    evicted: u64,
}

impl Sensed {
    /// Opens the place. Servers are at these ports; see [`Packets::open`].
    pub fn open(place: &Place, ports: &[u16]) -> Result<Self, SourceError> {
        let packets = Packets::open(place, ports)?;
        Ok(Self {
            sensor: Sensor::new(ports.to_vec(), Limits::default()),
            ready: VecDeque::new(),
            meter: Meter::new(packets.name().to_owned()),
            told: Losses::default(),
            packets,
        })
    }

    /// Reads packets until one tells something; false if there are none now, or many that tell nothing: then the descriptor is
    /// still readable, and others have their turn.
    fn fill(&mut self) -> Result<bool, SourceError> {
        let (sensor, ready) = (&mut self.sensor, &mut self.ready);
        for _ in 0..MOST_BATCHES {
            let is_empty = self.packets.read(|captured| {
                self.meter.counts.bytes += captured.bytes.len() as u64;
                sensor.take(captured, &mut |sighting| ready.push_back(sighting));
            })?;
            sensor.expire(Timestamp::now(), MOST_EXPIRED, &mut |sighting| ready.push_back(sighting));
            if !ready.is_empty() || is_empty {
                break;
            }
        }
        Ok(!ready.is_empty())
    }
}

impl Source for Sensed {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        if self.ready.is_empty() && !self.fill()? {
            return Ok(Read::Idle);
        }
        match self.ready.pop_front() {
            None => return Ok(Read::Idle),
            Some(Sighting::Client(handshake)) => fill_entry(entry, fields, &handshake, "ssh_client"),
            Some(Sighting::Whole(handshake)) => fill_entry(entry, fields, &handshake, "ssh"),
        }
        self.meter.counts.entries += 1;
        Ok(Read::Entry)
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(Position::None)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.packets.as_fd()]
    }

    fn wake(&self) -> Option<Duration> {
        self.sensor.due().map(|due| due.since(Timestamp::now()))
    }

    fn name(&self) -> &str {
        &self.meter.name
    }

    fn counts(&self) -> Counts {
        Counts { lost: self.packets.lost(), undecodable: self.sensor.counts().broken, ..self.meter.counts }
    }

    fn notice(&mut self) -> Option<Notice> {
        let now = Losses { lost: self.packets.lost(), evicted: self.sensor.counts().evicted };
        if now == self.told {
            return None;
        }
        let before = std::mem::replace(&mut self.told, now);
        Some(Notice::loss(match now.lost.saturating_sub(before.lost) {
            0 => format!(
                "{} connections were forgotten before their time: too many are under way",
                now.evicted.saturating_sub(before.evicted)
            ),
            lost => {
                format!("{lost} packets were lost: the kernel had no room for them ({} so far)", now.lost)
            }
        }))
    }
}

/// Fills in the members that the fields ask for.
fn fill_entry(entry: &mut Entry, fields: &Fields, handshake: &Handshake, kind: &str) {
    let mut put = |name: &str, value: &dyn Fn() -> Option<Filled>| {
        if let Some(slot) = fields.find(name) {
            match value() {
                None => {}
                Some(Filled::Text(text)) => entry.set(slot, Value::Text(&text)),
                Some(Filled::Number(number)) => entry.set(slot, Value::Integer(number)),
                Some(Filled::Numbers(numbers)) => {
                    entry.set_list(slot, numbers.into_iter().map(|number| Value::Integer(number.into())));
                }
            }
        }
    };
    let text = |text: &str| Some(Filled::Text(text.to_owned()));
    let number = |number: u16| Some(Filled::Number(number.into()));
    let tuple = &handshake.tuple;
    put("timestamp", &|| Some(Filled::Text(handshake.event().timestamp().to_owned())));
    put("flow_id", &|| i64::try_from(tuple.flow_id(handshake.since)).ok().map(Filled::Number));
    put("in_iface", &|| handshake.interface.as_deref().and_then(text));
    put("event_type", &|| text(kind));
    put("vlan", &|| match handshake.vlan.ids() {
        [] => None,
        ids => Some(Filled::Numbers(ids.to_vec())),
    });
    put("src_ip", &|| text(&tuple.source.ip().to_canonical().to_string()));
    put("src_port", &|| number(tuple.source.port()));
    put("dest_ip", &|| text(&tuple.destination.ip().to_canonical().to_string()));
    put("dest_port", &|| number(tuple.destination.port()));
    put("proto", &|| text("TCP"));
    put("community_id", &|| Some(Filled::Text(tuple.community_id())));
    let sides = [
        ("ssh.client", &handshake.client, &handshake.client_hassh),
        ("ssh.server", &handshake.server, &handshake.server_hassh),
    ];
    let mut name = String::new();
    for (side, identification, hassh) in sides {
        let mut put = |member: &str, value: Option<&str>| {
            name.clear();
            name.push_str(side);
            name.push_str(member);
            put(&name, &|| value.and_then(text));
        };
        put(".proto_version", identification.as_ref().map(Identification::protocol));
        // As the line of the event has it.
        put(".software_version", identification.as_ref().map(Identification::software_without_comment));
        put(".hassh.hash", hassh.as_ref().map(|hassh| &*hassh.hash));
        put(".hassh.string", hassh.as_ref().map(|hassh| &*hassh.string));
    }
    entry.time = Some(handshake.at);
}

/// A value to be put into an entry.
enum Filled {
    Text(String),
    Number(i64),
    Numbers(Vec<u16>),
}

#[cfg(test)]
mod tests {
    use unmasq_entry::format::{Context, Format, Parser, Record};
    use unmasq_entry::saved::SavedEntry;
    use unmasq_sensor::craft;
    use unmasq_sensor::packet::{Flags, Link};
    use unmasq_sensor::{Captured, Sensor};

    use super::*;

    /// An event in a file and the entry made here are one to a chain.
    #[test]
    fn an_entry_has_what_the_line_of_the_event_has() {
        let mut fields = Fields::default();
        for name in FIELDS {
            fields.slot(name);
        }
        let client = "[2001:db8::7]:47244".parse().unwrap();
        let server = "[2001:db8::9]:22".parse().unwrap();
        let mut sensor = Sensor::new(vec![22], Limits::default());
        let mut told = Vec::new();
        for (from, to, line) in
            [(client, server, "SSH-2.0-libssh_0.10.6\r\n"), (server, client, "SSH-2.0-x y\n")]
        {
            let craft = craft::Craft { tags: &[7, 8], ..craft::Craft::new(from, to) };
            let frame = craft.frame(1, Flags::default(), line.as_bytes());
            let interface = "eth0".into();
            let at = Timestamp::from_nanos(1_795_251_448_123_456_000);
            let captured =
                Captured { interface: Some(&interface), ..Captured::new(at, Link::Ethernet, &frame) };
            sensor.take(&captured, &mut |sighting| told.push(sighting));
        }
        sensor.finish(Timestamp::from_seconds(1_795_251_450), &mut |sighting| told.push(sighting));
        let [Sighting::Client(first), Sighting::Whole(whole)] = &told[..] else { panic!("{told:?}") };
        let mut filled = Entry::new(&fields);
        fill_entry(&mut filled, &fields, whole, "ssh");
        let mut read = Entry::new(&fields);
        let mut parser = Parser::new(Format::JsonLines, Context::default());
        parser.parse(Record::Text(&whole.to_eve()), &mut read, &fields).unwrap();
        assert_eq!(SavedEntry::new(&filled, &fields), SavedEntry::new(&read, &fields));
        let mut early = Entry::new(&fields);
        fill_entry(&mut early, &fields, first, "ssh_client");
        let text = |name| early.text(fields.find(name).unwrap());
        assert_eq!(text("event_type"), Some("ssh_client"));
        assert_eq!(text("ssh.client.software_version"), Some("libssh_0.10.6"));
        assert_eq!(text("ssh.server.software_version"), None);
    }
}
