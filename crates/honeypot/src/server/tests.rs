//! Connections over simulated time.

use std::path::Path;

use unmasq_ssh::wire::Write;

use super::*;
use crate::client::{Client, Offer};
use crate::hostkey::KeyKind;
use crate::profile::Authentication;

const SECOND: Duration = Duration::from_secs(1);

/// Both sides, and the time.
struct Talk {
    connection: Connection,
    client: Client,
    now: Instant,
    /// Payloads that the client was given.
    came: Vec<Vec<u8>>,
}

fn setup(profile: Profile, delay: Delay) -> Setup {
    let limits = Limits { grace: 120 * SECOND, attempts: 3, bytes: 100_000, delay };
    Setup { profile, keys: HostKeys::generate(&[KeyKind::Ed25519]).unwrap(), limits }
}

impl Talk {
    /// Up to the service.
    fn new(setup: Setup) -> Self {
        let now = Instant::now();
        let connection = Connection::new(Arc::new(setup), now);
        let mut talk = Self { connection, client: Client::new(Offer::default()), now, came: Vec::new() };
        talk.turn();
        talk.send(&service());
        talk.came.clear();
        talk
    }

    /// Hands over what each has for the other.
    fn turn(&mut self) {
        loop {
            let output = self.connection.output().to_vec();
            self.connection.sent(output.len());
            self.client.receive(&output);
            while let Some(payload) = self.client.next().unwrap() {
                self.came.push(payload);
            }
            let sent = self.client.output().to_vec();
            if output.is_empty() && (sent.is_empty() || !self.connection.wants_input()) {
                return;
            }
            if self.connection.wants_input() {
                self.client.sent(sent.len());
                self.connection.receive(&sent, self.now);
            }
        }
    }

    fn send(&mut self, payload: &[u8]) {
        self.client.send(payload).unwrap();
        self.turn();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.wake(self.now);
        self.turn();
    }

    fn numbers(&self) -> Vec<u8> {
        self.came.iter().map(|payload| payload[0]).collect()
    }
}

fn service() -> Vec<u8> {
    let mut payload = vec![5];
    payload.put_string(b"ssh-userauth");
    payload
}

fn request(method: &str, rest: &[u8]) -> Vec<u8> {
    let mut payload = vec![50];
    for field in ["root", "ssh-connection", method] {
        payload.put_string(field.as_bytes());
    }
    payload.extend(rest);
    payload
}

fn password(word: &[u8]) -> Vec<u8> {
    let mut rest = vec![0];
    rest.put_string(word);
    request("password", &rest)
}

fn debian(delay: Delay) -> Talk {
    Talk::new(setup(Profile::debian_12(), delay))
}

#[test]
fn an_answer_waits_for_its_delay_and_nothing_is_read_meanwhile() {
    let mut talk = debian(Delay::Fixed(2 * SECOND));
    talk.send(&password(b"one"));
    assert!(talk.came.is_empty() && !talk.connection.wants_input());
    assert_eq!(talk.connection.deadline(), Some(talk.now + 2 * SECOND));
    talk.send(&password(b"two"));
    talk.pass(SECOND);
    assert!(talk.came.is_empty());
    talk.pass(SECOND);
    assert_eq!(talk.numbers(), [51]);
    talk.pass(2 * SECOND);
    assert_eq!(talk.numbers(), [51, 51]);
}

#[test]
fn an_empty_password_is_refused_as_fast_as_no_password() {
    // sshd asks nobody whether it is right; PAM would wait for seconds.
    for (word, is_fast) in [(&b""[..], true), (b"\0", true), (b"x", false), (b"x\0", false)] {
        let mut profile = Profile::debian_12();
        profile.delay.greeting.clear();
        let mut talk = Talk::new(setup(profile, Delay::Profile));
        talk.send(&password(word));
        talk.pass(SECOND / 2);
        assert_eq!(talk.numbers() == [51], is_fast, "{word:?}");
    }
}

#[test]
fn a_role_is_no_part_of_a_name_where_the_server_knows_roles() {
    let profile = Profile::debian_12();
    let without = Authentication { has_roles: false, ..profile.authentication().clone() };
    for (profile, answers) in [(profile.clone(), [51, 51]), (profile.with_authentication(without), [51, 1])] {
        let mut talk = Talk::new(setup(profile, Delay::Fixed(Duration::ZERO)));
        talk.send(&request("none", b""));
        let mut with_role = vec![50];
        for field in ["root/staff_r", "ssh-connection", "none"] {
            with_role.put_string(field.as_bytes());
        }
        talk.send(&with_role);
        assert_eq!(talk.numbers(), answers);
    }
}

