//! The honeypot with real clients, redirections and floods.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use unmasq_lab::{Journald, Lab, Network, Node, Plan, Running, client};

use crate::rules_place::printed;
use crate::support::{PATIENCE, PROGRAM, Recording, eventually, json_lines, text};

/// A honeypot under test.
struct Pot {
    folder: PathBuf,
    running: Running,
}

impl Pot {
    /// Starts one in a namespace. Answers take no time, and the keys are small ones, made at once.
    fn start(node: &Node, listen: &str, words: &[&str]) -> Self {
        Self::start_under(&[], node, listen, words)
    }

    /// The same by another program that starts it.
    fn start_under(starter: &[&str], node: &Node, listen: &str, words: &[&str]) -> Self {
        let folder = node.lab().scratch().join(format!("pot-{}", node.name()));
        fs::create_dir_all(&folder).expect("a folder");
        let all = [starter, &[PROGRAM]].concat();
        let mut command = node.command(all[0]);
        command.args(&all[1..]);
        command.args(["honeypot", "--listen", listen, "--delay", "0s", "--user", "nobody"]);
        command.arg("--json").arg(folder.join("out/pot.json")).arg("--host-keys").arg(folder.join("keys"));
        command.args(words);
        // It listens before it has given up its privileges, and told what is amiss: only when it says that it is ready, all is done.
        let running = Running::start_service(&mut command, node.lab().scratch(), PATIENCE)
            .expect("the honeypot starts");
        Self { folder, running }
    }

    fn records(&self) -> Vec<Value> {
        json_lines(&self.folder.join("out/pot.json"))
    }

