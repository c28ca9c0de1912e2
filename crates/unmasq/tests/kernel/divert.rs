//! `unmasq watch divert`, `watch sense` and `unmasq compat dom` on a gateway, with real clients and servers of SSH.
//!
//! ```text
//!  attacker (hydra: libssh) ─┐             ┌─► sshd, the real one
//!  honest (OpenSSH) ─────────┴─ gateway ───┤
//!                               watch      └─► port 2200 of the gateway, for those in the set
//! ```

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use unmasq_lab::command::{guarded, output};
use unmasq_lab::{Lab, Network, Node, Plan, Running};

use crate::support::{PATIENCE, PROGRAM, eventually, json_lines, text};

/// The network, with the pieces loaded at the gateway and sshd behind it.
struct Place {
    lab: Lab,
    network: Network,
    _sshd: Running,
}

impl Place {
    fn build() -> Self {
        let lab = Lab::new().expect("a lab");
        let plan = Plan { clients: 2, servers: 1, rules: Vec::new(), ..Plan::default() };
        let network = Network::build(&lab, plan).expect("a network");
        // Nothing is masqueraded: the servers must know the way back.
        let back = ["route add default via 203.0.113.1", "-6 route add default via 2001:db8::1"];
        network.servers.ip(&back).expect("routes");
        network.gateway.set("net.netfilter.nf_conntrack_acct", "1").expect("packets are counted");
        let sshd = sshd(&lab, &network.servers);
        let place = Self { lab, network, _sshd: sshd };
        place.load(&["log-ssh-banner"]);
        place.load(&["divert-ssh", "--to", "2200"]);
        place
    }

    fn load(&self, piece: &[&str]) {
        let printed =
            output(Command::new(PROGRAM).args(["rules", "piece"]).args(piece), "").expect("a piece");
        let mut nft = self.network.gateway.command("nft");
        output(nft.args(["-f", "-"]), &printed).expect("it loads");
    }

    fn folder(&self) -> PathBuf {
        self.lab.scratch().join("divert")
    }

    fn control(&self) -> PathBuf {
        self.folder().join("control.sock")
    }

    /// Starts the program at the gateway; what it says goes into a file.
    fn start(&self, words: &[&str], said: &str) -> Running {
        fs::create_dir_all(self.folder()).expect("a folder");
        let mut command = guarded("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.network.gateway.name()))
            .arg("--")
            .arg(PROGRAM)
            .args(words);
        let file = fs::File::create(self.folder().join(said)).expect("a file");
        command.stdin(Stdio::null()).stderr(file);
        Running::start(&mut command).expect("it starts")
    }

    /// Starts `watch divert` with a state of its own, and waits until it answers.
    fn divert(&self, flags: &[&str]) -> Running {
        let (folder, control) = (self.folder(), self.control());
        let state = folder.join("state");
        let own =
            ["--storage", text(&state), "--control", text(&control), "--stderr", "--set", "ip nat libssh"];
        let mut running = self.start(&[&["watch", "divert"], &own[..], flags].concat(), "divert");
        eventually("the watch answers", || {
            assert!(running.ended().expect("a child").is_none(), "{}", self.said("divert"));
            let words = ["watch", "bans", "list", "--control", text(&control)];
            let asked = Command::new(PROGRAM).args(words).output().expect("it runs");
            asked.status.success().then_some(())
        });
        running
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    fn server(&self, is_v6: bool) -> IpAddr {
        if is_v6 { self.network.server_v6(0, 22).ip() } else { self.network.server(0, 22).ip() }
    }

    /// A guess of hydra's.
    fn hydra(&self, client: usize, is_v6: bool) {
        let mut command = self.network.clients[client].command("hydra");
        let to = self.server(is_v6);
        let to = if is_v6 { format!("ssh://[{to}]") } else { format!("ssh://{to}") };
        let family = if is_v6 { &["-6"][..] } else { &[] };
        // It does not guess: that is not an error here.
        command.args(family).args(["-l", "root", "-p", "wrong", "-t", "1", "-I", &to]);
        let _ = command.current_dir(self.lab.scratch()).output();
    }

    /// A connection of OpenSSH's, which is refused; what it said.
    fn ssh(&self, client: usize, is_v6: bool) -> String {
        let options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "ConnectTimeout=60",
        ];
        let mut command = self.network.clients[client].command("ssh");
        command.args(["-F", "none"]);
        for option in options {
            command.args(["-o", option]);
        }
        let output =
            command.arg(format!("root@{}", self.server(is_v6))).arg("true").output().expect("ssh runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The elements of the set.
    fn elements(&self, family: &str) -> Vec<String> {
        let listed =
            self.network.gateway.exec(&["nft", "-j", "list", "set", family, "nat", "libssh"]).expect("a set");
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let elements =
            listed["nftables"].as_array().expect("a list").iter().find_map(|o| o["set"]["elem"].as_array());
        let value = |element: &Value| {
            let value = if element["elem"].is_object() { &element["elem"]["val"] } else { element };
            value.as_str().map(str::to_owned)
        };
        elements.map(|all| all.iter().filter_map(value).collect()).unwrap_or_default()
    }
}

/// A real sshd that takes no password.
fn sshd(lab: &Lab, node: &Node) -> Running {
    let (key, config) = (lab.scratch().join("key"), lab.scratch().join("sshd_config"));
    output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", text(&key)]), "")
        .expect("a key");
    // Nor any key, such as one that the machine's own root may come in with.
    let lines = format!(
        "HostKey {}\nAuthorizedKeysFile none\nPidFile none\nUsePAM no\nUseDNS no\nMaxStartups 100\n",
        text(&key)
    );
    fs::write(&config, lines).expect("its configuration");
    // Where sshd separates its privileges.
    fs::create_dir_all("/run/sshd").expect("a folder");
    let mut command = node.command("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f", text(&config)]).stderr(Stdio::null());
    let running = Running::start(&mut command).expect("sshd starts");
    eventually("sshd listens", || {
        node.run(|| TcpStream::connect("127.0.0.1:22")).expect("a namespace").ok().map(drop)
    });
    running
}

/// A honeypot, as far as this test is concerned: it says who it is, and tells who came.
fn honeypot(gateway: &Node) -> std::sync::mpsc::Receiver<SocketAddr> {
    let listener = gateway.run(|| TcpListener::bind("[::]:2200")).expect("a namespace").expect("a socket");
    let (tell, came) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream: TcpStream = stream;
            let Ok(peer) = stream.peer_addr() else { continue };
            let _ = stream.write_all(b"SSH-2.0-honeypot\r\n");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 64]);
            if tell.send(peer).is_err() {
                return;
            }
        }
    });
    came
}

