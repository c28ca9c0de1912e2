//! Frames as they pass an interface, of TCP with certain ports only: for a sensor. Needs `CAP_NET_RAW`.
//!
//! A classic BPF program keeps all others in the kernel. It follows one VLAN tag in the frame beside the one that the kernel takes
//! off (`PACKET_AUXDATA`), and lets IPv6 packets with extension headers through, as it cannot look behind them.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_MSH,
    BPF_RET, sock_filter,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::datagrams::Datagrams;
use crate::error::system;
use crate::netns::Namespace;
use crate::packet::bind;
use crate::{Error, Result, interfaces, sockopt};

const CAPABILITY: &str = "CAP_NET_RAW";
/// linux/if_packet.h.
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
/// Most bytes of a frame.
const SNAPLEN: u32 = 4096;
/// Frames read at once.
const CAPACITY: usize = 256;
/// Most ports, so that the program's jumps reach their ends (they go 255 instructions far).
pub const MOST_PORTS: usize = 32;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// An Ethernet header.
    Ethernet,
    /// The IP header, as on a tunnel.
    Ip,
}

/// Reads frames of one interface.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    datagrams: Datagrams,
    head: Head,
    last_drops: u32,
    lost: u64,
}

impl Tap {
    /// For the interface of that name in the namespace, and TCP from or to one of these ports, at most [`MOST_PORTS`]; any TCP if
    /// there are none. `receive_buffer`: bytes asked for the kernel's.
    pub fn open(
        namespace: &Namespace,
        interface: &str,
        ports: &[u16],
        receive_buffer: usize,
    ) -> Result<Self> {
        let index = interfaces::index(namespace, interface)?;
        namespace.run(|| Self::open_here(index, interface, ports, receive_buffer))?
    }

    fn open_here(index: u32, interface: &str, ports: &[u16], receive_buffer: usize) -> Result<Self> {
        const DOING: &str = "opening a packet socket";
        // Protocol 0: nothing comes before the filter is in its place.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(system(DOING, CAPABILITY))?;
        bind(&socket, index, 0).map_err(system(DOING, CAPABILITY))?;
        let kind = hardware(&socket).map_err(system(DOING, CAPABILITY))?;
        let Some(head) = head(kind) else {
            return Err(Error::InterfaceKind { name: interface.to_owned(), kind });
        };
        sockopt::attach_filter(socket.as_fd(), &program(head, ports))
            .map_err(system("attaching a filter to a packet socket", CAPABILITY))?;
        sockopt::set(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)
            .map_err(system("setting PACKET_AUXDATA", CAPABILITY))?;
        sockopt::grow_receive_buffer(socket.as_fd(), receive_buffer)?;
        bind(&socket, index, libc::ETH_P_ALL as u16).map_err(system(DOING, CAPABILITY))?;
        Ok(Self {
            socket,
            datagrams: Datagrams::new(CAPACITY, SNAPLEN as usize),
            head,
            last_drops: 0,
            lost: 0,
        })
    }

    /// What its frames begin with.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Reads what is waiting, without waiting for more: gives each frame, and the control information of the VLAN tag that was taken
    /// off it. False if there may be more. Hot; guarded by `bench/divert`.
    pub fn receive(&mut self, mut each: impl FnMut(&[u8], Option<u16>)) -> Result<bool> {
        self.datagrams.fill(self.socket.as_fd()).map_err(system("receiving frames", CAPABILITY))?;
        for (frame, _, auxiliary) in self.datagrams.iter() {
            let tag = auxiliary.filter(|auxiliary| auxiliary.status & TP_STATUS_VLAN_VALID != 0);
            each(frame, tag.map(|auxiliary| auxiliary.vlan_control));
        }
        if self.datagrams.len() > 0 {
            let drops = sockopt::memory(self.socket.as_fd())?.drops;
            self.lost += u64::from(drops.wrapping_sub(self.last_drops));
            self.last_drops = drops;
        }
        Ok(!self.datagrams.is_full())
    }

    /// Frames that the kernel dropped since the socket was opened, as there was no room for them.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The kind of hardware (`ARPHRD_…` of linux/if_arp.h) that the socket is bound to.
fn hardware(socket: &OwnedFd) -> io::Result<u16> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `address`; both live through the call.
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut length) };
    if result == 0 { Ok(address.sll_hatype) } else { Err(io::Error::last_os_error()) }
}

