//! What the book costs: `cargo bench -p unmasq-flow`. Prints nanoseconds for entering, finding and ending a flow
//! among a million live ones, and the bytes that each takes.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use unmasq_flow::{Ask, Book, Bound, Endpoint, Flow, Limits, Origin, Period, Protocol, Timestamp};

const FLOWS: u32 = 1_000_000;
/// Alive at a time, in the part that is as under load.
const ALIVE: u32 = 50_000;

fn main() {
    let origin = Origin::new("gw1", "").shared();
    let flow = |i: u32| {
        // A fixed permutation of 32 bits, so that neighbours in time are no neighbours in memory.
        let r = i.wrapping_mul(0x9e37_79b1) ^ (i >> 7);
        let client = Endpoint::with_port(Ipv4Addr::from(0x6440_0000 | (r & 0xfff)).into(), (i >> 6) as u16);
        let server = Endpoint::with_port(Ipv4Addr::from(0xc612_0000 + (r % 131_000)).into(), 443);
        let masked = Endpoint::with_port(Ipv4Addr::from(0xcb00_7101 + (r & 15)).into(), (r >> 12) as u16);
        let mut flow = Flow::new(origin.clone(), Protocol::TCP, (client, server), (server, masked));
        flow.start = Bound::Exact(Timestamp::from_millis(i64::from(i)));
        flow.end = Bound::Open;
        flow
    };
    let now = Timestamp::from_millis(i64::from(FLOWS));
    let mut book = Book::new(Limits { max_bytes: 1 << 30, keep_ended: Duration::from_secs(5) });
    let each = |what: &str, started: Instant| {
        println!("{what:<28}{:>8.0} ns", started.elapsed().as_nanos() as f64 / f64::from(FLOWS));
    };

    let started = Instant::now();
    for i in 0..FLOWS {
        black_box(flow(i));
    }
    each("making a flow (overhead)", started);

    let started = Instant::now();
    for i in 0..FLOWS {
        let _ = black_box(book.open(&flow(i), now));
    }
    each("open", started);
    println!("{:<28}{:>8} live, {} bytes each", "held", book.stats().live, book.bytes() / book.stats().live);

    let started = Instant::now();
    for i in 0..FLOWS {
        let f = flow(i);
        let ask = Ask {
            masked: f.masked,
            protocol: Some(f.protocol),
            server: f.server.endpoint(),
            period: Period::at(Timestamp::from_millis(i64::from(i))),
        };
        black_box(book.find(&ask, now));
    }
    each("find, server given", started);

    let started = Instant::now();
    for i in 0..FLOWS {
        let mut f = flow(i);
        f.end = Bound::Exact(now);
        black_box(book.end(f, now));
    }
    each("end", started);
    let started = Instant::now();
    book.expire(now + Duration::from_secs(6));
    each("expire", started);

    // As under load: 50,000 alive at a time, each opened and ended once, the ended kept for 5 s at 100,000 a second.
    let mut book = Book::new(Limits { max_bytes: 1 << 30, keep_ended: Duration::from_secs(5) });
    let started = Instant::now();
    for i in 0..FLOWS {
        let now = Timestamp::from_nanos(i64::from(i) * 10_000);
        let _ = black_box(book.open(&flow(i), now));
        if i >= ALIVE {
            let mut f = flow(i - ALIVE);
            f.end = Bound::Exact(now);
            black_box(book.end(f, now));
        }
        if i % 256 == 0 {
            book.expire(now);
        }
    }
    each("open, end, expire in turn", started);
    println!("{:<28}{:>8} MiB", "held", book.bytes() >> 20);
}
