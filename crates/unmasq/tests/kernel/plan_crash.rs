//! `unmasq plan apply`, killed at any moment: what is left is known, and the next one mends it.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Signal;
use unmasq_flow::Timestamp;
use unmasq_lab::random::Random;
use unmasq_lab::{Running, Server, client};

use crate::plan_gateway::{Gateway, HeldNft, any, run, v4};
use crate::support::{PATIENCE, clients};

/// How often it is killed.
const KILLS: u64 = 80;

/// The client of the one plan, or of the other, has all ports there are.
fn plan(n: usize) -> Vec<String> {
    let format = if n % 3 == 2 { "iptables" } else { "nft" };
    let client = ["192.168.101.2", "192.168.102.2"][n % 2];
    let words = format!(
        "--network {client}/32 --public 203.0.113.1 --ports 2000-2099 --growth 0 --renumber --format {format}"
    );
    words.split(' ').map(str::to_owned).collect()
}

fn apply(gateway: &Gateway, n: usize) -> Command {
    let words = [vec!["apply".to_owned(), "--json".to_owned()], plan(n)].concat();
    gateway.command(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Which client the kernel gives ports to, by whichever rules it asks first.
fn loaded(gateway: &Gateway) -> Vec<String> {
    let nft = gateway.node().exec(&["nft", "list", "map", "ip", "unmasq-plan", "clients"]);
    let iptables = gateway.node().exec(&["iptables", "-t", "nat", "-S", "UNMASQ-PLAN"]);
    let text = nft.or(iptables).unwrap_or_default();
    ["192.168.101.2", "192.168.102.2"].into_iter().filter(|c| text.contains(c)).map(str::to_owned).collect()
}

#[test]
fn an_apply_that_is_killed_leaves_a_history_that_names_no_wrong_client_alone() {
    let gateway = Gateway::build();
    let server = Server::tcp(&gateway.network.servers, ([198, 51, 100, 7], 80).into()).unwrap();
    let seed = std::env::var("UNMASQ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    eprintln!("UNMASQ_SEED={seed}");
    let mut random = Random::new(seed);
    // How long one takes that is not killed; the first makes the history, too.
    let whole = |n: usize| {
        let began = Instant::now();
        let done = run(&mut apply(&gateway, n));
        assert_eq!(done.code, 0, "{done:?}");
        began.elapsed()
    };
    whole(1);
    let mut usual = whole(0);
    let mut asked: Vec<(SocketAddr, String, Timestamp)> = Vec::new();
    let mut cut = 0;
    for n in 1..=KILLS as usize {
        let before = loaded(&gateway);
        // A connection of whoever has the ports now lives on until its client loses them.
        let held: Vec<_> = gateway
            .clients()
            .into_iter()
            .filter(|(_, own)| before.contains(&own.to_string()))
            .map(|(place, own)| (own, client::tcp(place, any(own), server.address()).unwrap()))
            .collect();
        let mut running = Running::start(apply(&gateway, n).stdout(std::process::Stdio::null())).unwrap();
        thread::sleep(Duration::from_micros(random.below(usual.as_micros() as u64)));
        if running.ended().unwrap().is_none() {
            running.signal(Signal::KILL).unwrap();
            running.wait(PATIENCE).unwrap();
            cut += 1;
        }
        // A program that it had started can outlive it.
        gateway.await_unlocked();
        // The history can be read, and nothing in it is wrong.
        gateway.audit();
        let now = loaded(&gateway);
        assert_eq!(now.len(), 1, "one plan, whole: {now:?}");
        // Whoever's flow is in the table now, or begins now, is named.
        for (place, own) in gateway.clients().into_iter().filter(|(_, own)| now.contains(&own.to_string())) {
            let seen = server.seen().len();
            let stream = client::tcp(place, any(own), server.address()).unwrap();
            let sighting = server.wait(seen + 1, PATIENCE).unwrap()[seen];
            assert!((2000..=2099).contains(&v4(sighting.peer).1), "{sighting:?}");
            asked.push((sighting.peer, own.to_string(), sighting.at));
            client::abort(stream).unwrap();
        }
        for (own, stream) in held {
            let flow = format!("src={own} dst=198.51.100.7 sport={} ", stream.local_addr().unwrap().port());
            let entries = gateway.entries(&flow);
            if let Some(port) = entries.first().and_then(|entry| entry.rsplit_once("dport=")) {
                let port: String = port.1.chars().take_while(char::is_ascii_digit).collect();
                let masked = SocketAddr::from(([203, 0, 113, 1], port.parse().unwrap()));
                asked.push((masked, own.to_string(), Timestamp::now()));
            }
            client::abort(stream).unwrap();
        }
        gateway.node().exec(&["conntrack", "-F"]).unwrap();
        if n % 2 == 0 {
            // The next one that is not killed makes it whole.
            usual = whole(n);
            assert_eq!(gateway.verify(), (0, vec![]));
            assert_eq!(run(&mut apply(&gateway, n)).json()["outcome"], "unchanged");
        }
    }
    assert!(cut > KILLS / 4, "{cut} of {KILLS} were killed before their end");
    let mut unknown = 0;
    for (masked, own, at) in asked {
        let (answer, code) = gateway.answer(&masked.to_string(), at, &["--proto", "tcp"]);
        assert!(clients(&answer).contains(&own), "it was {own} at {at}: {answer}");
        assert_eq!(code, if clients(&answer).len() > 1 { 3 } else { 0 }, "{answer}");
        unknown += usize::from(code == 3);
    }
    eprintln!("{cut} of {KILLS} killed, {unknown} answers name both");
}

#[test]
fn nobody_applies_while_a_program_of_a_killed_apply_still_loads_its_rules() {
    let gateway = Gateway::build();
    assert_eq!(run(&mut apply(&gateway, 0)).code, 0);
    let nft = HeldNft::new(&gateway, "-f");
    let mut killed = nft.used_by(apply(&gateway, 1));
    let killed = Running::start(killed.stdout(std::process::Stdio::null())).unwrap();
    nft.await_held();
    killed.signal(Signal::KILL).unwrap();
    drop(killed);
    let lock = File::open(gateway.history.join("lock")).unwrap();
    let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(locked, Err(Errno::WOULDBLOCK), "nft will load rules that the next one would not know of");
    nft.release();
    gateway.await_unlocked();
    assert_eq!(loaded(&gateway), ["192.168.102.2"]);
    assert_eq!(run(&mut apply(&gateway, 0)).code, 0);
    assert_eq!((loaded(&gateway), gateway.verify()), (vec!["192.168.101.2".to_owned()], (0, vec![])));
}
