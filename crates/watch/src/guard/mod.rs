//! The guard: what no action ever bans or diverts.
//!
//! ```text
//!  target ──► special? local? allowed? masking? ──► brake ──► go ahead
//!                 │        │        │       │          │
//!                 └────────┴────────┴───────┴──────────┴──► Refusal (kind, reason)
//! ```
//!
//! Pure: the time and what is known of the world are handed in ([`Guard::set_local`], [`Guard::set_resolved`],
//! [`Guard::note_masking`]). A network is refused if it overlaps anything that an address would be refused for.
//! `::ffff:192.0.2.1` and `192.0.2.1` are one address everywhere. What names stand for is found out by [`Resolver`],
//! on a thread of its own.
//!
//! ```
//! use unmasq_flow::Timestamp;
//! use unmasq_watch::guard::{Guard, Options, RefusalKind, Reach};
//!
//! let options = Options { allow: vec!["192.0.2.0/24".parse()?], ..Options::default() };
//! let mut guard = Guard::new(options);
//! let refusal = guard.judge("::ffff:192.0.2.7/128".parse()?, Reach::Everything, Timestamp::now()).unwrap_err();
//! assert_eq!(refusal.kind, RefusalKind::Allowed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod brake;
mod masking;
mod refusal;
mod resolver;
mod special;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ipnet::IpNet;
use unmasq_flow::Timestamp;

pub use refusal::{Refusal, RefusalKind};
pub use resolver::{Resolution, Resolver};

use crate::enforce::canonical;
use brake::{Brake, Limits};
use masking::Masking;

/// What the guard protects, and how many bans are too many.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Never touched: addresses and networks.
    pub allow: Vec<IpNet>,
    /// Never touched: what these names stand for, once [`Guard::set_resolved`] has told.
    pub allow_names: Vec<String>,
    /// Known to stand for other clients: proxies, NAT gateways, pools of CGNAT.
    pub masking: Vec<IpNet>,
    /// Protect the addresses that [`Guard::set_local`] tells of.
    pub local: bool,
    /// How long an address that [`Guard::note_masking`] told of is held to be masking after the last time.
    pub masking_keep: Duration,
    /// Most such addresses; the one told of longest ago goes first.
    pub masking_most: usize,
    /// Most different targets in a minute, of all steps together; 0 for no limit.
    pub bans_per_minute: u32,
    /// Most different targets in a minute of one step; 0 for no limit.
    pub step_bans_per_minute: u32,
    /// A step of whose targets in the last minute more than this share was on the allow list is stopped: 0 to 1, and 1
    /// for never. Each target counts once, and ten have to be seen first.
    pub allow_share: f64,
    /// How long a step that was stopped stays so.
    pub cool_down: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            allow_names: Vec::new(),
            masking: Vec::new(),
            local: true,
            masking_keep: Duration::from_secs(3600),
            masking_most: 65_536,
            bans_per_minute: 6000,
            step_bans_per_minute: 6000,
            allow_share: 0.2,
            cool_down: Duration::from_secs(300),
        }
    }
}

/// What an action would touch at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that comes from it.
    Everything,
    /// What comes from one port of it, which is one client of a masking address: masking is no reason to refuse that.
    OnePort,
}

/// Judges targets.
#[derive(Debug)]
pub struct Guard {
    options: Options,
    local: BTreeSet<IpAddr>,
    resolved: BTreeMap<String, Vec<IpAddr>>,
    masking: Masking,
    overall: Brake,
    steps: HashMap<u32, Brake, RandomState>,
}

impl Guard {
    /// With these options, knowing no local address and no name's.
    pub fn new(mut options: Options) -> Self {
        for net in options.allow.iter_mut().chain(&mut options.masking) {
            *net = canonical(*net).trunc();
        }
        Self {
            local: BTreeSet::new(),
            resolved: BTreeMap::new(),
            masking: Masking::new(options.masking_keep, options.masking_most),
            overall: Brake::default(),
            steps: HashMap::default(),
            options,
        }
    }

    /// The same knowledge under other options, for a configuration that was read again.
    pub fn reload(&mut self, options: Options) {
        let mut next = Self::new(options);
        next.local = std::mem::take(&mut self.local);
        next.resolved = std::mem::take(&mut self.resolved);
        next.resolved.retain(|name, _| next.options.allow_names.contains(name));
        std::mem::swap(&mut next.masking, &mut self.masking);
        next.masking.limit(next.options.masking_keep, next.options.masking_most);
        *self = next;
    }

    /// This machine's addresses, in place of those told before.
    pub fn set_local(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.local = addresses.into_iter().map(|address| address.to_canonical()).collect();
    }

    /// What a name of the allow list stands for now. Nothing, as after a failed look-up, leaves what it was.
    pub fn set_resolved(&mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses: Vec<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        if !addresses.is_empty() && self.options.allow_names.iter().any(|known| known == name) {
            self.resolved.insert(name.to_owned(), addresses);
        }
    }

