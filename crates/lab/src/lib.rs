//! What tests, the demo and the benches need of the world: made-up flows, network namespaces, servers, load.
//!
//! ```text
//!  Lab ── Node (namespace) ── link, ip, nft, set …      values; all of it vanishes with the last of them
//!   └── Network: clients ── gateway (translates) ── servers
//!  client::tcp, udp, ping  ───────────────────────►  Server: notes who came = the truth
//!  Range: source ── gateway ── void;  Blast ───────►  the kernel's limit
//! ```
//!
//! Needs root. Traffic stays in the namespaces. A killed run leaves namespaces behind; the next [`Lab::new`]
//! removes them.
//!
//! ```no_run
//! use std::time::Duration;
//! use unmasq_lab::{Lab, Network, Plan, Server, client};
//!
//! let lab = Lab::new()?;
//! let network = Network::build(&lab, Plan::default())?;
//! let server = Server::tcp(&network.servers, network.server(0, 80))?;
//! let connection = client::tcp(&network.clients[0], ([0, 0, 0, 0], 40_000).into(), server.address())?;
//! client::talk(&connection)?;
//! let seen = server.wait(1, Duration::from_secs(5))?;
//! assert_eq!(seen[0].peer.ip(), Network::PUBLIC);
//! # Ok::<(), unmasq_lab::LabError>(())
//! ```

pub mod attempts;
mod authority;
mod blast;
pub mod client;
pub mod command;
mod conntrack_max;
pub mod demo;
mod error;
mod journald;
mod lab;
mod lock;
mod network;
mod nflog;
mod node;
pub mod random;
mod range;
pub mod raw;
mod replay;
mod rules;
mod server;
pub mod ssh_load;
pub mod synthetic;
mod traffic;

use std::time::Duration;

pub use authority::{Authority, Signed};
pub use blast::{Blast, Sent};
pub use command::Running;
pub use conntrack_max::ConntrackMax;
pub use error::LabError;
pub use journald::Journald;
pub use lab::Lab;
pub use network::{Network, Plan};
pub use nflog::{LogGroup, Logged};
pub use node::Node;
pub use range::Range;
pub use replay::Replay;
pub use rules::Rule;
pub use server::{Server, Sighting};
pub use traffic::{Conversation, Traffic};

/// How long is waited for what takes microseconds in a namespace and milliseconds of a program: the machine may be very busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
