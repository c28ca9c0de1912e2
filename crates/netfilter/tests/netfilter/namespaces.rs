//! Namespaces: named, listed, entered, gone; and sockets that stay in theirs.

use std::os::linux::fs::MetadataExt;

use unmasq_flow::{Endpoint, Protocol};
use unmasq_lab::{Lab, Network, Plan, Server};
use unmasq_netfilter::Error;
use unmasq_netfilter::conntrack::{EventKind, EventOptions};
use unmasq_netfilter::netns::Namespace;

use crate::listener::{Listener, namespace, talk_udp};

/// Which network namespace the calling thread is in.
fn here() -> u64 {
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().st_ino()
}

#[test]
fn a_closure_runs_inside_and_the_caller_stays_outside() {
    let node = Lab::new().unwrap().node("inside").unwrap();
    let before = here();
    let inside = namespace(&node).run(here).unwrap();
    assert_ne!(inside, before);
    assert_eq!(inside, node.run(here).unwrap());
    assert_eq!(here(), before);
    assert_eq!(Namespace::current().run(here).unwrap(), before);
}

#[test]
fn a_panic_inside_goes_on_in_the_caller() {
    let node = Lab::new().unwrap().node("panics").unwrap();
    let caught = std::panic::catch_unwind(|| namespace(&node).run(|| panic!("as it should")));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"as it should"));
}

#[test]
fn all_with_a_name_are_listed_and_files_that_are_none_are_not() {
    let lab = Lab::new().unwrap();
    let nodes = [lab.node("b").unwrap(), lab.node("a").unwrap()];
    let leftover = format!("/run/netns/unmasq-lab-{}-leftover", lab.id());
    std::fs::write(&leftover, "").unwrap();
    let listed = Namespace::all_named();
    std::fs::remove_file(&leftover).unwrap();
    let names: Vec<String> = listed.unwrap().iter().map(|n| n.name().to_owned()).collect();
    assert!(names.is_sorted());
    assert!(nodes.iter().all(|node| names.iter().any(|name| name == node.name())), "{names:?}");
    assert!(!names.iter().any(|name| leftover.ends_with(name)), "{names:?}");
}

#[test]
fn one_that_is_gone_or_made_anew_does_not_exist_any_more() {
    let lab = Lab::new().unwrap();
    let node = lab.node("mortal").unwrap();
    let name = node.name().to_owned();
    let first = namespace(&node);
    // Held, so that the kernel cannot give its inode to the next.
    let held = std::fs::File::open(format!("/run/netns/{name}")).unwrap();
    assert!(first.still_exists());
    let ip = |words: &[&str]| {
        assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
    };
    ip(&["netns", "delete", &name]);
    assert!(!first.still_exists());
    assert!(matches!(first.run(|| ()), Err(Error::NoSuchNamespace { .. })));
    ip(&["netns", "add", &name]);
    assert!(!first.still_exists(), "another one has its name now");
    assert!(matches!(first.run(|| ()), Err(Error::NoSuchNamespace { .. })));
    assert!(namespace(&node).still_exists());
    drop(held);
}

#[test]
fn two_gateways_with_the_same_addresses_are_heard_apart() {
    let build = || {
        let network = Network::build(&Lab::new().unwrap(), Plan::default()).unwrap();
        let listener = Listener::open(&network.gateway, &EventOptions::default());
        let server = Server::udp(&network.servers, network.server(0, 53)).unwrap();
        (network, listener, server)
    };
    let mut labs = [build(), build()];
    for (n, (network, _, server)) in labs.iter().enumerate() {
        let local = format!("0.0.0.0:{}", 42_000 + n);
        talk_udp(&network.clients[0], &local, server.address());
    }
    for (n, (network, listener, _)) in labs.iter_mut().enumerate() {
        let from = Endpoint::with_port(network.client(0), 42_000 + n as u16);
        listener.event(EventKind::New, Protocol::UDP, from);
        assert!(listener.seen.iter().all(|e| e.entry.client == from), "{:?}", listener.seen);
    }
}
