//! A set of the kernel's with the addresses that tried something.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustc_hash::FxBuildHasher;
use unmasq_flow::Timestamp;
use unmasq_netfilter::addresses::Watch as Addresses;
use unmasq_netfilter::netns::Namespace;
use unmasq_watch::enforce::{self, Element, Enforcer, Report, single};
use unmasq_watch::guard::{self, Guard, Reach};

use crate::config::HoneypotOutputs as Outputs;
use crate::honeypot::metrics::Metrics;
use crate::watch::divert::Sets;

/// Addresses that are remembered as being in the set, at most; then all are forgotten, and put once more.
const MOST_KNOWN: usize = 262_144;
/// How often this host's own addresses are read anew.
const LOOK: Duration = Duration::from_secs(5);

/// How long the kernel is waited for at the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Puts addresses into a set.
pub(in crate::honeypot) struct Set {
    sets: Sets,
    timeout: Duration,
    enforcer: Enforcer,
    guard: Guard,
    addresses: Addresses,
    looked: Instant,
    /// When the element of each address was ordered.
    known: HashMap<IpAddr, Instant, FxBuildHasher>,
}

impl Set {
    /// Connects to the kernel, if a set is wanted.
    pub(in crate::honeypot) fn open(
        outputs: &Outputs,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(set) = &outputs.set else { return Ok(None) };
        let sets = Sets::with(set)?;
        let metrics = Arc::clone(metrics);
        let report = move |report: Report| match report {
            Report::Banned { .. } => metrics.elements.add(1),
            Report::Failed { element, failure } => {
                metrics.elements_failed.add(1);
                eprintln!("unmasq: {element} was not put into the set {}: {failure}", element.set);
            }
            Report::Trouble { failure, .. } => {
                eprintln!("unmasq: addresses cannot be put there yet: {failure}");
            }
            Report::Recovered { set } => eprintln!("unmasq: {set} takes addresses now"),
            _ => {}
        };
        let enforcer = Enforcer::start(enforce::Options::default(), report).context("cannot change sets")?;
        // A set that is missing is told now, and not with the first attempt.
        for address in
            [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()]
        {
            let (set, target) = (sets.of(address), single(address));
            enforcer.expect(Element { set, target, port: None, timeout: Some(outputs.set_timeout) });
        }
        enforcer.settle(PATIENCE);
        let options = guard::Options { allow: outputs.allow.clone(), ..guard::Options::default() };
        let addresses =
            Addresses::open(&Namespace::current()).context("cannot read this host's addresses")?;
        let mut guard = Guard::new(options);
        guard.set_local(addresses.known().iter());
        let (looked, known) = (Instant::now(), HashMap::default());
        Ok(Some(Self { sets, timeout: outputs.set_timeout, enforcer, guard, addresses, looked, known }))
    }

    /// Others were seen behind an address: it is not put there when the book cannot tell which of them tried.
    pub(super) fn note_masking(&mut self, address: IpAddr) {
        self.guard.note_masking(address, Timestamp::now());
    }

    /// Puts an address there, unless it is there or is one that the guard protects.
    pub(super) fn add(&mut self, address: IpAddr) {
        let now = Instant::now();
        // Halfway through its time it is put anew, so that who goes on trying stays.
        if self.known.get(&address).is_some_and(|at| now.duration_since(*at) < self.timeout / 2) {
            return;
        }
        if now.duration_since(self.looked) > LOOK {
            self.looked = now;
            if let Ok(true) = self.addresses.refresh() {
                self.guard.set_local(self.addresses.known().iter());
            }
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(address, now);
        let (set, target) = (self.sets.of(address), single(address));
        match self.guard.admit(0, target, Reach::Everything, Timestamp::now()) {
            Ok(()) => self.enforcer.ban(Element { set, target, port: None, timeout: Some(self.timeout) }),
            Err(refusal) => eprintln!("unmasq: {address} is not put into the set {set}: {refusal}"),
        }
    }
}
