//! A load generator at the kernel's limit: raw frames, sent in batches, each flow a SYN and some flows later
//! a RST.
//!
//! An unanswered flow is deleted by its RST at once, so every flow gives exactly one NEW and one DESTROY at
//! the same rate, without waiting for the kernel's collector. What the kernel made of it, a counter in the
//! gateway's rules knows: [`Node::flows_begun`](crate::Node::flows_begun).

use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::packet::Sender;

use crate::error::Doing;
use crate::random::{Random, Zipf};
use crate::{LabError, Node};

/// What to send, from where to where.
#[derive(Clone, Debug)]
pub struct Blast {
    /// Hardware addresses: the gateway's interface, the sender's.
    pub link: ([u8; 6], [u8; 6]),
    /// The first client's address, and how many follow each other.
    pub clients: (Ipv4Addr, u32),
    /// The first server's address, and how many follow each other.
    pub servers: (Ipv4Addr, u32),
    /// Clients and servers drawn by Zipf's law and ports at random, as in real traffic; else all in turn, and the same
    /// endpoint of a server again only after all others: a client with a few ports can have many flows.
    pub zipf: bool,
    /// Flows a second; as fast as it goes if `None`.
    pub rate: Option<f64>,
    /// No new flow after this time. Resets of the flows that are left follow.
    pub duration: Option<Duration>,
    /// No new flow after this many.
    pub count: Option<u64>,
    /// How many flows are alive at a time before the oldest gets its RST. `None`: they are left alone.
    pub window: Option<usize>,
    /// Seed of all that is random.
    pub seed: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent {
    /// SYNs.
    pub flows: u64,
    /// RSTs.
    pub resets: u64,
    /// From the first frame to the last.
    pub duration: Duration,
    /// CPU time of this process in user space, whole ticks.
    pub user: Duration,
    /// CPU time of this process in the kernel (which does all the forwarding in the sender's name), whole
    /// ticks.
    pub system: Duration,
}

/// One flow's addresses; enough to make its SYN and its RST.
#[derive(Clone, Copy, Debug, Default)]
struct Tuple {
    client: u32,
    server: u32,
    sequence: u32,
    client_port: u16,
    server_port: u16,
}

/// Frames of one system call.
const BATCH: usize = 64;
/// Frames of one system call at a low rate, so that they are spread.
const SMALL_BATCH: usize = 8;
/// Ethernet, IPv4 and TCP headers.
const FRAME: usize = 14 + 20 + 20;

impl Blast {
    /// Sends it all out of an interface of a node.
    ///
    /// # Panics
    ///
    /// If there is no client or no server.
    pub fn run(&self, node: &Node, interface: &str) -> Result<Sent, LabError> {
        self.run_in(node.name(), interface)
    }

