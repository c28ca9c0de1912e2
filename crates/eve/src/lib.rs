//! Suricata's EVE format, for what unmasq sees itself: a consumer of Suricata's events reads ours without a change.
//!
//! `ssh` events are Suricata's own, key by key and in its order, so that its JSON schema (`etc/schema.json`) accepts them.
//! What a honeypot learns beyond them is an event type of its own, `ssh_auth`, as the schema allows nothing more in `ssh`.
//!
//! ```text
//!  sensor: packets ──┐                              ┌──► {"timestamp":…,"event_type":"ssh","src_ip":…,"ssh":{…}}
//!                    ├──► Ssh ──► Event ──to_line──►┤
//!  honeypot: socket ─┘            ▲                 └──► {"timestamp":…,"event_type":"ssh_auth",…}
//!                                 └── Tuple ──► community_id, flow_id
//! ```
//!
//! ```
//! use unmasq_eve::{Event, Party, Ssh, Tuple};
//! use unmasq_flow::Timestamp;
//! use unmasq_ssh::Identification;
//!
//! let tuple = Tuple { source: "192.0.2.7:47244".parse().unwrap(), destination: "198.51.100.9:22".parse().unwrap() };
//! let client = Party::new(Some(&Identification::parse(b"SSH-2.0-libssh_0.10.6\r\n").unwrap()), None);
//! let event = Event::new(Timestamp::from_seconds(1_795_251_448), tuple, Timestamp::from_seconds(1_795_251_448));
//! let line = event.ssh(&Ssh { client: Some(client), server: None });
//! assert!(line.starts_with(r#"{"timestamp":"2026-11-21T08:57:28.000000+0000","flow_id":"#));
//! assert!(line.contains(r#""ssh":{"client":{"proto_version":"2.0","software_version":"libssh_0.10.6"}}"#));
//! ```

mod event;
mod ssh;
mod tuple;

pub use event::Event;
pub use ssh::{Hassh, Party, Ssh};
pub use tuple::Tuple;
