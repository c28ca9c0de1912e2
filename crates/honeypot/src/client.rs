//! The client's side, as far as a capture needs it: a key exchange, then packets.
//!
//! It says what it likes, also what no honest client says, and does not ask whether the host key is the right one.

use ring::{agreement, digest};
use unmasq_ssh::wire::{Reader, Write};
use unmasq_ssh::{Direction, KexInit, List, Negotiated, message};

use crate::kex::{self, CurveKey, DhKey, Method, Refused, message as number};
use crate::random::{self, NoRandomness};
use crate::transport::{Agreed, NotSpoken, Opened, Opener, Sealer, Secrets, Toward};

/// Most bytes that a server may send before its identification, and of it.
const MOST_GREETING: usize = 64 * 1024;

/// What a client begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The line, without its end.
    pub identification: String,
    /// Key exchange methods, with markers: `curve25519-sha256`, `ecdh-sha2-nistp256`, `ecdh-sha2-nistp384` and the fixed
    /// `diffie-hellman-group*` can be spoken.
    pub kex: String,
    /// Host key algorithms.
    pub host_key: String,
    /// Ciphers of both directions.
    pub cipher: String,
    /// MACs of both directions.
    pub mac: String,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            identification: "SSH-2.0-OpenSSH_9.2p1".to_owned(),
            kex: "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,\
                  diffie-hellman-group16-sha512,diffie-hellman-group14-sha256,diffie-hellman-group14-sha1,ext-info-c,\
                  kex-strict-c-v00@openssh.com"
                .to_owned(),
            host_key: "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256,ssh-rsa".to_owned(),
            cipher: "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,\
                     aes192-ctr,aes256-ctr"
                .to_owned(),
            mac: "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,\
                  hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,\
                  hmac-sha2-256,hmac-sha2-512,hmac-sha1"
                .to_owned(),
        }
    }
}

/// Why a client cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// What comes is no SSH server's.
    #[error("no identification of an SSH server came")]
    NoIdentification,
    /// A packet that is none.
    #[error("the server sent {0}")]
    Packet(&'static str),
    /// A key exchange that is none.
    #[error("the server's part of the key exchange is wrong: {0}")]
    Exchange(&'static str),
    /// There is no algorithm in common, or none that can be spoken.
    #[error("the server has no algorithm that this client speaks: {0}")]
    NoCommon(String),
    /// The system has no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<NotSpoken> for ClientError {
    fn from(reason: NotSpoken) -> Self {
        Self::NoCommon(reason.to_string())
    }
}

impl From<Refused> for ClientError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Value => Self::Exchange("its public value is out of range"),
            Refused::NoRandomness(reason) => reason.into(),
        }
    }
}

/// A connection to a server.
pub struct Client {
    offer: Offer,
    input: Vec<u8>,
    output: Vec<u8>,
    opener: Opener,
    sealer: Sealer,
    step: Step,
    own_payload: Vec<u8>,
    server_line: Option<Vec<u8>>,
    server_payload: Vec<u8>,
    server_kexinit: Option<KexInit>,
    host_key: Option<Vec<u8>>,
    is_strict: bool,
}

enum Step {
    Line,
    KexInit,
    Reply { key: Key, negotiated: Box<Negotiated>, method: Method },
    NewKeys { secrets: Box<Secrets>, to_client: Direction },
    Ready { session: Vec<u8> },
}

enum Key {
    Curve(CurveKey),
    Dh(DhKey),
}

impl Client {
    /// The identification is in the output.
    pub fn new(offer: Offer) -> Self {
        let output = format!("{}\r\n", offer.identification).into_bytes();
        Self {
            offer,
            input: Vec::new(),
            output,
            opener: Opener::new(),
            sealer: Sealer::new(),
            step: Step::Line,
            own_payload: Vec::new(),
            server_line: None,
            server_payload: Vec::new(),
            server_kexinit: None,
            host_key: None,
            is_strict: false,
        }
    }

