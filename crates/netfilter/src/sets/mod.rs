//! nftables' sets: their elements over netlink.

mod name;

pub use name::{Family, SetId, SetIdError};
