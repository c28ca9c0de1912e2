//! What tells a honeypot from sshd, asked of both: the answers have to be the same, to the byte and to how the connection
//! ends.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use unmasq_honeypot::client::{Client, Offer};
use unmasq_honeypot::profile::{Moduli, Profile};
use unmasq_honeypot::server::Setup;
use unmasq_ssh::wire::Write as _;
use unmasq_ssh::{KexInit, frame};

use crate::server::{PATIENCE, Server, setup};
use crate::sshd::Sshd;

/// How long sshd has to be silent, when as much has come as from ours, until it is taken to be waiting.
const SILENCE: Duration = Duration::from_millis(600);
/// How often ours is asked whether it waits.
const LOOK: Duration = Duration::from_millis(10);

/// How an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Waits,
    Closes,
    Resets,
}

#[derive(PartialEq, Eq)]
struct Answer {
    packets: Vec<Vec<u8>>,
    /// What is no packet.
    text: Vec<u8>,
    ending: Ending,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.ending)?;
        for packet in &self.packets {
            write!(f, " [{}]", packet[..packet.len().min(100)].escape_ascii())?;
        }
        write!(f, " {:?}", self.text.escape_ascii().to_string())
    }
}

/// Who is probed. Ours says itself when it has answered; sshd is asked for as much.
#[derive(Clone, Copy)]
enum Whom<'a> {
    Ours(&'a Server),
    Sshd(SocketAddr, &'a Course),
}

/// What ours has made of a probe.
struct Course {
    answer: Answer,
    /// The packets that had come after each part that was sent.
    after: Vec<usize>,
}

/// A connection to one of them.
struct Line<'a> {
    whom: Whom<'a>,
    stream: TcpStream,
    sent: usize,
    got: usize,
    /// The packets that had come after each part.
    after: Vec<usize>,
}

