//! What a running watch is asked, and what it answers.

use serde::{Deserialize, Serialize};

/// Where the watch's socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/unmasq/watch.sock";

/// What can be asked of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WatchAsk {
    /// How it is.
    Status,
    /// The bans in force.
    Bans,
    /// Bans an address or network. The guard judges it like any other.
    Ban {
        /// `ip filter bans`, or the name of an ipset.
        set: String,
        /// Is it an ipset?
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_ipset: bool,
        /// An address or a network.
        target: String,
        /// For how long; for ever without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Takes bans of an address or network back.
    Unban {
        /// Of this set only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<String>,
        /// As it was banned.
        target: String,
    },
    /// Sends the report now; what it holds will not be in the next one.
    Report,
}

/// One line of a watch's reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchReply {
    /// How it is.
    Status(WatchStatus),
    /// A ban in force.
    Ban(BanRecord),
    /// What was done.
    Done(String),
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRecord {
    /// `ip filter bans`, or the name of an ipset.
    pub set: String,
    /// Is it an ipset?
    pub is_ipset: bool,
    /// An address, a network, or an address and a port.
    pub target: String,
    /// RFC 3339; none for a permanent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// RFC 3339.
    pub since: String,
    /// What banned it: `sshd[4]`, the chain and the step, or `by hand`.
    pub by: String,
}

/// How a watch is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// Of unmasq.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its configuration.
    pub config: String,
    /// Where entries come from.
    pub sources: Vec<SourceStatus>,
    /// Entries read since the start.
    pub entries: u64,
    /// Entries that wait for their translation.
    pub waiting: u64,
    /// Translations that log lines told of.
    pub captures: u64,
    /// Counters that are not at zero.
    pub counters: u64,
    /// Bans in force.
    pub bans: u64,
    /// Bans that the guard refused.
    pub refused: u64,
    /// Errors of steps.
    pub errors: u64,
    /// The last error in writing, until it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A source of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `journal`, `file /var/log/auth.log`.
    pub name: String,
    /// Entries read since the start.
    pub entries: u64,
    /// The last entry's place.
    pub position: String,
}
