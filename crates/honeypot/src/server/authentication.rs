//! User authentication (RFC 4252, 4256), of which the only answers are failure and the end.

use std::collections::VecDeque;

use unmasq_ssh::wire::{Reader, Write};

use super::attempt::{self, Request, c_string, has_method};
use super::session::{Sender, Verdict};
use super::{Attempt, End, Happening, Method, Setup};
use crate::profile::Failure;

/// SSH_MSG_SERVICE_REQUEST.
const SERVICE_REQUEST: u8 = 5;
/// SSH_MSG_SERVICE_ACCEPT.
const SERVICE_ACCEPT: u8 = 6;
/// SSH_MSG_USERAUTH_REQUEST.
const REQUEST: u8 = 50;
/// SSH_MSG_USERAUTH_FAILURE.
const FAILURE: u8 = 51;
/// SSH_MSG_USERAUTH_BANNER.
const BANNER: u8 = 53;
/// SSH_MSG_USERAUTH_INFO_REQUEST.
const INFO_REQUEST: u8 = 60;
/// SSH_MSG_USERAUTH_INFO_RESPONSE.
const INFO_RESPONSE: u8 = 61;

/// More answers than that are not written down (sshd asks no more questions: `KbdintDevice` of auth2-chall.c).
const MOST_ANSWERS: usize = 100;

/// After the key exchange.
pub(super) struct Authentication {
    /// The session's identifier, which signatures cover.
    session: Vec<u8>,
    is_service_accepted: bool,
    /// User name and service of the first request; another one ends the connection.
    who: Option<(Vec<u8>, Vec<u8>)>,
    failures: u32,
    /// A prompt waits for its answer: of this user name and service.
    prompted: Option<(Vec<u8>, Vec<u8>)>,
}

/// What a packet may change.
pub(super) struct Context<'a> {
    pub(super) setup: &'a Setup,
    pub(super) happenings: &'a mut VecDeque<Happening>,
}

const UNREADABLE: Verdict =
    Verdict::Close(End::Protocol("a request for authentication that sshd does not read"));
const CUT_OFF: Verdict =
    Verdict::Close(End::Protocol("a packet of authentication that is cut off or too long"));

impl Authentication {
    pub(super) fn new(session: Vec<u8>) -> Self {
        Self { session, is_service_accepted: false, who: None, failures: 0, prompted: None }
    }

    /// Whom the client tries to be; empty before it has said so.
    pub(super) fn user(&self) -> &[u8] {
        self.who.as_ref().map_or(&[], |(user, _)| user)
    }

    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Verdict {
        let reader = Reader::new(&payload[1..]);
        let verdict = match payload[0] {
            SERVICE_REQUEST => self.service_request(reader, sender),
            REQUEST if self.is_service_accepted => self.request(reader, sender, context),
            INFO_RESPONSE => match self.prompted.take() {
                Some(who) => self.info_response(who, reader, sender, context),
                // Each request takes the handler of answers away, and what has none ends the connection.
                None if self.who.is_some() => Err(Verdict::Close(End::Protocol("an answer to no question"))),
                None => return Verdict::Unexpected,
            },
            _ => return Verdict::Unexpected,
        };
        verdict.unwrap_or_else(|verdict| verdict)
    }

    fn service_request(
        &mut self,
        mut reader: Reader<'_>,
        sender: &mut Sender<'_>,
    ) -> Result<Verdict, Verdict> {
        let service =
            reader.string().and_then(c_string).filter(|_| reader.rest().is_empty()).ok_or(CUT_OFF)?;
        if service != b"ssh-userauth" {
            return Err(Verdict::Disconnect(End::NoService, [b"bad service request ", service].concat()));
        }
        self.is_service_accepted = true;
        let mut reply = vec![SERVICE_ACCEPT];
        reply.put_string(service);
        sender.send(&reply)?;
        Ok(Verdict::Done)
    }

