//! What must hold of any bytes: called by the fuzz targets, and by this crate's tests.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use unmasq_ssh::frame::{self, Frame};
use unmasq_ssh::message;

use crate::client::{Client, Offer};
use crate::hostkey::{HostKeys, KeyKind};
use crate::profile::Profile;
use crate::server::{Connection, Delay, Limits, Setup};

/// SSH_MSG_USERAUTH_SUCCESS, which may never be sent.
const SUCCESS: u8 = 52;
/// More output than that never waits: the limit from which no more is read, and one answer.
const MOST_OUTPUT: usize = 64 * 1024 + 16 * 1024;

/// A server without the host keys that take seconds to make.
fn setup() -> Option<Arc<Setup>> {
    static SETUP: LazyLock<Option<Arc<Setup>>> = LazyLock::new(|| {
        let keys = HostKeys::generate(&[KeyKind::Ed25519]).ok()?;
        let limits =
            Limits { grace: Duration::from_secs(120), attempts: 6, bytes: 1 << 20, delay: Delay::Profile };
        Some(Arc::new(Setup { profile: Profile::debian_12(), keys, limits }))
    });
    SETUP.clone()
}

/// Bytes as what a client sends, in pieces and over time; under keys if the first byte is odd.
///
/// # Panics
/// If output is unbounded, a deadline is past, or someone is let in.
pub fn connection(bytes: &[u8]) {
    let (Some(setup), Some((mode, bytes))) = (setup(), bytes.split_first()) else { return };
    let mut now = Instant::now();
    let mut connection = Connection::new(setup, now);
    // The greeting takes its time.
    now += Duration::from_secs(1);
    connection.wake(now);
    let mut client = (mode & 1 == 1).then(|| Client::new(Offer::default()));
    let mut came = Vec::new();
    if let Some(client) = &mut client {
        for _ in 0..8 {
            turn(&mut connection, Some(client), &mut came, usize::MAX, now);
        }
    }
    let mut rest = bytes;
    while let Some((&[act, amount], more)) = rest.split_first_chunk::<2>() {
        let (piece, more) = more.split_at(usize::from(amount).min(more.len()));
        rest = more;
        match act % 8 {
            0 => {
                now += Duration::from_millis(u64::from(amount) * 40);
                connection.wake(now);
            }
            1 => connection.slow_down(Duration::from_millis(u64::from(amount))),
            2 if amount == 0 => connection.end_of_input(now),
            _ => match &mut client {
                // An error of the random generator would be no news here.
                Some(client) => drop(client.send(piece)),
                None if connection.wants_input() => connection.receive(piece, now),
                None => {}
            },
        }
        let taken = if act & 0x80 == 0 { usize::MAX } else { usize::from(amount) };
        turn(&mut connection, client.as_mut(), &mut came, taken, now);
    }
    // After its time a connection is over, whatever came.
    now += Duration::from_secs(121);
    connection.wake(now);
    turn(&mut connection, client.as_mut(), &mut came, usize::MAX, now);
    assert!(connection.is_over() && connection.end().is_some());
    if client.is_none() {
        no_success(&came);
    }
}

/// What each side has for the other is handed over.
fn turn(
    connection: &mut Connection,
    client: Option<&mut Client>,
    came: &mut Vec<u8>,
    taken: usize,
    now: Instant,
) {
    let output = connection.output();
    assert!(output.len() <= MOST_OUTPUT, "{} bytes wait", output.len());
    let output = output[..output.len().min(taken)].to_vec();
    connection.sent(output.len());
    while connection.next().is_some() {}
    if let Some(deadline) = connection.deadline() {
        assert!(connection.is_over() || deadline + Duration::from_secs(1) > now, "a deadline is past");
    }
    let Some(client) = client else { return came.extend(output) };
    client.receive(&output);
    while let Ok(Some(payload)) = client.next() {
        assert_ne!(payload.first(), Some(&SUCCESS), "someone was let in");
    }
    if connection.wants_input() {
        let sent = client.output().to_vec();
        client.sent(sent.len());
        connection.receive(&sent, now);
    }
}

/// In packets without keys.
fn no_success(came: &[u8]) {
    let line = came.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut packets = &came[line..];
    while let Frame::Whole { payload, length } = frame::read(packets) {
        assert_ne!(payload[0], SUCCESS, "someone was let in");
        if payload[0] == message::NEWKEYS {
            return;
        }
        packets = &packets[length..];
    }
}

/// Bytes as a profile: what is read is written and read as the same.
///
/// # Panics
/// If it is not.
pub fn profile(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let file = Path::new("profile.toml");
    if let Ok(profile) = Profile::parse(text, file) {
        let again = Profile::parse(&profile.to_string(), file);
        assert_eq!(again.ok(), Some(profile), "a written profile is read as another");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_end_in_no_success(
            mode: u8,
            line in prop::option::of("SSH-2.0-[a-z]{1,10}\r\n"),
            acts in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)), 0..30),
        ) {
            let mut bytes = vec![mode];
            let line = line.map(|line| (3, line.into_bytes()));
            for (act, piece) in line.into_iter().chain(acts) {
                bytes.push(act);
                bytes.push(piece.len() as u8);
                bytes.extend(piece);
            }
            super::connection(&bytes);
        }

        /// Under keys, with payloads that begin as requests do.
        #[test]
        fn requests_of_any_kind_end_in_no_success(
            acts in prop::collection::vec((
                prop::sample::select(vec![5u8, 7, 20, 21, 30, 50, 60, 61, 80, 90]),
                prop::sample::select(vec!["none", "password", "publickey", "keyboard-interactive", "hostbased"]),
                prop::collection::vec(any::<u8>(), 0..60),
            ), 0..20),
        ) {
            use unmasq_ssh::wire::Write;
            let mut service = vec![5];
            service.put_string(b"ssh-userauth");
            let mut bytes = vec![1, 3, service.len() as u8];
            bytes.extend(service);
            for (number, method, rest) in acts {
                let mut payload = vec![number];
                for field in ["root", "ssh-connection", method] {
                    payload.put_string(field.as_bytes());
                }
                payload.extend(rest);
                bytes.extend([3, payload.len() as u8]);
                bytes.extend(payload);
                // Ten seconds go by.
                bytes.extend([0, 250]);
            }
            super::connection(&bytes);
        }
    }
}