    /// Waits for records that fit.
    fn await_records(&self, what: &str, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        eventually(what, || {
            let found: Vec<Value> = self.records().into_iter().filter(&fits).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

fn is_password(record: &Value) -> bool {
    record["event"] == "password"
}

/// OpenSSH's client with one password, from a namespace.
fn ssh(node: &Node, to: SocketAddr, user: &str, password: &str) -> std::process::Output {
    let mut command = node.command("sshpass");
    command.args(["-p", password, "ssh", "-F", "none", "-p", &to.port().to_string()]);
    command.args([
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ]);
    command.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"]);
    command.arg(format!("{user}@{}", to.ip())).arg("true");
    command.stdin(Stdio::null()).output().expect("ssh runs")
}

/// The attempts of hydra, which uses libssh.
fn hydra(node: &Node, to: SocketAddr, passwords: &[&str]) {
    let list = node.lab().scratch().join(format!("passwords-{}", node.name()));
    fs::write(&list, passwords.join("\n")).expect("a list");
    let target = format!("ssh://{to}");
    let output = node
        .command("hydra")
        .args(["-l", "root", "-P", text(&list), "-t", "2", "-w", "60", "-I", &target])
        .current_dir(node.lab().scratch())
        .output()
        .expect("hydra runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 valid password"), "{output:?}");
}

fn loopback() -> (Lab, Node) {
    let lab = Lab::new().expect("a lab");
    let node = lab.node("pot").expect("a namespace");
    (lab, node)
}

#[test]
fn what_real_clients_try_is_written_down_and_nobody_gets_in() {
    let (_lab, node) = loopback();
    let pot = Pot::start(&node, "[::]:2222", &[]);
    let refused = ssh(&node, ([127, 0, 0, 1], 2222).into(), "admin", "pässword 1");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("Permission denied (publickey,password)"), "{refused:?}");
    ssh(&node, "[::1]:2222".parse().expect("an address"), "root", "toor");
    hydra(&node, ([127, 0, 0, 1], 2222).into(), &["123456", "letmein"]);
    let attempts = pot.await_records("the passwords", 4, is_password);
    let tried = |user: &str, password: &str| {
        let is_it = |record: &&Value| record["username"] == user && record["password"] == password;
        attempts.iter().find(is_it).unwrap_or_else(|| panic!("{user} {password}: {attempts:#?}"))
    };
    let by_ssh = tried("admin", "pässword 1");
    assert_eq!(by_ssh["src_ip"], "127.0.0.1");
    assert!(by_ssh["client_version"].as_str().is_some_and(|version| version.contains("OpenSSH")), "{by_ssh}");
    assert_eq!(by_ssh["hassh_server"], "425d29fe50d8e4f5e37efb6e24bcf660", "a real server's of Debian 12");
    assert_eq!(tried("root", "toor")["src_ip"], "::1");
    tried("root", "123456");
    let by_hydra = tried("root", "letmein");
    assert!(
        by_hydra["software_version"].as_str().is_some_and(|version| version.starts_with("libssh")),
        "{by_hydra}"
    );
    let ends = pot.await_records("the ends", 4, |record| record["event"] == "connection");
    assert!(
        ends.iter().all(|end| end["reason"].is_string() && end["lists"].as_array().is_some()),
        "{ends:#?}"
    );
}

#[test]
fn the_process_has_no_privileges_and_its_keys_stay_the_same() {
    let (_lab, node) = loopback();
    let pot = Pot::start(&node, "127.0.0.1:2222", &[]);
    let status = |id: u32| fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let field = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = status(pot.running.id());
    assert!(field(&own, "Uid:").iter().all(|uid| uid == "65534"), "{own}");
    assert_eq!(field(&own, "CapEff:"), ["0000000000000000"]);
    assert_eq!(field(&own, "NoNewPrivs:"), ["1"]);
    // Each forbids itself the calls as it begins.
    eventually("all that speak with clients are shut in", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", pot.running.id())).expect("its threads");
        let threads = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
        let speaking: Vec<String> = threads.filter(|status| field(status, "Name:") == ["ssh"]).collect();
        let are_shut_in = speaking.iter().all(|thread| field(thread, "Seccomp:") == ["2"]);
        (are_shut_in && !speaking.is_empty()).then_some(())
    });
    let key = || {
        let scanned = node
            .exec(&["ssh-keyscan", "-T", "60", "-p", "2222", "-t", "ed25519", "127.0.0.1"])
            .expect("a scan");
        scanned.split_whitespace().last().map(str::to_owned).expect("a key")
    };
    let first = key();
    pot.running.stop(PATIENCE).expect("it leaves");
    let again = Pot::start(&node, "127.0.0.1:2222", &[]);
    assert_eq!(key(), first);
    drop(again);
}

#[test]
fn the_packaged_units_capabilities_are_enough() {
    let (lab, node) = loopback();
    let unit = include_str!("../../../../packaging/unmasq-honeypot.service");
    let kept = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a line");
    let kept = kept.split(' ').map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let kept = format!("--bounding-set=-all{}", kept.collect::<String>());
    // As unmasq.tmpfiles makes the folder.
    let logs = lab.scratch().join("logs");
    fs::create_dir(&logs).expect("a folder");
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o750)).expect("a mode");
    std::os::unix::fs::chown(&logs, Some(65534), Some(65534)).expect("an owner");
    let json = logs.join("pot.json");
    let _pot = Pot::start_under(&["setpriv", &kept], &node, "127.0.0.1:22", &["--eve", text(&json)]);
    ssh(&node, ([127, 0, 0, 1], 22).into(), "root", "tried");
    eventually("the event is there", || {
        json_lines(&json).iter().any(|event| event["ssh_auth"]["method"] == "password").then_some(())
    });
}

