//! `unmasq watch` on a service's host, of which another host is the gateway: its recorder is asked over TLS.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;

use unmasq_flow::Timestamp;
use unmasq_lab::{Lab, Network};

use crate::gateway::{guess, serve_lines};
use crate::remote_book::{Gateway, PORT};
use crate::support::text;
use crate::watching::{SETS, Watching, await_bans};

/// Two failures of a client are too many.
const CHAINS: &str = r#"
[[actions."Service"]]
filter = "filter_pcre"
args = { field = "MESSAGE", re = '^failed: (.*) from (\S+) port (\d+)$', save = ["user", "address", "port"] }
else = "Others"
[[actions."Service"]]
action = "action_dnatReplace"
args = { addr = "address", port = "port", saddrInto = "address", waitSeconds = 20, onTimeout = "skip" }
[[actions."Service"]]
action = "action_counterRaise"
args = { counter = "failures", for = "address", keepSeconds = 600, save = "failures" }
[[actions."Service"]]
filter = "filter_greaterOrEquals"
args = { field = "failures", value = 2 }
else = "Others"
[[actions."Service"]]
action = "action_nftBan"
args = { IP = "address", nftSetIPv4 = "inet unmasq banned4", nftSetIPv6 = "inet unmasq banned6", banSeconds = 600 }
[[actions."Others"]]
action = "action_noop"
"#;

#[test]
fn the_gateways_recorder_tells_who_guessed_at_a_services_host() {
    let lab = Lab::new().unwrap();
    let gateway = Gateway::start(&lab);
    let (clients, servers) = (&gateway.network.clients, &gateway.network.servers);
    servers.nft(SETS).unwrap();
    let path = lab.scratch().join("service.log");
    let file = Mutex::new(File::create(&path).unwrap());
    let address = gateway.network.server(0, 5222);
    serve_lines(servers, address, move |user, peer, port| {
        let mut file = file.lock().expect("no panic");
        let line = format!("{} service app[7]: failed: {user} from {peer} port {port}\n", Timestamp::now());
        file.write_all(line.as_bytes()).expect("it is written");
    });
    let shown = gateway.watches.sign(&["service.example"]).unwrap();
    let book = format!(
        "[book]\nconntrack = false\nfrom = 'tls://{}:{PORT}'\ncertificate = '{}'\nkey = '{}'\nauthority = '{}'\n",
        Network::PUBLIC,
        text(&shown.certificate),
        text(&shown.key),
        text(&gateway.gateways.certificate()),
    );
    let top = format!("sources = [{{ file = '{}', format = 'syslog' }}]", text(&path));
    let mut watch = Watching::new(&lab, &top, &format!("{CHAINS}{book}"));
    watch.start(servers, None);
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    // The same user names from both, alternating, and a direct one that nobody masks is not theirs.
    let _open: Vec<_> =
        [1, 0, 0].iter().map(|client| guess(&clients[*client], any, address, "root")).collect();
    await_bans(&watch, servers, &["192.168.101.2"]);
    watch.stop();
}
