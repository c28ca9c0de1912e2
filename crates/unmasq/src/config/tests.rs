//! What the file may say, and what is said about it when it is wrong.

use proptest::prelude::*;

use unmasq_watch::client::remote::Place as BookPlace;
use unmasq_watch::enforce::{SetKind, SetName};
use unmasq_watch::journal_log::Target;

use super::*;
use unmasq_plan::Layout;
use unmasq_plan::history::Format;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("unmasq.toml"), text).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text)
}

/// The example with its values in force.
fn uncommented() -> String {
    example()
        .lines()
        .map(|line| if line.starts_with("# ") { line } else { line.trim_start_matches('#') })
        .fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
}

#[test]
fn an_empty_file_means_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.record.ledger, Path::new("/var/lib/unmasq/ledger"));
    assert_eq!(config.record.netns, Netns::Own);
    assert_eq!(config.record.scope, ScopeKind::TranslatedLocal);
    assert_eq!(config.record.destinations, DestinationPolicy::Keep);
    assert_eq!(config.record.keep, None);
    assert_eq!(config.record.receive_buffer, 64 << 20);
    assert_eq!(config.record.reliable, Reliable::Auto);
    assert_eq!(config.control.socket, Path::new("/run/unmasq/control.sock"));
    assert_eq!(config.control.mode, 0o660);
    assert_eq!(config.record.keep_ended, Duration::from_secs(5));
    assert_eq!(config.control.tls, None);
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        [record]
        ledger = "/srv/ledger"
        stream = "gw1"
        netns = ["vpn0", "vpn1"]
        scope = "all"
        destinations = "hash"
        keep = "180d"
        max_size = "50GiB"
        receive_buffer = "8MiB"
        reliable = "off"
        keep_ended = "1m"
        user = "unmasq"
        [control]
        socket = "/run/u.sock"
        group = "adm"
        mode = "0600"
        tls_listen = "[::]:7443"
        tls_certificate = "/c.pem"
        tls_key = "/k.pem"
        tls_clients = "/a.pem"
        [plan]
        networks = ["192.168.101.0/24", "10.8.0.7"]
        from_interface = "wg0"
        server_files = ["/etc/wireguard"]
        portal = "/p.php"
        leave_out = ["192.168.101.128/25"]
        public = ["203.0.113.0/28", "eth0"]
        ports = "2000-60000"
        exclude = ["kernel", "8080-8090"]
        ports_per_client = 512
        growth = 50
        layout = "eduvpn"
        format = "iptables"
        out_interface = "eth1"
        overflow = 100
        history = "/h"
        keep_flows = true
        check_every = "1m"
        [rules]
        history = "/r"
        author = "Ada <ada@example.net>"
        git = "/g"
        [honeypot]
        listen = ["0.0.0.0:2222", "[::1]:22"]
        transparent = true
        profile = "/p.toml"
        host_keys = "/hk"
        host_key_files = ["/k1"]
        identification = "SSH-2.0-x"
        methods = ["password"]
        moduli = "/m"
        json = "/j"
        eve = "/e"
        file_size = "1MiB"
        files = 3
        log = "syslog"
        set = "inet filter attackers"
        set_timeout = "1h"
        allow = ["192.0.2.0/24", "2001:db8::1"]
        metrics = "127.0.0.1:9322"
        connections = 50
        connections_by_address = 5
        grace = "30s"
        attempts = 3
        bytes = "128KiB"
        delay = "1s"
        tarpit_after = 100
        tarpit_networks = ["198.51.100.0/24"]
        tarpit_software = ["libssh"]
        tarpit_connections = 7
        tarpit_time = "5m"
        proxies = ["127.0.0.1"]
        book = "tls://gw:7443"
        book_certificate = "/bc"
        book_key = "/bk"
        book_authority = "/ba"
        hash_passwords = true
        threads = 2
        user = "pot"
        "#,
    );
    let expected = Config {
        record: Record {
            ledger: "/srv/ledger".into(),
            stream: Some("gw1".to_owned()),
            netns: Netns::Named(vec!["vpn0".to_owned(), "vpn1".to_owned()]),
            scope: ScopeKind::All,
            destinations: DestinationPolicy::Hash,
            keep: Some(Duration::from_secs(180 * 86_400)),
            max_size: Some(50 << 30),
            receive_buffer: 8 << 20,
            reliable: Reliable::Off,
            book: 1 << 30,
            keep_ended: Duration::from_secs(60),
            user: Some("unmasq".to_owned()),
        },
        control: Control {
            socket: "/run/u.sock".into(),
            group: Some("adm".to_owned()),
            mode: 0o600,
            tls: Some(tls::Place {
                listen: ([0u16; 8], 7443).into(),
                identity: Identity {
                    certificate: "/c.pem".into(),
                    key: "/k.pem".into(),
                    authority: "/a.pem".into(),
                },
            }),
        },
        plan: Plan {
            networks: vec!["192.168.101.0/24".parse().unwrap(), "10.8.0.7".parse().unwrap()],
            from_interface: Some("wg0".to_owned()),
            server_files: vec!["/etc/wireguard".into()],
            portal: Some("/p.php".into()),
            leave_out: vec!["192.168.101.128/25".parse().unwrap()],
            public: vec!["203.0.113.0/28".parse().unwrap(), "eth0".parse().unwrap()],
            ports: Some("2000-60000".parse().unwrap()),
            exclude: vec!["kernel".parse().unwrap(), "8080-8090".parse().unwrap()],
            ports_per_client: Some(512),
            growth: 50,
            layout: Layout::Eduvpn,
            format: Format::Iptables,
            out_interface: Some("eth1".to_owned()),
            overflow: Some(100),
            history: "/h".into(),
            keep_flows: true,
            check_every: Duration::from_secs(60),
        },
        rules: Rules {
            history: "/r".into(),
            author: Some("Ada <ada@example.net>".to_owned()),
            git: Some("/g".into()),
        },
        honeypot: Honeypot {
            listen: vec![([0; 4], 2222).into(), "[::1]:22".parse().unwrap()],
            transparent: true,
            profile: Some("/p.toml".into()),
            host_keys: "/hk".into(),
            host_key_files: vec!["/k1".into()],
            identification: Some("SSH-2.0-x".to_owned()),
            methods: vec!["password".to_owned()],
            moduli: Some("/m".into()),
            outputs: HoneypotOutputs {
                json: Some("/j".into()),
                eve: Some("/e".into()),
                file_size: 1 << 20,
                files: 3,
                log: Some(Target::Syslog("/dev/log".into())),
                set: Some(SetName::parse(SetKind::Nft, "inet filter attackers").unwrap()),
                set_timeout: Duration::from_secs(3600),
                allow: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
                metrics: Some(([127, 0, 0, 1], 9322).into()),
            },
            bounds: HoneypotBounds {
                connections: 50,
                connections_by_address: 5,
                grace: Duration::from_secs(30),
                attempts: Some(3),
                bytes: 128 << 10,
                delay: Some(Duration::from_secs(1)),
            },
            tarpit: HoneypotTarpit {
                after: Some(100),
                networks: vec!["198.51.100.0/24".parse().unwrap()],
                software: vec!["libssh".to_owned()],
                connections: 7,
                time: Duration::from_secs(300),
            },
            proxies: vec!["127.0.0.1/32".parse().unwrap()],
            book: Some(BookPlace::Tls { host: "gw".to_owned(), port: 7443 }),
            book_identity: Some(Identity {
                certificate: "/bc".into(),
                key: "/bk".into(),
                authority: "/ba".into(),
            }),
            hash_passwords: true,
            threads: Some(2),
            user: Some("pot".to_owned()),
        },
    };
    assert_eq!(config, Ok(expected));
    assert_eq!(parse("record.netns = \"all\"").map(|c| c.record.netns), Ok(Netns::All));
}