    /// Names of the allow list of which nothing is known yet, so that they protect nobody.
    pub fn unresolved(&self) -> impl Iterator<Item = &str> {
        let names = self.options.allow_names.iter().map(String::as_str);
        names.filter(|name| !self.resolved.contains_key(*name))
    }

    /// Notes an address that others were seen behind: a translation's outer address, a proxy. Cheap enough for each
    /// new flow.
    pub fn note_masking(&mut self, address: IpAddr, now: Timestamp) {
        self.masking.note(address.to_canonical(), now);
    }

    /// How many addresses are held to be masking through [`Guard::note_masking`].
    pub fn masking_len(&self) -> usize {
        self.masking.len()
    }

    /// Is it masking others, as far as is known? If so, what says it.
    pub fn masks_others(&self, target: IpNet, now: Timestamp) -> Option<Refusal> {
        self.masking_refusal(canonical(target), now)
    }

    /// May this target be touched, the brake aside?
    pub fn judge(&self, target: IpNet, reach: Reach, now: Timestamp) -> Result<(), Refusal> {
        let target = canonical(target);
        let refusal = special::refusal(&target)
            .or_else(|| self.local_refusal(&target))
            .or_else(|| self.allowed_refusal(&target))
            .or_else(|| match reach {
                Reach::Everything => self.masking_refusal(target, now),
                Reach::OnePort => None,
            });
        refusal.map_or(Ok(()), Err)
    }

    /// May this step ban or divert this target now? Counts it for the brake.
    pub fn admit(&mut self, step: u32, target: IpNet, reach: Reach, now: Timestamp) -> Result<(), Refusal> {
        let target = canonical(target).trunc();
        let judged = self.judge(target, reach, now);
        let is_allowed = matches!(&judged, Err(refusal) if refusal.kind == RefusalKind::Allowed);
        let limits =
            |most| Limits { most, allow_share: self.options.allow_share, cool_down: self.options.cool_down };
        match judged {
            Err(refusal) if !is_allowed => Err(refusal),
            judged => {
                let step_limits = limits(self.options.step_bans_per_minute);
                let braked = self.steps.entry(step).or_default().note(target, is_allowed, &step_limits, now);
                let braked = braked.map_err(|stop| stop.refusal("this step"));
                match (judged, braked) {
                    // The reason of a stop goes with the refusal that caused it, so that it is told.
                    (Err(refusal), Err(stop)) if stop.is_news => {
                        Err(Refusal { reason: format!("{refusal}; {stop}"), ..refusal })
                    }
                    (Err(refusal), _) => Err(refusal),
                    (Ok(()), Err(stop)) => Err(stop),
                    (Ok(()), Ok(())) => {
                        let overall = Limits { allow_share: 1.0, ..limits(self.options.bans_per_minute) };
                        let braked = self.overall.note(target, false, &overall, now);
                        braked.map_err(|stop| stop.refusal("all steps together"))
                    }
                }
            }
        }
    }

    fn local_refusal(&self, target: &IpNet) -> Option<Refusal> {
        let found = self.local.range(target.network()..=target.broadcast()).next();
        let found = found.filter(|_| self.options.local)?;
        Some(Refusal::new(
            RefusalKind::Local,
            format_args!("{} holds {found}, an address of this machine", Shown(target)),
        ))
    }

    fn allowed_refusal(&self, target: &IpNet) -> Option<Refusal> {
        if let Some(net) = overlapping(&self.options.allow, target) {
            let reason = format_args!("{} is on the allow list ({})", Shown(target), Shown(net));
            return Some(Refusal::new(RefusalKind::Allowed, reason));
        }
        let name = self.resolved.iter().find(|(_, addresses)| addresses.iter().any(|a| target.contains(a)));
        let (name, _) = name?;
        Some(Refusal::new(
            RefusalKind::Allowed,
            format_args!("{} is on the allow list ({name})", Shown(target)),
        ))
    }

    fn masking_refusal(&self, target: IpNet, now: Timestamp) -> Option<Refusal> {
        if let Some(net) = overlapping(&self.options.masking, &target) {
            let reason =
                format_args!("{} masks other clients (by configuration: {})", Shown(&target), Shown(net));
            return Some(Refusal::new(RefusalKind::Masking, reason));
        }
        let (address, seen) = self.masking.within(&target, now)?;
        let reason = format_args!("{} masks other clients ({address}, last seen at {seen})", Shown(&target));
        Some(Refusal::new(RefusalKind::Masking, reason))
    }
}

fn overlapping<'n>(nets: &'n [IpNet], target: &IpNet) -> Option<&'n IpNet> {
    nets.iter().find(|net| net.contains(target) || target.contains(*net))
}

/// A network, or an address where it is one.
struct Shown<'n>(&'n IpNet);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let net = self.0.trunc();
        if net.prefix_len() == net.max_prefix_len() { net.addr().fmt(f) } else { net.fmt(f) }
    }
}

#[cfg(test)]
mod tests;