    /// What may be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of the output were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes.min(self.output.len()));
    }

    /// Bytes came: see [`Client::next`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Are keys in use?
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready { .. })
    }

    /// The server's line, without its end.
    pub fn server_line(&self) -> Option<&[u8]> {
        self.server_line.as_deref()
    }

    /// What the server offers.
    pub fn server_kexinit(&self) -> Option<&KexInit> {
        self.server_kexinit.as_ref()
    }

    /// The server's public host key.
    pub fn host_key(&self) -> Option<&[u8]> {
        self.host_key.as_deref()
    }

    /// The session's identifier, once keys are in use.
    pub fn session(&self) -> Option<&[u8]> {
        match &self.step {
            Step::Ready { session } => Some(session),
            _ => None,
        }
    }

    /// Sends a packet, of whatever payload.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        Ok(self.sealer.seal(payload, &mut self.output)?)
    }

    /// Goes on with what came. The payload of the next packet that is none of the key exchange; `None` if more has to come.
    #[expect(clippy::should_implement_trait, reason = "there may be more later: no iterator ends so")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        if self.server_line.is_none() && !self.read_line()? {
            return Ok(None);
        }
        loop {
            let (start, end, length) = match self.opener.open(&mut self.input) {
                Opened::Partial => return Ok(None),
                Opened::Bad(what) => return Err(ClientError::Packet(what)),
                Opened::BadPadding(_) => return Err(ClientError::Packet("a packet with too little padding")),
                Opened::Whole { start, end, length, .. } => (start, end, length),
            };
            let payload = self.input.get(start..end).unwrap_or_default().to_vec();
            self.input.drain(..length.min(self.input.len()));
            if !self.exchange(&payload)? {
                return Ok(Some(payload));
            }
        }
    }

    /// The server may send other lines first (RFC 4253, section 4.2).
    fn read_line(&mut self) -> Result<bool, ClientError> {
        while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"SSH-") {
                self.server_line = Some(line.to_vec());
                let offer = &self.offer;
                let (cipher, mac, none) = (&offer.cipher, &offer.mac, "none");
                let lists = [&offer.kex, &offer.host_key, cipher, cipher, mac, mac, none, none, "", ""]
                    .map(str::to_owned);
                let own = KexInit { cookie: random::bytes()?, lists, first_kex_packet_follows: false };
                self.own_payload = own.to_payload();
                self.sealer.seal(&self.own_payload, &mut self.output)?;
                self.step = Step::KexInit;
                return Ok(true);
            }
        }
        if self.input.len() > MOST_GREETING { Err(ClientError::NoIdentification) } else { Ok(false) }
    }

    /// Was it a packet of the key exchange? Then it is dealt with.
    fn exchange(&mut self, payload: &[u8]) -> Result<bool, ClientError> {
        match (&self.step, payload.first()) {
            (Step::KexInit, Some(&message::KEXINIT)) => self.kexinit(payload)?,
            (Step::Reply { .. }, Some(&number::REPLY)) => self.reply(payload)?,
            (Step::NewKeys { .. }, Some(&message::NEWKEYS)) => {
                if let Step::NewKeys { secrets, to_client } = std::mem::replace(&mut self.step, Step::Line) {
                    let (direction, is_strict) = (&to_client, self.is_strict);
                    let toward = Toward::Client;
                    self.opener.rekey(&Agreed { secrets: &secrets, toward, direction, is_strict })?;
                    self.step = Step::Ready { session: secrets.session };
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn kexinit(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let server = KexInit::parse(payload).ok_or(ClientError::Exchange("its KEXINIT is cut off"))?;
        let own = KexInit::parse(&self.own_payload).ok_or(ClientError::Exchange("ours cannot be read"))?;
        let has = |kexinit: &KexInit, marker| kexinit.names(List::Kex).any(|name| name == marker);
        self.is_strict =
            has(&own, "kex-strict-c-v00@openssh.com") && has(&server, "kex-strict-s-v00@openssh.com");
        self.server_payload = payload.to_vec();
        let negotiated = Negotiated::of(&own, &server);
        self.server_kexinit = Some(server);
        let negotiated = negotiated.map_err(|reason| ClientError::NoCommon(reason.to_string()))?;
        let method = kex::method(&negotiated.kex).ok_or(NotSpoken)?;
        let key = match method {
            Method::X25519 => Key::Curve(CurveKey::new(&agreement::X25519)?),
            Method::Nistp256 => Key::Curve(CurveKey::new(&agreement::ECDH_P256)?),
            Method::Nistp384 => Key::Curve(CurveKey::new(&agreement::ECDH_P384)?),
            Method::Fixed(group, _) => Key::Dh(group.key()?),
            Method::Nistp521 | Method::GroupExchange(_) | Method::Sntrup | Method::MlKem => {
                return Err(NotSpoken.into());
            }
        };
        let mut init = vec![number::INIT];
        init.put_string(key.public());
        self.sealer.seal(&init, &mut self.output)?;
        self.step = Step::Reply { key, negotiated: Box::new(negotiated), method };
        Ok(())
    }

    fn reply(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let Step::Reply { key, negotiated, method } = std::mem::replace(&mut self.step, Step::Line) else {
            return Ok(());
        };
        let mut reader = Reader::new(&payload[1..]);
        let (Some(host_key), Some(value)) = (reader.string(), reader.string()) else {
            return Err(ClientError::Exchange("its answer is cut off"));
        };
        let mut hashed = Vec::new();
        hashed.put_string(self.offer.identification.as_bytes());
        hashed.put_string(self.server_line.as_deref().unwrap_or_default());
        hashed.put_string(&self.own_payload);
        hashed.put_string(&self.server_payload);
        hashed.put_string(host_key);
        hashed.put_string(key.public());
        hashed.put_string(value);
        let shared = match key {
            Key::Curve(key) => kex::mpint(&key.agree(value)?),
            Key::Dh(key) => key.agree(value)?,
        };
        hashed.extend_from_slice(&shared);
        let hash = method.hash().algorithm();
        let exchange_hash = digest::digest(hash, &hashed).as_ref().to_vec();
        let secrets = Secrets { shared, session: exchange_hash.clone(), exchange_hash, hash };
        self.host_key = Some(host_key.to_vec());
        self.sealer.seal(&[message::NEWKEYS], &mut self.output)?;
        let (direction, is_strict) = (&negotiated.to_server, self.is_strict);
        self.sealer.rekey(&Agreed { secrets: &secrets, toward: Toward::Server, direction, is_strict })?;
        self.step = Step::NewKeys { secrets: Box::new(secrets), to_client: negotiated.to_client.clone() };
        Ok(())
    }
}

impl Key {
    fn public(&self) -> &[u8] {
        match self {
            Self::Curve(key) => &key.public,
            Self::Dh(key) => &key.public,
        }
    }
}
