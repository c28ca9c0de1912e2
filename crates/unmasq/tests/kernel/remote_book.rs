//! Two hosts: a gateway that masquerades and records, and behind the network a service's host that asks it, over TLS,
//! who its masked callers are.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use unmasq_control::Ask;
use unmasq_control::tls::Identity;
use unmasq_flow::Timestamp;
use unmasq_lab::{Authority, Lab, Network, Plan, Running, Server, Sighting, client};
use unmasq_watch::client::remote::{Answered, Found, Place, RemoteBook, Standing, Unanswered};

use crate::support::{PATIENCE, PROGRAM, Recording, eventually, text};

pub(crate) const PORT: u16 = 7443;

/// A gateway that records, and answers over TLS.
pub(crate) struct Gateway {
    pub(crate) network: Network,
    recording: Recording,
    file: PathBuf,
    running: Option<Running>,
    /// Signs what gateways show.
    pub(crate) gateways: Authority,
    /// Signs what watches show.
    pub(crate) watches: Authority,
}

impl Gateway {
    pub(crate) fn start(lab: &Lab) -> Self {
        let network = Network::build(lab, Plan::default()).expect("the network is built");
        let recording = Recording::at(lab);
        let [gateways, watches] =
            ["gateways", "watches"].map(|name| Authority::new(lab.scratch(), name).expect("an authority"));
        let shown = gateways.sign(&[&Network::PUBLIC.to_string()]).expect("a certificate");
        let file = lab.scratch().join("unmasq.toml");
        let lines = format!(
            "[record]\nledger = '{}'\nstream = 'gw1'\nkeep_ended = '10m'\n[control]\nsocket = '{}'\n\
             tls_listen = '[::]:{PORT}'\ntls_certificate = '{}'\ntls_key = '{}'\ntls_clients = '{}'\n",
            text(&recording.ledger),
            text(&recording.control),
            text(&shown.certificate),
            text(&shown.key),
            text(&watches.certificate()),
        );
        fs::write(&file, lines).expect("the configuration is written");
        let mut gateway = Self { network, recording, file, running: None, gateways, watches };
        gateway.resume();
        gateway
    }

    fn resume(&mut self) {
        let mut command = self.network.gateway.command(PROGRAM);
        command.args(["record", "--config"]).arg(&self.file);
        self.running = Some(Running::start(&mut command).expect("the recorder starts"));
        eventually("the recorder covers its namespace", || {
            let status = self.recording.status()?;
            status["namespaces"][0]["covered_since"].is_string().then_some(())
        });
    }

    fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.signal(Signal::KILL).expect("it takes the signal");
        running.wait(PATIENCE).expect("it dies");
    }

    /// The book as the service's host asks it, shown a certificate of this authority.
    fn ask_as(&self, signer: &Authority, host: &str) -> RemoteBook {
        let shown = signer.sign(&["service.example"]).expect("a certificate");
        let identity = Identity {
            certificate: shown.certificate,
            key: shown.key,
            authority: self.gateways.certificate(),
        };
        let place = Place::Tls { host: host.to_owned(), port: PORT };
        let connect = || RemoteBook::connect(place, Some(&identity), Duration::from_secs(1));
        // Its threads stay in the namespace that it is made in.
        self.network.servers.run(connect).expect("the namespace is there").expect("a book to ask")
    }

    fn book(&self) -> RemoteBook {
        self.ask_as(&self.watches, &Network::PUBLIC.to_string())
    }
}

/// Asks who is behind a caller, and waits for the answer.
fn ask(book: &RemoteBook, seen: &Sighting) -> Result<Found, Unanswered> {
    let question = Ask::Find {
        masked: seen.peer.to_string(),
        protocol: Some("tcp".to_owned()),
        server: Some(seen.local.to_string()),
        from: seen.at.as_nanos(),
        to: Timestamp::now().as_nanos(),
    };
    book.ask(7, question).expect("there is room");
    let Answered { id, outcome } = eventually("an answer", || book.answers().pop());
    assert_eq!(id, 7);
    outcome
}

/// Asks until there is an answer: not yet connected, or on a busy machine, there is none within a second.
fn ask_again(book: &RemoteBook, seen: &Sighting) -> Found {
    eventually("connected", || ask(book, seen).ok())
}

fn clients(found: &Found) -> Vec<String> {
    found.flows.iter().map(|flow| flow.client.to_string()).collect()
}

fn any() -> SocketAddr {
    ([0, 0, 0, 0], 0).into()
}

