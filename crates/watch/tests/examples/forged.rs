//! Lines whose user-controlled parts try to have another address banned.

use unmasq_entry::format::Format;

use crate::harness::Example;

/// Nobody's address: if it is banned, a line was forged.
const VICTIM: &str = "203.0.113.66";
/// Whoever forges.
const REAL: &str = "192.0.2.1";

/// What a name, a HELO or a URL may hold to look like something else.
fn payloads() -> Vec<String> {
    let texts = [
        "x from {v} port 1 ssh2",
        "x from {v} port 1 ssh2: RSA SHA256:abc",
        "x from {v}",
        "x from {v} via y",
        "{v} port 1 [preauth]",
        "x {v} port 1 [preauth]",
        "x {v} port 1: Too many authentication failures [preauth]",
        "x {v} port 1: Change of username or service not allowed: (a,b) -> (c,d) [preauth]",
        "x from {v} port 1 ssh2: RSA SHA256:abc, client user \"a\", client host \"b\"",
        "x {v} port 1: Change of username or service not allowed: (x,ssh-connection) -> (",
        "invalid user y from {v} port 1 ssh2",
        "x' from {v} port 1",
        "({v})",
        "rhost={v}",
        "x rhost={v}  user=root",
        "x,{v}): unknown user",
        "x,{v},<abc>): Password mismatch",
        "x>, method=PLAIN, rip={v}, lip=10.0.0.1",
        "x>, method=PLAIN, rip={v}, lip=10.0.0.1, session=<abc>",
        "x>, rip={v}, session=<",
        "x[{v}]: SASL LOGIN authentication failed:",
        "x\": password mismatch, client: {v}, server: s, request: \"GET / HTTP/1.1\", host: \"h\"",
        "x\" was not found in \"/f\", client: {v}, server: s, request: \"GET / HTTP/1.1\", host: \"h",
        "x, client: {v}, server: s",
        "/cgi-bin/x\" failed (2: No such file or directory), client: {v}, server: s, request: \"GET /",
        "[client {v}] x",
        "from IP: {v} port 50000",
        "Login failed: x (Remote IP: {v})",
        "ban sshd {v}",
        "NOTICE [sshd] Ban {v}",
        "\" 401 1 \"-\" \"{v} - - [x] \"",
    ];
    let long = "A".repeat(150);
    let plain = texts.iter().map(|text| text.replace("{v}", VICTIM));
    let padded = texts.iter().map(|text| format!("{long}{}{long}", text.replace("{v}", VICTIM)));
    plain.chain(padded).collect()
}