impl<'a> Line<'a> {
    fn open(whom: Whom<'a>) -> Self {
        let address = match whom {
            Whom::Ours(server) => server.address,
            Whom::Sshd(address, _) => address,
        };
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { whom, stream, sent: 0, got: 0, after: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        // What it does not take because it has closed already, it does not answer either.
        if self.stream.write_all(bytes).is_ok() {
            self.sent += bytes.len();
        }
    }

    /// Takes what a part is answered with; how it ends, if it does, or is to be taken to, because nothing follows. Nothing more is
    /// sent to one that is closing: whether that still arrived would decide how it closes.
    ///
    /// `take` is given the bytes, and tells how many packets have come.
    fn answered(&mut self, is_last: bool, take: &mut dyn FnMut(&[u8]) -> usize) -> Option<Ending> {
        let (own, began) = (self.stream.local_addr().unwrap(), Instant::now());
        let mut buffer = [0; 16384];
        let mut packets = take(&[]);
        let ending = loop {
            let (has_all, wait) = match self.whom {
                Whom::Ours(server) => (server.waits_for(own, self.sent, self.got), LOOK),
                Whom::Sshd(_, ours) if ours.after.len() > self.after.len() + 1 => {
                    (packets >= ours.after[self.after.len()], PATIENCE)
                }
                Whom::Sshd(_, ours) if ours.answer.ending == Ending::Waits => {
                    let has_all = packets >= ours.answer.packets.len();
                    (false, if has_all { SILENCE } else { PATIENCE })
                }
                Whom::Sshd(..) => (false, PATIENCE),
            };
            if has_all {
                break None;
            }
            self.stream.set_read_timeout(Some(wait)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => break Some(Ending::Closes),
                Ok(length) => {
                    self.got += length;
                    packets = take(&buffer[..length]);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if matches!(self.whom, Whom::Sshd(..)) {
                        break Some(Ending::Waits);
                    }
                    assert!(began.elapsed() < PATIENCE, "ours neither waits nor ends");
                }
                Err(_) => break Some(Ending::Resets),
            }
        };
        self.after.push(packets);
        ending.or(is_last.then_some(Ending::Waits))
    }
}

/// What differs between two connections to the same server is made the same: cookies, groups.
fn normal(payload: &[u8]) -> Vec<u8> {
    match payload[0] {
        20 => {
            let mut kexinit = KexInit::parse(payload).unwrap();
            kexinit.cookie = [0; 16];
            kexinit.to_payload()
        }
        // A group of a group exchange: of which size.
        31 => format!("31, {} bytes", payload.len()).into_bytes(),
        _ => payload.to_vec(),
    }
}

/// Packets in clear text behind the first line, and what is no packet.
fn packets(bytes: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (mut packets, mut text) = (vec![bytes[..line].to_vec()], &bytes[line..]);
    while let frame::Frame::Whole { payload, length } = frame::read(text) {
        packets.push(normal(payload));
        text = &text[length..];
    }
    (packets, text)
}

/// Sends chunks in clear text, each when the one before has been answered.
fn clear(whom: Whom<'_>, chunks: &[Vec<u8>]) -> Course {
    let mut line = Line::open(whom);
    let mut bytes = Vec::new();
    let mut take = |more: &[u8]| {
        bytes.extend_from_slice(more);
        packets(&bytes).0.len()
    };
    let ending = chunks.iter().enumerate().find_map(|(nth, chunk)| {
        line.send(chunk);
        line.answered(nth + 1 == chunks.len(), &mut take)
    });
    let (packets, text) = packets(&bytes);
    let answer = Answer { packets, text: text.to_vec(), ending: ending.expect("a probe has a part") };
    Course { answer, after: line.after }
}

/// Sends payloads under keys, likewise.
fn sealed(whom: Whom<'_>, payloads: &[Vec<u8>]) -> Course {
    let mut line = Line::open(whom);
    let mut client = Client::new(Offer::default());
    let mut packets = Vec::new();
    while !client.is_ready() {
        line.send(client.output());
        client.sent(client.output().len());
        let mut buffer = [0; 16384];
        let length = line.stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed in the key exchange");
        line.got += length;
        client.receive(&buffer[..length]);
        while let Some(payload) = client.next().unwrap() {
            packets.push(payload);
        }
    }
    let ending = payloads.iter().enumerate().find_map(|(nth, payload)| {
        // Nothing stands for bytes that are no packet.
        if payload.is_empty() {
            line.send(&[0x55; 64]);
        } else {
            client.send(payload).unwrap();
        }
        line.send(client.output());
        client.sent(client.output().len());
        let mut take = |more: &[u8]| {
            client.receive(more);
            while let Ok(Some(payload)) = client.next() {
                packets.push(payload);
            }
            packets.len()
        };
        line.answered(nth + 1 == payloads.len(), &mut take)
    });
    let answer = Answer { packets, text: Vec::new(), ending: ending.expect("a probe has a part") };
    Course { answer, after: line.after }
}

/// Our server with the real one's host keys and primes.
fn like(sshd: &Sshd) -> Server {
    let moduli = std::fs::read_to_string("/etc/ssh/moduli").expect("openssh-server has brought it");
    let profile = Profile::debian_12().with_moduli(Moduli::parse(&moduli).unwrap());
    Server::start(Setup { keys: sshd.keys(), ..setup(profile) })
}

/// Asks both servers and compares.
fn compare(probes: &[(String, Vec<Vec<u8>>)], ask: impl Fn(Whom<'_>, &[Vec<u8>]) -> Course + Sync) {
    let sshd = Sshd::start();
    let ours = like(&sshd);
    let differences: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = probes
            .iter()
            .map(|(name, probe)| {
                let (ask, sshd, ours) = (&ask, sshd.address, &ours);
                scope.spawn(move || {
                    let ours = ask(Whom::Ours(ours), probe);
                    let theirs = ask(Whom::Sshd(sshd, &ours), probe).answer;
                    let ours = ours.answer;
                    (theirs != ours).then(|| format!("{name}\n  sshd {theirs:?}\n  ours {ours:?}"))
                })
            })
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut string = Vec::new();
    string.put_string(bytes);
    string
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(payload, &mut bytes);
    bytes
}

/// A packet by its fields.
fn message(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[number][..], &parts.concat()].concat()
}

fn kexinit(kex: &str, cipher: &str) -> Vec<u8> {
    let lists =
        [kex, "ssh-ed25519", cipher, cipher, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""];
    KexInit { cookie: [7; 16], lists: lists.map(str::to_owned), first_kex_packet_follows: false }.to_payload()
}

#[test]
fn identifications_are_answered_as_by_sshd() {
    let lines: Vec<(String, Vec<Vec<u8>>)> = [
        &b"garbage\r\n"[..],
        b"\n\n\n\n\n\n\n\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"/\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[b'A'; 9000],
        b"SSH-1337-x\r\n",
        b"SSH-1.5-x\r\n",
        b"SSH-1.99-x\r\n",
        b"SSH-2.0-x\n",
        b"SSH-2.0-a\rb\r\n",
        b"SSH-2.0-a\0b\r\n",
        b"SSH-2.0-a\r\r\n",
        b"SSH-2.0-\r\n",
        b"SSH-2.0-  \r\n",
        b"SSH-2.0-\xff\xfe\x01\r\n",
        b"SSH-+2. 0-x\r\n",
        b"SSH--2.0-x\r\n",
        b"SSH-02.00-x\r\n",
        b"SSH-4294967298.0-x\r\n",
        b"SSH-99999999999999999999.0-x\r\n",
        b"SSH-2.7-x\r\n",
        b"SSH-3.0-x\r\n",
        b"SSH-\r\n",
        b"ssh-2.0-x\r\n",
        b"SSH-2.0-Probe-x\r\n",
        b"SSH-2.0-SSH_Version_Mapper_1\r\n",
        b"SSH-2.0-my SSH_Version_Mapper\r\n",
        b"SSH-2.0-OpenSSH_6.5p1\r\n",
        b"SSH-2.0-OpenSSH_6.6p1 Ubuntu-2\r\n",
        b"SSH-2.0-OpenSSH_6.6.1p1\r\n",
        b"SSH-2.0-PuTTY_Local: Sep  1 2013\r\n",
        b"SSH-2.0-PuTTY_Release_0.60\r\n",
        b"SSH-2.0-PuTTY_Release_0.64\r\n",
        b"SSH-2.0-PuTTY_Release_0.65\r\n",
        b"SSH-2.0-FuTTY\r\n",
        b"SSH-2.0-WinSCP_release_4.4\r\n",
        b"SSH-2.0-WinSCP_release_5.1\r\n",
        b"SSH-2.0-WinSCP_release_5.2\r\n",
        b"SSH-2.0-WinSCP_release_5.7.4\r\n",
        b"SSH-2.0-WinSCP_release_5.7.5\r\n",
        &[b"SSH-2.0-".as_slice(), &[b'a'; 292], b"\r\n"].concat(),
        &[b"SSH-2.0-".as_slice(), &[b'a'; 8184], b"\n"].concat(),
        &[b"SSH-2.0-".as_slice(), &[b'a'; 8185], b"\n"].concat(),
    ]
    .into_iter()
    .map(|line| (line[..line.len().min(60)].escape_ascii().to_string(), vec![line.to_vec()]))
    .collect();
    compare(&lines, clear);
}

#[test]
fn packets_without_keys_are_answered_as_by_sshd() {
    let hello = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec();
    let strict = kexinit("curve25519-sha256,kex-strict-c-v00@openssh.com", "aes128-ctr");
    let plain = || packet(&kexinit("curve25519-sha256", "aes128-ctr"));
    let group14 = || packet(&kexinit("diffie-hellman-group14-sha256", "aes128-ctr"));
    let exchange = || packet(&kexinit("diffie-hellman-group-exchange-sha256", "aes128-ctr"));
    let gex = |least: u32, wanted: u32, most: u32| {
        let numbers = [least, wanted, most].map(u32::to_be_bytes).concat();
        vec![exchange(), packet(&message(34, &[&numbers]))]
    };
    let ignore = || packet(&message(2, &[&string(b"x")]));
    let guessing = |kex: &str| {
        let mut kexinit = KexInit::parse(&kexinit(kex, "aes128-ctr")).unwrap();
        kexinit.first_kex_packet_follows = true;
        packet(&kexinit.to_payload())
    };
    // A list of languages as no client sends it.
    let odd = |languages: &[u8]| {
        let mut payload = kexinit("curve25519-sha256", "aes128-ctr");
        let end = payload.len() - 5;
        payload.splice(end - 4..end, string(languages));
        packet(&payload)
    };
    let mut probes: Vec<(String, Vec<Vec<u8>>)> = vec![
        ("nothing more".into(), vec![]),
        ("a second line".into(), vec![hello.clone()]),
        ("a length out of range".into(), vec![vec![0xff; 16]]),
        ("half a length out of range".into(), vec![vec![0xff; 4]]),
        ("a length of zero".into(), vec![vec![0; 16]]),
        ("a length of no whole blocks".into(), vec![[&b"\0\0\0\x0d\x04"[..], &[0; 40]].concat()]),
        ("much padding".into(), vec![b"\0\0\0\x0c\x20\x14\0\0\0\0\0\0\0\0\0\0".to_vec()]),
        ("little padding".into(), vec![b"\0\0\0\x0c\x03\x14\0\0\0\0\0\0\0\0\0\0".to_vec()]),
        ("no payload".into(), vec![b"\0\0\0\x0c\x0b\x14\0\0\0\0\0\0\0\0\0\0".to_vec()]),
        ("no method in common".into(), vec![packet(&kexinit("foo", "aes128-ctr"))]),
        ("no cipher in common".into(), vec![packet(&kexinit("curve25519-sha256", "foo"))]),
        ("NEWKEYS twice".into(), vec![packet(&[21]), packet(&[21])]),
        ("NEWKEYS after KEXINIT".into(), vec![plain(), packet(&[21])]),
        ("NEWKEYS in a strict exchange".into(), vec![packet(&strict), packet(&[21])]),
        ("IGNORE before a strict exchange".into(), vec![ignore(), packet(&strict)]),
        ("IGNORE in a strict exchange".into(), vec![packet(&strict), ignore()]),
        ("a channel in a strict exchange".into(), vec![packet(&strict), packet(&message(90, &[]))]),
        ("IGNORE".into(), vec![ignore(), plain()]),
        ("IGNORE cut off".into(), vec![packet(&[2])]),
        ("DEBUG".into(), vec![packet(&message(4, &[b"\0", &string(b"x"), &string(b"")]))]),
        ("DEBUG cut off".into(), vec![packet(&[4])]),
        ("UNIMPLEMENTED".into(), vec![packet(&message(3, &[&[0; 4]]))]),
        ("UNIMPLEMENTED cut off".into(), vec![packet(&[3])]),
        ("a request for a service".into(), vec![packet(&message(5, &[&string(b"ssh-userauth")]))]),
        ("a service in the exchange".into(), vec![plain(), packet(&message(5, &[&string(b"x")]))]),
        ("DISCONNECT".into(), vec![packet(&message(1, &[&[0, 0, 0, 11], &string(b"bye"), &string(b"")]))]),
        ("DISCONNECT cut off".into(), vec![packet(&[1])]),
        ("KEXINIT twice".into(), vec![plain(), plain()]),
        ("KEXINIT with other bytes".into(), vec![odd(b"\xff\xfe de"), packet(&[21])]),
        ("KEXINIT with a NUL behind".into(), vec![odd(b"de\0"), packet(&[21])]),
        ("KEXINIT with a NUL inside".into(), vec![odd(b"d\0e"), packet(&[21])]),
        ("KEXINIT cut off".into(), vec![packet(&message(20, &[&[0; 16], &string(b"x")]))]),
        (
            "KEXINIT too long".into(),
            vec![packet(&[kexinit("curve25519-sha256", "aes128-ctr"), vec![0]].concat())],
        ),
        ("a value too short".into(), vec![plain(), packet(&message(30, &[&string(b"abc")]))]),
        ("a value of zeros".into(), vec![plain(), packet(&message(30, &[&string(&[0; 32])]))]),
        ("a value with more behind".into(), vec![plain(), packet(&message(30, &[&string(&[9; 32]), b"x"]))]),
        ("a value of two bits".into(), vec![group14(), packet(&message(30, &[&string(&[3])]))]),
        ("a value of one".into(), vec![group14(), packet(&message(30, &[&string(&[1])]))]),
        ("a value of none".into(), vec![group14(), packet(&message(30, &[&string(&[])]))]),
        ("a negative value".into(), vec![group14(), packet(&message(30, &[&string(&[0xff; 256])]))]),
        ("another method's number".into(), vec![plain(), packet(&message(32, &[&string(b"x")]))]),
        ("the old group exchange".into(), vec![exchange(), packet(&message(30, &[&[0, 0, 8, 0]]))]),
        ("a value without a group".into(), vec![exchange(), packet(&message(32, &[&string(&[0x0f])]))]),
        ("gex cut off".into(), vec![exchange(), packet(&message(34, &[&[0, 0, 8, 0]]))]),
        ("gex 1024 1024 1024".into(), gex(1024, 1024, 1024)),
        ("gex 1024 1024 2048".into(), gex(1024, 1024, 2048)),
        ("gex 1024 2048 8192".into(), gex(1024, 2048, 8192)),
        ("gex 2048 1024 8192".into(), gex(2048, 1024, 8192)),
        ("gex 2048 3072 8192".into(), gex(2048, 3072, 8192)),
        ("gex 2048 4096 8192".into(), gex(2048, 4096, 8192)),
        ("gex 2048 8192 8192".into(), gex(2048, 8192, 8192)),
        ("gex 2048 7000 8192".into(), gex(2048, 7000, 8192)),
        ("gex 8193 8193 9000".into(), gex(8193, 8193, 9000)),
        ("an empty name before".into(), vec![packet(&kexinit(",curve25519-sha256", "aes128-ctr"))]),
        ("an empty name behind".into(), vec![packet(&kexinit("curve25519-sha256,", "aes128-ctr"))]),
        ("an empty cipher before".into(), vec![packet(&kexinit("curve25519-sha256", "x,,aes128-ctr"))]),
        (
            "a strict exchange behind an empty name".into(),
            vec![packet(&kexinit("curve25519-sha256,,kex-strict-c-v00@openssh.com", "aes128-ctr")), ignore()],
        ),
        ("a wrong guess".into(), vec![guessing("ecdh-sha2-nistp256"), packet(&[30]), packet(&[30])]),
    ];
    for number in [0, 6, 7, 8, 19, 22, 29, 30, 31, 49, 50, 51, 60, 61, 80, 90, 100, 191, 192, 193, 255] {
        probes.push((format!("message {number}"), vec![packet(&message(number, &[&string(b"x")]))]));
    }
    for (_, chunks) in &mut probes {
        chunks.insert(0, hello.clone());
    }
    compare(&probes, clear);
}

const HOSTBOUND: &str = "publickey-hostbound-v00@openssh.com";

/// A request for authentication.
fn request(user: &[u8], service: &[u8], method: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    message(50, &[&string(user), &string(service), &string(method), &rest.concat()])
}

#[test]
fn packets_under_keys_are_answered_as_by_sshd() {
    let service = || message(5, &[&string(b"ssh-userauth")]);
    let root = |method: &str, rest: &[&[u8]]| request(b"root", b"ssh-connection", method.as_bytes(), rest);
    let none = || root("none", &[]);
    let ed25519 = [string(b"ssh-ed25519"), string(&[9; 32])].concat();
    let offered = [&[0][..], &string(b"ssh-ed25519"), &string(&ed25519)].concat();
    let signature = string(&[string(b"ssh-ed25519"), string(&[1; 64])].concat());
    let signed = [&[1][..], &string(b"ssh-ed25519"), &string(&ed25519), &signature].concat();
    let rsa = [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&[0x55; 32])].concat();
    let rsa = [&[0][..], &string(b"rsa-sha2-256"), &string(&rsa)].concat();
    let after = |payloads: Vec<Vec<u8>>| [vec![service()], payloads].concat();
    let mut probes: Vec<(String, Vec<Vec<u8>>)> = vec![
        ("the service twice".into(), vec![service(), service()]),
        ("another service".into(), vec![message(5, &[&string(b"ssh-connection")])]),
        ("a service with a NUL".into(), vec![message(5, &[&string(b"ssh-userauth\0")])]),
        ("a service with a NUL inside".into(), vec![message(5, &[&string(b"ssh-user\0auth")])]),
        ("an answer to nothing".into(), vec![service(), message(61, &[&[0, 0, 0, 1], &string(b"x")])]),
        (
            "a user with a NUL behind".into(),
            after(vec![request(b"root\0", b"ssh-connection", b"none", &[]), none()]),
        ),
        ("a method with a NUL behind".into(), after(vec![root("none\0", &[])])),
        (
            "a password with a NUL behind".into(),
            after(vec![root("password", &[&[1], &string(b"a\0"), &string(b"")])]),
        ),
        ("none, later with more behind".into(), after(vec![none(), root("none", &[b"xxx"])])),
        ("hostbound".into(), after(vec![root(HOSTBOUND, &[&offered, &string(b"x")])])),
        ("hostbound cut off".into(), after(vec![root(HOSTBOUND, &[&offered])])),
        ("a small RSA key".into(), after(vec![root("publickey", &[&rsa, b"x"])])),
        ("a service cut off".into(), vec![message(5, &[b"\0\0"])]),
        ("a service with more behind".into(), vec![message(5, &[&string(b"ssh-userauth"), b"x"])]),
        ("a request without the service".into(), vec![none()]),
        ("bytes that are no packet".into(), vec![service(), vec![]]),
        ("another KEXINIT".into(), vec![kexinit("curve25519-sha256", "aes128-ctr")]),
        ("another KEXINIT later".into(), after(vec![none(), kexinit("curve25519-sha256", "aes128-ctr")])),
        ("NEWKEYS".into(), vec![vec![21]]),
        ("extensions".into(), vec![message(7, &[&[0, 0, 0, 1], &string(b"a"), &string(b"b")])]),
        ("extensions twice".into(), vec![message(7, &[&[0; 4]]), message(7, &[&[0; 4]])]),
        ("extensions later".into(), after(vec![none(), message(7, &[&[0; 4]])])),
        ("extensions cut off".into(), vec![message(7, &[&[0, 0, 0, 1]])]),
        ("IGNORE, DEBUG".into(), vec![message(2, &[]), message(4, &[b"\0", &string(b"x"), &string(b"")])]),
        ("DISCONNECT".into(), vec![message(1, &[&[0, 0, 0, 11], &string(b"bye"), &string(b"")])]),
        ("none".into(), after(vec![none()])),
        ("none until the end".into(), after(vec![none(); 9])),
        ("another user".into(), after(vec![none(), request(b"x", b"ssh-connection", b"none", &[])])),
        ("another service later".into(), after(vec![none(), request(b"root", b"x", b"none", &[])])),
        ("a long other user".into(), after(vec![none(), request(&[b'y'; 2000], b"x", b"none", &[])])),
        ("a style".into(), after(vec![request(b"root:x", b"ssh-connection", b"none", &[]), none()])),
        (
            "the other way round".into(),
            after(vec![none(), request(b"root:x", b"ssh-connection", b"none", &[])]),
        ),
        ("a role".into(), after(vec![request(b"root/x", b"ssh-connection", b"none", &[]), none()])),
        ("a role later".into(), after(vec![none(), request(b"root/x:y", b"ssh-connection", b"none", &[])])),
        (
            "a role behind a style".into(),
            after(vec![request(b"root:x/y", b"ssh-connection", b"none", &[]), none()]),
        ),
        (
            "another user's role".into(),
            after(vec![none(), request(b"x/root", b"ssh-connection", b"none", &[])]),
        ),
        ("another KEXINIT that is strict".into(), after(vec![kexinit("kex-strict-c-v00@openssh.com", "x")])),
        ("another KEXINIT, and on".into(), vec![kexinit("x", "x"), service(), kexinit("x", "x"), none()]),
        ("a service of no kind".into(), after(vec![request(b"root", b"ssh-foo", b"none", &[])])),
        ("no user".into(), after(vec![request(b"", b"ssh-connection", b"none", &[])])),
        ("a user with a NUL".into(), after(vec![request(b"ro\0ot", b"ssh-connection", b"none", &[])])),
        ("a method with a NUL".into(), after(vec![root("no\0ne", &[])])),
        ("a request cut off".into(), after(vec![message(50, &[&string(b"root"), b"\0\0"])])),
        ("none with more behind".into(), after(vec![root("none", &[b"xxx"])])),
        ("another method".into(), after(vec![root("foo", &[])])),
        ("hostbased".into(), after(vec![root("hostbased", &[&string(b"ssh-ed25519")])])),
        ("gssapi-with-mic".into(), after(vec![root("gssapi-with-mic", &[&[0; 4]])])),
        (
            "keyboard-interactive".into(),
            after(vec![root("keyboard-interactive", &[&string(b""), &string(b"")])]),
        ),
        ("keyboard-interactive cut off".into(), after(vec![root("keyboard-interactive", &[])])),
        (
            "an answer to no question".into(),
            after(vec![none(), message(61, &[&[0, 0, 0, 1], &string(b"x")])]),
        ),
        ("a changed password".into(), after(vec![root("password", &[&[1], &string(b"a"), &string(b"b")])])),
        ("a long password".into(), after(vec![root("password", &[&[0], &string(&[b'a'; 1500])])])),
        ("a password with a NUL".into(), after(vec![root("password", &[&[0], &string(b"a\0b")])])),
        ("a password with more behind".into(), after(vec![root("password", &[&[0], &string(b"a"), b"x"])])),
        ("a password cut off".into(), after(vec![root("password", &[&[0], b"\0"])])),
        ("a key".into(), after(vec![root("publickey", &[&offered])])),
        ("a key, signed".into(), after(vec![root("publickey", &[&signed])])),
        ("keys until the end".into(), after(vec![root("publickey", &[&offered]); 7])),
        ("a key cut off".into(), after(vec![root("publickey", &[&[0], &string(b"ssh-ed25519")])])),
        ("a key with more behind".into(), after(vec![root("publickey", &[&offered, b"x"])])),
        (
            "nobody's key cut off".into(),
            after(vec![request(b"nobody-x", b"ssh-connection", b"publickey", &[&[0]])]),
        ),
        ("a signature cut off".into(), after(vec![root("publickey", &[&[1], &offered[1..]])])),
        ("an empty password".into(), after(vec![root("password", &[&[1], &string(b""), &string(b"")])])),
        (
            "a key of another kind".into(),
            after(vec![root("publickey", &[&[0], &string(b"x"), &string(b"y")])]),
        ),
    ];
    for number in [0, 6, 8, 20, 30, 49, 51, 52, 53, 60, 80, 90, 94, 100, 191, 192, 255] {
        probes.push((format!("message {number}"), vec![message(number, &[&string(b"x")])]));
        probes.push((
            format!("message {number} later"),
            after(vec![none(), message(number, &[&string(b"x")])]),
        ));
    }
    compare(&probes, sealed);
}

