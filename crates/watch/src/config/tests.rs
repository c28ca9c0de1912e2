//! What the file may say in each spelling, and what is said about it when it is wrong.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::journal_log::Level;

fn parse(text: &str, spelling: Spelling) -> Result<Loaded, String> {
    let name = match spelling {
        Spelling::Json => "watch.json",
        Spelling::Toml => "watch.toml",
        Spelling::Yaml => "watch.yaml",
    };
    Config::parse(Path::new(name), text, spelling).map_err(|error| error.to_string())
}

fn config(text: &str, spelling: Spelling) -> Config {
    parse(text, spelling).unwrap_or_else(|error| panic!("{error}")).config
}

fn refusal(text: &str, spelling: Spelling) -> String {
    parse(text, spelling).expect_err(text)
}

fn warnings(text: &str, spelling: Spelling) -> String {
    let loaded = parse(text, spelling).unwrap_or_else(|error| panic!("{error}"));
    loaded.show(loaded.warnings.clone()).to_string()
}

const EVERYTHING_TOML: &str = r#"
sources = [{ journal = { directory = "/var/log/journal/remote" } }, { file = "/var/log/auth.log" },
  { file = "/var/log/suricata/eve.json", format = "json" }, { syslog = "udp://[::]:514" },
  { syslog = "unix:/run/unmasq/log" }, { stdin = "journal-export" }, { journal = { namespace = "web" } }]
skew = "5s"
"8bit-message-encoding" = "latin-9"
storage = "/srv/watch"
compat = true
debug = true
metrics = "127.0.0.1:9464"
report.hour = 6
log = { identifier = "pyruse", journal = false }
control = { socket = "/run/w.sock", group = "adm", mode = "0600" }
limits = { counters = 10, raises = 20, captures = 30, waits = 40, bans = 50 }

[email]
from = "unmasq@example.org"
to = ["a@example.org", "b@example.org"]
subject = "R"
smtp = { host = "mail", tls = "implicit", user = "u", password_file = "/p", ca_file = "/ca", helo = "h" }

[ban]
escalation = { factor = 3, max = "1d", decay = 0 }
prefix = { ipv4 = 24, ipv6 = 56 }

[guard]
allow = ["192.0.2.7", "2001:db8::/32", "admin.example.org"]
allow_file = "/etc/allow"
masking = ["100.64.0.0/10"]
local = false
bans_per_minute = 5
allow_share = 1

[book]
conntrack = ["vpn0"]
from = "tls://[2001:db8::1]:7443"
certificate = "/c"
key = "/k"
authority = "/a"
keep = 60

[[actions.first]]
filter = "filter_in"
args = { field = "PRIORITY", values = [1, 2.5, "x", true, -3] }
then = "second"
else = "third"

[[actions.first]]
action = "action_noop"

[[actions.second]]
action = "action_noop"
"#;

const EVERYTHING_YAML: &str = r#"
actions:
  first:
    - filter: filter_in
      args: &args { field: PRIORITY, values: [1, 2.5, x, true, -3] }
      then: second
      else: "third"
    - action: action_noop
  second:
    - action: action_noop
sources:
  - journal: { directory: /var/log/journal/remote }
  - file: /var/log/auth.log
  - file: /var/log/suricata/eve.json
    format: json
  - syslog: "udp://[::]:514"
  - syslog: unix:/run/unmasq/log
  - stdin: journal-export
  - journal: { namespace: web }
skew: 5
8bit-message-encoding: ISO-8859-15
storage: /srv/watch
compat: true
debug: true
metrics: 127.0.0.1:9464
report: { hour: 6 }
log: { identifier: pyruse, journal: false }
control: { socket: /run/w.sock, group: adm, mode: "0600" }
limits: { counters: 10, raises: 20, captures: 30, waits: 40, bans: 50 }
email:
  from: unmasq@example.org
  to: [a@example.org, b@example.org]
  subject: R
  smtp: { host: mail, tls: implicit, user: u, password_file: /p, ca_file: /ca, helo: h }
