//! Several namespaces and zones at once.

use unmasq_lab::{Lab, Network, Plan, Server, Traffic, client};

use crate::support::{PATIENCE, Recording, eventually, now};

#[test]
fn zones_tell_clients_with_the_same_address_apart() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan { overlapping: true, ..Plan::default() }).unwrap();
    let recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let mut traffic = Traffic::new(&network, 1, 3).unwrap();
    let talks: Vec<_> = (0..12).map(|_| traffic.converse_tcp().unwrap()).collect();
    recording.await_client(talks.last().unwrap());
    for talk in &talks {
        let (masked, at) = (talk.masked.to_string(), talk.at.to_string());
        let (answer, code) = recording.settled(&[&masked, "--at", &at, "--window", "0s"]);
        assert_eq!(code, 0, "{answer}");
        let candidate = &answer["candidates"][0];
        assert_eq!(candidate["client"], talk.client.to_string());
        assert_eq!(candidate["origin"]["zone_original"], talk.node + 1);
    }
}

#[test]
fn two_gateways_with_the_same_addresses_are_two_origins() {
    let lab = Lab::new().unwrap();
    let other_lab = Lab::new().unwrap();
    let networks = [
        Network::build(&lab, Plan::default()).unwrap(),
        Network::build(&other_lab, Plan::default()).unwrap(),
    ];
    let names = [networks[0].gateway.name(), networks[1].gateway.name()];
    let recording = Recording::start(&lab, &names, &[]);
    // By ports of their own: else the gateways' flows could have the same masked port, and the first is still known when the
    // second is asked about.
    for ((network, name), port) in networks.iter().zip(names).zip([40_001, 40_002]) {
        let server = Server::tcp(&network.servers, network.server(0, 443)).unwrap();
        let talk = client::tcp(&network.clients[0], ([0, 0, 0, 0], port).into(), server.address()).unwrap();
        let seen = server.wait(1, PATIENCE).unwrap()[0];
        let (masked, at, to) = (seen.peer.to_string(), seen.at.to_string(), seen.local.to_string());
        let answer = eventually("it is recorded", || {
            let (answer, code) = recording.trace(&[&masked, "--at", &at, "--window", "0s", "--to", &to]);
            (code == 0).then_some(answer)
        });
        assert_eq!(answer["candidates"][0]["client"], talk.local_addr().unwrap().to_string());
        assert_eq!(answer["candidates"][0]["origin"]["namespace"], name);
    }
}

#[test]
fn a_namespace_that_vanishes_ends_its_coverage_and_its_flows() {
    let lab = Lab::new().unwrap();
    let gone_lab = Lab::new().unwrap();
    let stays = Network::build(&lab, Plan::default()).unwrap();
    let goes = Network::build(&gone_lab, Plan::default()).unwrap();
    let name = goes.gateway.name().to_owned();
    let recording = Recording::start(&lab, &[stays.gateway.name(), &name], &[]);
    let mut traffic = Traffic::new(&goes, 1, 5).unwrap();
    let talk = traffic.converse_tcp().unwrap();
    recording.await_client(&talk);
    drop((traffic, goes, gone_lab));
    eventually("the recorder lets go of the namespace", || {
        let status = recording.status()?;
        (status["namespaces"].as_array()?.len() == 1 && status["live_flows"] == 0).then_some(())
    });
    assert!(!std::path::Path::new("/run/netns").join(&name).exists());
    // The connection is still found at its time, and no longer now.
    assert_eq!(recording.clients(&talk, &[]), [talk.client.to_string()]);
    let (answer, _) = recording.trace(&[&talk.masked.to_string(), "--at", &now(), "--window", "0s"]);
    assert_eq!(answer["candidates"].as_array().map(Vec::len), Some(0), "{answer}");
}
