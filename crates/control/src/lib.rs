//! The language in which a recorder is asked: one JSON request a line, one or more JSON replies a line.
//!
//! ```text
//!   → {"version":1,"ask":{"find":{"masked":"203.0.113.1:61002","protocol":"tcp","from":…,"to":…}}}
//!   ← {"flow":{"client":"192.168.101.2:47244",…}}
//!   ← {"end":{"flows":1}}
//! ```
//!
//! Each reply ends with [`Reply::End`] or [`Reply::Error`], and replies come in the order of the requests, so that
//! several requests may be under way on one connection. The same language is spoken on the control socket of the host
//! and over TLS between hosts.
//!
//! ```
//! use unmasq_control::{Ask, Request};
//!
//! let request = Request::new(Ask::Client { address: "192.168.101.2".to_owned() });
//! let line = serde_json::to_string(&request)?;
//! assert_eq!(line, r#"{"version":1,"ask":{"client":{"address":"192.168.101.2"}}}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod tls;
pub mod watch;

use serde::{Deserialize, Serialize};
use unmasq_flow::record::Record;

/// The protocol's version. A server refuses any other, and says which it speaks.
pub const VERSION: u32 = 1;

/// Where the socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/unmasq/control.sock";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The protocol's version that the asker speaks.
    pub version: u32,
    /// The question.
    pub ask: Ask,
}

impl Request {
    /// A request in this version of the language.
    pub fn new(ask: Ask) -> Self {
        Self { version: VERSION, ask }
    }
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Flows of the book at a masked endpoint.
    Find {
        /// As the far side sees it: `203.0.113.1:61002`, `203.0.113.1#45643`.
        masked: String,
        /// Its name, or its number as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        protocol: Option<String>,
        /// Who answered, where that is known: an endpoint, or an address alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// Alive at any moment from here: nanoseconds since the Unix epoch.
        from: i64,
        /// To here, likewise.
        to: i64,
    },
    /// Flows of the book of one client address.
    Client {
        /// An IPv4 or IPv6 address.
        address: String,
    },
    /// How the recorder is.
    Status,
    /// Something that only a watch answers.
    Watch(watch::WatchAsk),
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A flow that was asked for.
    Flow(Box<Record>),
    /// How the recorder is.
    Status(Status),
    /// Of one namespace, before the flows: since when and until when the book has everything.
    Covered(Covered),
    /// A watch's answer.
    Watch(watch::WatchReply),
    /// The reply is complete.
    End {
        /// How many lines it had before this one.
        flows: u64,
    },
    /// The request was refused.
    Error(String),
}

/// A stretch of time for which the recorder has accepted all that the kernel sent of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// Name of the recorder's stream.
    pub stream: String,
    /// Empty for the recorder's own.
    pub namespace: String,
    /// `translated+local`, `translated` or `all`.
    pub scope: String,
    /// `keep`, `hash` or `drop`.
    pub destinations: String,
    /// Nanoseconds since the Unix epoch.
    pub since: i64,
    /// Likewise.
    pub until: i64,
}

/// How a recorder is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of unmasq.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Name of its stream.
    pub stream: String,
    /// Folder of its ledger.
    pub ledger: String,
    /// Those that are recorded.
    pub namespaces: Vec<NamespaceStatus>,
    /// Flows of the book that have not ended.
    pub live_flows: u64,
    /// Events of the kernel since the start.
    pub events: u64,
    /// Over the last second or so.
    pub events_per_second: u64,
    /// Messages that the kernel counted as lost, and those whose number is not known count as 1.
    pub events_lost: u64,
    /// Seconds of this run that the coverage calls a gap.
    pub uncovered_seconds: u64,
    /// Flows given to the ledger since the start.
    pub flows_recorded: u64,
    /// Records that were dropped because the disk took nothing for too long.
    pub flows_dropped: u64,
    /// Of the stream, on disk.
    pub disk_bytes: u64,
    /// Of the runs written since the start; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_row: Option<f64>,
    /// Memory of the book.
    pub book_bytes: u64,
    /// The last error in writing, until it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How the recording of one namespace is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceStatus {
    /// Empty for the recorder's own.
    pub name: String,
    /// Does the kernel keep ends that did not fit?
    pub reliable: bool,
    /// How often its receive buffer overran.
    pub overruns: u64,
    /// RFC 3339; none while not covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_since: Option<String>,
}