ban:
  escalation: { factor: 3.0, max: 86400, decay: 0s }
  prefix: { ipv4: 24, ipv6: 56 }
guard:
  allow: [192.0.2.7, "2001:db8::/32", admin.example.org]
  allow_file: /etc/allow
  masking: [100.64.0.0/10]
  local: false
  bans_per_minute: 5
  allow_share: 1.0
book:
  conntrack: [vpn0]
  from: tls://[2001:db8::1]:7443
  certificate: /c
  key: /k
  authority: /a
  keep: 1m
"#;

const EVERYTHING_JSON: &str = r#"{
  "actions": {
    "first": [
      { "filter": "filter_in", "args": { "field": "PRIORITY", "values": [1, 2.5, "x", true, -3] },
        "then": "second", "else": "third" },
      { "action": "action_noop" }
    ],
    "second": [ { "action": "action_noop" } ]
  },
  "sources": [ { "journal": { "directory": "/var/log/journal/remote" } }, { "file": "/var/log/auth.log" },
    { "file": "/var/log/suricata/eve.json", "format": "json" }, { "syslog": "udp://[::]:514" },
    { "syslog": "unix:/run/unmasq/log" }, { "stdin": "journal-export" },
    { "journal": { "namespace": "web" } } ],
  "skew": 5, "8bit-message-encoding": "iso8859-15", "storage": "/srv/watch", "compat": true, "debug": true,
  "metrics": "127.0.0.1:9464", "report": { "hour": 6 }, "log": { "identifier": "pyruse", "journal": false },
  "control": { "socket": "/run/w.sock", "group": "adm", "mode": "0600" },
  "limits": { "counters": 10, "raises": 20, "captures": 30, "waits": 40, "bans": 50 },
  "email": { "from": "unmasq@example.org", "to": [ "a@example.org", "b@example.org" ], "subject": "R",
    "smtp": { "host": "mail", "tls": "implicit", "user": "u", "password_file": "/p",
      "ca_file": "/ca", "helo": "h" } },
  "ban": { "escalation": { "factor": 3, "max": "1d", "decay": 0 }, "prefix": { "ipv4": 24, "ipv6": 56 } },
  "guard": { "allow": [ "192.0.2.7", "2001:db8::/32", "admin.example.org" ], "allow_file": "/etc/allow",
    "masking": [ "100.64.0.0/10" ], "local": false, "bans_per_minute": 5, "allow_share": 1 },
  "book": { "conntrack": [ "vpn0" ], "from": "tls://[2001:db8::1]:7443", "certificate": "/c", "key": "/k",
    "authority": "/a", "keep": "60s" }
}"#;

#[test]
fn the_three_spellings_mean_the_same() {
    let toml = config(EVERYTHING_TOML, Spelling::Toml);
    assert_eq!(config(EVERYTHING_YAML, Spelling::Yaml), toml);
    assert_eq!(config(EVERYTHING_JSON, Spelling::Json), toml);
}

