//! A gateway, clients before it and services behind it, with the real programs: nftables, HAProxy, sshd, journald.
//!
//! ```text
//!  clients ── wan ── gateway ── lan ── service
//!  203.0.113.5 …     203.0.113.1   10.0.0.1   10.0.0.2
//!                    :22   DNAT + masquerade ──► sshd
//!                    :5222 HAProxy ────────────► a line protocol that logs like Prosody
//! ```

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use unmasq_lab::command::{guarded, output};
use unmasq_lab::{Lab, Node, Running, client};

use crate::support::{eventually, text};
use crate::watching::SETS;

/// What the services see of everybody.
pub(crate) const INNER: &str = "10.0.0.1";

/// The three hosts.
pub(crate) struct Hosts {
    pub(crate) clients: Node,
    pub(crate) gateway: Node,
    pub(crate) service: Node,
}

impl Hosts {
    /// Builds the network. `masquerade`: how ports are chosen, such as `random`.
    pub(crate) fn build(lab: &Lab, masquerade: &str) -> Self {
        let [clients, gateway, service] =
            ["clients", "gateway", "service"].map(|name| lab.node(name).expect("a namespace"));
        let addresses: Vec<String> = (5..=12).map(|n| format!("203.0.113.{n}/24")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        clients.link("wan", &addresses, (&gateway, "wan", &["203.0.113.1/24"])).expect("a link");
        gateway.link("lan", &["10.0.0.1/24"], (&service, "lan", &["10.0.0.2/24"])).expect("a link");
        gateway.set("net.ipv4.ip_forward", "1").expect("it forwards");
        gateway
            .nft(&format!(
                "table ip nat {{
                   chain pre {{ type nat hook prerouting priority dstnat;
                     iifname wan tcp dport 22 dnat to 10.0.0.2; }}
                   chain post {{ type nat hook postrouting priority srcnat; oifname lan masquerade {masquerade}; }}
                 }}\n{SETS}"
            ))
            .expect("its rules");
        service.nft(SETS).expect("its sets");
        Self { clients, gateway, service }
    }
}

/// A folder in place of /dev in which /dev/log is this socket, for programs that know no other place.
const WITH_LOG: &str = "set -e
mkdir -p \"$1\" /run/sshd
for n in null zero full random urandom tty ptmx; do : >\"$1/$n\"; mount --bind \"/dev/$n\" \"$1/$n\"; done
ln -sfn \"$2\" \"$1/log\"
mount --rbind \"$1\" /dev
shift 2
exec \"$@\"";

