//! The key exchange, the server's side.

use std::borrow::Cow;
use std::collections::VecDeque;

use ring::digest;
use unmasq_ssh::wire::{Reader, Write};
use unmasq_ssh::{Hassh, KexInit, List, Negotiated, message};

use super::authentication::Authentication;
use super::session::{Sender, Verdict, whole_kexinit};
use super::{End, Happening, Peer, Setup};
use crate::kex::{self, Answer, Method, Prime, Refused, message as number};
use crate::profile::Profile;
use crate::random::NoRandomness;
use crate::transport::{Agreed, NotSpoken, Opener, Secrets, Toward};

/// SSH_MSG_EXT_INFO (RFC 8308).
const EXT_INFO: u8 = 7;

/// What both sides' hashes begin with.
struct Beginning {
    /// Without line ends.
    client_line: Vec<u8>,
    server_kexinit: KexInit,
    server_payload: Vec<u8>,
    client_payload: Vec<u8>,
}

/// A key exchange.
pub(super) struct Exchange {
    beginning: Beginning,
    step: Step,
    wants_extensions: bool,
}

enum Step {
    /// For the client's KEXINIT.
    KexInit,
    /// For its public value.
    Value { method: Method, negotiated: Box<Negotiated> },
    /// For its public value in a group that it asked for: with what numbers.
    GroupValue {
        prime: Box<Cow<'static, Prime>>,
        asked: [u32; 3],
        method: Method,
        negotiated: Box<Negotiated>,
    },
    /// For its NEWKEYS.
    NewKeys { secrets: Box<Secrets>, negotiated: Box<Negotiated> },
}

/// What a packet may change.
pub(super) struct Context<'a> {
    pub(super) setup: &'a Setup,
    pub(super) peer: &'a mut Peer,
    pub(super) happenings: &'a mut VecDeque<Happening>,
    pub(super) opener: &'a mut Opener,
    pub(super) is_strict: &'a mut bool,
    pub(super) skips_next: &'a mut bool,
    pub(super) sequence: u32,
}

impl From<NotSpoken> for Verdict {
    fn from(_: NotSpoken) -> Self {
        // Profiles are checked for what can be spoken, so no client gets here.
        Self::Close(End::Protocol("a cipher or MAC was negotiated that cannot be spoken"))
    }
}

impl From<Refused> for Verdict {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Value => Self::Close(End::BadValue),
            Refused::NoRandomness(reason) => reason.into(),
        }
    }
}

const CUT_OFF: Verdict =
    Verdict::Close(End::Protocol("a packet of the key exchange that is cut off or too long"));

impl Exchange {
    pub(super) fn new(client_line: Vec<u8>, server_kexinit: KexInit) -> Self {
        let server_payload = server_kexinit.to_payload();
        let beginning = Beginning { client_line, server_kexinit, server_payload, client_payload: Vec::new() };
        Self { beginning, step: Step::KexInit, wants_extensions: false }
    }

    /// The payload of the packet that we begin with.
    pub(super) fn own_kexinit(&self) -> &[u8] {
        &self.beginning.server_payload
    }

    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Verdict {
        let verdict = match (&self.step, payload[0]) {
            (Step::KexInit, message::KEXINIT) => self.kexinit(payload, context),
            (Step::Value { method: Method::GroupExchange(_), .. }, number::GEX_REQUEST) => {
                self.group_request(payload, sender, context)
            }
            (Step::Value { method: Method::GroupExchange(_), .. }, _) => return Verdict::Unexpected,
            (Step::Value { .. }, number::INIT) | (Step::GroupValue { .. }, number::GEX_INIT) => {
                self.value(payload, sender, context)
            }
            (Step::NewKeys { .. }, message::NEWKEYS) => self.new_keys(payload, context),
            _ => return Verdict::Unexpected,
        };
        verdict.unwrap_or_else(|verdict| verdict)
    }

    fn kexinit(&mut self, payload: &[u8], context: &mut Context<'_>) -> Result<Verdict, Verdict> {
        let client = whole_kexinit(payload).ok_or(CUT_OFF)?;
        let has = |marker| client.names(List::Kex).any(|name| name == marker);
        self.wants_extensions = has("ext-info-c");
        let is_ours_strict =
            self.beginning.server_kexinit.names(List::Kex).any(|name| name == "kex-strict-s-v00@openssh.com");
        *context.is_strict = is_ours_strict && has("kex-strict-c-v00@openssh.com");
        let negotiated = Negotiated::of(&client, &self.beginning.server_kexinit);
        context.peer.hassh = Some(Hassh::of_client(&client));
        context.peer.kexinit = Some(client);
        context.peer.negotiated = negotiated.as_ref().ok().cloned();
        context.happenings.push_back(Happening::Negotiated);
        if *context.is_strict && context.sequence != 0 {
            let text = "strict KEX violation: KEXINIT was not the first packet";
            let end = End::Protocol("a KEXINIT of strict key exchange that is not the first packet");
            return Ok(Verdict::Disconnect(end, text.into()));
        }
        let negotiated = negotiated.map_err(|reason| Verdict::Close(End::NoCommon(reason)))?;
        let method = kex::method(&negotiated.kex).ok_or(NotSpoken)?;
        *context.skips_next = negotiated.is_guess_wrong;
        self.beginning.client_payload = payload.to_vec();
        self.step = Step::Value { method, negotiated: Box::new(negotiated) };
        Ok(Verdict::Done)
    }

