//! What a client costs: `cargo bench -p unmasq-honeypot`. Prints how many connections a core can take through key exchange
//! and one password, of which the server's share, and the bytes that connections take which do nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unmasq_honeypot::client::{Client, ClientError, Offer};
use unmasq_honeypot::hostkey::{HostKeys, KeyError, KeyKind};
use unmasq_honeypot::profile::Profile;
use unmasq_honeypot::server::{Connection, Delay, Happening, Limits, Setup};
use unmasq_ssh::wire::Write;
use unmasq_ssh::{KexInit, frame};

/// Each case runs so long.
const RUN: Duration = Duration::from_secs(2);
const IDLE: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setup = setup()?;
    println!("{:<58}{:>12}{:>16}{:>14}", "key exchange, host key", "a second", "server alone", "server, µs");
    for (kex, host_key) in [
        ("curve25519-sha256", "ssh-ed25519"),
        ("curve25519-sha256", "ecdsa-sha2-nistp256"),
        ("curve25519-sha256", "rsa-sha2-512"),
        ("ecdh-sha2-nistp256", "ssh-ed25519"),
        ("ecdh-sha2-nistp384", "ssh-ed25519"),
        ("diffie-hellman-group14-sha256", "ssh-ed25519"),
        ("diffie-hellman-group16-sha512", "ssh-ed25519"),
        ("diffie-hellman-group18-sha512", "ssh-ed25519"),
    ] {
        let offer = Offer { kex: kex.to_owned(), host_key: host_key.to_owned(), ..Offer::default() };
        rate(&setup, &offer)?;
    }
    println!(
        "\n{:<58}{:>28}{:>14}",
        "key exchange alone, as the client does not speak it", "server alone", "server, µs"
    );
    for (kex, value) in [
        // Any bytes are a public key of sntrup761, zeros are one of ML-KEM, and 9 is X25519's base point.
        ("sntrup761x25519-sha512", [vec![7; 1158], point()].concat()),
        ("mlkem768x25519-sha256", [vec![0; 1184], point()].concat()),
        ("ecdh-sha2-nistp521", hex::decode(P521)?),
    ] {
        exchange(&setup, kex, &value)?;
    }
    memory(&setup)
}

/// The base point of NIST P-521 (SEC 2, section 2.6.1).
const P521: &str = "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3\
                    c1856a429bf97e7e31c2e5bd66011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef426\
                    40c550b9013fad0761353c7086a272c24088be94769fd16650";

fn point() -> Vec<u8> {
    let mut point = vec![0; 32];
    point[0] = 9;
    point
}

/// A client that sends its public value and goes no further.
fn exchange(setup: &Arc<Setup>, kex: &str, value: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let lists =
        [kex, "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha1", "hmac-sha1", "none", "none", "", ""];
    let kexinit =
        KexInit { cookie: [7; 16], lists: lists.map(str::to_owned), first_kex_packet_follows: false };
    let mut bytes = b"SSH-2.0-bench\r\n".to_vec();
    frame::write(&kexinit.to_payload(), &mut bytes);
    let mut init = vec![30];
    init.put_string(value);
    frame::write(&init, &mut bytes);
    let profile = Profile::parse(
        &setup.profile.to_string().replace("kex = [", &format!("kex = [\"{kex}\", ")),
        Path::new("bench"),
    )?;
    let setup = Arc::new(Setup { profile, ..Setup::clone(setup) });
    let (started, mut count) = (Instant::now(), 0u32);
    while started.elapsed() < RUN {
        let mut connection = Connection::new(setup.clone(), started);
        connection.receive(&bytes, started);
        if let Some(end) = connection.end() {
            return Err(format!("{kex}: {end}").into());
        }
        count += 1;
    }
    let each = started.elapsed().as_secs_f64() / f64::from(count);
    println!("{:<58}{:>28.0}{:>14.0}", format!("{kex}, ssh-ed25519"), 1.0 / each, each * 1e6);
    Ok(())
}

