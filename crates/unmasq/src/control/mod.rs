//! The control socket: how a command asks a running recorder. One JSON request a line, one or more JSON replies a line.
//!
//! ```text
//!   → {"version":1,"ask":{"find":{"masked":"203.0.113.1:61002","protocol":"tcp","from":…,"to":…}}}
//!   ← {"flow":{"client":"192.168.101.2:47244",…}}
//!   ← {"end":{"flows":1}}
//! ```

pub(crate) mod client;
pub(crate) mod server;

use serde::{Deserialize, Serialize};
use unmasq_flow::record::Record;

/// The protocol's version. A server refuses any other, and says which it speaks.
pub(crate) const VERSION: u32 = 1;

/// Where the socket is unless told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/unmasq/control.sock";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Flows of the book at a masked endpoint.
    Find {
        masked: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        protocol: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// Nanoseconds since the Unix epoch.
        from: i64,
        to: i64,
    },
    /// Flows of the book of one client address.
    Client { address: String },
    /// How the recorder is.
    Status,
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Flow(Box<Record>),
    Status(Status),
    /// Of one namespace, before the flows: since when and until when the book has everything.
    Covered(Covered),
    /// The reply is complete.
    End {
        flows: u64,
    },
    /// The request was refused.
    Error(String),
}

/// A stretch of time for which the recorder has accepted all that the kernel sent of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covered {
    pub(crate) stream: String,
    /// Empty for the recorder's own.
    pub(crate) namespace: String,
    /// `translated+local`, `translated` or `all`.
    pub(crate) scope: String,
    /// `keep`, `hash` or `drop`.
    pub(crate) destinations: String,
    /// Nanoseconds since the Unix epoch.
    pub(crate) since: i64,
    pub(crate) until: i64,
}

/// How a recorder is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) stream: String,
    pub(crate) ledger: String,
    pub(crate) namespaces: Vec<NamespaceStatus>,
    pub(crate) live_flows: u64,
    pub(crate) events: u64,
    pub(crate) events_per_second: u64,
    /// Messages that the kernel counted as lost, and those whose number is not known count as 1.
    pub(crate) events_lost: u64,
    /// Seconds of this run that the coverage calls a gap.
    pub(crate) uncovered_seconds: u64,
    pub(crate) flows_recorded: u64,
    /// Records that were dropped because the disk took nothing for too long.
    pub(crate) flows_dropped: u64,
    pub(crate) disk_bytes: u64,
    /// Of the runs written since the start; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_row: Option<f64>,
    pub(crate) book_bytes: u64,
    /// The last error in writing, until it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// How the recording of one namespace is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceStatus {
    /// Empty for the recorder's own.
    pub(crate) name: String,
    pub(crate) reliable: bool,
    pub(crate) overruns: u64,
    /// RFC 3339; none while not covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) covered_since: Option<String>,
}