/// An example, and the lines of its service, with "{p}" where the client chooses and "{r}" where its address
/// stands.
const SERVICES: &[(&str, Format, &[&str])] = &[
    (
        "sshd.toml",
        Format::Syslog,
        &[
            "Nov 21 08:00:00 gw sshd[1]: Invalid user {p} from {r} port 40000",
            "Nov 21 08:00:00 gw sshd[1]: Invalid user {p} from {r}",
            "Nov 21 08:00:00 gw sshd[1]: Invalid user {p} from host.example",
            "Nov 21 08:00:00 gw sshd[1]: Failed password for invalid user {p} from {r} port 40000 ssh2",
            "Nov 21 08:00:00 gw sshd[1]: Failed publickey for invalid user {p} from {r} port 40000 ssh2",
            "Nov 21 08:00:00 gw sshd[1]: Failed none for invalid user {p} from {r} port 40000 ssh2",
            "Nov 21 08:00:00 gw sshd[1]: Failed publickey for invalid user {p} from {r} port 40000 ssh2: RSA \
             SHA256:abc",
            "Nov 21 08:00:00 gw sshd[1]: Failed hostbased for invalid user {p} from {r} port 40000 ssh2: RSA \
             SHA256:abc, client user \"{p}\", client host \"h\"",
            "Nov 21 08:00:00 gw sshd[1]: Failed hostbased for root from {r} port 40000 ssh2: RSA SHA256:abc, \
             client user \"{p}\", client host \"h\"",
            "Nov 21 08:00:00 gw sshd[1]: Connection closed by invalid user {p} {r} port 40000 [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: Connection reset by authenticating user {p} {r} port 40000 \
             [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: Disconnected from invalid user {p} {r} port 40000 [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: Disconnecting invalid user {p} {r} port 40000: Too many \
             authentication failures [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: Disconnecting invalid user {p} {r} port 40000: Change of username \
             or service not allowed: ({p},ssh-connection) -> ({p},ssh-connection) [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: error: maximum authentication attempts exceeded for invalid user \
             {p} from {r} port 40000 ssh2 [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: error: PAM: Authentication failure for illegal user {p} from {r}",
            "Nov 21 08:00:00 gw sshd[1]: error: PAM: Authentication failure for illegal user {p} from \
             host.example",
            "Nov 21 08:00:00 gw sshd[1]: Bad protocol version identification '{p}' from {r} port 40000",
            "Nov 21 08:00:00 gw sshd[1]: Unable to negotiate with {r} port 40000: no matching cipher found. \
             Their offer: {p}",
            "Nov 21 08:00:00 gw sshd[1]: Received disconnect from {r} port 40000:3: {p}: Auth fail [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: Received disconnect from {r} port 40000:11: {p} [preauth]",
            "Nov 21 08:00:00 gw sshd[1]: refused connect from {p} ({r})",
        ],
    ),
    (
        "postfix.toml",
        Format::Syslog,
        &[
            "Nov 21 08:00:00 gw postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[{r}]: 554 5.7.1 <{p}>: \
             Relay access denied; from=<{p}> to=<{p}> proto=ESMTP helo=<{p}>",
            "Nov 21 08:00:00 gw postfix/smtpd[1]: warning: unknown[{r}]: SASL LOGIN authentication failed: \
             {p}",
            "Nov 21 08:00:00 gw postfix/smtpd[1]: warning: unknown[{r}]: SASL LOGIN authentication failed: \
             authentication failure, sasl_username={p}",
            "Nov 21 08:00:00 gw postfix/smtpd[1]: improper command pipelining after AUTH from unknown[{r}]: \
             {p}",
            "Nov 21 08:00:00 gw postfix/postscreen[1]: PREGREET 14 after 0.08 from [{r}]:40000: {p}",
        ],
    ),
    (
        "dovecot.toml",
        Format::Syslog,
        &[
            "Nov 21 08:00:00 gw dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): \
             user=<{p}>, method=PLAIN, rip={r}, lip=10.0.0.1, TLS, session=<q454Xu/vMwBZApgg>",
            "Nov 21 08:00:00 gw dovecot: imap-login: Aborted login (auth failed, 1 attempts): user=<{p}>, \
             method=PLAIN, rip={r}, lip=10.0.0.1",
            "Nov 21 08:00:00 gw dovecot: imap-login: Disconnected (no auth attempts in 0 secs): user=<{p}>, \
             rip={r}, lip=10.0.0.1",
            "Nov 21 08:00:00 gw dovecot: auth: passwd-file({p},{r}): unknown user",
            "Nov 21 08:00:00 gw dovecot: auth: sql({p},{r},<n4JLdHNVngZGpV2j>): Password mismatch (given \
             password: {p})",
            "Nov 21 08:00:00 gw dovecot: auth-worker(7): pam({p},{r}): pam_authenticate() failed: \
             Authentication failure (password mismatch?)",
            "Nov 21 08:00:00 gw auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 \
             tty=dovecot ruser={p} rhost={r}",
            "Nov 21 08:00:00 gw auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 \
             tty=dovecot ruser={p} rhost=",
        ],
    ),
    (
        "haproxy.toml",
        Format::Syslog,
        &["Nov 21 08:00:00 gw haproxy[1]: {r}:40000 [21/Nov/2026:08:00:00.000] main main/<NOSRV> \
             -1/-1/-1/-1/0 401 248 - - PR-- 0/0/0/0/0 0/0 \"GET {p} HTTP/1.1\""],
    ),
    (
        "nginx.toml",
        Format::Plain,
        &[
            "2026/11/21 08:00:00 [error] 1#0: *1 user \"{p}\": password mismatch, client: {r}, server: s, \
             request: \"GET {p} HTTP/1.1\", host: \"h\", referrer: \"{p}\"",
            "2026/11/21 08:00:00 [error] 1#0: *1 user \"x\": password mismatch, client: {r}, server: s, \
             request: \"GET / HTTP/1.1\", host: \"h\", referrer: \"{p}\"",
            "2026/11/21 08:00:00 [error] 1#0: *1 open() \"/var/www/cgi-bin/{p}\" failed (2: No such file or \
             directory), client: {r}, server: s, request: \"GET /cgi-bin/{p} HTTP/1.1\", host: \"h\"",
        ],
    ),
    (
        "recidive.toml",
        Format::Syslog,
        &["Nov 21 08:00:00 gw unmasq[1]: {p}: something else", "Nov 21 08:00:00 gw sshd[1]: ban sshd {p}"],
    ),
];

