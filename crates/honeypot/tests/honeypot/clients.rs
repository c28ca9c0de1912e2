//! Clients of all sorts: each delivers its attempts.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unmasq_honeypot::hostkey::{HostKey, HostKeys};
use unmasq_honeypot::profile::{Moduli, Profile};
use unmasq_honeypot::record::Signature;
use unmasq_honeypot::server::{End, Method};

use crate::server::{Report, Server, setup};

fn debian() -> Server {
    Server::start(setup(Profile::debian_12()))
}

#[test]
fn primes_of_a_moduli_file_are_spoken() {
    let moduli = Moduli::parse(&std::fs::read_to_string("/etc/ssh/moduli").unwrap()).unwrap();
    let server = Server::start(setup(Profile::debian_12().with_moduli(moduli)));
    // Primes with the generator 2 and with 5 are drawn.
    for _ in 0..6 {
        ssh(&server, &["-o", "KexAlgorithms=diffie-hellman-group-exchange-sha256"]);
        let report = server.report();
        assert_eq!(passwords(&report), [("root".to_owned(), "geheim".to_owned())], "{:?}", report.end);
    }
}

/// Debian's server with all that can be spoken.
fn everything() -> Server {
    let text = Profile::debian_12()
        .to_string()
        .replace(
            "kex = [",
            "kex = [\"mlkem768x25519-sha256\", \"diffie-hellman-group14-sha1\", \"diffie-hellman-group-exchange-sha1\",",
        )
        .replace("host_key = [", "host_key = [\"ssh-rsa\", ");
    Server::start(setup(Profile::parse(&text, Path::new("everything")).unwrap()))
}

/// Runs one after another, some at a time.
fn each(options: &[String], run: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for part in options.chunks(options.len().div_ceil(4)) {
            let run = &run;
            scope.spawn(move || part.iter().for_each(|option| run(option)));
        }
    });
}

/// What OpenSSH's client can speak of a kind.
fn spoken_by_ssh(kind: &str) -> Vec<String> {
    let output = Command::new("ssh").args(["-Q", kind]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Is the program there? `scripts/setup test` installs them.
fn needs(program: &str) {
    let is_there = std::env::var("PATH")
        .unwrap_or_default()
        .split(':')
        .any(|folder| Path::new(folder).join(program).exists());
    assert!(is_there, "{program} is not installed: run scripts/setup test");
}

/// What was tried: user names and passwords as text.
fn passwords(report: &Report) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    report
        .attempts
        .iter()
        .filter_map(|attempt| match &attempt.method {
            Method::Password { password, .. } => Some((text(&attempt.username), text(password))),
            _ => None,
        })
        .collect()
}

/// OpenSSH's client with one password and some options.
fn ssh(server: &Server, options: &[&str]) -> Output {
    needs("sshpass");
    let mut command = Command::new("sshpass");
    command.args(["-p", "geheim", "ssh", "-F", "none", "-p", &server.address.port().to_string()]);
    // The first of an option counts.
    command.args(options);
    command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"]);
    command.args(["root@127.0.0.1", "true"]).env_remove("SSH_AUTH_SOCK");
    command.output().unwrap()
}

#[test]
fn openssh_delivers_its_password() {
    let server = debian();
    let output = ssh(&server, &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("Permission denied (publickey,password)."), "{error}");
    let report = server.report();
    assert_eq!(passwords(&report), [("root".to_owned(), "geheim".to_owned())], "{:?}", report.end);
    assert_eq!(report.attempts[0].method, Method::None);
    assert_eq!((report.attempts[0].number, report.attempts[1].number), (0, 1));
    assert!(report.peer.identification.unwrap().software().starts_with("OpenSSH_"));
    assert!(report.end.is_by_client(), "{:?}", report.end);
}

#[test]
fn hydra_delivers_its_passwords() {
    needs("hydra");
    let server = debian();
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "123456\nadmin\npässwort\nletmein\n").unwrap();
    let port = server.address.port().to_string();
    let output = Command::new("hydra")
        .args(["-I", "-t", "1", "-l", "admin", "-P"])
        .arg(&words)
        .args(["-s", &port, "ssh://127.0.0.1"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("0 valid password"), "{text}");
    assert_tried(&server, "admin", &["123456", "admin", "pässwort", "letmein"]);
}

/// Connections that have ended bring all of these passwords, and no others. Which of two is heard of first, and whether a client
/// that found the server slow has tried again, is no matter.
fn assert_tried(server: &Server, user: &str, words: &[&str]) {
    let expected: BTreeSet<_> = words.iter().map(|word| (user.to_owned(), (*word).to_owned())).collect();
    let mut tried = BTreeSet::new();
    while !expected.is_subset(&tried) {
        tried.extend(passwords(&server.report()));
    }
    assert_eq!(tried, expected);
}

#[test]
fn medusa_delivers_its_passwords() {
    needs("medusa");
    let server = debian();
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "123456\nadmin\nletmein\n").unwrap();
    let port = server.address.port().to_string();
    let output = Command::new("medusa")
        .args(["-h", "127.0.0.1", "-n", &port, "-M", "ssh", "-t", "1", "-u", "root", "-P"])
        .arg(&words)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("ACCOUNT FOUND"), "{text}");
    assert_tried(&server, "root", &["123456", "admin", "letmein"]);
}

