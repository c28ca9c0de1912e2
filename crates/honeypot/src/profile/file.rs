//! A profile as TOML.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use unmasq_diagnostic::Problem;
use unmasq_ssh::{Hassh, Identification, KexInit};

use super::{Authentication, Delays, Profile, Texts};
use crate::hostkey::KeyKind;
use crate::{kex, transport};

type Names = Spanned<Vec<Spanned<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    identification: Spanned<String>,
    host_keys: Names,
    kexinit: Lists,
    #[serde(default, rename = "extension")]
    extensions: Vec<Extension>,
    authentication: AuthenticationTable,
    text: TextTable,
    delay: DelayTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    kex: Names,
    host_key: Names,
    cipher_to_server: Names,
    cipher_to_client: Names,
    mac_to_server: Names,
    mac_to_client: Names,
    compression_to_server: Names,
    compression_to_client: Names,
    languages_to_server: Option<Names>,
    languages_to_client: Option<Names>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthenticationTable {
    methods: Names,
    attempts: Spanned<u32>,
    prompt: Option<String>,
    banner: Option<String>,
    #[serde(default)]
    roles: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextTable {
    bad_identification: String,
    other_protocol: String,
    too_many_attempts: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayTable {
    password: Spanned<Vec<f64>>,
    other: Spanned<Vec<f64>>,
    unit: Option<Spanned<Vec<f64>>>,
    greeting: Option<Spanned<Vec<f64>>>,
}

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<Profile, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        vec![Problem::error(span, error.message().to_owned())]
    })?;
    let mut problems = Vec::new();
    let identification = identification(file.identification.get_ref())
        .map_err(|message| problems.push(Problem::error(file.identification.span(), message)))
        .ok();
    let host_keys: Vec<KeyKind> =
        file.host_keys.get_ref().iter().filter_map(|name| key_kind(name, &mut problems)).collect();
    let lists = lists(&file.kexinit, &mut problems);
    let delay = Delays {
        password: delays(&file.delay.password, &mut problems),
        other: delays(&file.delay.other, &mut problems),
        greeting: file.delay.greeting.as_ref().map(|list| delays(list, &mut problems)).unwrap_or_default(),
        unit: file.delay.unit.as_ref().and_then(|range| unit(range, &mut problems)),
    };
    let methods = names(&file.authentication.methods, &mut problems, |_| Ok(()));
    if *file.authentication.attempts.get_ref() == 0 {
        problems.push(Problem::error(
            file.authentication.attempts.span(),
            "at least one attempt is answered: give 1 or more (sshd's default is 6)",
        ));
    }
    let Some(identification) = identification.filter(|_| problems.is_empty()) else { return Err(problems) };
    let kexinit = KexInit { cookie: [0; 16], lists, first_kex_packet_follows: false };
    Ok(Profile {
        identification,
        host_keys,
        hassh: Arc::new(Hassh::of_server(&kexinit)),
        kexinit,
        extensions: file.extensions.into_iter().map(|extension| (extension.name, extension.value)).collect(),
        authentication: Authentication {
            methods: methods.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            attempts: file.authentication.attempts.into_inner(),
            prompt: file.authentication.prompt.unwrap_or_else(|| "Password: ".to_owned()),
            banner: file.authentication.banner,
            has_roles: file.authentication.roles,
        },
        text: Texts {
            bad_identification: file.text.bad_identification,
            other_protocol: file.text.other_protocol,
            too_many_attempts: file.text.too_many_attempts,
        },
        delay,
        moduli: Arc::default(),
    })
}

/// The line that a server begins with, or what is wrong with it.
pub(super) fn identification(line: &str) -> Result<Identification, String> {
    // What has to be escaped in an identification could not be sent as it was meant.
    if line.len() > 253 || line.bytes().any(|byte| byte != b' ' && !byte.is_ascii_graphic()) {
        let message = "an identification is one line of printable ASCII, of at most 253 characters (RFC 4253, section 4.2)";
        return Err(message.to_owned());
    }
    match Identification::parse(line.as_bytes()) {
        Ok(identification) if identification.protocol() == "2.0" => Ok(identification),
        Ok(_) => Err("only protocol 2.0 can be spoken: begin with SSH-2.0-".to_owned()),
        Err(reason) => Err(format!("this is no identification: it {reason}")),
    }
}

/// As a profile has it.
fn key_name(kind: KeyKind) -> String {
    match kind {
        KeyKind::Rsa(bits) => format!("rsa-{bits}"),
        KeyKind::EcdsaP256 => "ecdsa-p256".to_owned(),
        KeyKind::Ed25519 => "ed25519".to_owned(),
    }
}