#[test]
fn a_whole_dark_network_is_one_socket_behind_tproxy() {
    let lab = Lab::new().expect("a lab");
    let network = Network::build(&lab, Plan::default()).expect("a network");
    let gateway = &network.gateway;
    let words = ["--in", "lan0", "--to", "198.18.7.0/24", "--port", "22", "--listen", "2222"];
    let rules = printed(&[&["piece", "tproxy"][..], &words].concat(), "");
    // What the text's head says.
    gateway
        .ip(&["rule add fwmark 1 lookup 100", "route add local default dev lo table 100"])
        .expect("routes");
    gateway.nft(&rules).expect("rules");
    let pot = Pot::start(gateway, "127.0.0.1:2222", &["--transparent"]);
    for host in [1, 77, 254] {
        ssh(&network.clients[0], ([198, 18, 7, host], 22).into(), "root", &format!("dark{host}"));
    }
    let attempts = pot.await_records("the attempts", 3, is_password);
    for host in [1, 77, 254] {
        let attempt =
            attempts.iter().find(|a| a["password"] == format!("dark{host}")).expect("it was written");
        assert_eq!(attempt["dest_ip"], format!("198.18.7.{host}"));
        assert_eq!(attempt["dest_port"], 22);
        assert_eq!(attempt["src_ip"], network.client(0).to_string());
    }
}

#[test]
fn a_redirected_client_is_known_by_where_it_meant_to_go() {
    let lab = Lab::new().expect("a lab");
    let network = Network::build(&lab, Plan::default()).expect("a network");
    network
        .gateway
        .nft(
            "table inet divert {\nchain prerouting {\ntype nat hook prerouting priority dstnat\n\
             iifname \"lan0\" tcp dport 22 redirect to :2222\n}\n}\n",
        )
        .expect("rules");
    let pot = Pot::start(&network.gateway, "[::]:2222", &[]);
    let meant = network.server(0, 22);
    ssh(&network.clients[0], meant, "root", "redirected");
    let attempt = pot.await_records("the attempt", 1, is_password).remove(0);
    assert_eq!(attempt["dest_ip"], meant.ip().to_string());
    assert_eq!(attempt["dest_port"], 22);
    assert_eq!(attempt["src_ip"], network.client(0).to_string());
    // IPv6 by the same rule.
    let meant = network.server_v6(0, 22);
    ssh(&network.clients[0], meant, "root", "redirected too");
    let attempts = pot.await_records("the attempt", 2, is_password);
    assert_eq!(attempts[1]["dest_ip"], meant.ip().to_string(), "{attempts:#?}");
}

#[test]
fn behind_a_masquerading_gateway_the_book_names_the_client() {
    let lab = Lab::new().expect("a lab");
    let network = Network::build(&lab, Plan::default()).expect("a network");
    let recording =
        Recording::start(&lab, &[network.gateway.name()], &["--scope", "all", "--user", "nobody"]);
    let book = format!("unix:{}", text(&recording.control));
    network.servers.nft("table inet f {\nset a { type ipv4_addr; flags timeout; }\n}\n").expect("a set");
    let pot = Pot::start(&network.servers, "0.0.0.0:2222", &["--book", &book, "--set", "inet f a"]);
    let pot_at = network.server(0, 2222);
    for (n, password) in [(0, "first client"), (1, "second client")] {
        // The book waits half a second for the kernel's events, and the honeypot two for the book: on a machine that stands still
        // for so long, it is the next connection that is told apart.
        let attempt = eventually("the book names the client", || {
            ssh(&network.clients[n], pot_at, "root", password);
            let of_it = |record: &Value| is_password(record) && record["password"] == password;
            let attempts = pot.await_records("the attempt", 1, of_it);
            attempts.into_iter().find(|attempt| attempt["client_from"] == "conntrack")
        });
        assert_eq!(attempt["src_ip"], network.client(n as u8).to_string(), "{attempt}");
        assert_eq!(attempt["via"], Network::PUBLIC.to_string());
    }
    // By the address that was seen, whom the book did not name in time.
    let public = format!("{{ {} }}", Network::PUBLIC);
    let _ = network.servers.exec(&["nft", "delete", "element", "inet", "f", "a", &public]);
    // Another program's connection from the gateway itself, of which the book knows nothing.
    ssh(&network.gateway, pot_at, "root", "nobody's");
    pot.await_records("the gateway's own attempt", 1, |record| record["password"] == "nobody's");
    ssh(&network.clients[0], pot_at, "root", "once more");
    pot.await_records("what came after it", 1, |record| record["password"] == "once more");
    let set = eventually("the clients are in the set", || {
        let listed = network.servers.exec(&["nft", "list", "set", "inet", "f", "a"]).ok()?;
        [0, 1].iter().all(|n| listed.contains(&network.client(*n).to_string())).then_some(listed)
    });
    assert!(!set.contains(&Network::PUBLIC.to_string()), "an address that others are behind: {set}");
}