#[test]
fn ncrack_delivers_its_passwords() {
    needs("ncrack");
    let server = debian();
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "123456\nadmin\nletmein\n").unwrap();
    let target = format!("ssh://127.0.0.1:{}", server.address.port());
    let output =
        Command::new("ncrack").args(["--user", "root", "-P"]).arg(&words).arg(&target).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Discovered credentials"), "{text}");
    assert_tried(&server, "root", &["123456", "admin", "letmein"]);
}

#[test]
fn the_connection_ends_when_attempts_are_used_up() {
    let mut strict = setup(Profile::debian_12());
    strict.limits.attempts = 1;
    let server = Server::start(strict);
    let output = ssh(&server, &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("Too many authentication failures"), "{error}");
    assert_eq!(server.report().end, End::TooManyAttempts { is_password: true });
}

/// With these options OpenSSH's password arrives, and both use what is expected.
fn arrives(options: &[&str], uses: impl Fn(&unmasq_ssh::Negotiated) -> bool) {
    let server = everything();
    let output = ssh(&server, options);
    let report = server.report();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        passwords(&report),
        [("root".to_owned(), "geheim".to_owned())],
        "{options:?} {:?} {error}",
        report.end
    );
    assert!(uses(&report.peer.negotiated.unwrap()), "{options:?}");
}

#[test]
fn every_key_exchange_of_openssh_is_spoken() {
    let mut methods = spoken_by_ssh("kex");
    methods.retain(|method| method != "diffie-hellman-group1-sha1");
    assert!(methods.len() >= 13, "{methods:?}");
    each(&methods, |kex| {
        arrives(&["-o", &format!("KexAlgorithms={kex}")], |negotiated| negotiated.kex == kex);
    });
}