#[test]
fn nothing_that_a_client_chooses_has_another_banned() {
    let mut blamed = 0;
    for (example, format, templates) in SERVICES {
        let mut example = Example::impatient(example);
        for template in *templates {
            for payload in payloads() {
                let line = template.replace("{p}", &payload).replace("{r}", REAL);
                example.record(*format, &line, &[]);
                let deeds = example.deeds();
                assert!(deeds.banned.iter().all(|address| address == REAL), "{:?} for {line}", deeds.banned);
                blamed += deeds.banned.len();
            }
        }
    }
    assert!(blamed > 1000, "the lines have to be understood at all: {blamed}");
}

/// nginx escapes what a client chooses in its access log.
#[test]
fn nginx_access_log_is_read_by_its_first_word() {
    let mut example = Example::impatient("nginx.toml");
    for payload in payloads() {
        let escaped = payload.replace('\\', "\\x5C").replace('"', "\\x22");
        let line = format!(
            "{REAL} - {escaped} [21/Nov/2026:08:00:00 +0000] \"GET /{escaped} HTTP/1.1\" 401 1 \"-\" \"-\""
        );
        example.record(Format::Plain, &line, &[]);
        assert_eq!(example.deeds().banned, [REAL], "{line}");
    }
}

/// The journal's trusted fields: an account of a user's calls itself what it likes, and is not believed.
#[test]
fn a_users_process_that_calls_itself_a_service_is_not_believed() {
    for (example, identifier, message) in [
        ("sshd.toml", "sshd", "Failed password for root from 203.0.113.66 port 1 ssh2"),
        (
            "postfix.toml",
            "postfix/smtpd",
            "warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: x",
        ),
        ("dovecot.toml", "dovecot", "auth: sql(x,203.0.113.66): unknown user"),
        ("haproxy.toml", "haproxy", "203.0.113.66:1 [x] f b/<NOSRV> -1/-1/-1/-1/0 401 2 "),
        ("recidive.toml", "unmasq", "ban sshd 203.0.113.66"),
        ("nftables-dnat.toml", "sshd", "Failed password for root from 203.0.113.66 port 1 ssh2"),
        (
            "haproxy-xmpp.toml",
            "prosody",
            "c2s: Failed authentication attempt (not-authorized) for user x from IP: 203.0.113.66 port 1",
        ),
    ] {
        let mut example = Example::impatient(example);
        example.journal(identifier, identifier, 1000, message);
        assert_eq!(example.deeds().banned, [""; 0], "{identifier}: a user");
        let comm = if identifier == "sshd" { "sshd" } else { "x" };
        example.journal(identifier, comm, 0, message);
        assert_eq!(example.deeds().banned, [VICTIM], "{identifier}: root");
    }
}