#[test]
fn a_proxy_is_believed_if_it_is_trusted_and_nobody_else() {
    let (_lab, node) = loopback();
    let pot = Pot::start(&node, "[::]:2222", &["--proxy", "127.0.0.9"]);
    let say = |from: [u8; 4], header: &[u8]| {
        let mut stream =
            client::tcp(&node, (from, 0).into(), ([127, 0, 0, 1], 2222).into()).expect("a connection");
        // At once: who is not trusted is sent away for the header, and can send nothing after it.
        stream.write_all(&[header, b"SSH-2.0-probe\r\n"].concat()).expect("it is sent");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.9 4242 22\r\n";
    assert!(say([127, 0, 0, 9], header).starts_with("SSH-2.0-OpenSSH"));
    assert_eq!(say([127, 0, 0, 9], b""), "", "a trusted proxy has to send it");
    say([127, 0, 0, 1], header);
    let ends = pot.await_records("the ends", 3, |record| record["event"] == "connection");
    let by = |via: &str| ends.iter().filter(move |end| end["src_ip"] == via).collect::<Vec<_>>();
    let proxied = by("192.0.2.7");
    assert_eq!(
        (proxied.len(), &proxied[0]["via"], &proxied[0]["dest_ip"]),
        (1, &"127.0.0.9".into(), &"198.51.100.9".into())
    );
    assert_eq!(by("127.0.0.1").len(), 1, "who is not trusted is who it is: {ends:#?}");
}

#[test]
fn an_address_that_tried_goes_into_the_set_and_an_allowed_one_does_not() {
    let lab = Lab::new().expect("a lab");
    let network = Network::build(&lab, Plan::default()).expect("a network");
    network.gateway.nft("table inet f {\nset a { type ipv4_addr; flags timeout; }\nset a6 { type ipv6_addr; flags timeout; }\n}\n").expect("a set");
    let allowed = network.client(1).to_string();
    let words = ["--set", "inet f a", "--set-timeout", "1h", "--allow", &allowed];
    let pot = Pot::start(&network.gateway, "[::]:2222", &words);
    let to = |n: usize| -> SocketAddr { (gateway_of(&network, n), 2222).into() };
    ssh(&network.clients[1], to(1), "root", "allowed");
    ssh(&network.clients[0], to(0), "root", "tried");
    pot.await_records("the attempts", 2, is_password);
    let set = eventually("the address is in the set", || {
        let listed = network.gateway.exec(&["nft", "list", "set", "inet", "f", "a"]).ok()?;
        listed.contains(&network.client(0).to_string()).then_some(listed)
    });
    assert!(set.contains("timeout 1h") && !set.contains(&allowed), "{set}");
    let ipv6 = IpAddr::from(Network::PUBLIC_V6);
    ssh(&network.servers, (ipv6, 2222).into(), "root", "tried");
    eventually("an IPv6 address is in the set beside", || {
        let listed = network.gateway.exec(&["nft", "list", "set", "inet", "f", "a6"]).ok()?;
        listed.contains("elements").then_some(())
    });
}

#[test]
fn a_set_that_is_missing_is_told_before_the_first_attempt() {
    let lab = Lab::new().expect("a lab");
    let node = lab.node("pot").expect("a node");
    let said = lab.scratch().join("said");
    let starter = ["sh", "-c", "exec \"$@\" 2>\"$0\"", text(&said)];
    let _pot = Pot::start_under(&starter, &node, "127.0.0.1:2222", &["--set", "inet f none"]);
    let told = fs::read_to_string(&said).expect("what it says");
    assert!(told.contains("set inet f none does not exist; create it with"), "{told}");
    assert!(told.contains("set inet f none6 does not exist"), "{told}");
}

/// The gateway's address toward a client.
fn gateway_of(network: &Network, n: usize) -> IpAddr {
    let IpAddr::V4(client) = network.client(n as u8) else { unreachable!("IPv4") };
    let [a, b, c, _] = client.octets();
    Ipv4Addr::from([a, b, c, 1]).into()
}

#[test]
fn floods_and_slow_clients_do_not_keep_others_out() {
    let (_lab, node) = loopback();
    let words = ["--connections", "60", "--connections-by-address", "50", "--threads", "1"];
    let pot = Pot::start(&node, "0.0.0.0:2222", &words);
    let open = || client::tcp(&node, ([127, 0, 0, 5], 0).into(), ([127, 0, 0, 1], 2222).into());
    let mut flood: Vec<TcpStream> = (0..80).filter_map(|_| open().ok()).collect();
    for (n, stream) in flood.iter_mut().enumerate() {
        // Some are silent, some send nonsense, some half a packet. Those that were turned away cannot.
        let _ = match n % 3 {
            0 => Ok(()),
            1 => stream.write_all(&[0xff; 3000]),
            _ => stream.write_all(b"SSH-2.0-x\r\n\0\0\x03\xfc\x08"),
        };
    }
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "through the flood");
    let attempt = pot.await_records("the attempt", 1, is_password).remove(0);
    assert_eq!(attempt["password"], "through the flood");
    drop(flood);
}

