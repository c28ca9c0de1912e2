//! Elements into sets of nftables, and out of a map: by this crate, and by `nft` in the same run, in a network namespace
//! of their own. Needs root.
//!
//! `cargo bench -p unmasq-netfilter --bench sets`

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use unmasq_lab::{Lab, Node};
use unmasq_netfilter::maps::Maps;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::sets::{Action, Change, Member, SetId, SetInfo, Sets, Verdict};

type Failure = Box<dyn std::error::Error>;

/// How often a measurement of many elements is made; the median counts.
const ROUNDS: usize = 3;
/// As many clients as 256 public addresses serve with 1000 ports each.
const CLIENTS: u32 = 16_384;
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Failure> {
    println!("{:44} {:>12} {:>12}", "", "unmasq", "nft");
    for (kind, flags) in [("hash", "timeout"), ("interval", "interval,timeout")] {
        for count in [20_000, 100_000] {
            let (ours, theirs) = many(flags, count)?;
            println!("{:44} {ours:>12.1?} {theirs:>12.1?}", format!("{count} elements at once, {kind} set"));
        }
        for held in [0, 100_000] {
            let (ours, theirs) = one(flags, held)?;
            println!("{:44} {ours:>12.1?} {theirs:>12.1?}", format!("one element, {kind} set of {held}"));
        }
    }
    let (ours, theirs) = listed(CLIENTS)?;
    println!("{:44} {ours:>12.1?} {theirs:>12.1?}", format!("a map of {CLIENTS} clients, listed"));
    Ok(())
}

struct Bench {
    node: Node,
    sets: Sets,
    id: SetId,
    info: SetInfo,
}

impl Bench {
    fn new(flags: &str) -> Result<Self, Failure> {
        let node = Lab::new()?.node("fw")?;
        node.nft(&format!("table inet t {{ set s {{ type ipv4_addr; flags {flags}; }}; }}"))?;
        let mut sets = Sets::open(&Namespace::named(node.name())?)?;
        let id: SetId = "inet t s".parse()?;
        let info = sets.info(&id)?.ok_or("the set was just made")?;
        Ok(Self { node, sets, id, info })
    }

    fn put(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Result<(), Failure> {
        let action = Action::Put(Some(HOUR));
        let change =
            |address| Change { set: 0, member: Member::address(address, None), action, is_there: false };
        let changes: Vec<Change> = addresses.map(change).collect();
        let verdicts = self.sets.apply(&[(self.id.clone(), self.info)], &changes)?;
        let is_done = |verdict: &Verdict| *verdict == Verdict::Done { was_there: false };
        verdicts.iter().all(is_done).then_some(()).ok_or_else(|| "not all were put".into())
    }

    fn flush(&self) -> Result<(), Failure> {
        Ok(self.node.nft("flush set inet t s")?)
    }
}

fn addresses(count: u32) -> impl Iterator<Item = IpAddr> {
    (0..count).map(|n| Ipv4Addr::from(0x0a00_0000 + n * 2).into())
}

fn text(addresses: impl Iterator<Item = IpAddr>) -> String {
    let mut text = "add element inet t s { ".to_owned();
    for address in addresses {
        let _ = write!(text, "{address} timeout 1h, ");
    }
    text + "}\n"
}

fn many(flags: &str, count: u32) -> Result<(Duration, Duration), Failure> {
    let mut bench = Bench::new(flags)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let text = text(addresses(count));
    for _ in 0..ROUNDS {
        let start = Instant::now();
        bench.put(addresses(count))?;
        ours.push(start.elapsed());
        bench.flush()?;
        let start = Instant::now();
        bench.node.nft(&text)?;
        theirs.push(start.elapsed());
        bench.flush()?;
    }
    Ok((median(ours), median(theirs)))
}

fn one(flags: &str, held: u32) -> Result<(Duration, Duration), Failure> {
    let mut bench = Bench::new(flags)?;
    if held > 0 {
        bench.put(addresses(held))?;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..20_u8 {
        let start = Instant::now();
        // As for every ban: what the set is like is asked first.
        bench.info = bench.sets.info(&bench.id)?.ok_or("the set was just made")?;
        bench.put([IpAddr::from([192, 0, 2, 2 * n])].into_iter())?;
        ours.push(start.elapsed());
        let text = text([IpAddr::from([198, 51, 100, 2 * n])].into_iter());
        let start = Instant::now();
        bench.node.nft(&text)?;
        theirs.push(start.elapsed());
    }
    Ok((median(ours), median(theirs)))
}

fn listed(clients: u32) -> Result<(Duration, Duration), Failure> {
    let node = Lab::new()?.node("gw")?;
    let mut elements = String::new();
    for n in 0..clients {
        let (client, to) = (Ipv4Addr::from(0x6440_0000 + n), Ipv4Addr::from(0xcb00_7100 + n / 64));
        let first = 1024 + n % 64 * 1000;
        write!(elements, "{client} : {to} . {first}-{}, ", first + 999)?;
    }
    node.nft(&format!(
        "table ip t {{ map m {{ type ipv4_addr : interval ipv4_addr . inet_service; elements = {{ {elements} }}; }}; }}"
    ))?;
    let mut maps = Maps::open(&Namespace::named(node.name())?)?;
    let id: SetId = "ip t m".parse()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let found = maps.list(&id)?.map_or(0, |mappings| mappings.len());
        ours.push(start.elapsed());
        let start = Instant::now();
        node.exec(&["nft", "list", "map", "ip", "t", "m"])?;
        theirs.push(start.elapsed());
        if found != clients as usize {
            return Err(format!("{found} of {clients} were listed").into());
        }
    }
    Ok((median(ours), median(theirs)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