#[test]
fn a_services_host_learns_who_its_masked_callers_are() {
    let lab = Lab::new().unwrap();
    let gateway = Gateway::start(&lab);
    let network = &gateway.network;
    let book = gateway.book();
    let server = Server::tcp(&network.servers, network.server(0, 22)).unwrap();
    let mut talks = Vec::new();
    for n in 0..4 {
        let talk = client::tcp(&network.clients[n % 2], any(), server.address()).unwrap();
        let own = talk.local_addr().unwrap().to_string();
        let seen = server.wait(n + 1, PATIENCE).unwrap()[n];
        assert_eq!(seen.peer.ip(), Network::PUBLIC, "the service sees the gateway");
        // At once: the recorder waits for the kernel's events of the moment that is asked about.
        let found = ask_again(&book, &seen);
        assert_eq!(clients(&found), [own.as_str()]);
        let until = found.covered[0].until;
        assert!(until >= seen.at.as_nanos(), "what was asked about is covered");
        talks.push((talk, own, seen));
    }
    // Ended ones can still be asked about: a log line takes its time.
    for (talk, own, seen) in talks {
        client::abort(talk).unwrap();
        network.gateway.forget_flows().unwrap();
        assert_eq!(clients(&ask_again(&book, &seen)), [own]);
    }
    assert_eq!(book.standing(), Standing::Connected);
    let seen = server.seen()[0];
    let nobody = Sighting { peer: SocketAddr::new(seen.peer.ip(), 1), ..seen };
    assert!(clients(&ask_again(&book, &nobody)).is_empty());
}

#[test]
fn who_shows_no_certificate_or_a_wrong_one_learns_nothing() {
    let lab = Lab::new().unwrap();
    let gateway = Gateway::start(&lab);
    let network = &gateway.network;
    let server = Server::tcp(&network.servers, network.server(0, 22)).unwrap();
    let _talk = client::tcp(&network.clients[0], any(), server.address()).unwrap();
    let seen = server.wait(1, PATIENCE).unwrap()[0];

    let broken = |book: &RemoteBook, word: &str| {
        assert_eq!(ask(book, &seen), Err(Unanswered::TimedOut));
        // A try that took too long, on a busy machine, has another reason; it is tried again.
        eventually(&format!("the reason names {word:?}"), || match book.standing() {
            Standing::Broken(reason) => reason.to_lowercase().contains(word).then_some(()),
            Standing::Connected => None,
        });
    };
    // A certificate that another authority signed, be it the gateways' own.
    broken(&gateway.ask_as(&gateway.gateways, &Network::PUBLIC.to_string()), "ca");
    // A gateway whose certificate has another name than the one it was called by.
    broken(&gateway.ask_as(&gateway.watches, &Network::PUBLIC_V6.to_string()), "not valid for name");

    // No certificate at all.
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(gateway.gateways.certificate()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let connect = || TcpStream::connect((Network::PUBLIC, PORT));
    let stream = network.servers.run(connect).unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::from(std::net::IpAddr::from(Network::PUBLIC));
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    // Nothing is asked: what is written after the refusal would only hide it.
    let mut answer = String::new();
    let refused = stream.read_to_string(&mut answer).unwrap_err();
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    assert_eq!(answer, "");
    // And who shows the right one is served all the while.
    let book = gateway.book();
    assert_eq!(clients(&ask_again(&book, &seen)).len(), 1);
}

#[test]
fn while_the_gateway_is_away_questions_time_out_and_then_are_answered_again() {
    let lab = Lab::new().unwrap();
    let mut gateway = Gateway::start(&lab);
    let server = Server::tcp(&gateway.network.servers, gateway.network.server(0, 22)).unwrap();
    let talk = client::tcp(&gateway.network.clients[0], any(), server.address()).unwrap();
    let own = [talk.local_addr().unwrap().to_string()];
    let seen = server.wait(1, PATIENCE).unwrap()[0];
    let book = gateway.book();
    let answered = |book: &RemoteBook| assert_eq!(clients(&ask_again(book, &seen)), own);
    answered(&book);

    // The recorder dies, and another takes its place.
    gateway.kill();
    assert_eq!(ask(&book, &seen), Err(Unanswered::TimedOut));
    gateway.resume();
    answered(&book);

    // The network swallows everything: nobody says that the connection is gone. (The kernel forgets what an interface
    // masked when that goes down, so that the flow ends; the book keeps it.)
    gateway.network.gateway.ip(&["link set wan down"]).unwrap();
    assert_eq!(ask(&book, &seen), Err(Unanswered::TimedOut));
    gateway.network.gateway.ip(&["link set wan up"]).unwrap();
    answered(&book);
}