#[test]
fn without_descriptors_it_goes_on_when_there_are_some_again() {
    let (_lab, node) = loopback();
    let pot = Pot::start_under(&["prlimit", "--nofile=40:40"], &node, "0.0.0.0:2222", &["--threads", "1"]);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", pot.running.id())).expect("its files").count();
    let before = descriptors();
    let held: Vec<TcpStream> = (0..80)
        .filter_map(|_| client::tcp(&node, ([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 2222).into()).ok())
        .collect();
    drop(held);
    // Until it has closed them, too: as long as it has none to spare, it turns away whoever comes.
    eventually("all that were held are closed", || {
        let listed = node.exec(&["ss", "-Hltn", "sport", "=", ":2222"]).expect("ss lists");
        let waiting = listed.split_whitespace().nth(1).expect("a listener");
        (waiting == "0" && descriptors() <= before).then_some(())
    });
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "after the famine");
    pot.await_records("the attempt", 1, |record| record["password"] == "after the famine");
}

#[test]
fn a_killed_honeypot_has_written_what_clients_were_answered_and_goes_on() {
    let (_lab, node) = loopback();
    let mut files = Vec::new();
    for round in 0..3 {
        let pot = Pot::start(&node, "127.0.0.1:2222", &[]);
        let password = format!("round{round}");
        ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", &password);
        let file = pot.folder.join("out/pot.json");
        eventually("the attempt is written", || {
            fs::read_to_string(&file).ok()?.contains(&password).then_some(())
        });
        pot.running.signal(Signal::KILL).expect("it dies");
        let mut running = pot.running;
        running.wait(PATIENCE).expect("it is dead");
        // Half a line, as of a write that was cut.
        let mut half = fs::OpenOptions::new().append(true).open(&file).expect("the file");
        half.write_all(b"{\"event\":\"pass").expect("it is written");
        files.push(file);
    }
    let written = fs::read_to_string(&files[0]).expect("the file");
    let whole =
        written.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|r| is_password(&r)));
    assert_eq!(whole.count(), 3, "{written}");
}