/// A real sshd of the service's host, which writes to this /dev/log and refuses every password.
pub(crate) fn sshd(lab: &Lab, node: &Node, log: &Path) -> Running {
    let folder = lab.scratch().join("sshd");
    fs::create_dir_all(&folder).expect("a folder");
    let (key, config) = (folder.join("key"), folder.join("sshd_config"));
    let mut keygen = Command::new("ssh-keygen");
    output(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", text(&key)]), "").expect("a key");
    let lines = format!(
        "Port 22\nListenAddress 10.0.0.2\nHostKey {}\nPasswordAuthentication yes\nUsePAM no\nMaxStartups 100\n\
         LogLevel INFO\nSyslogFacility AUTH\nPidFile none\nUseDNS no\n",
        text(&key)
    );
    fs::write(&config, lines).expect("its configuration");
    let mut command = guarded("nsenter");
    command.arg(format!("--net=/run/netns/{}", node.name()));
    command.args(["--", "unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_LOG, "sh"]);
    command.arg(folder.join("dev")).arg(log).args(["/usr/sbin/sshd", "-D", "-f", text(&config)]);
    let sshd = Running::start(&mut command).expect("sshd starts (scripts/setup test installs it)");
    await_port(node, ([10, 0, 0, 2], 22).into());
    sshd
}

/// Waits until somebody listens there.
pub(crate) fn await_port(node: &Node, address: SocketAddr) {
    eventually(&format!("{address} is listened at"), || {
        client::tcp(node, ([0, 0, 0, 0], 0).into(), address).ok().map(drop)
    });
}

/// The program that tells ssh the passwords to guess. It is written once, before anybody guesses: a program that another thread
/// has just started may hold what is being written, and then it cannot be run.
pub(crate) fn askpass(lab: &Lab) -> PathBuf {
    let path = lab.scratch().join("askpass");
    fs::write(&path, "#!/bin/sh\necho wrong\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

/// Guesses passwords over SSH from an address, three in a connection.
pub(crate) fn guess_over_ssh(askpass: &Path, clients: &Node, from: &str, user: &str) {
    let mut command = clients.command("ssh");
    command.args(["-F", "none", "-b", from, "-l", user]);
    for option in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "PreferredAuthentications=password",
        "PubkeyAuthentication=no",
        "NumberOfPasswordPrompts=3",
    ] {
        command.args(["-o", option]);
    }
    command.arg("203.0.113.1").arg("true");
    command.env("SSH_ASKPASS", askpass).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
    let done = command.stdin(Stdio::null()).output().expect("ssh runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("Permission denied"), "{from} as {user:?}: {said}");
}

/// A service that takes lines, calls each a failed login, and has it logged: `log` is given user, address and port. It
/// serves until the process ends.
pub(crate) fn serve_lines(
    node: &Node,
    address: SocketAddr,
    log: impl Fn(&str, &str, u16) + Send + Sync + 'static,
) {
    let listener = node.run(|| TcpListener::bind(address)).expect("the namespace is there");
    let listener = listener.expect("the port is free");
    let log = Arc::new(log);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), log) = (stream, Arc::clone(&log)) else { continue };
            thread::spawn(move || answer(stream, &*log));
        }
    });
}

/// A caller that goes away ends its conversation.
fn answer(mut stream: TcpStream, log: &(impl Fn(&str, &str, u16) + ?Sized)) -> Option<()> {
    let peer = stream.peer_addr().ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut user = String::new();
    while lines.read_line(&mut user).ok()? > 0 {
        log(user.trim_end(), &peer.ip().to_string(), peer.port());
        stream.write_all(b"no\n").ok()?;
        user.clear();
    }
    Some(())
}

/// Says a user's name to a line service and hears the refusal; the connection is still open then.
pub(crate) fn guess(clients: &Node, from: SocketAddr, to: SocketAddr, user: &str) -> TcpStream {
    let mut stream = client::tcp(clients, from, to).expect("a connection");
    stream.write_all(format!("{user}\n").as_bytes()).expect("it is taken");
    stream.read_exact(&mut [0; 3]).expect("it is answered");
    stream
}

/// HAProxy on the gateway: :5222 goes to the service. `global` and `defaults` are further lines of its configuration.
pub(crate) fn haproxy(lab: &Lab, node: &Node, global: &str, defaults: &str) -> Running {
    let config = lab.scratch().join("haproxy.cfg");
    let lines = format!(
        "global\n    {global}\n    maxconn 2000\n\
         defaults\n    mode tcp\n    log global\n    timeout connect 5s\n    timeout client 60s\n    \
         timeout server 60s\n    {defaults}\n    log-format \
         \"%ci:%cp [%t] %ft %b[%bi:%bp]/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq\"\n\
         frontend xmpp_in\n    bind 203.0.113.1:5222\n    default_backend xmpp\n\
         backend xmpp\n    server xmpp 10.0.0.2:5222\n"
    );
    fs::write(&config, lines).expect("its configuration");
    let mut command = guarded("nsenter");
    command.arg(format!("--net=/run/netns/{}", node.name()));
    command.args(["--", "/usr/sbin/haproxy", "-db", "-q", "-f", text(&config)]);
    let haproxy = Running::start(&mut command).expect("haproxy starts (scripts/setup test installs it)");
    await_port(node, ([203, 0, 113, 1], 5222).into());
    haproxy
}

/// A line as Prosody writes it.
pub(crate) fn failed_at_prosody(user: &str, address: &str, port: u16) -> String {
    format!(
        "c2s55d2: Failed authentication attempt (not-authorized) for user {user} from IP: {address} port {port}"
    )
}

/// One of the configurations in `examples/`.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