#[test]
fn every_host_key_algorithm_is_spoken() {
    let names =
        ["ssh-rsa", "rsa-sha2-256", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519"].map(str::to_owned);
    each(&names, |name| {
        let option = format!("HostKeyAlgorithms={name}");
        arrives(&["-o", &option], |negotiated| negotiated.host_key == name);
    });
}

#[test]
fn every_cipher_with_every_mac_is_spoken() {
    let mut ciphers = spoken_by_ssh("cipher");
    ciphers.retain(|cipher| !cipher.ends_with("-cbc"));
    let mut macs = spoken_by_ssh("mac");
    macs.retain(|mac| !mac.contains("md5") && !mac.contains("sha1-96"));
    assert_eq!((ciphers.len(), macs.len()), (6, 10));
    let mut pairs = Vec::new();
    for cipher in &ciphers {
        // A cipher with its own MAC is tried once.
        let used = if cipher.ends_with("-ctr") { macs.len() } else { 1 };
        pairs.extend(macs[..used].iter().map(|mac| format!("{cipher} {mac}")));
    }
    each(&pairs, |pair| {
        let (cipher, mac) = pair.split_once(' ').unwrap();
        let (ciphers, macs) = (format!("Ciphers={cipher}"), format!("MACs={mac}"));
        let options = ["-o", "KexAlgorithms=curve25519-sha256", "-o", &ciphers, "-o", &macs];
        arrives(&options, |negotiated| {
            let direction = &negotiated.to_server;
            direction.cipher == cipher && direction.mac.as_deref().is_none_or(|used| used == mac)
        });
    });
}

#[test]
fn compression_that_begins_after_authentication_never_begins() {
    arrives(&["-C"], |negotiated| negotiated.to_client.compression == "zlib@openssh.com");
}

#[test]
fn answers_to_keyboard_interactive_are_delivered() {
    let text = Profile::debian_12()
        .to_string()
        .replace("\"publickey\", \"password\"", "\"publickey\", \"keyboard-interactive\"")
        .replace("prompt = \"Password: \"", "prompt = \"({user}@gateway) Password: \"");
    let server = Server::start(setup(Profile::parse(&text, Path::new("interactive")).unwrap()));
    ssh(&server, &["-o", "PreferredAuthentications=keyboard-interactive"]);
    let report = server.report();
    let answers = Method::KeyboardInteractive { answers: vec![b"geheim".to_vec()] };
    assert_eq!(report.attempts[1].method, answers, "{:?}", report.end);
    assert_eq!(report.attempts[1].number, 1);
}

#[test]
fn keys_of_all_kinds_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let server = debian();
    for (kind, bits) in [("ed25519", "256"), ("rsa", "2048"), ("ecdsa", "384")] {
        let file = folder.path().join(kind);
        let status = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-t", kind, "-b", bits, "-f"])
            .arg(&file)
            .status();
        assert!(status.unwrap().success());
        let identity = format!("IdentityFile={}", file.display());
        ssh(
            &server,
            &["-o", "PreferredAuthentications=publickey", "-o", &identity, "-o", "IdentitiesOnly=yes"],
        );
        let report = server.report();
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        let Method::PublicKey { key, signature, .. } = &report.attempts[1].method else {
            panic!("{:?}", report.attempts)
        };
        let line = STANDARD.encode(key);
        assert!(public.contains(&line));
        assert_eq!(*signature, Signature::Offered);
    }
}