#[test]
fn who_has_tried_enough_is_held_up() {
    let (_lab, node) = loopback();
    let pot = Pot::start(&node, "127.0.0.1:2222", &["--tarpit-after", "1"]);
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "once");
    pot.await_records("the attempt", 1, is_password);
    let mut stream =
        client::tcp(&node, ([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 2222).into()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut line = [0; 64];
    let length = stream.read(&mut line).expect("a line");
    let first = &line[..length];
    assert!(first.ends_with(b"\r\n") && !first.starts_with(b"SSH-"), "{first:?}");
    // As much as a connection may send, and it is over: long before its hour is.
    let flood = vec![0; 64 << 10];
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    let sent = (0..1024).take_while(|_| stream.write_all(&flood).is_ok()).count();
    assert!(sent < 1024, "64 MiB were read");
    let held = |end: &Value| end["reason"].as_str().is_some_and(|reason| reason.starts_with("held up for"));
    pot.await_records("its end", 1, held);
}

#[test]
fn passwords_can_be_hashed_and_events_be_suricatas() {
    let (lab, node) = loopback();
    let eve = lab.scratch().join("eve/eve.json");
    let pot = Pot::start(&node, "127.0.0.1:2222", &["--hash-passwords", "--eve", text(&eve)]);
    for _ in 0..2 {
        ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "my own secret");
    }
    let attempts = pot.await_records("the attempts", 2, is_password);
    assert_eq!(attempts[0]["password_hash"], attempts[1]["password_hash"]);
    let events = eventually("the events", || {
        let events = json_lines(&eve);
        (events.iter().filter(|event| event["ssh_auth"]["method"] == "password").count() == 2)
            .then_some(events)
    });
    let written = fs::read_to_string(&eve).expect("events")
        + &fs::read_to_string(pot.folder.join("out/pot.json")).expect("records");
    assert!(!written.contains("my own secret"));
    let ssh = events.iter().find(|event| event["event_type"] == "ssh").expect("an ssh event");
    assert_eq!((&ssh["dest_port"], &ssh["proto"]), (&2222.into(), &"TCP".into()));
    assert!(ssh["ssh"]["client"]["hassh"]["hash"].is_string(), "{ssh}");
    assert_eq!(ssh["ssh"]["server"]["software_version"], "OpenSSH_9.2p1");
    let told =
        events.iter().filter(|event| event["event_type"] == "ssh" && event["flow_id"] == ssh["flow_id"]);
    assert_eq!(told.count(), 1, "one for each connection");
}

