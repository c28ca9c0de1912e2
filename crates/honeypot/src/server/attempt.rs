//! What a request for authentication tries, and what sshd would make of it.

use unmasq_ssh::wire::Reader;

use super::verify::{self, Signed};
use super::{Method, Setup};
use crate::profile::Failure;
use crate::record::Signature;

/// Longest password that sshd tries (`MAX_PASSWORD_LEN` of auth-passwd.c).
const MOST_PASSWORD: usize = 1024;
/// The method's other name, by which a client binds its signature to the host key (OpenSSH's PROTOCOL, section 3.1).
const HOSTBOUND: &[u8] = b"publickey-hostbound-v00@openssh.com";

/// A request's fields before those of its method.
pub(super) struct Request<'a> {
    /// The session's identifier.
    pub(super) session: &'a [u8],
    pub(super) username: &'a [u8],
    pub(super) service: &'a [u8],
    pub(super) method: &'a [u8],
    /// No request came before it.
    pub(super) is_first: bool,
}

/// What a request leads to.
pub(super) struct Tried {
    /// To write down.
    pub(super) method: Method,
    /// How long the answer takes.
    pub(super) failure: Failure,
    /// sshd ends the connection without an answer, as it cannot read the request.
    pub(super) is_fatal: bool,
}

/// Reads what follows the method's name.
pub(super) fn read(request: &Request<'_>, reader: &Reader<'_>, setup: &Setup) -> Tried {
    match request.method {
        // sshd answers the first only, and reads no other.
        b"none" => Tried::at_once(Method::None, request.is_first && !reader.rest().is_empty()),
        b"password" => password(request, reader, setup),
        // Where it is asked for, this is not reached.
        b"keyboard-interactive" => Tried::at_once(Method::KeyboardInteractive { answers: Vec::new() }, false),
        b"publickey" | HOSTBOUND => public_key(request, reader, setup),
        _ => Tried::other(request, reader, false),
    }
}

impl Tried {
    fn at_once(method: Method, is_fatal: bool) -> Self {
        Self { method, failure: Failure::Other, is_fatal }
    }

    /// Something that has no fields here.
    fn other(request: &Request<'_>, reader: &Reader<'_>, is_fatal: bool) -> Self {
        let method = Method::Other { name: request.method.to_vec(), rest: reader.rest().to_vec() };
        Self::at_once(method, is_fatal)
    }
}

fn password(request: &Request<'_>, reader: &Reader<'_>, setup: &Setup) -> Tried {
    let is_offered = has_method(setup, "password");
    let mut ahead = reader.clone();
    let mut fields = || {
        let is_change = ahead.boolean()?;
        let password = ahead.string()?;
        let new = if is_change { Some(ahead.string()?) } else { None };
        Some((password, new))
    };
    let Some((password, new)) = fields() else { return Tried::other(request, reader, is_offered) };
    // An empty one is refused before PAM is asked, as PermitEmptyPasswords is off by default.
    let is_empty = c_string(password).is_some_and(<[u8]>::is_empty);
    let is_tried = is_offered && new.is_none() && !is_empty && password.len() <= MOST_PASSWORD;
    let is_readable = c_string(password).is_some() && ahead.rest().is_empty();
    Tried {
        method: Method::Password { password: password.to_vec(), new: new.map(<[u8]>::to_vec) },
        failure: if is_tried { Failure::Password } else { Failure::Other },
        is_fatal: is_offered && !is_readable,
    }
}

fn public_key(request: &Request<'_>, reader: &Reader<'_>, setup: &Setup) -> Tried {
    let is_offered = has_method(setup, "publickey");
    let mut ahead = reader.clone();
    let mut fields = || {
        let is_signed = ahead.boolean()?;
        let (algorithm, key) = (ahead.string()?, ahead.string()?);
        let host_key = if request.method == HOSTBOUND { Some(ahead.string()?) } else { None };
        Some((is_signed, algorithm, key, host_key))
    };
    let Some((is_signed, algorithm, key, host_key)) = fields() else {
        return Tried::other(request, reader, is_offered);
    };
    let signature = if is_signed { ahead.string() } else { None };
    // sshd reads on only if it knows the algorithm, and the key is one of it.
    let is_read = is_offered && is_accepted(setup, algorithm) && is_key(algorithm, key);
    let is_whole = is_signed == signature.is_some() && ahead.rest().is_empty();
    let is_bound = host_key.is_none_or(|host_key| setup.keys.iter().any(|key| key.public() == host_key));
    let signed = Signed {
        session: request.session,
        username: request.username,
        service: request.service,
        method: request.method,
    };
    let method = Method::PublicKey {
        algorithm: algorithm.to_vec(),
        key: key.to_vec(),
        signature: match signature {
            Some(signature) => verify::check(&signed, algorithm, key, host_key, signature),
            None if is_signed => Signature::Invalid,
            None => Signature::Offered,
        },
    };
    Tried::at_once(method, is_offered && (!is_bound || is_read && !is_whole))
}

/// Is it an algorithm that the profile's server names in `server-sig-algs`?
fn is_accepted(setup: &Setup, algorithm: &[u8]) -> bool {
    let extensions = setup.profile.extensions().iter();
    let mut named =
        extensions.filter(|(name, _)| name == "server-sig-algs").flat_map(|(_, value)| value.split(','));
    named.any(|name| name.as_bytes() == algorithm)
}

/// Do the bytes have the fields of a key that can sign so? Of those that ssh-keygen makes; others are taken for none.
fn is_key(algorithm: &[u8], key: &[u8]) -> bool {
    let mut reader = Reader::new(key);
    let mut fields = || {
        let kind = reader.string()?;
        let is_right = match algorithm {
            b"ssh-ed25519" => kind == algorithm && reader.string()?.len() == 32,
            b"ssh-rsa" | b"rsa-sha2-256" | b"rsa-sha2-512" => {
                let (_exponent, modulus) = (reader.string()?, reader.string()?);
                // sshd's RequiredRSASize is 1024 bits.
                kind == b"ssh-rsa" && modulus.len() >= 128
            }
            _ if algorithm.starts_with(b"ecdsa-sha2-nistp") => {
                let (_curve, point) = (reader.string()?, reader.string()?);
                kind == algorithm && point.first() == Some(&4)
            }
            _ => false,
        };
        Some(is_right)
    };
    fields().unwrap_or(false) && reader.rest().is_empty()
}

/// A string as C has it: a NUL may only be its end (`sshbuf_get_cstring` of OpenSSH).
pub(super) fn c_string(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    (!bytes.contains(&0)).then_some(bytes)
}

/// Does the profile's server have the method?
pub(super) fn has_method(setup: &Setup, name: &str) -> bool {
    setup.profile.authentication().methods.iter().any(|method| method == name)
}
