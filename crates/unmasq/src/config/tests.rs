//! What the file may say, and what is said about it when it is wrong.

use proptest::prelude::*;

use super::*;

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