#[test]
fn the_example_is_valid_and_means_the_defaults() {
    assert_eq!(parse(&example()), Ok(Config::default()));
    let in_force = parse(&uncommented()).unwrap();
    assert_eq!(in_force.record.keep, Some(Duration::from_secs(180 * 86_400)));
    assert_eq!(in_force.record.ledger, Config::default().record.ledger);
    for section in Config::about() {
        for key in section.keys {
            assert!(
                uncommented().contains(&format!("\n{} = ", key.name)),
                "{} is not in the example",
                key.name
            );
        }
    }
}

#[test]
fn the_shipped_files_are_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shipped = fs::read_to_string(root.join("packaging/unmasq.toml")).unwrap();
    assert_eq!(
        shipped,
        example(),
        "packaging/unmasq.toml: write the output of `unmasq config example` to it"
    );
    let page = fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    assert!(
        page.contains(&format!("```toml\n{}```\n", example())),
        "docs/configuration.md shows another example"
    );
}

#[test]
fn an_unknown_key_is_answered_with_the_likely_one() {
    let message = refusal("[record]\nkep = \"180d\"\n");
    assert_eq!(
        message,
        concat!(
            "unmasq.toml:2:1: unknown key \"kep\" in [record]; did you mean \"keep\"?\n",
            "  |\n2 | kep = \"180d\"\n  | ^^^\n",
        )
    );
    assert!(refusal("[recorder]").contains("unknown section \"recorder\"; did you mean [record]?"));
    assert!(refusal("[record]\nmax-size = \"1GB\"").contains("did you mean \"max_size\"?"));
    assert!(refusal("[record]\nsocket = \"/a\"").contains("it belongs under [control]"));
    assert!(refusal("keep = \"1d\"").contains("it belongs under [record]"));
    assert!(refusal("[record]\nzzz = 1").contains("there are ledger, stream, netns"));
    assert!(refusal("[zzz]").contains("there are [record], [control]"));
}