    fn group_request(
        &mut self,
        payload: &[u8],
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Result<Verdict, Verdict> {
        let mut reader = Reader::new(&payload[1..]);
        let numbers = (reader.u32(), reader.u32(), reader.u32());
        let (Some(least), Some(wanted), Some(most)) = numbers else { return Err(CUT_OFF) };
        if !reader.rest().is_empty() {
            return Err(CUT_OFF);
        }
        // sshd's bounds: dh.h has 2048 and 8192, and it refuses questions that contradict themselves.
        let is_possible = least <= wanted && wanted <= most && most >= 2048;
        if !is_possible {
            return Err(Verdict::Close(End::BadValue));
        }
        let moduli = context.setup.profile.moduli();
        let prime = moduli.choose(least.max(2048), wanted.clamp(2048, 8192), most.min(8192))?;
        let prime = prime.ok_or(Verdict::Close(End::BadValue))?;
        let mut reply = vec![number::GEX_GROUP];
        reply.put_mpint(prime.bytes());
        reply.put_mpint(&[prime.generator()]);
        sender.send(&reply)?;
        self.step = match std::mem::replace(&mut self.step, Step::KexInit) {
            Step::Value { method, negotiated } => {
                Step::GroupValue { prime: Box::new(prime), asked: [least, wanted, most], method, negotiated }
            }
            other => other,
        };
        Ok(Verdict::Done)
    }

    /// The client's public value has come: we know the secret, say so, and use it from here on.
    fn value(
        &mut self,
        payload: &[u8],
        sender: &mut Sender<'_>,
        context: &mut Context<'_>,
    ) -> Result<Verdict, Verdict> {
        let mut reader = Reader::new(&payload[1..]);
        let client = reader.string().filter(|_| reader.rest().is_empty()).ok_or(CUT_OFF)?;
        let (method, negotiated, group) = match std::mem::replace(&mut self.step, Step::KexInit) {
            Step::Value { method, negotiated } => (method, negotiated, None),
            Step::GroupValue { prime, asked, method, negotiated } => {
                (method, negotiated, Some((prime, asked)))
            }
            Step::KexInit | Step::NewKeys { .. } => return Ok(Verdict::Unexpected),
        };
        let answer = match &group {
            Some((prime, _)) => prime.answer(client),
            None => method.answer(client),
        }?;
        let key = context.setup.keys.for_algorithm(&negotiated.host_key).ok_or(NotSpoken)?;
        let is_number = matches!(method, Method::Fixed(..) | Method::GroupExchange(_));
        let hash = method.hash().algorithm();
        let exchange_hash = self.beginning.hash(
            hash,
            &context.setup.profile,
            key.public(),
            (client, &answer),
            is_number,
            group.as_ref().map(|(prime, asked)| (prime.as_ref().as_ref(), *asked)),
        );
        let mut reply = vec![if group.is_some() { number::GEX_REPLY } else { number::REPLY }];
        reply.put_string(key.public());
        reply.put_string(&answer.public);
        reply.put_string(&key.sign(&negotiated.host_key, &exchange_hash)?);
        sender.send(&reply)?;
        sender.send(&[message::NEWKEYS])?;
        let session = exchange_hash.clone();
        let secrets = Box::new(Secrets { shared: answer.shared, exchange_hash, session, hash });
        let (direction, is_strict) = (&negotiated.to_client, *context.is_strict);
        sender.sealer.rekey(&Agreed { secrets: &secrets, toward: Toward::Client, direction, is_strict })?;
        if self.wants_extensions {
            send_extensions(&context.setup.profile, sender)?;
        }
        self.step = Step::NewKeys { secrets, negotiated };
        Ok(Verdict::Done)
    }

    fn new_keys(&mut self, payload: &[u8], context: &mut Context<'_>) -> Result<Verdict, Verdict> {
        if payload.len() != 1 {
            return Err(CUT_OFF);
        }
        let Step::NewKeys { secrets, negotiated } = std::mem::replace(&mut self.step, Step::KexInit) else {
            return Ok(Verdict::Unexpected);
        };
        let (direction, is_strict) = (&negotiated.to_server, *context.is_strict);
        context.opener.rekey(&Agreed { secrets: &secrets, toward: Toward::Server, direction, is_strict })?;
        let authentication = Authentication::new(secrets.session);
        Ok(Verdict::Authenticate(Box::new(authentication)))
    }
}

impl Beginning {
    /// The exchange hash. `values` are the client's public value and our answer.
    fn hash(
        &self,
        algorithm: &'static digest::Algorithm,
        profile: &Profile,
        host_key: &[u8],
        values: (&[u8], &Answer),
        is_number: bool,
        group: Option<(&Prime, [u32; 3])>,
    ) -> Vec<u8> {
        let (client, answer) = values;
        let mut hashed = Vec::with_capacity(4096);
        hashed.put_string(&self.client_line);
        hashed.put_string(profile.identification().line().as_bytes());
        hashed.put_string(&self.client_payload);
        hashed.put_string(&self.server_payload);
        hashed.put_string(host_key);
        if let Some((prime, asked)) = group {
            for number in asked {
                hashed.put_u32(number);
            }
            hashed.put_mpint(prime.bytes());
            hashed.put_mpint(&[prime.generator()]);
        }
        if is_number {
            // In the one form that an mpint has, whatever zeros the client put in front.
            hashed.put_mpint(client);
        } else {
            hashed.put_string(client);
        }
        hashed.put_string(&answer.public);
        hashed.extend_from_slice(&answer.shared);
        digest::digest(algorithm, &hashed).as_ref().to_vec()
    }
}

fn send_extensions(profile: &Profile, sender: &mut Sender<'_>) -> Result<(), NoRandomness> {
    let extensions = profile.extensions();
    if extensions.is_empty() {
        return Ok(());
    }
    let mut payload = vec![EXT_INFO];
    payload.put_u32(extensions.len() as u32);
    for (name, value) in extensions {
        payload.put_string(name.as_bytes());
        payload.put_string(value.as_bytes());
    }
    sender.send(&payload)
}