#[test]
fn an_attackers_next_attempt_lands_in_the_honeypot_and_an_honest_user_never_does() {
    let place = Place::build();
    let came = honeypot(&place.network.gateway);
    let watch = place.divert(&["--sensor", "nflog:5", "--match", "^libssh", "--timeout", "1h"]);
    for is_v6 in [false, true] {
        let refused = place.ssh(1, is_v6);
        assert!(refused.contains("Permission denied"), "{refused}");
        place.hydra(0, is_v6);
    }
    let attacker = [place.network.client(0).to_string(), place.network.client_v6(0).to_string()];
    eventually("the attacker is in both sets", || {
        (place.elements("ip") == attacker[..1] && place.elements("ip6") == attacker[1..]).then_some(())
    });
    let mut in_the_honeypot = Vec::new();
    for (nth, is_v6) in [false, true].into_iter().enumerate() {
        place.hydra(0, is_v6);
        while in_the_honeypot.last() != Some(&attacker[nth]) {
            let peer = came.recv_timeout(PATIENCE).expect("it comes to the honeypot");
            in_the_honeypot.push(peer.ip().to_canonical().to_string());
        }
        let refused = place.ssh(1, is_v6);
        assert!(refused.contains("Permission denied"), "{refused}");
    }
    in_the_honeypot.extend(came.try_iter().map(|peer| peer.ip().to_canonical().to_string()));
    assert!(in_the_honeypot.iter().all(|peer| attacker.contains(peer)), "{in_the_honeypot:?}");
    assert!(watch.stop(PATIENCE).expect("it stops").success());
    let said = place.said("divert");
    let told = format!("{} is diverted: its SSH client is libssh_", attacker[0]);
    // It came more than once, and is told once.
    assert_eq!(said.matches(&told).count(), 1, "{said}");
    assert!(!said.contains("packets were lost"), "{said}");
}

#[test]
fn an_interface_is_watched_without_a_rule() {
    let place = Place::build();
    let _watch = place.divert(&["--sensor", "packet:lan0", "--match", "OpenSSH", "--invert"]);
    place.ssh(0, false);
    place.hydra(0, true);
    eventually("the attacker is in the set", || {
        (place.elements("ip6") == [place.network.client_v6(0).to_string()]).then_some(())
    });
    assert!(place.elements("ip").is_empty());
    // Nobody looks at the other one's interface.
    place.hydra(1, false);
    place.ssh(0, false);
    assert!(place.elements("ip").is_empty());
}

