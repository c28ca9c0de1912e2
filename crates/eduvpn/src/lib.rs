//! Where an eduVPN gateway's client networks come from: what eduVPN 2's portal answers, or what the server files of an
//! eduVPN 3 node (or of any WireGuard and OpenVPN server) say.
//!
//! ```text
//!  config.php ──php──► NodeConfig ──► Portal ──GET profile_list──► Profile ──range::split──► Network ──┐
//!                                                                                                       ├──► who gets
//!  wg0.conf ────────node::wireguard──┐                                                                  │    which ports
//!  internet-0.conf ──node::openvpn───┴──────────────────────────────────────────────────► ClientNetwork ┘
//! ```
//!
//! The way by the portal repeats what eduVPN's script `vpn-generate-natfw` does, so that the same networks come in the
//! same order, and with the same text: ports are dealt out in that order, and an old rule file must stay readable. Where
//! it is stricter (a prefix length is digits, no proxy, no redirect), the module says so.
//!
//! The way by the files needs neither a portal nor a password, and knows the gateway's own address.
//!
//! ```
//! use std::path::Path;
//! use unmasq_eduvpn::{Profile, networks, node};
//!
//! let internet = Profile { id: "internet".into(), range: "10.8.0.0/24".into(), processes: 2 };
//! let portal = networks(&[internet], &[])?;
//! assert_eq!(portal.networks[1].text, "10.8.0.128/25");
//!
//! let files = node::parse(Path::new("wg0.conf"), "[Interface]\nAddress = 10.43.0.1/24\n")?;
//! assert_eq!(files[0].gateway.to_string(), "10.43.0.1");
//! # Ok::<(), unmasq_eduvpn::EduvpnError>(())
//! ```
//!
//! With a portal:
//!
//! ```no_run
//! use std::path::Path;
//! use unmasq_eduvpn::{Authorities, NodeConfig, Portal};
//!
//! let node = NodeConfig::read(Path::new(NodeConfig::DEFAULT_FILE))?;
//! let found = Portal::new(node, &Authorities::System, Portal::TIMEOUT)?.networks()?;
//! # Ok::<(), unmasq_eduvpn::EduvpnError>(())
//! ```

mod answer;
mod config;
mod error;
mod file;
pub mod fuzz;
mod networks;
pub mod node;
pub mod php;
mod portal;
pub mod range;
mod text;
mod uri;

pub use answer::Profile;
pub use config::{NodeConfig, Password};
pub use error::EduvpnError;
pub use networks::{PortalNetworks, networks};
pub use portal::{Authorities, Portal};
pub use range::Network;
pub use uri::Uri;