#[test]
fn passwords_are_refused_as_by_sshd() {
    let service = message(5, &[&string(b"ssh-userauth")]);
    let password = |user: &[u8]| request(user, b"ssh-connection", b"password", &[&[0], &string(b"wrong")]);
    let probes: Vec<(String, Vec<Vec<u8>>)> = [&b"root"[..], b"nobody-of-this-name", b"\xff\xfe"]
        .into_iter()
        .map(|user| (user.escape_ascii().to_string(), vec![service.clone(), password(user)]))
        .collect();
    compare(&probes, sealed);
}

#[test]
fn nmap_says_the_same_of_both() {
    let sshd = Sshd::start();
    let ours = like(&sshd);
    let [theirs, ours] = [sshd.address, ours.address].map(|address| {
        let port = address.port().to_string();
        let output = Command::new("nmap")
            .args(["-Pn", "-n", "-sT", "-sV", "-p", &port])
            .args(["--script", "ssh2-enum-algos,ssh-auth-methods,ssh-hostkey,sshv1", "--script-args"])
            .args(["ssh_hostkey=full", "127.0.0.1"])
            .output()
            .expect("nmap runs: scripts/setup test installs it");
        let text = String::from_utf8(output.stdout).unwrap();
        // What it found, without port, times and latency; scripts in order of their names, as the fastest comes first.
        let found = text.lines().skip_while(|line| !line.starts_with("PORT"));
        let found = found.take_while(|line| !line.starts_with("Nmap done"));
        let mut scripts: Vec<String> = Vec::new();
        for line in found {
            let line = line.replace(&port, "PORT").replacen("|_", "| ", 1);
            match scripts.last_mut() {
                Some(script) if line.starts_with("|  ") => script.extend(["\n", &line]),
                _ => scripts.push(line),
            }
        }
        scripts.sort();
        scripts.join("\n")
    });
    assert!(theirs.contains("OpenSSH 9.2p1") && theirs.contains("sntrup761x25519-sha512"), "{theirs}");
    assert_eq!(theirs, ours);
}