#[test]
fn everything_wrong_is_reported_at_once_in_the_files_order() {
    let message =
        refusal("[control]\nmode = 660\n[record]\nkeep = \"180\"\nnetns = [\"a\", \"-b\"]\nscop = \"all\"\n");
    let places: Vec<&str> = message.lines().filter(|line| line.starts_with("unmasq.toml:")).collect();
    assert_eq!(places.len(), 4, "{message}");
    assert!(places[0].starts_with("unmasq.toml:2:8: mode: found the number 660"), "{message}");
    assert!(places[1].starts_with("unmasq.toml:4:8: keep: \"180\" lacks a unit"), "{message}");
    assert!(places[2].starts_with("unmasq.toml:5:15: netns: \"-b\" is not a name"), "{message}");
    assert!(places[3].ends_with("did you mean \"scope\"?"), "{message}");
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    for (line, part) in [
        ("ledger = \"data\"", "relative path"),
        ("ledger = \"\"", "must not be empty"),
        ("stream = \"a/b\"", "is not a name"),
        ("netns = \"vpn0\"", "write [\"vpn0\"]"),
        ("netns = [\"a\", \"a\"]", "named twice"),
        ("netns = 5", "a list of names, or \"all\""),
        ("scope = \"Translated\"", "did you mean \"translated\"?"),
        ("destinations = true", "one of \"keep\", \"hash\", \"drop\""),
        ("keep = \"5m\"", "give 1h to"),
        ("keep = 180", "a duration in quotes"),
        ("max_size = \"50G\"", "GiB"),
        ("receive_buffer = \"4GiB\"", "give 64KiB to 1GiB"),
        ("reliable = \"on\"", "\"auto\", \"off\""),
    ] {
        let message = refusal(&format!("[record]\n{line}\n"));
        assert!(message.contains(part) && message.starts_with("unmasq.toml:2:"), "{line}: {message}");
    }
    for mode in ["\"660x\"", "\"1777\"", "\"+660\"", "\"9\""] {
        assert!(refusal(&format!("[control]\nmode = {mode}")).contains("octal digits"), "{mode}");
    }
    for address in ["5", "\"localhost:7443\"", "\"192.0.2.1\"", "\"192.0.2.1:0\""] {
        assert!(
            refusal(&format!("[control]\ntls_listen = {address}")).contains("an address and a port"),
            "{address}"
        );
    }
    let message = refusal("[control]\ntls_listen = \"[::]:7443\"\ntls_key = \"/k\"\n");
    assert!(message.contains("tls_listen needs tls_certificate as well"), "{message}");
    assert!(message.contains("tls_listen needs tls_clients as well"), "{message}");
    assert!(!message.contains("needs tls_key"), "{message}");
    assert!(refusal("record = 5").contains("record is a section"));
    for (line, part) in [
        ("networks = [\"10.8.0.0/24\", \"10.8.0/24\"]", "is not an IPv4 network"),
        ("public = [\"203.0.113.300\"]", "is not an IPv4 address or range"),
        ("ports = \"9-1\"", "with the lower one first"),
        ("growth = 1001", "give 0 to 1000"),
        ("growth = \"25\"", "a whole number"),
        ("ports_per_client = 0", "give 1 to 65535"),
        ("keep_flows = 1", "true or false"),
        ("layout = \"odd\"", "\"even\", \"eduvpn\""),
    ] {
        let message = refusal(&format!("[plan]\n{line}\n"));
        assert!(message.contains(part) && message.starts_with("unmasq.toml:2:"), "{line}: {message}");
    }
}

#[test]
fn text_that_is_no_toml_is_shown_where_it_breaks() {
    let message = refusal("[record]\nkeep = \n");
    assert!(message.starts_with("unmasq.toml:2:"), "{message}");
    assert!(message.contains("not TOML"), "{message}");
    assert!(refusal("[record]\nkeep = \"1d\"\nkeep = \"2d\"\n").contains("duplicate key"));
    let bytes = Config::parse_bytes(Path::new("unmasq.toml"), b"[record]\n# \xff\n").unwrap_err().to_string();
    assert!(bytes.starts_with("unmasq.toml:2:3: not UTF-8"), "{bytes}");
}

proptest! {
    #[test]
    fn a_printed_configuration_reads_back(
        hours in 1u64..800_000,
        bytes in 1u64 << 20..=u64::MAX,
        mode in 0u32..=0o777,
    ) {
        let text = format!(
            "[record]\nkeep = \"{}\"\nmax_size = \"{}\"\n[control]\nmode = \"{mode:04o}\"\n",
            units::format_duration(Duration::from_secs(hours * 3600)),
            units::format_size(bytes),
        );
        let config = parse(&text).unwrap();
        prop_assert_eq!(config.record.keep, Some(Duration::from_secs(hours * 3600)));
        prop_assert_eq!(config.record.max_size, Some(bytes));
        prop_assert_eq!(config.control.mode, mode);
    }

    #[test]
    fn no_text_panics(
        text in "[\\PC\n]{0,200}",
        lines in "(\\[(record|control)\\]\n|(keep|netns|mode|x) = [0-9\"a-z\\[\\]{},=.]{0,12}\n){0,8}",
    ) {
        let _ = parse(&text);
        let _ = parse(&lines);
    }
}
