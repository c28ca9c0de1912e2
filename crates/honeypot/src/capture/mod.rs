//! A profile of a server, from connections to it.
//!
//! Several connections, one after the other: what it says to garbage, its lists, its extensions, its kinds of host keys, its
//! methods, how often and how slowly it refuses. No sockets here:
//!
//! ```no_run
//! # use std::{io::{Read, Write}, net::TcpStream, time::Instant};
//! use unmasq_honeypot::capture::{Capture, Options};
//!
//! let mut capture = Capture::new(Options { user: "root".to_owned(), rounds: 3 })?;
//! while capture.connect(Instant::now()) {
//!     let mut stream = TcpStream::connect("192.0.2.7:22")?;
//!     let mut buffer = [0; 8192];
//!     while !capture.is_closing() {
//!         let sent = stream.write(capture.output())?;
//!         capture.sent(sent);
//!         match stream.read(&mut buffer)? {
//!             0 => capture.end_of_input()?,
//!             length => capture.receive(&buffer[..length], Instant::now())?,
//!         }
//!     }
//! }
//! print!("{}", capture.finish()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod delay;
mod task;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unmasq_ssh::wire::Reader;
use unmasq_ssh::{Hassh, Identification, KexInit, List};

use crate::client::{Client, ClientError, Offer};
use crate::hostkey::KeyKind;
use crate::profile::{Authentication, Delays, Profile, ProfileError, Texts};
use crate::random::NoRandomness;
use delay::Measured;
use task::{Event, Run, Task};