#[test]
fn every_key_is_read() {
    let read = config(EVERYTHING_TOML, Spelling::Toml);
    let text = |text: &str| Spanned::new(text.to_owned(), 0..0);
    let values =
        [Node::Integer(1), Node::Float(2.5), Node::Text("x".into()), Node::Bool(true), Node::Integer(-3)];
    let values = values.into_iter().map(|value| Spanned::new(value, 0..0)).collect();
    let args = vec![
        (text("field"), Spanned::new(Node::Text("PRIORITY".into()), 0..0)),
        (text("values"), Spanned::new(Node::List(values), 0..0)),
    ];
    let none = || Spanned::new(Node::Map(Vec::new()), 0..0);
    let noop = || Step {
        kind: Kind::Action,
        name: text("action_noop"),
        args: none(),
        then: None,
        otherwise: None,
        span: 0..0,
    };
    let filter = Step {
        kind: Kind::Filter,
        name: text("filter_in"),
        args: Spanned::new(Node::Map(args), 0..0),
        then: Some(text("second")),
        otherwise: Some(text("third")),
        span: 0..0,
    };
    let expected = Config {
        chains: vec![
            Chain { label: "first".into(), steps: vec![filter, noop()], span: 0..0 },
            Chain { label: "second".into(), steps: vec![noop()], span: 0..0 },
        ],
        sources: vec![
            SourceConfig::Journal(JournalPlace::Directory("/var/log/journal/remote".into())),
            SourceConfig::File {
                path: "/var/log/auth.log".into(),
                format: RecordFormat::Syslog,
                from_start: false,
                containing: None,
            },
            SourceConfig::File {
                path: "/var/log/suricata/eve.json".into(),
                format: RecordFormat::JsonLines,
                from_start: false,
                containing: None,
            },
            SourceConfig::Syslog(SyslogSocket::Udp("[::]:514".parse().unwrap())),
            SourceConfig::Syslog(SyslogSocket::Unix("/run/unmasq/log".into())),
            SourceConfig::Stdin { format: RecordFormat::JournalExport },
            SourceConfig::Journal(JournalPlace::Namespace("web".into())),
        ],
        skew: Duration::from_secs(5),
        encoding: "iso-8859-15".into(),
        storage: "/srv/watch".into(),
        compat: true,
        debug: true,
        email: Email {
            from: "unmasq@example.org".into(),
            to: vec!["a@example.org".into(), "b@example.org".into()],
            subject: "R".into(),
            transport: Transport::Smtp(Smtp {
                host: "mail".into(),
                port: 465,
                tls: Tls::Implicit,
                user: Some("u".into()),
                password: Some(Password::File("/p".into())),
                ca_file: Some("/ca".into()),
                helo: Some("h".into()),
            }),
        },
        report: ReportConfig { hour: 6 },
        ban: BanConfig {
            escalation: EscalationConfig {
                factor: 3.0,
                max: Duration::from_secs(86_400),
                decay: Duration::ZERO,
            },
            ipv4: 24,
            ipv6: 56,
        },
        guard: GuardConfig {
            allow: vec!["192.0.2.7/32".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            allow_names: vec!["admin.example.org".into()],
            allow_file: Some("/etc/allow".into()),
            masking: vec!["100.64.0.0/10".parse().unwrap()],
            local: false,
            bans_per_minute: 5,
            allow_share: 1.0,
        },
        book: BookConfig {
            conntrack: Conntrack::Named(vec!["vpn0".into()]),
            from: Some(BookAddress::Tls {
                host: "2001:db8::1".into(),
                port: 7443,
                certificate: "/c".into(),
                key: "/k".into(),
                authority: "/a".into(),
            }),
            keep: Duration::from_secs(60),
        },
        limits: LimitsConfig { counters: 10, raises: 20, captures: 30, waits: 40, bans: 50 },
        metrics: Some("127.0.0.1:9464".parse().unwrap()),
        log: LogConfig { identifier: "pyruse".into(), journal: false, file: None, level: Level::Debug },
        control: ControlConfig { socket: "/run/w.sock".into(), group: Some("adm".into()), mode: 0o600 },
    };
    assert_eq!(read, expected);
}

#[test]
fn an_empty_file_means_the_documented_defaults() {
    for (text, spelling) in [("{}", Spelling::Json), ("", Spelling::Toml), ("", Spelling::Yaml)] {
        let read = config(text, spelling);
        assert_eq!(read.sources, [SourceConfig::Journal(JournalPlace::System)]);
        assert_eq!(read.storage, Path::new("/var/lib/unmasq/watch"));
        assert_eq!(read.encoding, "iso-8859-1");
        assert_eq!((read.ban.ipv4, read.ban.ipv6), (32, 64));
        assert_eq!(read.book.conntrack, Conntrack::Own);
        assert!(read.guard.local);
        assert!(warnings(text, spelling).contains("there are no \"actions\""));
    }
}

#[test]
fn a_pyruse_json_has_pyruses_defaults() {
    let read = Config::parse(Path::new("/etc/pyruse/pyruse.json"), "{}", Spelling::Json).unwrap().config;
    assert_eq!(read.storage, Path::new("/var/lib/pyruse"));
    assert_eq!(read.log.identifier, "pyruse");
}

#[test]
fn samples_of_the_definition_are_valid() {
    for section in Config::about() {
        for key in section.keys.iter().filter(|key| key.name != "actions") {
            let name = if section.name.is_empty() { String::new() } else { format!("{}.", section.name) };
            let mut text = format!("{name}{:?} = {}\n", key.name, key.sample);
            match (section.name.as_str(), key.name) {
                ("email.smtp", "host") => {}
                ("email.smtp", "user") => {
                    text.push_str("email.smtp.host = \"h\"\nemail.smtp.password = \"p\"\n");
                }
                ("email.smtp", _) => text.push_str("email.smtp.host = \"h\"\n"),
                ("book", "from" | "certificate" | "key" | "authority") => {
                    for (other, value) in
                        [("from", "tls://h:1"), ("certificate", "/c"), ("key", "/k"), ("authority", "/a")]
                    {
                        if other != key.name {
                            let _ = writeln!(text, "book.{other} = \"{value}\"");
                        }
                    }
                }
                _ => {}
            }
            parse(&text, Spelling::Toml).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn the_documentation_has_the_table_of_keys() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/watch-configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let table = reference();
    assert!(page.contains(table.trim_end()), "docs/watch-configuration.md: its reference has to be\n{table}");
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let text = "skew = \"1\"\nreport.hour = 24\n[guard]\nallow = [\"192.0.2.300\", \"ok.example\", \
     \"/x\"]\nlokal = true\n[[actions.a]]\nfiltr = \"filter_in\"\n";
    let message = refusal(text, Spelling::Toml);
    let places: Vec<&str> = message.lines().filter(|line| line.starts_with("watch.toml:")).collect();
    let expected = [
        "1:8: skew: \"1\" lacks a unit",
        "2:15: hour: 24 is out of range; give 0 to 23",
        "4:10: allow: \"192.0.2.300\" is not an address",
        "4:39: allow: \"/x\" is not an address",
        "5:1: unknown key \"lokal\" in \"guard\"; did you mean \"local\"?",
        "6:1: a step needs",
        "7:1: unknown key \"filtr\"; did you mean \"filter\"?",
    ];
    assert_eq!(places.len(), expected.len(), "{message}");
    for (place, expected) in places.iter().zip(expected) {
        assert!(place["watch.toml:".len()..].starts_with(expected), "{place}\nis not\n{expected}");
    }
}

#[test]
fn the_marker_stands_right_in_all_spellings() {
    let cases = [
        (Spelling::Json, "{\n  \"émetteur\": 1, \"report\": { \"hour\": \"é\" } }", "2:38:"),
        (Spelling::Toml, "# é\nreport = { hour = \"é\" }", "2:19:"),
        (Spelling::Yaml, "# é€😀\nreport:\n  hour: \"é\"\n", "3:9:"),
        (Spelling::Yaml, "# é\r\nreport:\r\n  hour: é\r\n", "3:9:"),
    ];
    for (spelling, text, place) in cases {
        let message = refusal(text, spelling);
        assert!(message.contains(place), "{message}");
        assert!(message.contains("hour: found a text where a whole number is wanted"), "{message}");
    }
}

#[test]
fn what_pyruse_ignores_is_warned_of_in_its_own_spelling_only() {
    let json =
        r#"{ "actions": {}, "emial": {}, "email": { "form": "x" }, "nftBan": { "nft": ["/bin/nft"] } }"#;
    let said = warnings(json, Spelling::Json);
    for part in
        ["unknown key \"emial\"; did you mean \"email\"?", "did you mean \"from\"?", "command is not run"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(refusal("emial = {}", Spelling::Toml).contains("did you mean \"email\"?"));
    // Our own sections were not written for Pyruse.
    assert!(refusal(r#"{ "guard": { "lokal": true } }"#, Spelling::Json).contains("did you mean \"local\"?"));
}

#[test]
fn json_is_as_strict_as_pythons() {
    for (text, part) in [
        ("{ // c\n}", "omment"),
        ("{ \"a\": 1, }", "railing"),
        ("{ 'a': 1 }", "ingle-quoted"),
        ("{ a: 1 }", "not JSON"),
        ("{ \"a\": 0x1 }", "exadecimal"),
        ("{ \"a\": 01 }", "not JSON"),
        ("{ \"a\": 1. }", "not JSON"),
        ("{ \"a\": NaN }", "not JSON"),
        ("{ \"a\": \"\n\" }", "control character"),
        ("{ \"a\": 99999999999999999999 }", "too large"),
        ("{} {}", "not JSON"),
        ("", "no value"),
        ("[]", "found a list"),
    ] {
        let message = refusal(text, Spelling::Json);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn of_a_key_that_stands_twice_in_json_the_last_value_counts_at_the_first_place() {
    let text = r#"{ "actions": { "a": [], "b": [], "a": [ { "action": "action_noop" } ] } }"#;
    let read = config(text, Spelling::Json);
    let labels: Vec<_> = read.chains.iter().map(|chain| (chain.label.as_str(), chain.steps.len())).collect();
    assert_eq!(labels, [("a", 1), ("b", 0)]);
    assert!(warnings(text, Spelling::Json).contains("1:34: warning: \"a\" stands twice"));
    assert!(refusal("actions: { a: [], a: [] }", Spelling::Yaml).contains("stands twice"));
    assert!(refusal("debug = true\ndebug = true", Spelling::Toml).contains("duplicate key"));
}

#[test]
fn chains_have_the_files_order() {
    let labels = |config: Config| config.chains.into_iter().map(|chain| chain.label).collect::<Vec<_>>();
    let toml = "[[actions.z]]\naction = \"n\"\n[[actions.a]]\naction = \"n\"\n[[actions.z]]\naction = \"n\"\n\
                [[actions.\"… m\"]]\naction = \"n\"\n";
    assert_eq!(labels(config(toml, Spelling::Toml)), ["z", "a", "… m"]);
    assert_eq!(labels(config("actions: { z: [], a: [], … m: [] }", Spelling::Yaml)), ["z", "a", "… m"]);
    assert_eq!(labels(config("[actions]\nz = []\na = []\n", Spelling::Toml)), ["z", "a"]);
}

#[test]
fn steps_are_read_as_pyruse_reads_them() {
    let text = r#"{ "actions": { "a": [
        { "filter": "f", "action": "g", "then": "", "else": null },
        { "action": "g", "else": "b", "args": null, "comment": "x" }
    ] } }"#;
    let steps = config(text, Spelling::Json).chains.remove(0).steps;
    assert_eq!((steps[0].kind, steps[0].name.value.as_str()), (Kind::Filter, "f"));
    assert_eq!((&steps[0].then, &steps[0].otherwise, &steps[1].otherwise), (&None, &None, &None));
    assert_eq!(steps[1].args.value, Node::Null);
    let said = warnings(text, Spelling::Json);
    for part in ["has a \"filter\" too", "an action has no \"else\"", "unknown key \"comment\""] {
        assert!(said.contains(part), "{said}");
    }
    for (text, part) in [
        ("actions: { a: 5 }", "list of the chain's steps"),
        ("actions: [ ]", "labels with lists of steps"),
        ("actions: { a: [ 5 ] }", "where a step is wanted"),
        ("actions: { a: [ { args: {} } ] }", "needs a \"filter\" or an \"action\""),
        ("actions: { a: [ { filter: 5 } ] }", "where a name is wanted"),
        ("actions: { a: [ { filter: f, then: [] } ] }", "where a name is wanted"),
    ] {
        assert!(refusal(text, Spelling::Yaml).contains(part), "{text}");
    }
}

#[test]
fn yamls_scalars_are_those_of_its_core_schema() {
    let text =
        "actions: { a: [ { filter: f, args: [ ~, null, '', yes, no, True, 0o17, 0x1F, +5, 1e3, .5, -.inf, \
                '5', !!str 5, 1.2.3, 12:30, 1_000, - 5, -, ., 2026-11-21 ] } ] }"
            .replace("- 5, -, ", "");
    let read = config(&text, Spelling::Yaml);
    let found: Vec<Node> =
        read.chains[0].steps[0].args.value.as_list().unwrap().iter().map(|e| e.value.clone()).collect();
    let word = |text: &str| Node::Text(text.to_owned());
    let expected = [
        Node::Null,
        Node::Null,
        word(""),
        word("yes"),
        word("no"),
        Node::Bool(true),
        Node::Integer(15),
        Node::Integer(31),
        Node::Integer(5),
        Node::Float(1000.0),
        Node::Float(0.5),
        Node::Float(f64::NEG_INFINITY),
        word("5"),
        word("5"),
        word("1.2.3"),
        word("12:30"),
        word("1_000"),
        word("."),
        word("2026-11-21"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn yamls_aliases_are_followed_up_to_a_bound() {
    let shared = "actions:\n  a: [ { filter: f, args: &x { field: y } }, { action: g, args: *x } ]\n";
    let steps = config(shared, Spelling::Yaml).chains.remove(0).steps;
    assert_eq!(steps[0].args, steps[1].args);

    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = level - 1;
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{below}"); 9].join(", "));
    }
    assert!(refusal(&bomb, Spelling::Yaml).contains("stand for too much"));
    let message = refusal(&"[".repeat(100_000), Spelling::Yaml);
    assert!(message.contains("nested deeper") || message.contains("not YAML"), "{message}");
    for (text, part) in [
        ("a: &a [ *a ]", "alias"),
        ("a: *b", "not YAML"),
        ("<<: { a: 1 }", "merge keys"),
        ("? [a]\n: b", "a key must be a text"),
        ("--- {}\n--- {}\n", "second document"),
        ("a: !python/object x", "tag"),
    ] {
        assert!(refusal(text, Spelling::Yaml).contains(part), "{text}: {}", refusal(text, Spelling::Yaml));
    }
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    for (line, part) in [
        ("sources = []", "leave the key out"),
        ("sources = [{ jornal = true }]", "did you mean \"journal\"?"),
        ("sources = [{ file = \"log\" }]", "relative path"),
        ("sources = [{ file = \"/l\", format = \"jsn\" }]", "did you mean \"json\"?"),
        ("sources = [{ file = \"/l\", journal = true }]", "make it another source"),
        ("sources = [{ journal = false }]", "\"directory\" or \"namespace\""),
        ("sources = [{ syslog = \"udp://localhost\" }]", "udp://127.0.0.1:514"),
        ("sources = [{ stdin = \"plain\" }, { stdin = \"json\" }]", "one source only"),
        ("sources = [{ stdin = \"plain\", format = \"json\" }]", "beside \"stdin\""),
        ("sources = [{ file = \"/l\", from_start = 1 }]", "true or false"),
        ("sources = [{ file = \"/l\", containing = \"ssh\" }]", "\"json\" only"),
        ("sources = [{ file = \"/l\", format = \"json\", containing = \"a\\\"b\" }]", "letters, digits"),
        ("sources = [{ sensor = true }]", "{ nflog = 5 }"),
        ("sources = [{ sensor = {} }]", "an \"nflog\" group or an \"interface\""),
        ("sources = [{ sensor = { nflog = 70000 } }]", "65535"),
        ("sources = [{ sensor = { interface = \"a/b\" } }]", "cannot name an interface"),
        ("sources = [{ sensor = { nflog = 1, interface = \"a\" } }]", "one place"),
        ("sources = [{ sensor = { nflog = 1, ports = [0] } }]", "ports"),
        ("sources = [{ sensor = { nflog = 1, port = [22] } }]", "unknown key \"port\""),
        ("\"8bit-message-encoding\" = \"koi8\"", "is not one of"),
        ("metrics = \"9464\"", "an address and a port"),
        ("book = \"gateway:7443\"", "tls://host:port"),
        ("book.key = \"/k\"", "\"tls://…\" only"),
        ("ban.prefix.ipv6 = 129", "give 16 to 128"),
        ("ban.escalation.factor = 0.5", "give 1 to 1000"),
        ("guard.allow_share = 1.5", "give 0 to 1"),
        ("email.to = []", "no recipient"),
        ("email.sendmail = \"/usr/sbin/sendmail\"", "a list of texts"),
        ("email.smtp.port = 25", "needs a \"host\""),
        ("email.smtp = { host = \"h\", user = \"u\" }", "password_file"),
        ("email.smtp = { host = \"h\", password = \"p\", password_file = \"/p\" }", "one of the two"),
        ("control.mode = 660", "octal digits in quotes"),
        ("guard = 5", "guard is a section of keys and values, not the number 5"),
        ("when = 2026-11-21", "a date is no value here"),
    ] {
        let message = refusal(line, Spelling::Toml);
        assert!(message.contains(part), "{line}: {message}");
    }
}

#[test]
fn a_bare_address_of_a_book_has_the_usual_certificates() {
    let book = config("book = \"tls://gateway:7443\"", Spelling::Toml).book;
    let Some(BookAddress::Tls { certificate, key, authority, .. }) = book.from else { panic!("{book:?}") };
    assert_eq!(certificate, Path::new("/etc/unmasq/watch.pem"));
    assert_eq!(key, Path::new("/etc/unmasq/watch.key"));
    assert_eq!(authority, Path::new("/etc/unmasq/gateways-ca.pem"));
}

#[test]
fn a_password_is_not_printed() {
    let read = config("email.smtp = { host = \"h\", user = \"u\", password = \"hunter2\" }", Spelling::Toml);
    assert!(!format!("{read:?}").contains("hunter2"));
}

#[test]
fn the_places_are_searched_in_order() {
    let places = places(Some("/opt/extra".into()));
    let expected = [
        "/etc/unmasq/watch.toml",
        "/etc/unmasq/watch.yaml",
        "/etc/unmasq/watch.yml",
        "/etc/unmasq/watch.json",
        "pyruse.json",
        "/opt/extra/pyruse.json",
        "/etc/pyruse/pyruse.json",
    ];
    assert_eq!(places, expected.map(PathBuf::from));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watch.conf");
    fs::write(&path, "").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains(".json, .toml, .yaml and .yml"));
    let path = folder.path().join("watch.toml");
    assert!(Config::load(&path).unwrap_err().to_string().contains("cannot read the configuration"));
    fs::write(&path, b"# \xff\n").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("watch.toml:1:3: not UTF-8"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_config(&bytes);
    }

    #[test]
    fn no_text_panics(
        text in "[\\PC\n]{0,200}",
        near in "([\\[\\]{}:,\"'&*!|>#=\n -]|actions|filter|args|guard|allow|\\.|é|[0-9a-f]|\\\\){0,80}",
    ) {
        fuzz_config(text.as_bytes());
        fuzz_config(near.as_bytes());
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..4000, byte: u8, spelling in 0usize..3) {
        let text = [EVERYTHING_JSON, EVERYTHING_TOML, EVERYTHING_YAML][spelling];
        let mut bytes = text.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        fuzz_config(&bytes);
        fuzz_config(&bytes[..at]);
    }
}
