//! nftables' sets: what they are like, what they hold, and many changes of their elements at once.
//!
//! ```text
//!  SetId ──► Sets::info ──► SetInfo (type, flags, limits)
//!        ──► Sets::list ──► Listed  (element, time left)
//!  Change, Change, … ──► Sets::apply ──► one transaction ──► a Verdict for each
//!                                             └─ refused? each element alone in its message, the bad ones left out
//!  SetEvents ◄── somebody flushed a set, loaded a ruleset
//! ```
//!
//! Sets of `ipv4_addr`, `ipv6_addr` and of these with a port (`ipv4_addr . inet_service`), with or without
//! `flags interval` and `flags timeout`. An element is a [`Member`]: nothing but parsed addresses and ports can get to
//! the kernel.
//!
//! ```no_run
//! use std::time::Duration;
//! use unmasq_netfilter::netns::Namespace;
//! use unmasq_netfilter::sets::{Action, Change, Member, SetId, Sets};
//!
//! let mut sets = Sets::open(&Namespace::current())?;
//! let id: SetId = "inet filter bans".parse()?;
//! let info = sets.info(&id)?.ok_or("there is no such set")?;
//! let member = Member::address("192.0.2.7".parse()?, None);
//! let action = Action::Put(Some(Duration::from_secs(600)));
//! let verdicts = sets.apply(&[(id, info)], &[Change { set: 0, member, action, is_there: false }])?;
//! println!("{:?}", verdicts[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
pub(crate) mod encode;
mod events;
pub(crate) mod fuzz;
mod info;
pub(crate) mod kernel;
pub(crate) mod member;
mod name;
pub(crate) mod parse;
mod settle;

pub use connection::Sets;
pub use events::{SetEvent, SetEvents, What};
pub use info::{Form, KeyType, SetInfo};
pub use member::{Listed, Member};
pub use name::{Family, SetId, SetIdError};
pub use settle::{Action, Change, Verdict};