#[test]
fn the_gateway_itself_and_whom_it_is_told_to_allow_are_never_diverted() {
    let place = Place::build();
    let allowed = place.network.client(1).to_string();
    let _watch = place.divert(&["--sensor", "nflog:5", "--match", ".", "--allow", &allowed]);
    place.ssh(1, false);
    place.ssh(0, false);
    // The gateway's own connection to its own address, seen by the same rules.
    let own: SocketAddr = (IpAddr::from([192, 168, 101, 1]), 22).into();
    let gateway = &place.network.gateway;
    let listener = gateway.run(|| TcpListener::bind(own)).unwrap().unwrap();
    let mut stream = gateway.run(|| TcpStream::connect(own)).unwrap().unwrap();
    stream.write_all(b"SSH-2.0-mine\r\n").unwrap();
    let mut received = [0; 14];
    listener.accept().unwrap().0.read_exact(&mut received).unwrap();
    eventually("one refusal is told, and the other client is diverted", || {
        (place.elements("ip") == [place.network.client(0).to_string()]
            && place.said("divert").matches("is not banned").count() >= 2)
            .then_some(())
    });
}

#[test]
fn a_sensor_writes_the_events_of_what_passes() {
    let place = Place::build();
    let events = place.folder().join("eve.json");
    let mut sense = place.start(&["watch", "sense", "--nflog", "5", "--output", text(&events)], "sense");
    eventually("the group has a reader", || {
        assert!(sense.ended().expect("a child").is_none(), "{}", place.said("sense"));
        let mut cat = place.network.gateway.command("cat");
        let readers = cat.arg("/proc/net/netfilter/nfnetlink_log").output().ok()?.stdout;
        (!readers.is_empty()).then_some(())
    });
    place.ssh(0, false);
    place.hydra(1, true);
    let read = || json_lines(&events);
    let of = |all: &[Value], software: &str| -> Vec<Value> {
        let has = |event: &&Value| {
            event["ssh"]["client"]["software_version"].as_str().is_some_and(|s| s.starts_with(software))
        };
        all.iter().filter(has).cloned().collect()
    };
    eventually("both are told", || {
        let all = read();
        (!of(&all, "OpenSSH").is_empty() && !of(&all, "libssh").is_empty()).then_some(())
    });
    // After a rotation it goes on in the new file.
    fs::rename(&events, place.folder().join("eve.json.1")).unwrap();
    sense.signal(Signal::HUP).unwrap();
    eventually("there is a new file", || events.exists().then_some(()));
    place.ssh(1, true);
    eventually("it is told there", || (!of(&read(), "OpenSSH").is_empty()).then_some(()));
    assert!(sense.stop(PATIENCE).unwrap().success());
    let first = json_lines(&place.folder().join("eve.json.1"));
    let event = &of(&first, "OpenSSH")[0];
    assert_eq!(event["src_ip"], place.network.client(0).to_string());
    assert_eq!(event["dest_port"], 22);
    assert_eq!(event["in_iface"], "lan0");
    // The lists of Debian 12's sshd; see unmasq-ssh.
    assert_eq!(event["ssh"]["server"]["software_version"], "OpenSSH_9.2p1");
    assert_eq!(event["ssh"]["server"]["hassh"]["hash"], "425d29fe50d8e4f5e37efb6e24bcf660");
    assert!(place.said("sense").contains("0 packets lost"), "{}", place.said("sense"));
}

fn event(address: &str, software: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-21T08:57:28.123456+0000","event_type":"ssh","src_ip":"{address}","src_port":1,"dest_ip":"198.51.100.7","dest_port":22,"proto":"TCP","ssh":{{"client":{{"proto_version":"2.0","software_version":"{software}"}},"server":{{"proto_version":"2.0","software_version":"OpenSSH_9.2p1"}}}}}}"#
    ) + "\n"
}

