//! Port plans: which client has which ports of which public address, and since when.
//!
//! ```text
//!  Spec ──make(former)──► Plan ──Iptables, Nft──► rules for the kernel (loading them is not done here)
//!    networks, public       │
//!    addresses, ports       ├─ changes_to ──► who is added, removed, moved
//!                           ▼
//!                        history ──► which plan was in force then? who had that port?
//! ```
//!
//! A gateway that gives every client a block of ports of its own can be asked "who was it?" with nothing logged: the
//! port names the client (RFC 7422, deterministic NAT). What must be known instead is which plan was in force, so every
//! plan that was applied is kept, with its time.
//!
//! Making a plan is pure computation; only [`history`] touches the disk.
//!
//! ```
//! use unmasq_plan::{EDUVPN_PORTS, Layout, Spec};
//!
//! let plan = Spec {
//!     layout: Layout::Eduvpn,
//!     networks: vec!["192.168.101.0/25".parse()?],
//!     leave_out: Vec::new(),
//!     public: vec!["192.0.2.1".parse()?],
//!     ports: EDUVPN_PORTS,
//!     exclude: Vec::new(),
//!     ports_per_client: None,
//!     growth: 0,
//!     overflow: None,
//! }
//! .make(None)?;
//! assert_eq!(plan.allocations[0].client.to_string(), "192.168.101.2");
//! assert_eq!(plan.allocations[0].block.to_string(), "192.0.2.1:65024-65535");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod capacity;
mod clients;
#[doc(hidden)]
pub mod fuzz;
pub mod history;
mod layout;
mod plan;
mod ports;
pub mod rules;
mod spec;

pub use clients::{ClientNetwork, Gateway, NotNetwork, NotPublic, PublicRange};
pub use plan::{Allocation, Block, Changes, Layout, Move, Plan, ProtocolSet, apart};
pub use ports::{NotPorts, PortRange, PortSpace};
pub use spec::{DEFAULT_GROWTH, EDUVPN_PORTS, EVEN_PORTS, Misfit, Spec, SpecError};