fn key_kind(name: &Spanned<String>, problems: &mut Vec<Problem>) -> Option<KeyKind> {
    let kind = match name.get_ref().as_str() {
        "ecdsa-p256" => Some(KeyKind::EcdsaP256),
        "ed25519" => Some(KeyKind::Ed25519),
        other => other
            .strip_prefix("rsa-")
            .and_then(|bits| bits.parse().ok())
            .filter(|bits| (1024..=8192).contains(bits))
            .map(KeyKind::Rsa),
    };
    if kind.is_none() {
        let message =
            format!("no host key can be of the kind {:?}: rsa-BITS, ecdsa-p256 or ed25519", name.get_ref());
        problems.push(Problem::error(name.span(), message));
    }
    kind
}

fn lists(lists: &Lists, problems: &mut Vec<Problem>) -> [String; 10] {
    let spoken = |what: &'static str, is_spoken: fn(&str) -> bool| {
        move |name: &str| {
            let refused = || {
                format!("the {what} {name:?} cannot be spoken: take it out, and the profile differs by it")
            };
            is_spoken(name).then_some(()).ok_or_else(refused)
        }
    };
    let is_kex = |name: &str| kex::method(name).is_some() || is_marker(name);
    let is_host_key = |name: &str| {
        [KeyKind::Rsa(0), KeyKind::EcdsaP256, KeyKind::Ed25519].iter().any(|kind| kind.can_sign(name))
    };
    let mut list = |list: &Names, what, is_spoken| names(list, problems, spoken(what, is_spoken));
    let mut sent = [
        list(&lists.kex, "key exchange method", is_kex),
        list(&lists.host_key, "host key algorithm", is_host_key),
        list(&lists.cipher_to_server, "cipher", transport::is_cipher),
        list(&lists.cipher_to_client, "cipher", transport::is_cipher),
        list(&lists.mac_to_server, "MAC", transport::is_mac),
        list(&lists.mac_to_client, "MAC", transport::is_mac),
        list(&lists.compression_to_server, "compression", transport::is_compression),
        list(&lists.compression_to_client, "compression", transport::is_compression),
        String::new(),
        String::new(),
    ];
    for (at, languages) in [&lists.languages_to_server, &lists.languages_to_client].into_iter().enumerate() {
        if let Some(languages) = languages {
            sent[8 + at] = names(languages, problems, |_| Ok(()));
        }
    }
    let needed = [
        &lists.kex,
        &lists.host_key,
        &lists.cipher_to_server,
        &lists.cipher_to_client,
        &lists.mac_to_server,
        &lists.mac_to_client,
        &lists.compression_to_server,
        &lists.compression_to_client,
    ];
    for list in needed.into_iter().filter(|list| list.get_ref().is_empty()) {
        problems.push(Problem::error(list.span(), "a server without a name in this list can talk to nobody"));
    }
    sent
}

/// Names of RFC 8308 and of strict key exchange, which stand among the methods.
fn is_marker(name: &str) -> bool {
    matches!(name, "kex-strict-s-v00@openssh.com" | "ext-info-s")
}

/// The list as it is sent.
fn names(list: &Names, problems: &mut Vec<Problem>, check: impl Fn(&str) -> Result<(), String>) -> String {
    let mut sent = String::new();
    for name in list.get_ref() {
        let text = name.get_ref().as_str();
        if text.is_empty()
            || text.len() > 64
            || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            let message = "a name is 1 to 64 printable ASCII characters without comma (RFC 4251, section 6)";
            problems.push(Problem::error(name.span(), message));
        } else if let Err(message) = check(text) {
            problems.push(Problem::error(name.span(), message));
        }
        if !sent.is_empty() {
            sent.push(',');
        }
        sent.push_str(text);
    }
    sent
}

/// An hour in milliseconds: a delay beyond is a slip.
const MOST_DELAY: f64 = 3_600_000.0;

/// Milliseconds to microseconds.
fn delays(list: &Spanned<Vec<f64>>, problems: &mut Vec<Problem>) -> Vec<u32> {
    let values = list.get_ref();
    let is_ascending = values.is_sorted() && values.iter().all(|delay| (0.0..=MOST_DELAY).contains(delay));
    if values.is_empty() || !is_ascending {
        let message = "delays are milliseconds from 0 to 3600000 in ascending order, at least one";
        problems.push(Problem::error(list.span(), message));
    }
    values.iter().map(|delay| (delay * 1000.0).round() as u32).collect()
}

/// Least and most, in milliseconds.
fn unit(range: &Spanned<Vec<f64>>, problems: &mut Vec<Problem>) -> Option<[u32; 2]> {
    match delays(range, problems)[..] {
        [least, most] if least > 0 => Some([least, most]),
        _ => {
            let message = "a unit is drawn between two values: give the least, above 0, and the most";
            problems.push(Problem::error(range.span(), message));
            None
        }
    }
}

