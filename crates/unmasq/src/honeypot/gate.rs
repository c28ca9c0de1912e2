//! Who may connect, and who is held up.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::config::{HoneypotBounds as Bounds, HoneypotTarpit as Tarpit};

/// Sources whose attempts are remembered, at least; twice as many at most.
const SOURCES: usize = 65_536;

/// Counts connections and attempts. Shared by all workers.
#[derive(Debug)]
pub(super) struct Gate {
    most: u32,
    most_by_address: u32,
    tarpit: Tarpit,
    open: AtomicU32,
    held: AtomicU32,
    by_address: Mutex<HashMap<IpAddr, u32, FxBuildHasher>>,
    attempts: Mutex<Attempts>,
}

/// Attempts of sources. Two generations: when the younger is full, the older is forgotten, so that whoever keeps trying stays.
#[derive(Debug, Default)]
struct Attempts {
    young: HashMap<IpAddr, u32, FxBuildHasher>,
    old: HashMap<IpAddr, u32, FxBuildHasher>,
}

/// An address has all the connections that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FullForAddress;

/// A place among the connections, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    /// Whose, once that is known.
    address: Option<IpAddr>,
}

/// A place among those that are held up, likewise.
#[derive(Debug)]
pub(super) struct Hold {
    gate: Arc<Gate>,
}

impl Gate {
    pub(super) fn new(bounds: &Bounds, tarpit: Tarpit) -> Arc<Self> {
        Arc::new(Self {
            most: bounds.connections,
            most_by_address: bounds.connections_by_address,
            tarpit,
            open: AtomicU32::new(0),
            held: AtomicU32::new(0),
            by_address: Mutex::default(),
            attempts: Mutex::default(),
        })
    }

    /// Is there room for another connection?
    pub(super) fn admit(self: &Arc<Self>) -> Option<Permit> {
        raise(&self.open, self.most).then(|| Permit { gate: Arc::clone(self), address: None })
    }

    /// Notes an attempt.
    pub(super) fn note_attempt(&self, source: IpAddr) {
        if self.tarpit.after.is_some() {
            self.attempts.lock().note(source);
        }
    }

    /// Is this source to be held up from the start, and is there room to?
    pub(super) fn hold(self: &Arc<Self>, source: IpAddr) -> Option<Hold> {
        let is_listed = || self.tarpit.networks.iter().any(|network| network.contains(&source));
        let has_tried = || {
            let after = self.tarpit.after?;
            (self.attempts.lock().of(source) >= after).then_some(())
        };
        if is_listed() || has_tried().is_some() { self.take_hold() } else { None }
    }

    /// Is a client of this software to be held up, and is there room to?
    pub(super) fn hold_software(self: &Arc<Self>, software: &str) -> Option<Hold> {
        let is_listed = self.tarpit.software.iter().any(|listed| software.starts_with(listed.as_str()));
        if is_listed { self.take_hold() } else { None }
    }

    /// Connections that are open, and those of them that are held up.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.open.load(Ordering::Relaxed), self.held.load(Ordering::Relaxed))
    }

    fn take_hold(self: &Arc<Self>) -> Option<Hold> {
        raise(&self.held, self.tarpit.connections).then(|| Hold { gate: Arc::clone(self) })
    }
}

/// Counts one more unless there are so many already.
fn raise(count: &AtomicU32, most: u32) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1)).is_ok()
}

/// What counts as one address: of IPv6 the network that one customer has.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into(),
    }
}

impl Permit {
    /// May this source have it? A proxy's connections are their clients', who are known later.
    pub(super) fn claim(&mut self, source: IpAddr) -> Result<(), FullForAddress> {
        let address = site(source);
        let mut by_address = self.gate.by_address.lock();
        let count = by_address.entry(address).or_default();
        if *count >= self.gate.most_by_address {
            return Err(FullForAddress);
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::AcqRel);
        let Some(address) = self.address else { return };
        let mut by_address = self.gate.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.held.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Attempts {
    fn of(&self, source: IpAddr) -> u32 {
        let source = site(source);
        self.young.get(&source).or_else(|| self.old.get(&source)).copied().unwrap_or_default()
    }

    fn note(&mut self, source: IpAddr) {
        let count = self.of(source).saturating_add(1);
        let source = site(source);
        if self.young.len() >= SOURCES && !self.young.contains_key(&source) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(source, count);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(after: Option<u32>) -> Arc<Gate> {
        let bounds = Bounds {
            connections: 3,
            connections_by_address: 2,
            grace: Duration::from_secs(120),
            attempts: None,
            bytes: 1 << 20,
            delay: None,
        };
        let tarpit = Tarpit {
            after,
            networks: vec!["198.51.100.0/24".parse().unwrap()],
            software: vec!["libssh".to_owned()],
            connections: 1,
            time: Duration::from_secs(60),
        };
        Gate::new(&bounds, tarpit)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_all_places_nor_all_addresses_more_than_there_are() {
        let gate = gate(None);
        let claim = |of: &str| {
            let mut permit = gate.admit()?;
            permit.claim(address(of)).is_ok().then_some(permit)
        };
        let first = claim("192.0.2.1").unwrap();
        let second = claim("192.0.2.1").unwrap();
        assert!(claim("192.0.2.1").is_none(), "it has two");
        let other = claim("2001:db8::1").unwrap();
        assert!(gate.admit().is_none(), "there are three");
        drop(first);
        let again = claim("2001:db8::2").unwrap();
        assert_eq!(gate.counts(), (3, 0));
        drop([again, other, second]);
        assert_eq!(gate.counts(), (0, 0));
        assert!(gate.by_address.lock().is_empty());
    }

    #[test]
    fn who_has_tried_enough_or_is_listed_is_held_up_within_the_budget() {
        let gate = gate(Some(2));
        let source = address("192.0.2.1");
        gate.note_attempt(source);
        assert!(gate.hold(source).is_none());
        gate.note_attempt(source);
        let hold = gate.hold(source).unwrap();
        assert!(gate.hold(address("198.51.100.7")).is_none(), "there is room for one");
        drop(hold);
        assert!(gate.hold(address("198.51.100.7")).is_some());
        assert!(gate.hold_software("libssh_0.10.6").is_some());
        assert!(gate.hold_software("OpenSSH_9.2p1").is_none());
    }

    #[test]
    fn sources_are_forgotten_before_they_take_too_much_and_the_busy_stay() {
        let mut attempts = Attempts::default();
        let busy = address("192.0.2.1");
        for nth in 0..300_000_u32 {
            attempts.note(IpAddr::from((0x0a00_0000 + nth).to_be_bytes()));
            if nth.is_multiple_of(1000) {
                attempts.note(busy);
            }
        }
        assert!(attempts.young.len() + attempts.old.len() <= 2 * SOURCES);
        assert_eq!(attempts.of(busy), 300);
    }
}
