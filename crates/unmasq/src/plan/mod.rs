//! Port plans on a gateway: from what is configured to what the kernel does, and whether it still does.
//!
//! ```text
//!  [plan], flags ─► Wanted ─resolve─► Spec ─make─► Plan ─┬─ apply ─► Kernel (nft, iptables)
//!   portal, server files, interfaces, sysctls            │             ▲
//!                                                        └─ history    └─ check: rules, shadows, flows ─► guard (drift)
//! ```
//!
//! Making plans and keeping them is done by `unmasq-plan`; here is all that touches the kernel.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod choice;
pub(crate) mod flows;
pub(crate) mod guard;
pub(crate) mod kernel;
pub(crate) mod lingering;
pub(crate) mod moment;
pub(crate) mod owner;
pub(crate) mod wanted;
