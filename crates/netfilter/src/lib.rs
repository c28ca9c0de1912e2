//! The kernel's side of unmasq: conntrack events and dumps over netlink, elements of sets, network namespaces, local
//! addresses.
//!
//! ```text
//!  kernel ──datagrams──► EventSocket ──Batch──► conntrack::parse ──Event──► the recorder
//!     ▲   (recvmmsg)       │  scope filter (cBPF) keeps the rest in the kernel
//!     │                    └─ addresses::Watch: the gateway's own addresses, as they change
//!     └──GET, dump── Dumper ──Entry──► what is alive now
//! ```
//!
//! For a sensor, [`nflog`] reads packets that rules log, and [`tap`] frames of an interface.
//!
//! Elements of sets go the other way: [`sets`] (nftables) and [`ipset`]. [`maps`] reads what nftables' maps hold.
//!
//! One [`EventSocket`](conntrack::EventSocket) and one [`Dumper`](conntrack::Dumper) per network namespace: a
//! socket belongs for ever to the namespace that it was made in, so they can be opened before privileges are
//! dropped. Bytes are parsed once, by [`conntrack::parse`], into plain [`Entry`](conntrack::Entry) values;
//! nothing from the kernel can make it panic, read past the end or allocate.
//!
//! ```no_run
//! use std::time::Duration;
//! use unmasq_netfilter::conntrack::{self, Batch, Dumper, EventOptions, EventSocket};
//! use unmasq_netfilter::netns::Namespace;
//!
//! let own = Namespace::current();
//! let mut events = EventSocket::open(&own, &EventOptions::default())?;
//! Dumper::open(&own)?.dump(|entry| println!("alive: {} as {}", entry.client, entry.masked))?;
//! let mut batch = Batch::new();
//! loop {
//!     events.receive(&mut batch, Duration::from_secs(1))?;
//!     for datagram in &batch {
//!         conntrack::parse(datagram, &mut |event| println!("{:?} {}", event.kind, event.entry.client))?;
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This is the only crate of the workspace with `unsafe` code: the system calls that rustix has no safe form
//! of.

pub mod addresses;
pub mod conntrack;
mod datagrams;
mod error;
mod exchange;
pub mod filter;
#[doc(hidden)]
pub mod fuzz;
pub mod interfaces;
pub mod ipset;
pub mod maps;
pub mod netns;
pub mod nflog;
pub mod packet;
pub mod reliable;
mod rtnetlink;
pub mod scope;
pub mod sets;
pub mod settings;
mod sockopt;
pub mod tap;
pub mod transparent;
mod wire;

pub use error::{Error, Result};