#[test]
fn doms_flags_follow_a_file_through_rotation_and_half_lines_in_the_background() {
    let place = Place::build();
    fs::create_dir_all(place.folder()).unwrap();
    let (events, log, state) =
        (place.folder().join("eve.json"), place.folder().join("log"), place.folder().join("state"));
    // What is there already counts, as for DOM.
    fs::write(&events, event("203.0.113.10", "libssh_0.9") + &event("203.0.113.11", "OpenSSH_9 libssh"))
        .unwrap();
    let words =
        ["compat", "dom", "-f", text(&events), "-n", "ip nat", "-s", "libssh", "-m", "libssh", "-v", "-v"];
    let own = ["-l", text(&log), "-D", "--storage", text(&state)];
    let mut front = place.start(&[&words[..], &own].concat(), "dom");
    assert!(front.wait(PATIENCE).unwrap().success(), "{}", place.said("dom"));
    eventually("the first is in the set", || (place.elements("ip") == ["203.0.113.10"]).then_some(()));
    // It is alone, in a session of its own; its state says who it is.
    let control = state.join("control.sock");
    let append = |bytes: &[u8]| {
        fs::File::options().append(true).create(true).open(&events).unwrap().write_all(bytes).unwrap();
    };
    let line = event("203.0.113.12", "libssh_0.10.6");
    append(&line.as_bytes()[..40]);
    append(b"");
    fs::write(place.folder().join("other"), "").unwrap();
    append(&line.as_bytes()[40..]);
    append(b"{ this is no JSON software_version\n");
    eventually("a half line was waited for", || (place.elements("ip").len() == 2).then_some(()));
    fs::rename(&events, place.folder().join("eve.json.1")).unwrap();
    append(event("203.0.113.13", "libssh_0.10.6").as_bytes());
    eventually("the new file is read", || (place.elements("ip").len() == 3).then_some(()));
    fs::write(&events, event("203.0.113.14", "libssh_0.8")).unwrap();
    eventually("the emptied file is read", || (place.elements("ip").len() == 4).then_some(()));
    // A second one cannot have the same state, and says so where it was started.
    let mut second = place.start(&[&words[..], &own].concat(), "second");
    assert_eq!(second.wait(PATIENCE).unwrap().code(), Some(2), "{}", place.said("second"));
    assert!(place.said("second").contains(text(&state)), "{}", place.said("second"));
    let told = eventually("it is told", || {
        let told = fs::read_to_string(&log).ok()?;
        let wanted = " DOM INFO Diverted: 203.0.113.10 is diverted: its SSH client is libssh_0.9\n";
        told.contains(wanted).then_some(told)
    });
    assert!(!told.contains("203.0.113.11"), "{told}");
    eventually("all are listed", || {
        let mut command = Command::new(PROGRAM);
        let listed = command.args(["watch", "bans", "list", "--json", "--control", text(&control)]).output();
        (String::from_utf8_lossy(&listed.unwrap().stdout).lines().count() == 4).then_some(())
    });
    // Its own process is the one whose command line has the state's folder.
    let pid = eventually("the process in the background", || {
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            line.split(|byte| *byte == 0).any(|word| word == text(&state).as_bytes()).then_some(pid)
        })
    });
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    // Nobody may wait for it: then something without a command line is left.
    let line = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    eventually("it ends", || fs::read(&line).unwrap_or_default().is_empty().then_some(()));
}

#[test]
fn a_missing_set_is_told_at_the_start_and_a_file_read_once_does_not_succeed() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gw").unwrap();
    node.nft("table ip t {\nset timed { type ipv4_addr; flags timeout; }\n}\n").unwrap();
    let folder = lab.scratch().join("missing");
    fs::create_dir_all(&folder).unwrap();
    let [events, said] = ["eve.json", "said"].map(|name| folder.join(name));
    fs::write(&events, "").unwrap();
    let words = |set: &str| {
        let state = folder.join(set.replace(' ', "-"));
        let own = ["watch", "divert", "--stderr", "--timeout", "never", "--set", set].map(str::to_owned);
        let places =
            ["--storage".into(), text(&state).into(), "--control".into(), text(&state.join("c")).into()];
        own.into_iter().chain(places).collect::<Vec<String>>()
    };
    // Nobody has come yet.
    let mut command = node.command(PROGRAM);
    command.args(words("ip t none")).arg("--file").arg(&events).stderr(fs::File::create(&said).unwrap());
    let _running = Running::start(&mut command).unwrap();
    eventually("both sets are told", || {
        let told = fs::read_to_string(&said).ok()?;
        (told.contains("set ip t none does not exist") && told.contains("set ip6 t none does not exist"))
            .then_some(())
    });
    fs::write(&events, event("203.0.113.10", "libssh_0.9")).unwrap();
    let once = |set: &str| {
        let mut command = node.command(PROGRAM);
        command.args(words(set)).arg("--once").arg(&events).output().unwrap()
    };
    assert_eq!(
        once("ip t timed").status.code(),
        Some(0),
        "a set for IPv6 is needed only with the first of them"
    );
    let failed = once("ip t other");
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{told}");
    assert!(told.contains("1 ban is not in force"), "{told}");
}

#[test]
fn a_source_that_cannot_be_read_ends_the_watch_with_a_failure() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gw").unwrap();
    let folder = lab.scratch().join("unread");
    fs::create_dir_all(&folder).unwrap();
    let mut command = node.command(PROGRAM);
    command.args(["watch", "divert", "--stderr", "--set", "ip t s", "--file", text(&folder)]);
    command.args(["--storage", text(&folder.join("s")), "--control", text(&folder.join("c"))]);
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("Is a directory"), "{told}");
    let name = format!("file {}: ", folder.display());
    assert!(!told.contains(&name.repeat(2)), "a file is named once: {told}");
}