#[test]
fn happenings_come_in_order_and_before_the_answer() {
    let mut talk = debian(Delay::Fixed(2 * SECOND));
    talk.send(&request("none", b""));
    talk.pass(2 * SECOND);
    talk.send(&password(b"\xff\x00x"));
    let kinds: Vec<Happening> = std::iter::from_fn(|| talk.connection.next()).collect();
    assert_eq!(kinds[..2], [Happening::Identified, Happening::Negotiated]);
    let attempt = |number, method| {
        let (username, service) = (b"root".to_vec(), b"ssh-connection".to_vec());
        Happening::Attempt(Attempt { username, service, number, method })
    };
    let tried = Method::Password { password: b"\xff\x00x".to_vec(), new: None };
    assert_eq!(kinds[2..], [attempt(0, Method::None), attempt(1, tried)]);
    let peer = talk.connection.peer();
    assert_eq!(peer.negotiated.as_ref().unwrap().kex, "curve25519-sha256");
    assert_eq!(peer.hassh_server.as_ref().unwrap().hash, "425d29fe50d8e4f5e37efb6e24bcf660");
}

#[test]
fn attempts_end_with_a_disconnect_that_waits_too() {
    let mut talk = debian(Delay::Fixed(SECOND));
    for word in [b"a", b"b", b"c"] {
        talk.send(&password(word));
        talk.pass(SECOND / 2);
        assert!(!talk.connection.is_over());
        talk.pass(SECOND / 2);
    }
    assert_eq!(talk.numbers(), [51, 51, 1]);
    assert!(talk.connection.is_over());
    assert_eq!(talk.connection.end(), Some(&End::TooManyAttempts { is_password: true }));
    assert_eq!(talk.connection.deadline(), None);
}

#[test]
fn the_time_ends_a_connection_without_a_word() {
    let mut talk = debian(Delay::Fixed(SECOND));
    talk.pass(119 * SECOND);
    talk.send(&password(b"late"));
    talk.pass(SECOND);
    assert!(talk.came.is_empty() && talk.connection.is_over());
    assert_eq!(talk.connection.end(), Some(&End::GraceTime));
}

#[test]
fn a_tarpit_makes_each_answer_wait() {
    let mut talk = debian(Delay::Fixed(Duration::ZERO));
    talk.connection.slow_down(10 * SECOND);
    talk.send(&service());
    talk.pass(9 * SECOND);
    assert!(talk.came.is_empty());
    talk.pass(SECOND);
    assert_eq!(talk.numbers(), [6]);
}

#[test]
fn a_client_that_closes_is_answered_first() {
    let mut talk = debian(Delay::Fixed(SECOND));
    talk.send(&password(b"one"));
    talk.connection.end_of_input(talk.now);
    assert_eq!(talk.connection.end(), None);
    talk.pass(SECOND);
    assert_eq!(talk.numbers(), [51]);
    assert_eq!(talk.connection.end(), Some(&End::ClientClosed));
}

#[test]
fn a_client_that_takes_nothing_is_not_read() {
    let mut talk = debian(Delay::Fixed(Duration::ZERO));
    let mut count = 0;
    // Each packet is answered with UNIMPLEMENTED.
    while talk.connection.wants_input() {
        talk.client.send(&[80]).unwrap();
        let sent = talk.client.output().to_vec();
        talk.client.sent(sent.len());
        talk.connection.receive(&sent, talk.now);
        count += 1;
        assert!(count < 4000);
    }
    assert!(talk.connection.output().len() < MOST_OUTPUT + 100);
    talk.turn();
    assert!(talk.connection.wants_input() && talk.came.len() == count);
}