/// paramiko of the system's Python.
fn paramiko(server: &Server, script: &str) {
    let head = format!(
        "import paramiko, socket\nt = paramiko.Transport(('127.0.0.1', {}))\n\
         t.banner_timeout = t.handshake_timeout = t.auth_timeout = 120\nt.start_client()\n",
        server.address.port()
    );
    let output = Command::new("/usr/bin/python3").arg("-c").arg(head + script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn paramiko_delivers_passwords_byte_for_byte() {
    let server = debian();
    paramiko(
        &server,
        "for word in ['123456', 'p\u{e4}ss', 'x' * 3000, '']:\n    try:\n        t.auth_password('admin', word, fallback=False)\n    \
         except paramiko.AuthenticationException: pass\nt.close()\n",
    );
    let report = server.report();
    let words: Vec<String> = passwords(&report).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["123456".to_owned(), "p\u{e4}ss".to_owned(), "x".repeat(3000), String::new()]);
    assert_eq!(report.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(report.peer.identification.unwrap().software().starts_with("paramiko_"));
}

#[test]
fn signatures_of_all_kinds_are_found_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ed25519");
    let status = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(&file).status();
    assert!(status.unwrap().success());
    let server = debian();
    paramiko(
        &server,
        &format!(
            "keys = [paramiko.ECDSAKey.generate(bits=b) for b in (256, 384, 521)] + [paramiko.RSAKey.generate(2048),\
             paramiko.Ed25519Key.from_private_key_file('{}')]\nfor key in keys:\n    try:\n        \
             t.auth_publickey('root', key)\n    except paramiko.AuthenticationException: pass\nt.close()\n",
            file.display()
        ),
    );
    let report = server.report();
    let found: Vec<Signature> = report
        .attempts
        .iter()
        .filter_map(|attempt| match &attempt.method {
            Method::PublicKey { signature, .. } => Some(*signature),
            _ => None,
        })
        .collect();
    assert_eq!(found, [Signature::Valid; 5], "{:?}", report.end);
}

#[test]
fn dropbears_client_guesses_and_delivers() {
    needs("dbclient");
    let server = debian();
    let port = server.address.port().to_string();
    let home = tempfile::tempdir().unwrap();
    Command::new("dbclient")
        .args(["-y", "-y", "-p", &port, "root@127.0.0.1", "true"])
        .env("DROPBEAR_PASSWORD", "geheim")
        .env("HOME", home.path())
        .output()
        .unwrap();
    let report = server.report();
    let peer = &report.peer;
    assert!(peer.identification.as_ref().unwrap().software().starts_with("dropbear"));
    assert!(peer.kexinit.as_ref().unwrap().first_kex_packet_follows);
    let tried = passwords(&report);
    assert_eq!(tried.first(), Some(&("root".to_owned(), "geheim".to_owned())), "{:?}", report.end);
}

#[test]
fn plink_delivers_its_password() {
    needs("plink");
    let server = debian();
    let port = server.address.port().to_string();
    let keys = crate::server::keys();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("plink");
    command.args(["-ssh", "-batch", "-P", &port, "-l", "root", "-pw", "geheim"]).env("HOME", home.path());
    for key in keys.iter() {
        command.args(["-hostkey", &key.fingerprint()]);
    }
    let output = command.args(["127.0.0.1", "true"]).output().unwrap();
    let report = server.report();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(passwords(&report), [("root".to_owned(), "geheim".to_owned())], "{:?} {error}", report.end);
}

/// pshitt is shipped with such a key, which ring does not sign with.
#[test]
fn a_host_key_of_1024_bits_in_pkcs_1_signs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test_rsa.key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-t", "rsa", "-b", "1024", "-m", "PEM", "-f"]).arg(&file);
    assert!(command.status().unwrap().success());
    let mut setup = setup(Profile::debian_12());
    setup.keys = std::iter::once(HostKey::parse(&std::fs::read_to_string(&file).unwrap()).unwrap()).collect();
    let server = Server::start(setup);
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        ssh(&server, &["-o", &format!("HostKeyAlgorithms={algorithm}")]);
        let report = server.report();
        assert_eq!(passwords(&report), [("root".to_owned(), "geheim".to_owned())], "{:?}", report.end);
        assert_eq!(report.peer.negotiated.unwrap().host_key, algorithm);
    }
}

#[test]
fn host_keys_that_ssh_keygen_made_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, format) in
        [("ed25519", "RFC4716"), ("ecdsa", "RFC4716"), ("rsa", "RFC4716"), ("rsa", "PEM"), ("rsa", "PKCS8")]
    {
        let file = folder.path().join(format!("{kind}-{format}"));
        let mut command = Command::new("ssh-keygen");
        // RFC4716 is the name of OpenSSH's own format here.
        command.args(["-q", "-N", "", "-t", kind, "-m", format, "-f"]).arg(&file);
        assert!(command.status().unwrap().success());
        let key = HostKey::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        assert!(public.starts_with(&key.public_line()), "{kind} {format}");
        let listed = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains(&key.fingerprint()));
        // What is written, ssh-keygen reads.
        let written = folder.path().join("written");
        let _ = std::fs::remove_file(&written);
        std::fs::write(&written, key.to_openssh("x").unwrap()).unwrap();
        std::fs::set_permissions(&written, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let derived = Command::new("ssh-keygen").arg("-yf").arg(&written).output().unwrap();
        assert!(String::from_utf8_lossy(&derived.stdout).starts_with(&key.public_line()), "{kind} {format}");
        let _: HostKeys = std::iter::once(key).collect();
    }
    let locked = folder.path().join("locked");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "secret", "-t", "ed25519", "-f"]).arg(&locked);
    assert!(command.status().unwrap().success());
    let error = HostKey::parse(&std::fs::read_to_string(&locked).unwrap()).unwrap_err();
    assert!(error.to_string().contains("passphrase"), "{error}");
}