    fn request(
        &mut self,
        mut reader: Reader<'_>,
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Result<Verdict, Verdict> {
        let fields = (reader.string(), reader.string(), reader.string());
        let (Some(username), Some(service), Some(name)) = fields else { return Err(CUT_OFF) };
        let is_first = self.who.is_none();
        let strings = (c_string(username), c_string(service), c_string(name));
        let (Some(whole_name), Some(service), Some(name)) = strings else {
            let method = Method::Other { name: name.to_vec(), rest: reader.rest().to_vec() };
            Self::note(context, (username, service), self.failures + 1, method);
            return Err(UNREADABLE);
        };
        let user = without_style(whole_name, context.setup.profile.authentication().has_roles);
        let is_other =
            |(known, known_service): &&(Vec<u8>, Vec<u8>)| known != user || known_service != service;
        if let Some((known, known_service)) = self.who.as_ref().filter(is_other) {
            return Err(other_user((known, known_service), (user, service)));
        }
        if is_first {
            self.who = Some((user.to_vec(), service.to_vec()));
            if let Some(banner) = &context.setup.profile.authentication().banner {
                let mut payload = vec![BANNER];
                payload.put_string(banner.as_bytes());
                payload.put_string(b"");
                sender.send(&payload)?;
            }
        }
        self.prompted = None;
        if name == b"keyboard-interactive" && has_method(context.setup, "keyboard-interactive") {
            if reader.string().is_none() || reader.string().is_none() {
                return Err(CUT_OFF);
            }
            self.prompted = Some((username.to_vec(), service.to_vec()));
            sender.send(&prompt(&context.setup.profile.authentication().prompt, user))?;
            return Ok(Verdict::Done);
        }
        let request = Request { session: &self.session, username, service, method: name, is_first };
        let tried = attempt::read(&request, &reader, context.setup);
        let is_free = is_first && name == b"none";
        let number = if is_free { 0 } else { self.failures + 1 };
        Self::note(context, (username, service), number, tried.method);
        if tried.is_fatal {
            return Err(UNREADABLE);
        }
        self.failures = number;
        self.refuse(tried.failure, sender, context)
    }

    fn note(context: &mut Context<'_>, who: (&[u8], &[u8]), number: u32, method: Method) {
        let (username, service) = (who.0.to_vec(), who.1.to_vec());
        context.happenings.push_back(Happening::Attempt(Attempt { username, service, number, method }));
    }

    fn info_response(
        &mut self,
        (username, service): (Vec<u8>, Vec<u8>),
        mut reader: Reader<'_>,
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Result<Verdict, Verdict> {
        let count = reader.u32().ok_or(CUT_OFF)?;
        // As many as are there, whatever the count says.
        let answers = std::iter::from_fn(|| reader.string()).take(MOST_ANSWERS);
        let answers: Vec<Vec<u8>> = answers.map(<[u8]>::to_vec).collect();
        let is_fatal = count != 1 || answers.len() != 1 || !reader.rest().is_empty();
        self.failures += 1;
        let method = Method::KeyboardInteractive { answers };
        Self::note(context, (&username, &service), self.failures, method);
        if is_fatal {
            return Err(Verdict::Close(End::Protocol("not the one answer that was asked for")));
        }
        self.refuse(Failure::Password, sender, context)
    }

    /// No.
    fn refuse(
        &self,
        failure: Failure,
        sender: &mut Sender<'_>,
        context: &Context<'_>,
    ) -> Result<Verdict, Verdict> {
        if self.failures >= context.setup.limits.attempts {
            let end = End::TooManyAttempts { is_password: failure == Failure::Password };
            let text = &context.setup.profile.text().too_many_attempts;
            return Ok(Verdict::Disconnect(end, text.as_bytes().to_vec()));
        }
        let mut reply = vec![FAILURE];
        reply.put_string(context.setup.profile.authentication().methods.join(",").as_bytes());
        reply.put_boolean(false);
        sender.send(&reply)?;
        Ok(Verdict::Failed(failure))
    }
}

/// The name before a style (behind a colon) and, where the server knows them, a role (behind a slash).
fn without_style(name: &[u8], has_roles: bool) -> &[u8] {
    let is_end = |byte: &u8| *byte == b':' || has_roles && *byte == b'/';
    name.split(is_end).next().unwrap_or(name)
}

fn other_user(known: (&Vec<u8>, &Vec<u8>), other: (&[u8], &[u8])) -> Verdict {
    let text = [
        b"Change of username or service not allowed: (",
        known.0.as_slice(),
        b",",
        known.1.as_slice(),
        b") -> (",
        other.0,
        b",",
        other.1,
        b")",
    ]
    .concat();
    Verdict::Disconnect(End::OtherUser, text)
}

/// The question that keyboard-interactive asks.
fn prompt(prompt: &str, user: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for (nth, part) in prompt.split("{user}").enumerate() {
        if nth > 0 {
            text.extend_from_slice(user);
        }
        text.extend_from_slice(part.as_bytes());
    }
    let mut payload = vec![INFO_REQUEST];
    // Name, instruction and language; then one prompt, whose answer is not shown.
    for _ in 0..3 {
        payload.put_string(b"");
    }
    payload.put_u32(1);
    payload.put_string(&text);
    payload.put_boolean(false);
    payload
}
