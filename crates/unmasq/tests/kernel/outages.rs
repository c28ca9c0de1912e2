//! A recorder that is stopped, killed or made to stand still.

use std::time::Duration;

use rustix::process::Signal;
use unmasq_lab::{Blast, Lab, Network, Plan, Range, Traffic};

use crate::support::{Recording, clients, eventually, is_told_by, now, text, unmasq};

#[test]
fn what_was_accepted_survives_a_kill_at_any_moment() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let name = network.gateway.name();
    let mut recording = Recording::start(&lab, &[name], &[]);
    let mut traffic = Traffic::new(&network, 2, 11).unwrap();
    let mut talks = Vec::new();
    for round in 0..4 {
        for _ in 0..15 + 7 * round {
            talks.push(traffic.converse_tcp().unwrap());
        }
        // Once the last is in the ledger, all before it are.
        recording.await_client(talks.last().unwrap());
        recording.kill();
        for talk in &talks {
            let to = talk.server.to_string();
            assert_eq!(
                recording.clients(talk, &["--to", &to]),
                [talk.client.to_string()],
                "round {round}: {talk:?}"
            );
        }
        let to = talks[0].server.to_string();
        let (answer, code) = recording.trace(&[&talks[0].masked.to_string(), "--at", &now(), "--to", &to]);
        assert_eq!((code, &answer["complete"]), (4, &false.into()), "nobody recorded this moment: {answer}");
        recording.resume(&[name], &[]);
    }
    let (out, code) = unmasq(&["ledger", "verify", "--ledger", text(&recording.ledger)]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_connection_that_outlives_a_recorder_is_still_the_same_connection() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let name = network.gateway.name();
    let mut recording = Recording::start(&lab, &[name], &[]);
    let mut traffic = Traffic::new(&network, 1, 5).unwrap();
    let talk = traffic.converse_tcp().unwrap();
    recording.await_client(&talk);
    recording.kill();
    recording.resume(&[name], &[]);
    let (masked, to) = (talk.masked.to_string(), talk.server.to_string());
    let (answer, code) = recording.settled(&[&masked, "--at", &now(), "--window", "0s", "--to", &to]);
    let candidates = answer["candidates"].as_array().unwrap();
    assert_eq!((candidates.len(), code), (1, 0), "{answer}");
    assert_eq!(candidates[0]["client"], talk.client.to_string());
}

#[test]
fn a_recorder_leaves_in_good_order() {
    let lab = Lab::new().unwrap();
    let network = Network::build(&lab, Plan::default()).unwrap();
    let mut recording = Recording::start(&lab, &[network.gateway.name()], &[]);
    let mut traffic = Traffic::new(&network, 1, 5).unwrap();
    let talk = traffic.converse_tcp().unwrap();
    // Read, and for up to a tenth of a second not yet written.
    recording.await_witness(&talk, "book");
    recording.stop();
    assert!(!recording.control.exists(), "it removes its socket");
    let (answer, _) = recording.trace(&[&talk.masked.to_string(), "--at", &talk.at.to_string()]);
    assert_eq!(clients(&answer), [talk.client.to_string()]);
    assert!(is_told_by(&answer, "ledger"), "what was read is written: {answer}");
}

#[test]
fn users_connections_pass_while_the_recorder_stands_still() {
    let lab = Lab::new().unwrap();
    let range = Range::build(&lab).unwrap();
    let recording = Recording::start(&lab, &[range.gateway.name()], &["--receive-buffer", "1MiB"]);
    recording.signal(Signal::STOP);
    // Far more ends than the buffer takes: in reliable mode they would pile up in the kernel. Fewer than the least
    // nf_conntrack_max of a machine with more than a gigabyte, 65536, so that none is refused while the watchdog waits for its turn.
    let blast = Blast {
        rate: Some(7_000.0),
        duration: Some(Duration::from_secs(9)),
        window: Some(1000),
        ..Range::blast()
    };
    let sent = range.fire(&blast).unwrap();
    // The last frames can still be on their way through a busy kernel.
    eventually("every connection is let through", || {
        (range.gateway.flows_begun().unwrap() == sent.flows).then_some(())
    });
    eventually("the kernel has let go of ended connections", || {
        let count: u64 = range.gateway.setting("net.netfilter.nf_conntrack_count").unwrap().parse().unwrap();
        (count < 20_000).then_some(())
    });
    recording.signal(Signal::CONT);
    let status = eventually("the recorder has seen what it missed", || {
        let status = recording.status()?;
        (status["namespaces"][0]["overruns"].as_u64()? > 0).then_some(status)
    });
    assert!(status["events_lost"].as_u64().unwrap() > 0);
}
