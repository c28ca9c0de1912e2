//! Logged packets, of a real kernel.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_lab::{Lab, Node, client};
use unmasq_netfilter::Error;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::nflog::{Group, Options};

const RULE: &str = "table inet t {
  chain output { type filter hook output priority 0; udp dport 9 log group 5 snaplen 60 queue-threshold 10; }
}";

fn logging(lab: &Lab) -> (Node, Namespace) {
    let node = lab.node("logging").unwrap();
    node.nft(RULE).unwrap();
    let namespace = Namespace::named(node.name()).unwrap();
    (node, namespace)
}

/// Waits until there is something, or the patience is over.
fn wait(group: &Group) {
    let patience = Timespec::try_from(Duration::from_secs(10)).unwrap();
    poll(&mut [PollFd::from_borrowed_fd(group.as_fd(), PollFlags::IN)], Some(&patience)).unwrap();
}

/// How many were sent: a refusal of the one before is told in place of sending.
fn send(node: &Node, to: [&str; 2], times: usize) -> u64 {
    let [from, to] = to.map(|end| end.parse::<SocketAddr>().unwrap());
    let socket = client::udp(node, from, to).unwrap();
    (0..times).filter(|_| socket.send(b"logged").is_ok()).count() as u64
}

#[test]
fn each_packet_comes_at_once_with_its_interface() {
    let lab = Lab::new().unwrap();
    let (node, namespace) = logging(&lab);
    let mut group = Group::open(&namespace, 5, &Options::default()).unwrap();
    for (ends, version) in [(["127.0.0.1:0", "127.0.0.1:9"], 4), (["[::1]:0", "[::1]:9"], 6)] {
        assert_eq!(send(&node, ends, 1), 1);
        wait(&group);
        let mut seen = Vec::new();
        while seen.is_empty() {
            let receive = group.receive(|logged, interfaces| {
                assert_eq!(interfaces.name(4_000_000), None);
                seen.push((logged.packet.to_vec(), interfaces.name(logged.outside.unwrap())));
            });
            receive.unwrap();
        }
        let (packet, outside) = &seen[0];
        assert_eq!(packet[0] >> 4, version);
        assert!(packet.len() <= 60 && packet.windows(6).any(|text| text == b"logged"), "{packet:?}");
        assert_eq!(outside.as_deref(), Some("lo"));
    }
    assert_eq!((group.lost(), group.damaged()), (0, 0));
}

#[test]
fn a_group_has_one_reader() {
    let lab = Lab::new().unwrap();
    let (_node, namespace) = logging(&lab);
    let group = Group::open(&namespace, 5, &Options::default()).unwrap();
    assert!(matches!(Group::open(&namespace, 5, &Options::default()), Err(Error::GroupTaken { group: 5 })));
    drop(group);
    Group::open(&namespace, 5, &Options::default()).unwrap();
}

#[test]
fn what_does_not_fit_is_counted_exactly() {
    let lab = Lab::new().unwrap();
    let (node, namespace) = logging(&lab);
    let options = Options { receive_buffer: 8 << 10, ..Options::default() };
    let mut group = Group::open(&namespace, 5, &options).unwrap();
    let mut sent = send(&node, ["127.0.0.1:0", "127.0.0.1:9"], 3000);
    let mut seen = 0;
    while !group.receive(|_, _| seen += 1).unwrap() {}
    // A gap is known by what comes after it.
    sent += send(&node, ["127.0.0.1:0", "127.0.0.1:9"], 1);
    wait(&group);
    while !group.receive(|_, _| seen += 1).unwrap() {}
    assert!(group.lost() > 500, "{}", group.lost());
    assert_eq!(seen + group.lost(), sent);
}