/// What to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The user name that is tried. Best one that is not there: too many failures may lock an account.
    pub user: String,
    /// How many connections are used up with wrong passwords, for the distribution of delays: each with the user name and
    /// its number behind. sshd with PAM takes some 15 seconds each. Without any, passwords are taken to be refused as fast as
    /// anything else.
    pub rounds: u32,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The key exchange failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server closed before it answered.
    #[error(
        "the server closed the connection {0}: is it a server of protocol 2.0, and does it take connections from here?"
    )]
    Closed(&'static str),
    /// Something was not found out.
    #[error("the server did not show {0}")]
    Missing(&'static str),
    /// The server has what this program cannot speak. The text may be saved, and mended.
    #[error("{source}")]
    NotSpoken {
        /// The profile as it would be.
        text: String,
        /// What is wrong with it.
        source: Box<ProfileError>,
    },
}

impl From<NoRandomness> for CaptureError {
    fn from(reason: NoRandomness) -> Self {
        Self::Client(reason.into())
    }
}

/// A capture under way.
pub struct Capture {
    options: Options,
    /// A password that nobody has.
    password: String,
    tasks: VecDeque<Task>,
    run: Option<Run>,
    found: Found,
}

/// What is known so far.
#[derive(Default)]
struct Found {
    identification: Option<Vec<u8>>,
    kexinit: Option<KexInit>,
    host_keys: Vec<KeyKind>,
    extensions: Vec<(String, String)>,
    methods: Option<Vec<String>>,
    banner: Option<String>,
    prompt: Option<String>,
    has_roles: bool,
    attempts: Option<u32>,
    too_many_attempts: Option<String>,
    bad_identification: Option<String>,
    other_protocol: Option<String>,
    round_trip: Option<Duration>,
    /// From opening a connection to what came first, with two round trips.
    greetings: Vec<Duration>,
    passwords: Vec<Measured>,
    others: Vec<Measured>,
}

impl Capture {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn new(options: Options) -> Result<Self, CaptureError> {
        let password = hex::encode(crate::random::bytes::<8>()?);
        let tasks = [Task::Garbage, Task::OldProtocol, Task::Methods, Task::Others, Task::Roles].into();
        Ok(Self { options, password, tasks, run: None, found: Found::default() })
    }

    /// Is another connection needed? Then it is to be opened now, and the next calls are about it.
    pub fn connect(&mut self, now: Instant) -> bool {
        self.run = self.tasks.pop_front().map(|task| Run::new(task, now));
        self.run.is_some()
    }

    /// What may be sent.
    pub fn output(&self) -> &[u8] {
        self.run.as_ref().map_or(&[], Run::output)
    }

    /// So many bytes of the output were sent.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(run) = &mut self.run {
            run.sent(bytes);
        }
    }

    /// Should the connection be closed, as it has served?
    pub fn is_closing(&self) -> bool {
        self.run.is_none()
    }

    /// Bytes came.
    ///
    /// # Errors
    /// If the server is none that can be captured.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), CaptureError> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        self.found.greetings.extend(run.receive(bytes, now));
        while let Some(event) = run.next()? {
            if !self.event(&mut run, event, now)? {
                return Ok(());
            }
        }
        self.run = Some(run);
        Ok(())
    }

    /// The server closed.
    ///
    /// # Errors
    /// If it did so before it showed what the connection was for.
    pub fn end_of_input(&mut self) -> Result<(), CaptureError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        match run.task() {
            Task::Garbage => self.found.bad_identification = Some(run.text_after_line()),
            Task::OldProtocol => self.found.other_protocol = Some(run.text_after_line()),
            Task::Passwords(_) | Task::Others if run.answers() > 0 => self.note_end(&run, None),
            // The other name was taken for another user's.
            Task::Roles if run.answers() > 0 => {}
            Task::Passwords(_)
            | Task::Others
            | Task::Methods
            | Task::Roles
            | Task::Prompt
            | Task::HostKey(_) => {
                return Err(CaptureError::Closed(run.task().purpose()));
            }
        }
        Ok(())
    }

    /// What comes of an event. Is the connection still needed?
    fn event(&mut self, run: &mut Run, event: Event, now: Instant) -> Result<bool, CaptureError> {
        match event {
            Event::Ready => {
                self.note_exchange(run.client());
                if matches!(run.task(), Task::HostKey(_)) {
                    return Ok(false);
                }
                run.ask_service(now)?;
            }
            Event::Packet(payload) => return self.packet(run, &payload, now),
        }
        Ok(true)
    }

    fn packet(&mut self, run: &mut Run, payload: &[u8], now: Instant) -> Result<bool, CaptureError> {
        let mut reader = Reader::new(payload.get(1..).unwrap_or_default());
        match payload.first() {
            Some(&task::EXT_INFO) => self.found.extensions = extensions(reader).unwrap_or_default(),
            Some(&task::SERVICE_ACCEPT) => {
                let took = run.took(now);
                self.found.round_trip = self.found.round_trip.into_iter().chain(took).min();
                run.ask(&self.options.user, &self.password, now)?;
            }
            Some(&task::BANNER) => self.found.banner = reader.string().map(text),
            Some(&task::INFO_REQUEST) => {
                let asked = prompt(reader, &self.options.user).ok_or(CaptureError::Missing("its prompt"))?;
                self.found.prompt = Some(asked);
                return Ok(false);
            }
            Some(&task::FAILURE) => {
                self.note_answer(run, now);
                if matches!(run.task(), Task::Methods | Task::Prompt) {
                    let methods = reader.string().map(text).unwrap_or_default();
                    self.note_methods(methods.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
                    return Ok(false);
                }
                if matches!(run.task(), Task::Roles) && run.answers() > 1 {
                    self.found.has_roles = true;
                    return Ok(false);
                }
                if run.answers() >= task::MOST_ANSWERS {
                    self.note_end(run, None);
                    return Ok(false);
                }
                run.ask(&self.options.user, &self.password, now)?;
            }
            Some(&unmasq_ssh::message::DISCONNECT) if matches!(run.task(), Task::Roles) => return Ok(false),
            Some(&unmasq_ssh::message::DISCONNECT) => {
                self.note_answer(run, now);
                let said = reader.u32().and_then(|_| reader.string()).map(text);
                self.note_end(run, said);
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn note_answer(&mut self, run: &mut Run, now: Instant) {
        run.count_answer();
        let took = run.measured(now, self.found.round_trip.unwrap_or_default());
        match run.task() {
            Task::Passwords(_) if run.answers() > task::NONES => self.found.passwords.extend(took),
            Task::Passwords(_) | Task::Others => self.found.others.extend(took),
            Task::Garbage
            | Task::OldProtocol
            | Task::Methods
            | Task::Roles
            | Task::Prompt
            | Task::HostKey(_) => {}
        }
    }

    /// After the last answer of a connection that was used up.
    fn note_end(&mut self, run: &Run, said: Option<String>) {
        // The first is a `none`, which is free.
        self.found.attempts = Some(run.answers().saturating_sub(1).max(1));
        self.found.too_many_attempts = said.or(self.found.too_many_attempts.take());
    }

    fn note_methods(&mut self, methods: impl Iterator<Item = String>) {
        if self.found.methods.is_some() {
            return;
        }
        let methods: Vec<String> = methods.collect();
        let has = |name| methods.iter().any(|method| method == name);
        if has("password") {
            self.tasks.extend((0..self.options.rounds).map(Task::Passwords));
        }
        if has("keyboard-interactive") {
            self.tasks.push_back(Task::Prompt);
        }
        self.found.methods = Some(methods);
    }

    /// The first time: all its lists, and which host keys are still to be seen.
    fn note_exchange(&mut self, client: &Client) {
        let kind = client.host_key().and_then(key_kind);
        self.found.host_keys.extend(kind.filter(|kind| !self.found.host_keys.contains(kind)));
        if self.found.kexinit.is_some() {
            return;
        }
        self.found.identification = client.server_line().map(<[u8]>::to_vec);
        let Some(kexinit) = client.server_kexinit() else { return };
        let mut seen: Vec<&str> = self.found.host_keys.iter().map(|kind| kind.name()).collect();
        for algorithm in kexinit.names(List::HostKey) {
            let spoken = [KeyKind::Rsa(0), KeyKind::EcdsaP256, KeyKind::Ed25519];
            let Some(kind) = spoken.into_iter().find(|kind| kind.can_sign(algorithm)) else { continue };
            if !seen.contains(&kind.name()) {
                seen.push(kind.name());
                self.tasks.push_back(Task::HostKey(algorithm.to_owned()));
            }
        }
        self.found.kexinit = Some(kexinit.clone());
    }

    /// What was found.
    ///
    /// # Errors
    /// If the server did not show all that a profile says, or has what cannot be spoken.
    pub fn finish(self) -> Result<Profile, CaptureError> {
        let found = self.found;
        let missing = CaptureError::Missing;
        let line = found.identification.ok_or(missing("its identification"))?;
        let identification = Identification::parse(&line).map_err(|_| missing("an identification"))?;
        let mut kexinit = found.kexinit.ok_or(missing("its lists"))?;
        kexinit.cookie = [0; 16];
        let mut host_keys = found.host_keys;
        host_keys.sort_by_key(|kind| kexinit.names(List::HostKey).position(|name| kind.can_sign(name)));
        let profile = Profile {
            identification,
            host_keys,
            hassh: Arc::new(Hassh::of_server(&kexinit)),
            kexinit,
            extensions: found.extensions,
            authentication: Authentication {
                methods: found.methods.ok_or(missing("its methods"))?,
                attempts: found.attempts.ok_or(missing("how many attempts it answers"))?,
                prompt: found.prompt.unwrap_or_else(|| "Password: ".to_owned()),
                banner: found.banner,
                has_roles: found.has_roles,
            },
            text: Texts {
                bad_identification: found.bad_identification.unwrap_or_default(),
                other_protocol: found.other_protocol.unwrap_or_default(),
                too_many_attempts: found.too_many_attempts.unwrap_or_default(),
            },
            delay: Delays {
                greeting: delay::greetings(&found.greetings, found.round_trip.unwrap_or_default()),
                ..delay::estimate(&found.passwords, &found.others).ok_or(missing("a refusal"))?
            },
            moduli: Arc::default(),
        };
        // What is captured is checked as what is read.
        let text = profile.to_string();
        match Profile::parse(&text, Path::new("captured")) {
            Ok(profile) => Ok(profile),
            Err(source) => Err(CaptureError::NotSpoken { text, source: Box::new(source) }),
        }
    }
}

/// Bytes that are no UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn extensions(mut reader: Reader<'_>) -> Option<Vec<(String, String)>> {
    let count = reader.u32()?;
    (0..count).map(|_| Some((text(reader.string()?), text(reader.string()?)))).collect()
}

/// The first prompt; the user name in it is made a place for any.
fn prompt(mut reader: Reader<'_>, user: &str) -> Option<String> {
    for _name_instruction_language in 0..3 {
        reader.string()?;
    }
    reader.u32()?;
    let prompt = text(reader.string()?);
    Some(if user.is_empty() { prompt } else { prompt.replace(user, "{user}") })
}

fn key_kind(public: &[u8]) -> Option<KeyKind> {
    let mut reader = Reader::new(public);
    match reader.string()? {
        b"ssh-ed25519" => Some(KeyKind::Ed25519),
        b"ecdsa-sha2-nistp256" => Some(KeyKind::EcdsaP256),
        b"ssh-rsa" => {
            let _exponent = reader.string()?;
            let modulus = reader.string()?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let first = modulus.get(zeros)?;
            Some(KeyKind::Rsa((modulus.len() - zeros) as u32 * 8 - first.leading_zeros()))
        }
        _ => None,
    }
}

/// A client that takes one host key algorithm only.
fn offer_of(algorithm: &str) -> Offer {
    Offer { host_key: algorithm.to_owned(), ..Offer::default() }
}
