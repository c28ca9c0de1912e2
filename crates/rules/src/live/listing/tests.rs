use super::*;

const LISTED: &str = r#"table inet filter {
	set bans {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1h
		elements = { 1.2.3.4 counter packets 0 bytes 0 timeout 10m expires 9m59s996ms comment "it, {is} expires 3s", 1.2.3.5 expires 59m,
			     2.0.0.1 counter packets 1 bytes 2 }
	}

	map jump_map {
		type ifname : verdict
		elements = { "eth0" : jump LOinter,
			     "lan 0" : accept }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport { 22, 80 } accept comment "elements = { x }"
	}
}
"#;

#[test]
fn elements_stand_apart_from_the_rest() {
    let listing = Listing::read(LISTED).unwrap();
    let body = listing.body(&TableName { family: "inet".into(), name: "filter".into() });
    assert!(!body.contains("expires") && body.contains("comment \"elements = { x }\""), "{body}");
    assert_eq!(
        listing.parts.iter().map(|part| part.kind.as_str()).collect::<Vec<_>>(),
        ["set", "map", "chain"]
    );
    assert_eq!(listing.parts[2].hook(), Some("type filter hook input priority filter"));
    let bans = &listing.sets["bans"];
    assert_eq!(bans.elements.keys().collect::<Vec<_>>(), ["1.2.3.4", "1.2.3.5", "2.0.0.1"]);
    assert!(bans.has_timeouts);
    assert_eq!(bans.kind, "set type ipv4_addr");
    let element = &bans.elements["1.2.3.4"];
    assert_eq!(element.expires, Some(Duration::from_millis(599_996)));
    assert_eq!(
        element.after(Duration::from_secs(9)).map(|e| e.text()).as_deref(),
        Some(
            r#"1.2.3.4 counter packets 0 bytes 0 timeout 10m expires 590s996ms comment "it, {is} expires 3s""#
        )
    );
    assert_eq!(element.after(Duration::from_secs(600)), None, "it has gone by then");
    assert!(element.is_temporary() && !bans.elements["2.0.0.1"].is_temporary());
    let map = &listing.sets["jump_map"];
    assert_eq!(map.elements.keys().collect::<Vec<_>>(), ["\"eth0\"", "\"lan 0\""]);
    assert_eq!(map.elements["\"eth0\""].text(), "\"eth0\" : jump LOinter");
    assert_eq!(map.elements["\"eth0\""].value(), Some("jump LOinter"));
    assert_eq!(element.value(), None);
}

#[test]
fn a_set_without_an_end_is_refused() {
    assert!(Listing::read("table ip x {\n\tset a {\n\t\telements = { 1.2.3.4,\n").is_err());
}

#[test]
fn times_are_read_as_nft_prints_them() {
    assert_eq!(nft_time("1d2h3m4s5ms"), Some(Duration::from_millis(93_784_005)));
    assert_eq!(nft_time("10m"), Some(Duration::from_secs(600)));
    for text in ["", "10", "m", "1x", "99999999999999999999s"] {
        assert_eq!(nft_time(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ \t\n{}\",:=a-z0-9.\"é-]{0,200}") {
        let text = format!("table ip x {{\n\tset s {{\n\t\telements = {{{text}");
        let _ = Listing::read(&text);
    }
}