#[test]
fn what_was_read_is_answered_as_output_is_taken() {
    let mut talk = debian(Delay::Fixed(Duration::ZERO));
    for _ in 0..2000 {
        talk.client.send(&[80]).unwrap();
    }
    let sent = talk.client.output().to_vec();
    talk.client.sent(sent.len());
    talk.connection.receive(&sent, talk.now);
    talk.connection.end_of_input(talk.now);
    assert!(!talk.connection.is_over() && talk.connection.output().len() > 2000);
    while !talk.connection.output().is_empty() {
        let output = talk.connection.output()[..1000.min(talk.connection.output().len())].to_vec();
        talk.connection.sent(output.len());
        talk.client.receive(&output);
        while let Some(payload) = talk.client.next().unwrap() {
            talk.came.push(payload);
        }
    }
    assert_eq!(talk.came.len(), 2000);
    assert_eq!(talk.connection.end(), Some(&End::ClientClosed));
}

#[test]
fn a_connection_has_so_many_bytes() {
    let mut talk = debian(Delay::Fixed(Duration::ZERO));
    // Of a packet that never ends.
    let mut ignore = vec![2];
    ignore.put_string(&vec![0; 90_000]);
    talk.send(&ignore);
    assert_eq!(talk.connection.end(), None);
    talk.send(&ignore);
    assert_eq!(talk.connection.end(), Some(&End::TooManyBytes));
    assert!(!talk.connection.wants_input());
}

#[test]
fn a_disconnect_is_told() {
    let mut talk = debian(Delay::Fixed(Duration::ZERO));
    let mut bye = vec![1];
    bye.put_u32(11);
    bye.put_string(b"Bye Bye");
    bye.put_string(b"");
    talk.send(&bye);
    let end = talk.connection.end().unwrap();
    assert_eq!(end, &End::ClientDisconnected { code: 11, text: "Bye Bye".to_owned() });
    assert!(end.is_by_client() && end.to_string().contains("11 Bye Bye"));
}

#[test]
fn a_banner_comes_before_the_first_answer_and_a_prompt_names_the_user() {
    let text = Profile::debian_12()
        .to_string()
        .replace("\"password\"]", "\"keyboard-interactive\"]")
        .replace("prompt = \"Password: \"", "prompt = \"({user}@gw) Password: \"\nbanner = \"Keep out\\n\"");
    let profile = Profile::parse(&text, Path::new("x")).unwrap();
    let mut talk = Talk::new(setup(profile, Delay::Fixed(Duration::ZERO)));
    talk.send(&request("none", b""));
    talk.send(&request("keyboard-interactive", &[0; 8]));
    assert_eq!(talk.numbers(), [53, 51, 60]);
    assert!(talk.came[0].windows(8).any(|part| part == b"Keep out"));
    assert!(talk.came[2].windows(19).any(|part| part == b"(root@gw) Password:"));
    while talk.connection.next().is_some() {}
    let mut answer = vec![61];
    answer.put_u32(1);
    answer.put_string(b"geheim");
    talk.send(&answer);
    assert_eq!(talk.numbers(), [53, 51, 60, 51]);
    let Some(Happening::Attempt(attempt)) = talk.connection.next() else { panic!("no attempt") };
    assert_eq!(attempt.method, Method::KeyboardInteractive { answers: vec![b"geheim".to_vec()] });
    // Two answers to one question are none.
    talk.send(&request("keyboard-interactive", &[0; 8]));
    let mut answers = vec![61];
    answers.put_u32(2);
    answers.put_string(b"a");
    answers.put_string(b"b");
    talk.send(&answers);
    assert!(matches!(talk.connection.end(), Some(End::Protocol(_))));
}

#[test]
fn algorithms_without_a_key_are_not_offered() {
    let talk = debian(Delay::Fixed(Duration::ZERO));
    let offered = talk.client.server_kexinit().unwrap();
    assert_eq!(offered.list(unmasq_ssh::List::HostKey), "ssh-ed25519");
}

#[test]
fn the_greeting_takes_its_time_as_the_profile_says() {
    let text = Profile::debian_12().to_string();
    let text = &text[..text.find("[delay]").unwrap()];
    let text = format!("{text}[delay]\npassword = [2000.0]\nother = [6.0]\ngreeting = [8.0]\n");
    let profile = Profile::parse(&text, Path::new("x")).unwrap();
    let now = Instant::now();
    let mut connection = Connection::new(Arc::new(setup(profile, Delay::Profile)), now);
    assert!(connection.output().is_empty());
    assert_eq!(connection.deadline(), Some(now + Duration::from_millis(8)));
    connection.wake(now + Duration::from_millis(8));
    assert!(connection.output().starts_with(b"SSH-2.0-OpenSSH_9.2p1"));
}
