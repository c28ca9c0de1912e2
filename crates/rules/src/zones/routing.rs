//! The policy routing that brings proxied packets to the proxies.

use crate::value::{Interface, Mark};

/// A mark that says "deliver here", and the routing table that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// What the packets get.
    pub mark: Mark,
    /// The number of the routing table.
    pub table: u32,
}

impl Default for Routing {
    fn default() -> Self {
        Self { mark: Mark::ONE, table: 100 }
    }
}

impl Routing {
    /// What nft does to a packet to be delivered here.
    pub(crate) fn nft(self) -> String {
        format!("meta mark set meta mark or {}", self.mark)
    }

    /// The commands of ip(8), for both families.
    ///
    /// A rule for each interface, and not one for all: where `src_valid_mark` is set (wg-quick does it), the kernel looks up
    /// a packet's source with its mark too, finds it in the table that delivers everything here, and drops the packet as a
    /// martian without a count. That look-up has no incoming interface, so a rule with `iif` is not asked.
    pub fn commands(self, interfaces: &[&Interface]) -> Vec<String> {
        let mut lines = Vec::new();
        for ip in ["ip", "ip -6"] {
            lines.extend(interfaces.iter().map(|interface| {
                format!("{ip} rule add fwmark {} iif {interface} lookup {}", self.mark.masked(), self.table)
            }));
            lines.push(format!("{ip} route replace local default dev lo table {}", self.table));
        }
        lines
    }
}