/// Ethernet and loopback have its header. Tunnels of IP in IP, SIT, GRE over either family, PPP, raw IP and those without any
/// (tun, WireGuard) have none.
fn head(hardware: u16) -> Option<Head> {
    match hardware {
        1 | 772 => Some(Head::Ethernet),
        512 | 519 | 768 | 769 | 776 | 778 | 823 | 0xfffe => Some(Head::Ip),
        _ => None,
    }
}

/// The program that lets TCP of these ports pass.
///
/// ```text
///  Ethernet: behind no tag, and behind one ──┬──► IPv4: TCP, no later fragment, a port ──► pass
///  else: at the start ───────────────────────┴──► IPv6: TCP and a port, or an extension ──► pass
/// ```
fn program(head: Head, ports: &[u16]) -> Vec<sock_filter> {
    let ports = &ports[..ports.len().min(MOST_PORTS)];
    let mut program = Vec::new();
    match head {
        Head::Ip => by_version(&mut program, 0, ports),
        Head::Ethernet => {
            // What is behind one tag is looked at by a program of its own.
            let mut tagged = Vec::new();
            by_type(&mut tagged, 16, ports);
            program.push(load(BPF_H, 12));
            let skip = tagged.len() as u32;
            program.push(compare(BPF_JEQ, 0x8100, 2, 0));
            program.push(compare(BPF_JEQ, 0x88a8, 1, 0));
            program.push(sock_filter { code: (BPF_JMP | BPF_JA) as u16, jt: 0, jf: 0, k: skip });
            program.append(&mut tagged);
            by_type(&mut program, 12, ports);
        }
    }
    program
}

/// By the type at that offset, what follows it.
fn by_type(program: &mut Vec<sock_filter>, at: u32, ports: &[u16]) {
    let (v4, v6) = (ipv4(at + 2, ports), ipv6(at + 2, ports));
    program.push(load(BPF_H, at));
    choose(program, [(0x0800, v4), (0x86dd, v6)]);
}

/// By the version that the packet at that offset begins with.
fn by_version(program: &mut Vec<sock_filter>, at: u32, ports: &[u16]) {
    let (v4, v6) = (ipv4(at, ports), ipv6(at, ports));
    program.push(load(BPF_B, at));
    program.push(sock_filter { code: (libc::BPF_ALU | libc::BPF_AND | BPF_K) as u16, jt: 0, jf: 0, k: 0xf0 });
    choose(program, [(0x40, v4), (0x60, v6)]);
}

/// Runs the one whose key is loaded, or drops. Each ends with a return.
fn choose(program: &mut Vec<sock_filter>, ways: [(u32, Vec<sock_filter>); 2]) {
    for (key, mut way) in ways {
        program.push(compare(BPF_JEQ, key, 1, 0));
        program.push(sock_filter { code: (BPF_JMP | BPF_JA) as u16, jt: 0, jf: 0, k: way.len() as u32 });
        program.append(&mut way);
    }
    program.push(DROP);
}

fn ipv4(at: u32, ports: &[u16]) -> Vec<sock_filter> {
    let mut program = vec![
        load(BPF_B, at + 9),
        compare(BPF_JEQ, 6, 1, 0),
        DROP,
        load(BPF_H, at + 6),
        compare(BPF_JSET, 0x1fff, 0, 1),
        DROP,
        // The index register is the header's length.
        sock_filter { code: (BPF_LDX | BPF_B | BPF_MSH) as u16, jt: 0, jf: 0, k: at },
    ];
    let word = |offset| sock_filter { code: (BPF_LD | BPF_H | BPF_IND) as u16, jt: 0, jf: 0, k: at + offset };
    for offset in [0, 2] {
        any_of(&mut program, word(offset), ports);
    }
    program.push(DROP);
    program
}

fn ipv6(at: u32, ports: &[u16]) -> Vec<sock_filter> {
    // Not UDP, ICMPv6 and the like: TCP, or hop-by-hop, routing, fragment, authentication, destination.
    let mut program = vec![load(BPF_B, at + 6), compare(BPF_JEQ, 6, 7, 0)];
    for (left, kind) in [0, 43, 44, 51, 60].into_iter().enumerate() {
        program.push(compare(BPF_JEQ, kind, 5 - left as u8, 0));
    }
    program.push(DROP);
    // The extensions jump here, and TCP behind it.
    program.push(PASS);
    for offset in [0, 2] {
        any_of(&mut program, load(BPF_H, at + 40 + offset), ports);
    }
    program.push(DROP);
    program
}

