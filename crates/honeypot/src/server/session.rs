//! Packets of a client, dispatched as sshd dispatches them.

use std::collections::VecDeque;
use std::sync::Arc;

use unmasq_ssh::wire::{Reader, Write};
use unmasq_ssh::{Hassh, Identification, KexInit, message};

use super::attempt::c_string;
use super::authentication::{self, Authentication};
use super::exchange::{self, Exchange};
use super::{End, Happening, Peer, Progress, Setup, compat, greeting};
use crate::random::NoRandomness;
use crate::transport::{Opened, Opener, Sealer};

/// SSH_DISCONNECT_PROTOCOL_ERROR: the code of all that sshd sends.
const PROTOCOL_ERROR: u32 = 2;
/// Longest text of a DISCONNECT: sshd's buffer is one byte more (`ssh_packet_disconnect` of packet.c).
const MOST_TEXT: usize = 1023;
/// Numbers of the transport layer, of which sshd says that it has not implemented them; others end a key exchange.
const TRANSPORT: std::ops::RangeInclusive<u8> = 1..=49;

/// A connection after the greeting.
pub(super) struct Session {
    opener: Opener,
    sealer: Sealer,
    phase: Phase,
    is_strict: bool,
    /// The next packet follows a wrong guess.
    skips_next: bool,
}

enum Phase {
    Exchange(Box<Exchange>),
    Authentication(Box<Authentication>),
}

/// Where results go.
pub(super) struct Outcome<'a> {
    pub(super) setup: &'a Setup,
    pub(super) output: &'a mut Vec<u8>,
    pub(super) peer: &'a mut Peer,
    pub(super) happenings: &'a mut VecDeque<Happening>,
}

/// What a phase makes of a packet.
pub(super) enum Verdict {
    /// It was dealt with.
    Done,
    /// An attempt failed.
    Failed(crate::profile::Failure),
    /// It is not expected here.
    Unexpected,
    /// The end, without a word.
    Close(End),
    /// The end, with a DISCONNECT of this text.
    Disconnect(End, Vec<u8>),
    /// The key exchange is done.
    Authenticate(Box<Authentication>),
}

impl From<NoRandomness> for Verdict {
    fn from(reason: NoRandomness) -> Self {
        Self::Close(End::Broken(reason))
    }
}

/// Sends payloads.
pub(super) struct Sender<'a> {
    pub(super) sealer: &'a mut Sealer,
    pub(super) output: &'a mut Vec<u8>,
}

impl Sender<'_> {
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), NoRandomness> {
        self.sealer.seal(payload, self.output)
    }
}

impl Session {
    /// The client has identified itself: our KEXINIT goes out.
    pub(super) fn new(
        setup: &Setup,
        line: Vec<u8>,
        output: &mut Vec<u8>,
        peer: &mut Peer,
    ) -> Result<Self, NoRandomness> {
        peer.identification = Identification::parse(&line).ok();
        let mut kexinit = setup.profile.kexinit_with(&setup.keys)?;
        let is_shorter = compat::leave_out(&mut kexinit, greeting::software(&line));
        peer.hassh_server = Some(if is_shorter {
            Arc::new(Hassh::of_server(&kexinit))
        } else {
            Arc::clone(setup.profile.hassh())
        });
        let mut sealer = Sealer::new();
        let exchange = Exchange::new(line, kexinit);
        sealer.seal(exchange.own_kexinit(), output)?;
        Ok(Self {
            opener: Opener::new(),
            sealer,
            phase: Phase::Exchange(Box::new(exchange)),
            is_strict: false,
            skips_next: false,
        })
    }

