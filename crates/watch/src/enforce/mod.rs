//! Puts elements into the kernel's sets and keeps them there.
//!
//! ```text
//!  Enforcer::ban, unban, restore ──orders──► thread ──one transaction──► nftables, ipset
//!                                             │  ▲                           │
//!  Report ◄──done, or why not─────────────────┘  └──word of a change────────┘
//!                                         wanted = held?  what is missing is put back
//! ```
//!
//! One thread with one long-lived connection for each kind of set, in one network namespace. Orders that wait together
//! are one transaction; one that cannot be carried out does not sink the others, and says which set it was about and
//! what to do. What is wanted is compared with what the kernel holds when it is restored at the start, every so often,
//! and when nftables tells that somebody else flushed a set or loaded a ruleset; of ipsets there is no such word, so
//! their number of elements is looked at every second. A set that is missing gets what is wanted of it once it appears.
//! Elements that others put are left alone, but that a ban of the same address gives it the ban's time.
//!
//! Nothing textual goes to the kernel: an element is a parsed address, and a set's name was checked. Nothing wider than
//! what was ordered is ever put: a network goes into a set that can hold networks, and else only its address does, with
//! a warning; a port goes into a set of `address . port` or nowhere.
//!
//! In a set of nftables with `flags interval`, elements cannot overlap: a wider one takes the place of ours in it, and
//! those that outlive it are put back when it ends. On kernels that keep such sets as a sorted array, one change costs
//! time in proportion to the set (0.4 ms for each thousand elements): tens of thousands of single addresses are better
//! kept in a set without intervals.
//!
//! ```no_run
//! use std::time::Duration;
//! use unmasq_watch::enforce::{Element, Enforcer, Options, SetKind, SetName, single};
//!
//! let enforcer = Enforcer::start(Options::default(), |report| println!("{report:?}"))?;
//! let set = SetName::parse(SetKind::Nft, "inet filter bans")?;
//! let target = single("192.0.2.7".parse()?);
//! enforcer.ban(Element { set, target, port: None, timeout: Some(Duration::from_secs(600)) });
//! enforcer.settle(Duration::from_secs(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod element;
mod enforcer;
mod failure;
mod kernel;
mod name;
mod wanted;
mod worker;

pub use element::{Element, Report, around, canonical, single};
pub use enforcer::{Enforcer, Options};
pub use failure::Failure;
pub use name::{SetKind, SetName, SetNameError};
