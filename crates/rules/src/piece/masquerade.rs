//! `masquerade`: source NAT to the address of the interface.

use super::PieceError;
use super::text::{Chain, Target, restore, sources, sources_of, table};
use crate::value::{Interface, Network};

/// What leaves by an interface takes its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// The interface.
    pub out: Interface,
    /// Of these sources alone. Empty: of all of IPv4, which is what NAT is for.
    pub networks: Vec<Network>,
}

impl Masquerade {
    pub(super) fn nft(&self) -> String {
        let out = self.out.quoted();
        let of = if self.networks.is_empty() {
            vec!["meta nfproto ipv4 ".to_owned()]
        } else {
            sources(&self.networks)
        };
        let rules = of.iter().map(|of| format!("oifname {out} {of}counter masquerade")).collect();
        let hook = "nat hook postrouting priority srcnat; policy accept;".into();
        table("unmasq_masquerade", &[Chain { name: "postrouting", hook, rules }])
    }

    pub(super) fn iptables(&self, is_v6: bool) -> Result<String, PieceError> {
        let of = sources_of(&self.networks, is_v6);
        if let (Some(first), true) = (self.networks.first(), of.is_empty()) {
            return Err(PieceError::other_family(first, is_v6));
        }
        let rules = of.iter().map(|of| format!("-o {} {of}-j MASQUERADE", self.out)).collect();
        Ok(restore("nat", &[Target { name: "UNMASQ-MASQUERADE", from: vec!["POSTROUTING"], rules }]))
    }
}
