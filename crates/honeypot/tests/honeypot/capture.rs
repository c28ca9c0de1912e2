//! A profile of a real sshd is ours, and ours is a profile's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use unmasq_honeypot::capture::{Capture, Options};
use unmasq_honeypot::profile::{Authentication, Profile};

use crate::server::{Server, setup};
use crate::sshd::Sshd;

fn capture(address: SocketAddr, rounds: u32) -> Profile {
    let mut capture = Capture::new(Options { user: "nobody-of-this-name".to_owned(), rounds }).unwrap();
    let mut buffer = [0; 8192];
    while capture.connect(Instant::now()) {
        let mut stream = TcpStream::connect(address).unwrap();
        while !capture.is_closing() {
            if !capture.output().is_empty() {
                let sent = stream.write(capture.output()).unwrap();
                capture.sent(sent);
                continue;
            }
            // A reset ends it, too.
            match stream.read(&mut buffer).unwrap_or(0) {
                0 => capture.end_of_input().unwrap(),
                length => capture.receive(&buffer[..length], Instant::now()).unwrap(),
            }
        }
    }
    capture.finish().unwrap()
}

/// All but what was measured with a clock.
fn without_delays(profile: &Profile) -> String {
    let text = profile.to_string();
    text[..text.find("[delay]").unwrap()].to_owned()
}

#[test]
fn the_profile_of_a_real_sshd_is_the_one_that_is_built_in() {
    let sshd = Sshd::start();
    let captured = capture(sshd.address, 0);
    let built_in = Profile::debian_12();
    assert_eq!(without_delays(&captured), without_delays(&built_in));
    assert!(captured.delay().other.len() >= 5);
}

#[test]
fn our_own_profile_is_captured_as_it_is() {
    let without_roles = Authentication { has_roles: false, ..Profile::debian_12().authentication().clone() };
    let mut setup = setup(Profile::debian_12().with_authentication(without_roles));
    setup.limits.attempts = 3;
    let server = Server::start(setup);
    let captured = without_delays(&capture(server.address, 1));
    // The test's RSA key is a smaller one.
    let expected = without_delays(&Profile::debian_12()).replace("rsa-3072", "rsa-2048");
    let expected = expected.replace("roles = true\n", "");
    assert_eq!(captured, expected.replace("attempts = 6", "attempts = 3"));
}