/// Writes a file's text.
pub(super) fn write(profile: &Profile, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let list = |f: &mut fmt::Formatter<'_>, key: &str, names: &mut dyn Iterator<Item = &str>| {
        let names: Vec<String> = names.map(text).collect();
        let line = format!("{key} = [{}]", names.join(", "));
        if line.len() <= 110 || names.is_empty() {
            return writeln!(f, "{line}");
        }
        writeln!(f, "{key} = [\n    {},\n]", names.join(",\n    "))
    };
    writeln!(f, "identification = {}", text(profile.identification.line()))?;
    let keys: Vec<String> = profile.host_keys.iter().copied().map(key_name).collect();
    list(f, "host_keys", &mut keys.iter().map(String::as_str))?;
    writeln!(f, "\n[kexinit]")?;
    for (key, names) in LISTS.iter().zip(&profile.kexinit.lists) {
        list(f, key, &mut names.split(',').filter(|name| !name.is_empty()))?;
    }
    for (name, value) in &profile.extensions {
        writeln!(f, "\n[[extension]]\nname = {}\nvalue = {}", text(name), text(value))?;
    }
    let authentication = &profile.authentication;
    writeln!(f, "\n[authentication]")?;
    list(f, "methods", &mut authentication.methods.iter().map(String::as_str))?;
    writeln!(f, "attempts = {}\nprompt = {}", authentication.attempts, text(&authentication.prompt))?;
    if let Some(banner) = &authentication.banner {
        writeln!(f, "banner = {}", text(banner))?;
    }
    if authentication.has_roles {
        writeln!(f, "roles = true")?;
    }
    writeln!(f, "\n[text]\nbad_identification = {}", text(&profile.text.bad_identification))?;
    writeln!(f, "other_protocol = {}", text(&profile.text.other_protocol))?;
    writeln!(f, "too_many_attempts = {}", text(&profile.text.too_many_attempts))?;
    writeln!(f, "\n[delay]")?;
    let unit = profile.delay.unit.map(Vec::from);
    let greeting = Some(&profile.delay.greeting).filter(|greeting| !greeting.is_empty());
    let delays = [
        ("password", Some(&profile.delay.password)),
        ("other", Some(&profile.delay.other)),
        ("unit", unit.as_ref()),
        ("greeting", greeting),
    ];
    for (key, delays) in delays.into_iter().filter_map(|(key, delays)| Some((key, delays?))) {
        let delays: Vec<String> =
            delays.iter().map(|micros| format!("{:?}", f64::from(*micros) / 1000.0)).collect();
        writeln!(f, "{key} = [{}]", delays.join(", "))?;
    }
    Ok(())
}

/// A basic string on one line: JSON's escapes are TOML's, which wants DEL escaped, too.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The keys of `[kexinit]`, in KEXINIT's order.
const LISTS: [&str; 10] = [
    "kex",
    "host_key",
    "cipher_to_server",
    "cipher_to_client",
    "mac_to_server",
    "mac_to_client",
    "compression_to_server",
    "compression_to_client",
    "languages_to_server",
    "languages_to_client",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEBIAN: &str = include_str!("../../profiles/openssh-9.2p1-debian-12.toml");

    /// The only problem of Debian's profile with a replacement: what is marked, and the message.
    fn problem(from: &str, to: &str) -> (String, String) {
        let text = DEBIAN.replace(from, to);
        assert_ne!(text, DEBIAN);
        let problems = parse(&text).unwrap_err();
        (text[problems[0].span.clone()].to_owned(), problems[0].message.clone())
    }

    #[test]
    fn an_algorithm_that_cannot_be_spoken_is_named_where_it_stands() {
        for (spoken, other) in [
            ("\"aes192-ctr\"", "\"aes256-cbc\""),
            ("\"hmac-sha1\"", "\"hmac-md5\""),
            ("\"curve25519-sha256\"", "\"diffie-hellman-group1-sha1\""),
            ("\"zlib@openssh.com\"", "\"zlib\""),
        ] {
            let (marked, message) = problem(spoken, other);
            assert_eq!(marked, other);
            assert!(message.contains("cannot be spoken") && message.contains(other), "{message}");
        }
    }

    #[test]
    fn what_no_profile_can_say_is_refused() {
        assert!(problem("SSH-2.0-", "SSH-1.99-").1.contains("2.0"));
        assert!(problem("SSH-2.0-", "HTTP/").1.contains("begin with SSH-"));
        assert!(problem("attempts = 6", "attempts = 0").1.contains("at least one"));
        assert!(problem("attempts = 6", "atempts = 6").1.contains("atempts"));
        assert!(problem("\"ed25519\"", "\"dsa\"").1.contains("ed25519"));
        assert!(problem("password = [", "password = [9999999.0, ").1.contains("ascending"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", at in 0usize..3000, with in "[ -~\n]{0,4}") {
            let _ = parse(&text);
            let mut near = DEBIAN.to_owned();
            let at = at.min(near.len());
            near.replace_range(at..(at + 3).min(near.len()), &with);
            if let Ok(profile) = parse(&near) {
                prop_assert_eq!(parse(&profile.to_string()).unwrap(), profile);
            }
        }
    }
}
