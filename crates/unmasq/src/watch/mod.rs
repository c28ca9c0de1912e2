//! The running watch: sources, chains and what they cause, wired together.
//!
//! ```text
//!  sources ──► Engine (Machine + Surroundings) ──Effect──► Live (log, mail, kernel sets)
//!                 │           └─ State ──commit──► disk         └─ or a trial, which only tells
//!                 └─ book: conntrack (Feed), another host's (RemoteBook), captured lines
//! ```

pub(crate) mod build;
mod clients;
mod control;
pub(crate) mod divert;
pub(crate) mod effect;
pub(crate) mod engine;
mod feed;
mod live;
pub(crate) mod runner;
pub(crate) mod sources;
pub(crate) mod trial;
mod users;
mod world;

use ipnet::IpNet;
use unmasq_watch::bans;

/// An address or a network as a person writes it.
pub(crate) fn target(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<std::net::IpAddr>().map(IpNet::from);
    let net = single.or_else(|_| text.parse::<IpNet>());
    net.map(bans::canonical)
        .map_err(|_| format!("{text:?} is neither an address nor a network, such as 192.0.2.0/24"))
}

/// An address without its length, a network with its host bits cleared.
pub(crate) fn shown(target: IpNet) -> String {
    let is_single = target.prefix_len() == target.max_prefix_len();
    if is_single { target.addr().to_string() } else { target.trunc().to_string() }
}
