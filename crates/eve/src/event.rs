//! An event: the common header in Suricata's order, then what kind it is.

use serde::Serialize;
use unmasq_flow::Timestamp;

use crate::{Ssh, Tuple};

/// What all events begin with.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    timestamp: String,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<String>,
    #[serde(rename = "event_type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlan: Vec<u16>,
    src_ip: String,
    src_port: u16,
    dest_ip: String,
    dest_port: u16,
    proto: &'static str,
    ip_v: u8,
    pkt_src: &'static str,
    community_id: String,
}

/// A whole event: the header, and one object under the name of its type.
#[derive(Serialize)]
struct Whole<'a, T> {
    #[serde(flatten)]
    header: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh: Option<&'a Ssh>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_auth: Option<T>,
}

impl Event {
    /// Of a connection that was first seen at `since`.
    pub fn new(at: Timestamp, tuple: Tuple, since: Timestamp) -> Self {
        Self {
            timestamp: stamp(at),
            flow_id: tuple.flow_id(since),
            in_iface: None,
            kind: "ssh",
            vlan: Vec::new(),
            src_ip: tuple.source.ip().to_canonical().to_string(),
            src_port: tuple.source.port(),
            dest_ip: tuple.destination.ip().to_canonical().to_string(),
            dest_port: tuple.destination.port(),
            proto: "TCP",
            ip_v: if tuple.source.ip().to_canonical().is_ipv4() { 4 } else { 6 },
            pkt_src: "wire/pcap",
            community_id: tuple.community_id(),
        }
    }

    /// The interface that it came in by, and the VLAN tags it carried.
    #[must_use]
    pub fn on(mut self, interface: Option<String>, vlan: Vec<u16>) -> Self {
        self.in_iface = interface;
        self.vlan = vlan;
        self
    }

    /// When it happened, as events write it: `2026-11-21T08:57:28.173000+0000`.
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// An `ssh` event, a line without its end.
    pub fn ssh(&self, ssh: &Ssh) -> String {
        self.line("ssh", Some(ssh), None::<()>)
    }

    /// An `ssh_auth` event, a line without its end.
    pub fn ssh_auth(&self, attempt: &impl Serialize) -> String {
        self.line("ssh_auth", None, Some(attempt))
    }

    fn line(&self, kind: &'static str, ssh: Option<&Ssh>, ssh_auth: Option<impl Serialize>) -> String {
        let header = &Self { kind, ..self.clone() };
        // Strings and numbers in structures: there is nothing in it that JSON cannot say.
        serde_json::to_string(&Whole { header, ssh, ssh_auth }).unwrap_or_default()
    }
}

/// `2026-11-21T08:57:28.173000+0000`.
fn stamp(at: Timestamp) -> String {
    at.to_micros_text().map(|text| format!("{text}+0000")).unwrap_or_default()
}
