//! Several namespaces and zones at once.

use unmasq_lab::{Lab, Network, Plan, Traffic};

use crate::support::{Recording, eventually, now};

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
        let (answer, code) = recording.trace(&[&masked, "--at", &at, "--window", "0s"]);
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
    for (network, name) in networks.iter().zip(names) {
        let mut traffic = Traffic::new(network, 1, 5).unwrap();
        let talk = traffic.converse_tcp().unwrap();
        let (masked, at, to) = (talk.masked.to_string(), talk.at.to_string(), talk.server.to_string());
        let answer = eventually("it is recorded", || {
            let (answer, code) = recording.trace(&[&masked, "--at", &at, "--window", "0s", "--to", &to]);
            (code == 0).then_some(answer)
        });
        assert_eq!(answer["candidates"][0]["client"], talk.client.to_string());
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