#[test]
fn pshitts_command_line_writes_pshitts_lines_also_as_a_daemon() {
    let (lab, node) = loopback();
    let (output, log) = (lab.scratch().join("pshitt/passwords.log"), lab.scratch().join("pshitt.log"));
    let mut command = node.command(PROGRAM);
    let words =
        ["compat", "pshitt", "-p", "2200", "-t", "5", "-vv", "-D", "-V", "SSH-2.0-OpenSSH_6.6.1p1 Debian-5"];
    let status = command.args(words).arg("-o").arg(&output).arg("-l").arg(&log).status().expect("it starts");
    assert!(status.success());
    let daemon = eventually("the daemon listens", || {
        let listed = node.exec(&["ss", "-Hltnp", "sport", "=", ":2200"]).ok()?;
        listed.split("pid=").nth(1)?.split(',').next()?.parse::<i32>().ok()
    });
    ssh(&node, ([127, 0, 0, 1], 2200).into(), "admin", "passw0rd");
    let lines = eventually("the line", || {
        let lines = json_lines(&output);
        (!lines.is_empty()).then_some(lines)
    });
    let line = &lines[0];
    assert_eq!((&line["username"], &line["password"]), (&"admin".into(), &"passw0rd".into()));
    assert_eq!(line["try"], 1);
    assert!(line["timestamp"].as_str().is_some_and(|at| !at.ends_with('Z') && at.len() == 26), "{line}");
    eventually("the log has it", || fs::read_to_string(&log).ok()?.contains("passw0rd").then_some(()));
    let pid = rustix::process::Pid::from_raw(daemon).expect("a process");
    rustix::process::kill_process(pid, Signal::TERM).expect("it takes the signal");
    // Where process 1 takes no orphan's status, one that has ended stays as a zombie.
    eventually("the daemon leaves", || {
        let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn attempts_are_told_to_the_journal_and_counted() {
    let (lab, node) = loopback();
    let journald = Journald::start(&lab, "").expect("a journal");
    let mut command = journald.command("ip");
    command.args(["netns", "exec", node.name(), PROGRAM, "honeypot", "--listen", "127.0.0.1:2222"]);
    command.args(["--delay", "0s", "--user", "nobody", "--metrics", "127.0.0.1:9322", "--log", "journal"]);
    command.arg("--host-keys").arg(lab.scratch().join("keys"));
    let running = Running::start(&mut command).expect("it starts");
    let connect = |port| client::tcp(&node, ([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], port).into());
    eventually("it listens", || connect(2222).ok());
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "admin", "told");
    let told = eventually("the journal has it", || {
        let told = journald.read(&["-o", "cat", "-t", "unmasq-honeypot"]).ok()?;
        told.contains("password \"told\"").then_some(told)
    });
    assert!(told.contains("SSH attempt for \"admin\"") && told.contains("OpenSSH"), "{told}");
    // Counted with what is written together, which can be after it was told.
    eventually("it is counted", || {
        let mut page = String::new();
        let mut stream = connect(9322).expect("the page is offered");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it is asked for");
        stream.read_to_string(&mut page).expect("it comes");
        page.contains("unmasq_honeypot_attempts_total{method=\"password\"} 1\n").then_some(())
    });
    assert!(running.stop(PATIENCE).expect("it leaves").success());
}

/// A mount namespace in which /dev/log is journald's, and then the program in place of the shell.
const WITH_SYSLOG: &str = "set -e
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
ln -s /run/systemd/journal/dev-log /dev/log
exec \"$@\"";

#[test]
fn attempts_are_told_to_syslog_on_one_line_each() {
    let (lab, node) = loopback();
    let journald = Journald::start(&lab, "").expect("a journal");
    let mut command = journald.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", WITH_SYSLOG, "sh"]);
    command.args(["ip", "netns", "exec", node.name(), PROGRAM, "honeypot", "--listen", "127.0.0.1:2222"]);
    command.args(["--delay", "0s", "--user", "nobody", "--log", "syslog"]);
    command.arg("--host-keys").arg(lab.scratch().join("keys"));
    let running = Running::start(&mut command).expect("it starts");
    eventually("it listens", || {
        client::tcp(&node, ([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 2222).into()).ok()
    });
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "admin", "töld \"<0>x: y");
    let told = eventually("syslog has it", || {
        let told = journald.read(&["-o", "json", "-t", "unmasq-honeypot"]).ok()?;
        told.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("journalctl writes JSON"))
            .find(|entry| entry["MESSAGE"].as_str().is_some_and(|message| message.contains("password")))
    });
    let message = told["MESSAGE"].as_str().expect("a message");
    assert!(
        message.starts_with(r#"SSH attempt for "admin" with password "töld \"<0>x: y" from 127.0.0.1 port"#),
        "{told}"
    );
    assert_eq!((&told["_TRANSPORT"], &told["PRIORITY"]), (&"syslog".into(), &"6".into()));
    assert_eq!((&told["SYSLOG_FACILITY"], &told["SYSLOG_PID"]), (&"3".into(), &told["_PID"]));
    assert!(running.stop(PATIENCE).expect("it leaves").success());
}

#[test]
fn answers_to_prompts_are_passwords_too() {
    let (lab, node) = loopback();
    let file = lab.scratch().join("unmasq.toml");
    fs::write(&file, "honeypot.listen = ['127.0.0.1:2222']\nhoneypot.methods = ['keyboard-interactive']\n")
        .expect("a file");
    let pot = Pot::start(&node, "127.0.0.1:2222", &["--config", text(&file)]);
    let mut command = node.command("sshpass");
    command.args(["-p", "by prompt", "ssh", "-F", "none", "-p", "2222", "-o", "StrictHostKeyChecking=no"]);
    command.args([
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "NumberOfPasswordPrompts=1",
        "admin@127.0.0.1",
    ]);
    command.stdin(Stdio::null()).output().expect("ssh runs");
    let attempt =
        pot.await_records("the answer", 1, |record| record["event"] == "keyboard-interactive").remove(0);
    assert_eq!((&attempt["username"], &attempt["password"]), (&"admin".into(), &"by prompt".into()));
}

#[test]
fn the_daemon_runs_a_honeypot_and_starts_it_again() {
    let (lab, node) = loopback();
    let scratch = lab.scratch();
    let (file, json) = (scratch.join("unmasq.toml"), scratch.join("pot/pot.json"));
    let lines = format!(
        "record.ledger = '{0}/ledger'\ncontrol.socket = '{0}/c.sock'\n[honeypot]\nlisten = ['127.0.0.1:2222']\n\
         json = '{1}'\nhost_keys = '{0}/keys'\ndelay = '0s'\n",
        text(scratch),
        text(&json)
    );
    fs::write(&file, lines).expect("a configuration");
    let mut command = node.command(PROGRAM);
    let daemon = Running::start(command.args(["daemon", "--config"]).arg(&file)).expect("it starts");
    let listener = |but: Option<i32>| {
        eventually("a honeypot listens", || {
            let listed = node.exec(&["ss", "-Hltnp", "sport", "=", ":2222"]).ok()?;
            let pid = listed.split("pid=").nth(1)?.split(',').next()?.parse::<i32>().ok()?;
            (Some(pid) != but).then_some(pid)
        })
    };
    let first = listener(None);
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "before");
    let pid = rustix::process::Pid::from_raw(first).expect("a process");
    eventually("the attempt is written", || fs::read_to_string(&json).ok()?.contains("before").then_some(()));
    rustix::process::kill_process(pid, Signal::KILL).expect("it dies");
    listener(Some(first));
    ssh(&node, ([127, 0, 0, 1], 2222).into(), "root", "after");
    eventually("the attempt is written", || fs::read_to_string(&json).ok()?.contains("after").then_some(()));
    assert!(daemon.stop(PATIENCE).expect("it leaves").success());
}

#[test]
fn a_wrong_start_says_what_to_do() {
    let (lab, node) = loopback();
    let say = |words: &[&str]| {
        let mut command: Command = node.command(PROGRAM);
        let keys = lab.scratch().join("k");
        let output =
            command.arg("honeypot").args(["--host-keys", text(&keys)]).args(words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // Not into pshitt's log alone, which nobody looks at yet.
    let (key, log) = (lab.scratch().join("no-key"), lab.scratch().join("pshitt.log"));
    fs::write(&key, "nonsense").expect("a file");
    let mut command = node.command(PROGRAM);
    command.args(["compat", "pshitt", "-k", text(&key), "-l", text(&log)]);
    let output = command.current_dir(lab.scratch()).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-key"), "{output:?}");
    assert!(say(&["--profile", "/nowhere.toml"]).contains("/nowhere.toml"));
    assert!(say(&["--listen", "192.0.2.1:22"]).contains("192.0.2.1:22"));
    assert!(say(&["--set", "nonsense with too many words"]).contains("--set"));
}