/// Passes if what is loaded is one of the ports, or there are none.
fn any_of(program: &mut Vec<sock_filter>, load: sock_filter, ports: &[u16]) {
    if ports.is_empty() {
        program.push(PASS);
        return;
    }
    program.push(load);
    for port in ports {
        program.push(compare(BPF_JEQ, u32::from(*port), 0, 1));
        program.push(PASS);
    }
}

const DROP: sock_filter = sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: 0 };
const PASS: sock_filter = sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: SNAPLEN };

fn load(size: u32, at: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | size | BPF_ABS) as u16, jt: 0, jf: 0, k: at }
}

/// Compares what is loaded and skips so many instructions.
fn compare(how: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | how | BPF_K) as u16, jt: if_true, jf: if_false, k }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::SocketAddr;
    use std::os::unix::net::UnixDatagram;

    use unmasq_sensor::craft::Craft;
    use unmasq_sensor::packet::Flags;

    use super::*;

    /// Does the kernel let that pass? A filter runs on a datagram of any socket.
    fn passes(head: Head, ports: &[u16], frame: &[u8]) -> bool {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        sockopt::attach_filter(receiver.as_fd(), &program(head, ports)).unwrap();
        receiver.set_nonblocking(true).unwrap();
        // What is dropped is refused to the sender.
        let _ = sender.send(frame);
        match receiver.recv(&mut [0; 8192]) {
            Ok(length) => {
                assert_eq!(length, frame.len().min(SNAPLEN as usize));
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn ends(is_v6: bool, port: u16) -> [SocketAddr; 2] {
        let host = |last: u8| if is_v6 { format!("[2001:db8::{last}]") } else { format!("192.0.2.{last}") };
        [format!("{}:4711", host(1)).parse().unwrap(), format!("{}:{port}", host(2)).parse().unwrap()]
    }

    #[test]
    fn the_program_finds_ports_behind_tags_and_options() {
        let many: Vec<u16> = (100..140).collect();
        for is_v6 in [false, true] {
            for tags in [&[][..], &[7][..]] {
                for options in [0, 40] {
                    let frame = |port, is_back: bool| {
                        let [a, b] = ends(is_v6, port);
                        let (from, to) = if is_back { (b, a) } else { (a, b) };
                        Craft { tags, options, ..Craft::new(from, to) }.frame(1, Flags::default(), b"x")
                    };
                    for is_back in [false, true] {
                        assert!(passes(Head::Ethernet, &[22, 2222], &frame(22, is_back)));
                        assert!(passes(Head::Ethernet, &[22, 2222], &frame(2222, is_back)));
                        assert!(!passes(Head::Ethernet, &[22, 2222], &frame(23, is_back)));
                        assert!(passes(Head::Ethernet, &[], &frame(23, is_back)));
                        assert!(passes(Head::Ethernet, &many[..MOST_PORTS], &frame(131, is_back)));
                        assert!(!passes(Head::Ethernet, &many[..MOST_PORTS], &frame(132, is_back)));
                    }
                }
            }
        }
    }

    #[test]
    fn the_program_leaves_out_what_is_no_beginning_of_a_segment() {
        let [from, to] = ends(false, 22);
        let good = Craft::new(from, to).frame(1, Flags::default(), b"x");
        for (at, byte) in [(12, 9), (23, 17), (21, 1), (20, 0x1f)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(!passes(Head::Ethernet, &[22], &bad), "{at}");
        }
        let [from, to] = ends(true, 23);
        // What is behind extensions is not known: the sensor looks.
        let behind = Craft { extensions: &[0, 60], ..Craft::new(from, to) }.frame(1, Flags::default(), b"x");
        assert!(passes(Head::Ethernet, &[22], &behind));
        let mut udp = Craft::new(from, to).frame(1, Flags::default(), b"x");
        udp[20] = 17;
        assert!(!passes(Head::Ethernet, &[], &udp));
        assert!(!passes(Head::Ethernet, &[22], &[]));
    }

    #[test]
    fn a_packet_without_a_head_is_known_by_its_version() {
        for is_v6 in [false, true] {
            for (port, is_ours) in [(22, true), (23, false)] {
                let [from, to] = ends(is_v6, port);
                let packet = Craft::new(from, to).packet(1, Flags::default(), &[7; 5000]);
                assert_eq!(passes(Head::Ip, &[22], &packet), is_ours);
            }
        }
        assert!(!passes(Head::Ip, &[], &[0x55; 60]));
    }
}