fn setup() -> Result<Arc<Setup>, KeyError> {
    let keys = HostKeys::generate(&[KeyKind::Rsa(3072), KeyKind::EcdsaP256, KeyKind::Ed25519])?;
    let limits = Limits {
        grace: Duration::from_secs(120),
        attempts: 6,
        bytes: 1 << 20,
        delay: Delay::Fixed(Duration::ZERO),
    };
    Ok(Arc::new(Setup { profile: Profile::debian_12(), keys, limits }))
}

/// Both sides of a connection, and the time that the server's took.
struct Pair {
    connection: Connection,
    client: Client,
    spent: Duration,
}

impl Pair {
    fn new(setup: &Arc<Setup>, offer: &Offer) -> Self {
        let started = Instant::now();
        let connection = Connection::new(setup.clone(), started);
        Self { connection, client: Client::new(offer.clone()), spent: started.elapsed() }
    }

    /// Hands over what each has for the other, until nothing is left. The payloads that the client is given.
    fn talk(&mut self) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut payloads = Vec::new();
        loop {
            let output = self.connection.output().to_vec();
            self.connection.sent(output.len());
            self.client.receive(&output);
            while let Some(payload) = self.client.next()? {
                payloads.push(payload);
            }
            let sent = self.client.output().to_vec();
            if output.is_empty() && sent.is_empty() {
                return Ok(payloads);
            }
            self.client.sent(sent.len());
            let started = Instant::now();
            self.connection.receive(&sent, started);
            self.spent += started.elapsed();
        }
    }

    /// A key exchange, and the service.
    fn begin(&mut self) -> Result<(), ClientError> {
        self.talk()?;
        let mut service = vec![5];
        service.put_string(b"ssh-userauth");
        self.client.send(&service)?;
        self.talk().map(drop)
    }

    fn try_password(&mut self) -> Result<bool, ClientError> {
        let mut request = vec![50];
        for field in ["root", "ssh-connection", "password"] {
            request.put_string(field.as_bytes());
        }
        request.put_boolean(false);
        request.put_string(b"123456");
        self.client.send(&request)?;
        self.talk()?;
        Ok(std::iter::from_fn(|| self.connection.next())
            .any(|happening| matches!(happening, Happening::Attempt(_))))
    }
}

fn rate(setup: &Arc<Setup>, offer: &Offer) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let (mut count, mut spent) = (0u32, Duration::ZERO);
    while started.elapsed() < RUN {
        let mut pair = Pair::new(setup, offer);
        pair.begin()?;
        if !pair.try_password()? {
            return Err("an attempt was not seen".into());
        }
        spent += pair.spent;
        count += 1;
    }
    let each = spent.as_secs_f64() / f64::from(count);
    println!(
        "{:<58}{:>12.0}{:>16.0}{:>14.0}",
        format!("{}, {}", offer.kex, offer.host_key),
        f64::from(count) / started.elapsed().as_secs_f64(),
        1.0 / each,
        each * 1e6
    );
    Ok(())
}

/// Resident memory of this process in bytes.
fn resident() -> std::io::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0);
    // Pages of x86-64 and of most arm64.
    Ok(pages * 4096)
}

fn memory(setup: &Arc<Setup>) -> Result<(), Box<dyn std::error::Error>> {
    let per_connection = |what: &str, before: usize, after: usize| {
        let bytes = after.saturating_sub(before) / IDLE;
        println!("{what:<58}{bytes:>12} bytes each, {} MiB", bytes * IDLE / (1 << 20));
    };
    let before = resident()?;
    let now = Instant::now();
    let mut silent = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = Connection::new(setup.clone(), now);
        connection.sent(connection.output().len());
        silent.push(connection);
    }
    per_connection("10,000 connections that have said nothing", before, resident()?);
    let before = resident()?;
    let mut waiting = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut pair = Pair::new(setup, &Offer::default());
        pair.begin()?;
        while pair.connection.next().is_some() {}
        waiting.push(pair.connection);
    }
    per_connection("10,000 connections that wait to try something", before, resident()?);
    Ok(())
}
