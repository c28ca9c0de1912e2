//! What does not fit into the receive buffer: counted exactly, or kept by the kernel in reliable mode.

use std::collections::HashSet;
use std::os::fd::AsFd;

use unmasq_flow::Protocol;
use unmasq_lab::{Lab, Network, Plan};
use unmasq_netfilter::conntrack::{EventKind, EventOptions};
use unmasq_netfilter::reliable;

use crate::frames;
use crate::listener::{EVERYTHING, Listener};

/// Holds some dozens of messages.
const SMALL: EventOptions = EventOptions { receive_buffer: 16 << 10, ..EVERYTHING };

fn network() -> Network {
    Network::build(&Lab::new().unwrap(), Plan::default()).unwrap()
}

fn count(listener: &Listener, kind: EventKind) -> usize {
    let wanted = listener.seen.iter().filter(|e| e.kind == kind && e.entry.protocol == Protocol::UDP);
    wanted.map(|e| e.entry.client).collect::<HashSet<_>>().len()
}

#[test]
fn an_overrun_is_told_with_the_exact_number_of_messages() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &SMALL);
    let truth_before = network.gateway.flows_begun().unwrap();
    frames::new_flows(&network, 1024..4024);
    let truth = network.gateway.flows_begun().unwrap() - truth_before;
    listener.until("the whole account", |l| l.seen.len() as u64 + l.dropped >= truth);
    assert!(listener.dropped > 1000, "{} dropped", listener.dropped);
    assert_eq!(listener.seen.len() as u64 + listener.dropped, truth);
    assert_eq!(u64::from(listener.socket.drops().unwrap()), listener.dropped);
    let memory = listener.socket.memory().unwrap();
    assert!(memory.used < memory.capacity, "{memory:?}");

    // And it goes on without loss after that.
    let before = listener.dropped;
    frames::new_flows(&network, 9000..9010);
    listener.receive(std::time::Duration::from_secs(20));
    assert_eq!(listener.dropped, before);
}

#[test]
fn reliable_mode_delivers_every_end_to_a_late_reader() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &EventOptions { reliable: true, ..SMALL });
    frames::new_flows(&network, 1024..2024);
    network.gateway.forget_flows().unwrap();
    listener.until("1000 ends", |l| count(l, EventKind::Destroy) == 1000);
    assert!(listener.dropped > 0, "the buffer was large enough, so that nothing was tested");
}

#[test]
fn a_watchdog_can_switch_reliable_mode_off_on_a_duplicate() {
    let network = network();
    let mut listener = Listener::open(&network.gateway, &EventOptions { reliable: true, ..SMALL });
    let duplicate = listener.socket.as_fd().try_clone_to_owned().unwrap();
    reliable::set(duplicate.as_fd(), false).unwrap();
    frames::new_flows(&network, 1024..2024);
    network.gateway.forget_flows().unwrap();
    // What does not fit is gone at once: no entry stays behind that waits for its delivery.
    let waiting = || network.gateway.setting("net.netfilter.nf_conntrack_count").unwrap();
    assert!(waiting().parse::<u32>().unwrap() < 100, "{}", waiting());
    listener.until("an overrun", |l| l.dropped > 0);
    assert!(count(&listener, EventKind::Destroy) < 1000);
}

#[test]
fn the_buffer_is_as_large_as_asked_for() {
    let network = network();
    let listener = Listener::open(&network.gateway, &EventOptions::default());
    assert_eq!(listener.socket.receive_buffer(), 128 << 20, "the kernel doubles it for its own overhead");
    assert_eq!(listener.socket.memory().unwrap().capacity, 128 << 20);
}