    /// One packet, of the input from `done` on.
    pub(super) fn step(&mut self, input: &mut [u8], done: &mut usize, outcome: &mut Outcome<'_>) -> Progress {
        let input = &mut input[*done..];
        let (start, end, length, sequence) = match self.opener.open(input) {
            Opened::Partial => return Progress::Starved,
            Opened::Bad(what) => return Progress::Ended(End::Protocol(what)),
            Opened::BadPadding(padding) => {
                let text = format!("Corrupted padlen {padding} on input.");
                let end = End::Protocol("a packet with too little padding");
                return self.disconnect(end, text.as_bytes(), outcome);
            }
            Opened::Whole { start, end, length, sequence } => (start, end, length, sequence),
        };
        *done += length;
        let Some(payload) = input.get(start..end) else {
            return Progress::Ended(End::Protocol("a packet without payload"));
        };
        let Some(&number) = payload.first() else {
            return Progress::Ended(End::Protocol("a packet without payload"));
        };
        if number == 0 || number >= 192 {
            let text = format!("Invalid ssh2 packet type: {number}");
            return self.disconnect(
                End::Protocol("a packet of no possible number"),
                text.as_bytes(),
                outcome,
            );
        }
        if number == message::DISCONNECT {
            return Progress::Ended(disconnected(payload));
        }
        let is_exchange = matches!(self.phase, Phase::Exchange(_));
        if !(is_exchange && self.is_strict) {
            match implicit(payload) {
                Some(Ok(())) => return Progress::Made,
                Some(Err(end)) => return Progress::Ended(end),
                None => {}
            }
        }
        if std::mem::take(&mut self.skips_next) {
            return Progress::Made;
        }
        let mut sender = Sender { sealer: &mut self.sealer, output: outcome.output };
        let verdict = match &mut self.phase {
            Phase::Exchange(exchange) => {
                let mut context = exchange::Context {
                    setup: outcome.setup,
                    peer: outcome.peer,
                    happenings: outcome.happenings,
                    opener: &mut self.opener,
                    is_strict: &mut self.is_strict,
                    skips_next: &mut self.skips_next,
                    sequence,
                };
                exchange.packet(payload, &mut sender, &mut context)
            }
            Phase::Authentication(authentication) => {
                let mut context =
                    authentication::Context { setup: outcome.setup, happenings: outcome.happenings };
                authentication.packet(payload, &mut sender, &mut context)
            }
        };
        match verdict {
            Verdict::Done => Progress::Made,
            Verdict::Failed(failure) => Progress::Failed(failure),
            Verdict::Close(end) => Progress::Ended(end),
            Verdict::Disconnect(end, text) => self.disconnect(end, &text, outcome),
            Verdict::Authenticate(authentication) => {
                self.phase = Phase::Authentication(authentication);
                Progress::Made
            }
            Verdict::Unexpected if is_exchange && !TRANSPORT.contains(&number) => {
                Progress::Ended(End::Protocol("a packet that has no place in a key exchange"))
            }
            Verdict::Unexpected if is_exchange && self.is_strict => {
                let text =
                    format!("strict KEX violation: unexpected packet type {number} (seqnr {sequence})");
                let end = End::Protocol("a packet that has no place in a strict key exchange");
                self.disconnect(end, text.as_bytes(), outcome)
            }
            Verdict::Unexpected => {
                let mut payload = vec![message::UNIMPLEMENTED];
                payload.put_u32(sequence);
                match self.sealer.seal(&payload, outcome.output) {
                    Ok(()) => Progress::Made,
                    Err(reason) => Progress::Ended(End::Broken(reason)),
                }
            }
        }
    }

    /// Whom the client tries to be; empty before it has said so.
    pub(super) fn user(&self) -> &[u8] {
        match &self.phase {
            Phase::Exchange(_) => &[],
            Phase::Authentication(authentication) => authentication.user(),
        }
    }

    fn disconnect(&mut self, end: End, text: &[u8], outcome: &mut Outcome<'_>) -> Progress {
        let mut payload = vec![message::DISCONNECT];
        payload.put_u32(PROTOCOL_ERROR);
        payload.put_string(&text[..text.len().min(MOST_TEXT)]);
        payload.put_string(b"");
        match self.sealer.seal(&payload, outcome.output) {
            Ok(()) => Progress::Ended(end),
            Err(reason) => Progress::Ended(End::Broken(reason)),
        }
    }
}

/// A client's DISCONNECT.
fn disconnected(payload: &[u8]) -> End {
    let mut reader = Reader::new(&payload[1..]);
    match (reader.u32(), reader.string()) {
        (Some(code), Some(text)) => End::ClientDisconnected {
            code,
            text: String::from_utf8_lossy(&text[..text.len().min(MOST_TEXT)]).into_owned(),
        },
        _ => End::Protocol("a DISCONNECT that is cut off"),
    }
}

/// Packets that may come at any time and change nothing.
fn implicit(payload: &[u8]) -> Option<Result<(), End>> {
    let mut reader = Reader::new(&payload[1..]);
    let is_whole = match payload[0] {
        message::IGNORE => true,
        message::UNIMPLEMENTED => reader.u32().is_some(),
        message::DEBUG => {
            reader.boolean().is_some() && reader.string().is_some() && reader.string().is_some()
        }
        _ => return None,
    };
    Some(is_whole.then_some(()).ok_or(End::Protocol("a packet that is cut off")))
}

/// A KEXINIT with nothing behind it. Unlike [`KexInit::parse`] it takes lists of any bytes, as sshd does: those that are no
/// visible ASCII are replaced, and are in no name that we have.
pub(super) fn whole_kexinit(payload: &[u8]) -> Option<KexInit> {
    let mut reader = Reader::new(&payload[1..]);
    let cookie = reader.bytes(16)?.try_into().ok()?;
    let mut lists: [String; 10] = Default::default();
    for list in &mut lists {
        let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '\u{fffd}' };
        *list = c_string(reader.string()?)?.iter().map(visible).collect();
    }
    let first_kex_packet_follows = reader.boolean()?;
    let _reserved = reader.u32()?;
    reader.rest().is_empty().then_some(KexInit { cookie, lists, first_kex_packet_follows })
}
