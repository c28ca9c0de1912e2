//! A plan as rules: for iptables in the form of eduVPN's script, for nftables as one map; and read back.

mod iptables;
mod nft;
mod read;
mod text;

pub use iptables::{Header, Iptables};
pub use nft::{CHAIN, ICMP_RULE, MAP, Nft, PRIORITY, TABLE, change as nft_change};
pub use read::{OtherRule, RulesError, RulesFile, read};