    /// Sends it all out of an interface of a namespace of that name in /run/netns.
    ///
    /// # Panics
    ///
    /// If there is no client or no server.
    pub fn run_in(&self, namespace: &str, interface: &str) -> Result<Sent, LabError> {
        let open = |error: unmasq_netfilter::Error| std::io::Error::other(error);
        let sender = Namespace::named(namespace)
            .and_then(|namespace| Sender::open(&namespace, interface))
            .map_err(open)
            .doing(|| format!("opening a packet socket on {interface} of {namespace}"))?;
        let began = Instant::now();
        let mut tuples = Tuples::new(self);
        let mut alive = self.window.map(|window| Ring::new(window.max(1)));
        let batch = if self.rate.is_some_and(|rate| rate < 20_000.0) { SMALL_BATCH } else { BATCH };
        let mut frames = [[0; FRAME]; BATCH];
        for frame in &mut frames {
            begin_frame(frame, self.link);
        }
        let (mut flows, mut resets, mut paced) = (0_u64, 0_u64, 0_u64);
        loop {
            let elapsed = began.elapsed();
            let over = self.duration.is_some_and(|d| elapsed >= d) || self.count.is_some_and(|n| flows >= n);
            if over && alive.as_ref().is_none_or(Ring::is_empty) {
                break;
            }
            if let Some(rate) = self.rate {
                let due = elapsed.as_secs_f64() * rate;
                let behind = (paced + batch as u64) as f64 - due;
                if behind > 0.0 {
                    // Sleeping overshoots; waking early and asking again does not.
                    let pause = (behind / rate * 0.7).min(0.05);
                    if pause > 0.000_15 {
                        thread::sleep(Duration::from_secs_f64(pause));
                    }
                    continue;
                }
            }
            let mut filled = 0;
            while filled < batch {
                let more = !over && self.count.is_none_or(|count| flows < count);
                let oldest = alive.as_mut().and_then(|ring| if more { ring.pop_full() } else { ring.pop() });
                let (tuple, kind) = match oldest {
                    Some(tuple) => (tuple, RST),
                    None if more => (tuples.draw(), SYN),
                    None => break,
                };
                if kind == SYN {
                    flows += 1;
                    paced += 1;
                    if let Some(ring) = &mut alive {
                        ring.push(tuple);
                    }
                } else {
                    resets += 1;
                    paced += u64::from(!more);
                }
                finish_frame(&mut frames[filled], tuple, kind, flows as u16);
                filled += 1;
            }
            let borrowed: [&[u8]; BATCH] = frames.each_ref().map(<[u8; FRAME]>::as_slice);
            sender
                .send(&borrowed[..filled])
                .map_err(open)
                .doing(|| format!("sending out of {interface} of {namespace}"))?;
        }
        let (user, system) = cpu_time()?;
        Ok(Sent { flows, resets, duration: began.elapsed(), user, system })
    }
}

/// Draws the flows.
struct Tuples {
    random: Random,
    clients: (u32, u32),
    servers: (u32, u32),
    zipf: Option<(Zipf, Zipf)>,
    /// Where in the ports the flows begin, so that runs with other seeds make other flows.
    first_port: u64,
    drawn: u64,
}

/// A prime near 2³² times the golden ratio: spreads ranks over addresses.
const SPREAD: u64 = 2_654_435_761;

impl Tuples {
    fn new(blast: &Blast) -> Self {
        let (clients, servers) = (blast.clients.1, blast.servers.1);
        assert!(clients > 0 && servers > 0, "a blast needs clients and servers: {blast:?}");
        Self {
            random: Random::new(blast.seed),
            clients: (blast.clients.0.to_bits(), clients),
            servers: (blast.servers.0.to_bits(), servers),
            zipf: blast.zipf.then(|| (Zipf::new(clients), Zipf::new(servers))),
            first_port: blast.seed.wrapping_mul(SPREAD) % 60_000,
            drawn: 0,
        }
    }

    fn draw(&mut self) -> Tuple {
        let bits = self.random.bits();
        let (client, server, client_port, server_port) = if let Some((clients, servers)) = &self.zipf {
            let spread = |rank: usize, count: u32| (rank as u64 * SPREAD % u64::from(count)) as u32;
            let client = spread(clients.draw(&mut self.random), self.clients.1);
            let server = spread(servers.draw(&mut self.random), self.servers.1);
            let server_port = match (bits >> 32) % 10 {
                0..8 => 443,
                8 => 80,
                _ => 53,
            };
            (client, server, 32_768 + self.random.below(28_232), server_port)
        } else {
            let client = (self.drawn % u64::from(self.clients.1)) as u32;
            let round = self.drawn / u64::from(self.clients.1);
            let port = 1_024 + (self.first_port + round * 7_919 + u64::from(client) * 31) % 64_511;
            let server = (self.drawn % u64::from(self.servers.1)) as u32;
            let server_port = [443, 80, 53][(self.drawn / u64::from(self.servers.1) % 3) as usize];
            (client, server, port, server_port)
        };
        self.drawn += 1;
        Tuple {
            client: self.clients.0.wrapping_add(client),
            server: self.servers.0.wrapping_add(server),
            sequence: bits as u32,
            client_port: client_port as u16,
            server_port,
        }
    }
}

/// The flows that are alive, oldest first, at most so many.
struct Ring {
    slots: Vec<Tuple>,
    first: usize,
    length: usize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { slots: vec![Tuple::default(); capacity], first: 0, length: 0 }
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push(&mut self, tuple: Tuple) {
        let slot = (self.first + self.length) % self.slots.len();
        self.slots[slot] = tuple;
        self.length += 1;
    }

    fn pop(&mut self) -> Option<Tuple> {
        self.length = self.length.checked_sub(1)?;
        let tuple = self.slots[self.first];
        self.first = (self.first + 1) % self.slots.len();
        Some(tuple)
    }

