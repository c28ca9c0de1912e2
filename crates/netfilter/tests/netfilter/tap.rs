//! Frames of an interface, of a real kernel.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_lab::{Lab, Node, client};
use unmasq_netfilter::Error;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::packet::Sender;
use unmasq_netfilter::tap::{Head, Tap};
use unmasq_sensor::craft::Craft;
use unmasq_sensor::packet::Flags;

use crate::listener::PATIENCE;

/// Two nodes with a link.
fn nodes(lab: &Lab) -> [Node; 2] {
    let [a, b] = ["a", "b"].map(|name| lab.node(name).unwrap());
    a.link("eth0", &["10.0.0.1/24", "fd00::1/64"], (&b, "eth0", &["10.0.0.2/24", "fd00::2/64"])).unwrap();
    [a, b]
}

/// A frame with its tag.
type Seen = (Vec<u8>, Option<u16>);

/// Makes a connection to that address and port.
fn connect([a, b]: &[Node; 2], from: &str, to: &str) {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let _listener = b.run(|| TcpListener::bind(to)).unwrap().unwrap();
    drop(client::tcp(a, from, to).unwrap());
}

/// All that comes until there are so many that fit.
fn until(tap: &mut Tap, count: usize, fits: impl Fn(&Seen) -> bool) -> Vec<Seen> {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let mut frames: Vec<Seen> = Vec::new();
    while frames.iter().filter(|frame| fits(frame)).count() < count {
        let mut polled = [PollFd::from_borrowed_fd(tap.as_fd(), PollFlags::IN)];
        assert_ne!(poll(&mut polled, Some(&patience)).unwrap(), 0, "{count} do not come: {frames:?}");
        tap.receive(|frame, tag| frames.push((frame.to_vec(), tag.map(|tag| tag & 0xfff)))).unwrap();
    }
    frames
}

/// Is it of TCP from or to this port? Behind Ethernet and an IP header without options or extensions.
fn is_of((frame, _): &Seen, port: u16) -> bool {
    let (protocol, header) = if frame[12..14] == [0x86, 0xdd] { (20, 54) } else { (23, 34) };
    frame[protocol] == 6 && frame[header..header + 4].chunks(2).any(|bytes| bytes == port.to_be_bytes())
}

#[test]
fn only_tcp_of_the_ports_comes_with_its_outermost_tag() {
    let lab = Lab::new().unwrap();
    let nodes = nodes(&lab);
    let namespace = Namespace::named(nodes[1].name()).unwrap();
    let mut tap = Tap::open(&namespace, "eth0", &[22, 2222], 1 << 20).unwrap();
    assert_eq!(tap.head(), Head::Ethernet);
    for (from, of, port) in [("10.0.0.1:0", "10.0.0.2", 22), ("[fd00::1]:0", "[fd00::2]", 2222)] {
        // What comes after it shows what was left out.
        connect(&nodes, from, &format!("{of}:23"));
        connect(&nodes, from, &format!("{of}:{port}"));
        let frames = until(&mut tap, 3, |frame| is_of(frame, port));
        assert!(frames.iter().all(|(_, tag)| tag.is_none()), "{of}: {frames:?}");
        assert!(!frames.iter().any(|frame| is_of(frame, 23)), "{of}: {frames:?}");
    }
    // The kernel takes the outermost tag off; the other one stays.
    let sender = Sender::open(&Namespace::named(nodes[0].name()).unwrap(), "eth0").unwrap();
    let frame = |tags: &[u16], port| {
        let to = SocketAddr::from(([10, 0, 0, 2], port));
        Craft { tags, ..Craft::new("10.0.0.1:4711".parse().unwrap(), to) }.frame(
            1,
            Flags::default(),
            b"SSH-2.0-x\r\n",
        )
    };
    for (tags, left) in [(&[10][..], &[][..]), (&[10, 20][..], &[20][..])] {
        sender.send(&[&frame(tags, 23), &frame(tags, 22)]).unwrap();
        let mut frames = until(&mut tap, 1, |(_, tag)| tag.is_some());
        frames.retain(|(_, tag)| tag.is_some());
        assert_eq!(frames, [(frame(left, 22), Some(10))]);
    }
    assert_eq!(tap.lost(), 0);
    let mut any = Tap::open(&namespace, "eth0", &[], 1 << 20).unwrap();
    connect(&nodes, "10.0.0.1:0", "10.0.0.2:23");
    until(&mut any, 3, |frame| is_of(frame, 23));
}

#[test]
fn a_tunnels_frames_begin_with_the_packet() {
    let lab = Lab::new().unwrap();
    let node = lab.node("alone").unwrap();
    node.ip(&["tuntap add tun9 mode tun"]).unwrap();
    let namespace = Namespace::named(node.name()).unwrap();
    assert_eq!(Tap::open(&namespace, "tun9", &[22], 1 << 20).unwrap().head(), Head::Ip);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let lab = Lab::new().unwrap();
    let node = lab.node("alone").unwrap();
    let namespace = Namespace::named(node.name()).unwrap();
    assert!(matches!(Tap::open(&namespace, "eth7", &[22], 1 << 20), Err(Error::NoSuchInterface { .. })));
}

#[test]
fn frames_that_do_not_fit_are_counted() {
    let lab = Lab::new().unwrap();
    let nodes = nodes(&lab);
    let namespace = Namespace::named(nodes[1].name()).unwrap();
    let mut tap = Tap::open(&namespace, "eth0", &[22], 4 << 10).unwrap();
    let to: SocketAddr = "10.0.0.2:22".parse().unwrap();
    let _listener = nodes[1].run(|| TcpListener::bind(to)).unwrap().unwrap();
    for _ in 0..100 {
        drop(client::tcp(&nodes[0], "10.0.0.1:0".parse().unwrap(), to).unwrap());
    }
    let mut count = 0;
    while !tap.receive(|_, _| count += 1).unwrap() {}
    assert!(tap.lost() > 100 && count > 0, "{} lost, {count} seen", tap.lost());
}
