//! Chains of either framework, and the walk through them.

use super::restriction::Restriction;
use super::{SourceNat, Step};
use crate::settings::{Framework, Reading, SettingError};

/// The kernel's own limit of jumps in jumps (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// Rules that are looked at, at most: chains that jump to each other several times make more ways than anyone wants to
/// read.
const MOST_RULES: usize = 100_000;

/// A chain with those of its rules that translate or jump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Family, table and name.
    pub(super) id: ChainId,
    /// The priority, if it is a base chain of source translation.
    pub(super) priority: Option<i32>,
    pub(super) rules: Vec<Rule>,
    /// How many rules it has in all.
    pub(super) length: usize,
}

/// What a chain is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ChainId {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
}

/// A rule that translates or jumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its place in the chain, from 0.
    pub(super) place: usize,
    pub(super) text: String,
    /// What it is about.
    pub(super) only: Restriction,
    pub(super) translates: bool,
    /// The chains of the same table that it may jump to, and for which packets.
    pub(super) jumps: Vec<(String, Restriction)>,
}

/// The rules that translate, base chain by base chain.
pub(super) fn walk(chains: &[Chain], framework: Framework) -> Reading<Vec<SourceNat>> {
    let mut walk = Walk { chains, framework, found: Vec::new(), path: Vec::new(), left: MOST_RULES };
    for chain in chains {
        if let Some(priority) = chain.priority {
            walk.chain(chain, priority, &Restriction::default());
        }
    }
    if walk.left == 0 {
        let many = format!("{MOST_RULES} rules or more, by all ways of jumps");
        return Err(SettingError::value("nat postrouting", &many, "as many as can be followed"));
    }
    Ok(walk.found)
}

struct Walk<'c> {
    chains: &'c [Chain],
    framework: Framework,
    found: Vec<SourceNat>,
    path: Vec<Step>,
    left: usize,
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Chain, priority: i32, inherited: &Restriction) {
        if self.path.len() >= DEEPEST {
            return;
        }
        for rule in &chain.rules {
            let Some(left) = self.left.checked_sub(1) else { return };
            self.left = left;
            // A rule that no packet gets to which it could be about.
            let Some(only) = inherited.and(&rule.only) else { continue };
            self.path.push(Step { chain: chain.id.name.clone(), rule: rule.place });
            if rule.translates {
                self.found.push(SourceNat {
                    framework: self.framework,
                    family: chain.id.family.clone(),
                    table: chain.id.table.clone(),
                    chain: chain.id.name.clone(),
                    priority,
                    path: self.path.clone(),
                    text: rule.text.clone(),
                    sources: only.sources.clone(),
                    outputs: only.outputs.clone(),
                    protocols: only.protocols.clone(),
                });
            }
            for (name, jump) in &rule.jumps {
                let target = ChainId { name: name.clone(), ..chain.id.clone() };
                let target = self.chains.iter().find(|chain| chain.id == target);
                if let (Some(target), Some(only)) = (target, only.and(jump)) {
                    self.chain(target, priority, &only);
                }
            }
            self.path.pop();
        }
    }
}
