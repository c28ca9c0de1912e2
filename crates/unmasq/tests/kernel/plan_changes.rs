//! A change of plans disturbs nobody but those whom it is about, and what it leaves is known.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use unmasq_flow::Timestamp;
use unmasq_lab::{Server, client};

use crate::plan_gateway::{Gateway, USUAL, any, v4};
use crate::support::{PATIENCE, Recording, clients, eventually};

const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 168, 101, 2);

/// A connection on which bytes go to and fro until it is told to stop.
struct Transfer {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: thread::JoinHandle<std::io::Result<()>>,
}

impl Transfer {
    fn start(mut stream: TcpStream) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::clone(&stop), Arc::clone(&rounds));
        let thread = thread::spawn(move || {
            let mut buffer = [7; 1000];
            while !shared.0.load(Ordering::Relaxed) {
                stream.write_all(&buffer)?;
                stream.read_exact(&mut buffer)?;
                shared.1.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        Self { stop, rounds, thread }
    }

    /// Waits until bytes have gone to and fro since.
    fn goes_on(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        eventually("bytes go to and fro", || {
            (self.rounds.load(Ordering::Relaxed) > before + 2).then_some(())
        });
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic").expect("it was never cut");
    }
}

/// Connects a client, and gives how the server sees it and when.
fn connect(gateway: &Gateway, server: &Server, own: Ipv4Addr) -> (TcpStream, SocketAddr, Timestamp) {
    let before = server.seen().len();
    let place = gateway.clients().into_iter().find(|(_, address)| *address == own).expect("a client").0;
    let stream = client::tcp(place, any(own), server.address()).expect("a conversation");
    client::talk(&stream).expect("a conversation");
    let sighting = server.wait(before + 1, PATIENCE).expect("a conversation")[before];
    (stream, sighting.peer, sighting.at)
}

fn server(gateway: &Gateway) -> Server {
    Server::tcp(&gateway.network.servers, (SERVER, 80).into()).expect("a conversation")
}

#[test]
fn a_change_of_one_client_of_sixteen_thousand_cuts_nobody_elses_connection() {
    let gateway = Gateway::build();
    let server = server(&gateway);
    let addresses: Vec<String> = (3..=16).map(|n| format!("address add 203.0.113.{n}/24 dev wan")).collect();
    gateway.node().ip(&addresses).unwrap();
    let large = ["--network", "192.168.101.0/29", "192.168.102.0/29", "10.64.0.0/18", "--public"];
    let large = [&large[..], &["203.0.113.1-203.0.113.16", "--ports-per-client", "32"]].concat();
    assert_eq!(gateway.apply_of(&large)["added"], 16_391);
    let others: Vec<Transfer> = gateway.clients()[1..]
        .iter()
        .flat_map(|(_, own)| {
            (0..2).map(|_| Transfer::start(connect(&gateway, &server, *own).0)).collect::<Vec<_>>()
        })
        .collect();
    for round in 0..20 {
        let (own, ..) = connect(&gateway, &server, FIRST);
        let flow = format!("src=192.168.101.2 dst={SERVER} sport={} ", own.local_addr().unwrap().port());
        assert_eq!(gateway.entries(&flow).len(), 1, "round {round}");
        let out = [&large[..], &["--leave-out", "192.168.101.2"]].concat();
        let report = gateway.apply_of(&out);
        assert_eq!(
            (report["removed"].as_u64(), report["flows_ended"].as_u64()),
            (Some(1), Some(1)),
            "{report}"
        );
        assert_eq!(report["unchanged"], 16_390);
        assert_eq!(gateway.entries(&flow), Vec::<String>::new(), "its connection is flushed");
        let report = gateway.apply_of(&large);
        assert_eq!((report["added"].as_u64(), report["moved"].as_u64()), (Some(1), Some(0)), "{report}");
        others.iter().for_each(Transfer::goes_on);
    }
    others.into_iter().for_each(Transfer::finish);
    gateway.audit();
    assert_eq!(gateway.history()["revisions"].as_array().unwrap().len(), 41);
}

/// One client has a block, then another has it: the plan that does that, as flags.
fn handed_over(to: Ipv4Addr) -> Vec<String> {
    let words = format!("--network {to}/32 --public 203.0.113.1 --ports 2000-2099 --growth 0");
    words.split(' ').map(str::to_owned).collect()
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[test]
fn a_port_whose_old_flow_was_kept_names_both_until_it_is_over() {
    let gateway = Gateway::build();
    let server = server(&gateway);
    let other = gateway.clients()[2].1;
    gateway.apply_of(&words(&handed_over(FIRST)));
    let (stream, masked, _) = connect(&gateway, &server, FIRST);
    let next = handed_over(other);
    let keep = [&words(&next)[..], &["--keep-flows"]].concat();
    let report = gateway.apply_of(&keep);
    assert_eq!(
        (report["flows_kept"].as_u64(), report["flows_ended"].as_u64()),
        (Some(1), Some(0)),
        "{report}"
    );
    // It lives on.
    client::talk(&stream).unwrap();
    let (found, code) = gateway.trace(masked, Timestamp::now(), &[]);
    assert_eq!(code, 3, "{found:?}");
    assert!(found.contains(&FIRST.to_string()) && found.contains(&other.to_string()), "{found:?}");
    // On the gateway, its kernel tells whose flow it is.
    let (answer, code) = gateway.trace_here(masked, &["--proto", "tcp", "--to", "198.51.100.7:80"]);
    assert_eq!((clients(&answer), code), (vec![stream.local_addr().unwrap().to_string()], 0), "{answer}");
    assert_eq!(gateway.verify(), (0, vec![]), "it had begun before");
    assert!(gateway.history()["revisions"][1]["settled"].is_null());
    // A flow of the new holder is its own.
    let (held, new, at) = connect(&gateway, &server, other);
    if new != masked {
        let (answer, code) = gateway.trace_here(new, &["--proto", "tcp"]);
        assert_eq!((clients(&answer), code), (vec![held.local_addr().unwrap().to_string()], 0), "{answer}");
    }
    assert_eq!(gateway.trace(new, at, &[]).1, 3, "without the kernel both can be meant");
    client::abort(stream).unwrap();
    gateway.node().forget_flows().unwrap();
    assert_eq!(gateway.verify(), (0, vec![]));
    assert!(gateway.history()["revisions"][1]["settled"].is_string(), "verify saw that it is over");
    assert_eq!(gateway.trace(masked, Timestamp::now(), &[]), (vec![other.to_string()], 0));
    gateway.audit();
}

#[test]
fn a_flow_that_was_kept_on_a_port_that_is_nobodys_now_still_names_its_client() {
    let gateway = Gateway::build();
    let server = server(&gateway);
    gateway.apply(&[]);
    let (kept, masked, _) = connect(&gateway, &server, FIRST);
    let report = gateway.apply(&["--leave-out", "192.168.101.2", "--keep-flows"]);
    assert_eq!(report["flows_kept"], 1, "{report}");
    client::talk(&kept).unwrap();
    let (found, code) = gateway.trace(masked, Timestamp::now(), &[]);
    assert_eq!((found, code), (vec![FIRST.to_string()], 0));
    // The guard sees its end.
    let watch = gateway.watch();
    client::abort(kept).unwrap();
    gateway.node().forget_flows().unwrap();
    watch.says("are over");
    assert_eq!(gateway.trace(masked, Timestamp::now(), &[]), (vec![], 1));
}

#[test]
fn flows_by_a_public_address_that_is_given_up_are_ended() {
    let gateway = Gateway::build();
    let server = server(&gateway);
    let network = ["--network", "192.168.101.0/29", "--public"];
    gateway.apply_of(&[&network[..], &["203.0.113.1"]].concat());
    let (_held, masked, _) = connect(&gateway, &server, FIRST);
    let said = gateway.plan(&[&["apply"], &network[..], &["203.0.113.2"]].concat());
    assert_eq!(said.code, 3, "{said:?}");
    let report = gateway.apply_of(&[&network[..], &["203.0.113.2", "--renumber"]].concat());
    assert_eq!(report["flows_ended"], 1, "{report}");
    assert!(gateway.entries(&format!("dport={}", masked.port())).is_empty());
    let (_stream, masked, at) = connect(&gateway, &server, FIRST);
    assert_eq!(v4(masked).0, Ipv4Addr::new(203, 0, 113, 2));
    assert_eq!(gateway.trace(masked, at, &[]), (vec![FIRST.to_string()], 0));
}

#[test]
fn a_record_beside_the_plan_agrees_with_it_or_contradicts() {
    let gateway = Gateway::build();
    let server = server(&gateway);
    gateway.apply(&[]);
    let recording = Recording::start(&gateway.lab, &[gateway.node().name()], &[]);
    let plan = gateway.history.to_str().unwrap();
    let (stream, masked, at) = connect(&gateway, &server, FIRST);
    let own = stream.local_addr().unwrap().to_string();
    let ask = |masked: SocketAddr, at: Timestamp| {
        let words = [masked.to_string(), at.to_string()];
        recording.trace(&[&words[0], "--at", &words[1], "--window", "0s", "--plan", plan])
    };
    let answer = eventually("it is recorded", || {
        let (answer, code) = ask(masked, at);
        (code == 0 && clients(&answer) == [own.clone()]).then_some(answer)
    });
    let evidence = answer["candidates"][0]["evidence"].to_string();
    assert!(evidence.contains("ledger") || evidence.contains("book"), "{answer}");
    assert!(evidence.contains("plan"), "{answer}");
    // A foreign rule that comes first moves a flow onto another client's port.
    let other = gateway.clients()[2].1;
    let blocks = gateway.show(&USUAL);
    let victim = blocks.iter().find(|block| block.client == other).unwrap();
    gateway
        .node()
        .nft(&format!(
            "table ip foreign {{\n chain c {{\n type nat hook postrouting priority 90;\n \
             ip saddr 192.168.101.3 meta l4proto tcp snat to {}:{}\n }}\n }}",
            victim.public, victim.ports.0
        ))
        .unwrap();
    let moved = gateway.clients()[1].1;
    let (stream, masked, at) = connect(&gateway, &server, moved);
    assert_eq!(v4(masked), (victim.public, victim.ports.0));
    let own = stream.local_addr().unwrap().to_string();
    let answer = eventually("it is recorded", || {
        let (answer, code) = ask(masked, at);
        (code == 3 && clients(&answer).contains(&own)).then_some(answer)
    });
    assert_eq!(clients(&answer).len(), 2, "{answer}");
    assert_eq!(answer["contradictions"].as_array().unwrap().len(), 1, "{answer}");
}

#[test]
fn a_plan_that_does_not_fit_says_what_is_missing_and_changes_nothing() {
    let gateway = Gateway::build();
    gateway.apply(&[]);
    let state = || {
        let rules = gateway.node().exec(&["nft", "list", "ruleset"]).unwrap();
        (rules, std::fs::read(gateway.history.join("index")).unwrap())
    };
    let before = state();
    let said = gateway.plan(&[&["apply"], &USUAL[..], &["--ports-per-client", "30000"]].concat());
    assert_eq!(said.code, 2, "{said:?}");
    for part in ["clients", "ports", "public addresses", "Missing:", "Would fit:"] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert_eq!(state(), before);
}

#[test]
fn a_plan_that_is_refused_leaves_the_one_before_in_force() {
    let gateway = Gateway::build();
    // Without nft in PATH.
    let empty = gateway.lab.scratch().join("bin");
    std::fs::create_dir(&empty).unwrap();
    let without_nft = |words: &[&str]| {
        let mut command = gateway.node().command("env");
        command.arg(format!("PATH={}", empty.display())).arg(crate::support::PROGRAM).arg("plan");
        command.args(words).arg("--history").arg(&gateway.history);
        crate::plan_gateway::run(&mut command)
    };
    let said = without_nft(&[&["apply"], &USUAL[..]].concat());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("nft is not installed"), "{said:?}");
    let history = gateway.history();
    assert_eq!(history["revisions"][0]["outcome"], "refused", "{history}");
    gateway.apply(&[]);
    let index = || std::fs::read(gateway.history.join("index")).unwrap();
    let before = index();
    let said = without_nft(&[&["apply"], &USUAL[..], &["--leave-out", "192.168.101.2"]].concat());
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(gateway.verify(), (0, vec![]));
    assert_eq!(index(), before, "it was not even begun");
    // A table of our name whose map is something else is not taken for ours.
    gateway.node().exec(&["nft", "delete", "table", "ip", "unmasq-plan"]).unwrap();
    gateway
        .node()
        .nft("table ip unmasq-plan {\n map clients {\n type inet_service : ipv4_addr\n }\n }\n")
        .unwrap();
    let said = gateway.plan(&[&["apply"], &USUAL[..]].concat());
    assert_eq!(said.code, 1, "{said:?}");
    let table = gateway.node().exec(&["nft", "list", "table", "ip", "unmasq-plan"]).unwrap();
    assert!(table.contains("inet_service : ipv4_addr"), "{table}");
    gateway.audit();
}

#[test]
fn more_clients_move_nobody_until_the_reserve_is_used_up() {
    let gateway = Gateway::build();
    let plan = |networks: &[&str], flags: &[&str]| -> Vec<String> {
        let words = [&["--public", "203.0.113.1", "--network"], networks, flags].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let one = ["192.168.101.0/28"];
    gateway.apply_of(&words(&plan(&one, &[])));
    let before = gateway.show(&words(&plan(&one, &[])));
    let grown = ["192.168.101.0/28", "192.168.102.0/30"];
    let report = gateway.apply_of(&words(&plan(&grown, &[])));
    assert_eq!((report["added"].as_u64(), report["moved"].as_u64()), (Some(1), Some(0)), "{report}");
    let after = gateway.show(&words(&plan(&grown, &[])));
    assert!(before.iter().all(|block| after.contains(block)), "{before:?}, {after:?}");
    let large = ["192.168.101.0/28", "192.168.102.0/28"];
    let index = std::fs::read(gateway.history.join("index")).unwrap();
    let said = gateway.plan(&[&["apply"], &words(&plan(&large, &["--all"]))[..]].concat());
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.out.contains("~ 192.168.101.2 ") && said.out.contains("--renumber"), "{said:?}");
    assert_eq!(std::fs::read(gateway.history.join("index")).unwrap(), index);
    assert_eq!(gateway.verify(), (0, vec![]));
    let report = gateway.apply_of(&words(&plan(&large, &["--renumber"])));
    assert!(report["moved"].as_u64() > Some(0), "{report}");
    assert_eq!(gateway.verify(), (0, vec![]));
}