    /// The oldest, if there is no room for another.
    fn pop_full(&mut self) -> Option<Tuple> {
        if self.length == self.slots.len() { self.pop() } else { None }
    }
}

/// TCP flags (RFC 9293, 3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// What is the same in all frames: Ethernet and the constant half of the IPv4 header.
fn begin_frame(frame: &mut [u8; FRAME], (gateway, own): ([u8; 6], [u8; 6])) {
    frame[0..6].copy_from_slice(&gateway);
    frame[6..12].copy_from_slice(&own);
    frame[12..14].copy_from_slice(&[0x08, 0x00]); // IPv4
    frame[14..24].copy_from_slice(&[0x45, 0, 0, (FRAME - 14) as u8, 0, 0, 0, 0, 64, 6]); // TTL 64, TCP
    frame[46] = 0x50; // TCP header of five words
}

fn finish_frame(frame: &mut [u8; FRAME], tuple: Tuple, flags: u8, id: u16) {
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    frame[26..30].copy_from_slice(&tuple.client.to_be_bytes());
    frame[30..34].copy_from_slice(&tuple.server.to_be_bytes());
    frame[34..36].copy_from_slice(&tuple.client_port.to_be_bytes());
    frame[36..38].copy_from_slice(&tuple.server_port.to_be_bytes());
    // The RST continues the SYN, or the kernel takes it for out of window.
    let sequence = tuple.sequence.wrapping_add(u32::from(flags == RST));
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[47] = flags;
    frame[48..50].copy_from_slice(if flags == SYN { &[0xff, 0xff] } else { &[0, 0] }); // window
    frame[24..26].fill(0);
    frame[50..52].fill(0);
    let header = checksum(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&header);
    // The pseudo header: addresses, protocol 6, length 20.
    let segment = checksum(sum(&frame[26..54]) + 6 + 20);
    frame[50..52].copy_from_slice(&segment);
}

/// The Internet checksum's sum (RFC 1071), not yet folded.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

fn checksum(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    (!(twice as u16)).to_be_bytes()
}

/// User and system time of this process so far.
fn cpu_time() -> Result<(Duration, Duration), LabError> {
    let stat = fs::read_to_string("/proc/self/stat").doing(|| "reading /proc/self/stat".into())?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields after it
    // (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    let time = |index: usize| fields.get(index).and_then(|f| f.parse::<u32>().ok()).unwrap_or(0) * tick;
    Ok((time(11), time(12)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_checksums_verify() {
        let tuple = Tuple {
            client: 0x6440_0001,
            server: 0xc612_0001,
            sequence: 7,
            client_port: 40_000,
            server_port: 443,
        };
        for flags in [SYN, RST] {
            let mut frame = [0; FRAME];
            begin_frame(&mut frame, ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]));
            finish_frame(&mut frame, tuple, flags, 9);
            // Summed with its checksum, correct data gives all ones, of which the complement is zero.
            assert_eq!(checksum(sum(&frame[14..34])), [0, 0]);
            assert_eq!(checksum(sum(&frame[26..54]) + 6 + 20), [0, 0]);
        }
    }

    #[test]
    fn flows_in_turn_are_distinct() {
        let blast = Blast { zipf: false, ..crate::Range::blast() };
        let mut tuples = Tuples::new(&blast);
        let drawn: std::collections::HashSet<_> =
            (0..200_000).map(|_| tuples.draw()).map(|t| (t.client, t.client_port)).collect();
        assert_eq!(drawn.len(), 200_000);
    }

    #[test]
    fn flows_in_turn_go_to_all_servers_before_one_again() {
        let blast = Blast { zipf: false, clients: ([100, 64, 0, 9].into(), 1), ..crate::Range::blast() };
        let mut tuples = Tuples::new(&blast);
        let drawn: std::collections::HashSet<_> =
            (0..393_000).map(|_| tuples.draw()).map(|t| (t.server, t.server_port)).collect();
        assert_eq!(drawn.len(), 393_000);
    }

    #[test]
    fn the_ring_gives_the_oldest_when_full_or_asked() {
        let mut ring = Ring::new(2);
        let tuple = |client| Tuple { client, ..Tuple::default() };
        for client in 1..=2 {
            assert!(ring.pop_full().is_none());
            ring.push(tuple(client));
        }
        assert_eq!(ring.pop_full().map(|t| t.client), Some(1));
        ring.push(tuple(3));
        assert_eq!([ring.pop(), ring.pop()].map(|t| t.map(|t| t.client)), [Some(2), Some(3)]);
        assert!(ring.pop().is_none() && ring.is_empty());
    }
}
