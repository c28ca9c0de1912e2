use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::rules::{Header, Iptables};
use crate::{Layout, PortRange, Spec};

fn allocation(client: [u8; 4], address: [u8; 4], ports: &str, protocols: ProtocolSet) -> Allocation {
    let block = Block { address: address.into(), ports: ports.parse().unwrap() };
    Allocation { client: client.into(), block, protocols }
}

/// The one client that most of these texts are about.
fn client(protocols: ProtocolSet) -> Allocation {
    allocation([192, 168, 101, 2], [192, 0, 2, 1], "1024-2047", protocols)
}

/// A table nat with these lines in it.
fn table(lines: &[&str]) -> String {
    format!("*nat\n:POSTROUTING ACCEPT [0:0]\n{}\nCOMMIT\n", lines.join("\n"))
}

fn read_lines(lines: &[&str]) -> RulesFile {
    read(table(lines).as_bytes()).unwrap()
}

fn error(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_the_script_wrote_is_read() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/natfw"));
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        read(&bytes)
    };
    let found = read("several.txt").unwrap();
    let networks = ["172.16.5.0/25", "10.8.0.0/27", "10.8.0.32/27", "192.168.101.0/28"];
    let spec = Spec::of_script(
        networks.iter().map(|text| text.parse().unwrap()).collect(),
        Ipv4Addr::new(192, 0, 2, 1),
    );
    let made = spec.make(None).unwrap();
    assert_eq!(found.plan, Plan { layout: Layout::Foreign, ..made });
    assert_eq!(found.others, []);
    // The client that the script could not name has nothing; the three others have.
    let found = read("small-30.txt").unwrap();
    assert_eq!((found.plan.client_count(), found.others), (3, Vec::new()));
    // What iptables would refuse, is.
    let refused = |name: &str| read(name).unwrap_err().to_string();
    assert!(refused("quotient-1.txt").starts_with("line 8: a range of ports that is none in --to-source: "));
    assert!(refused("no-ip-given.txt").starts_with("line 7: --to-source without an address: "));
}

#[test]
fn what_iptables_save_writes_is_read() {
    let all = ProtocolSet::TCP_UDP;
    let (tcp, sctp) = (ProtocolSet::only(Protocol::TCP), ProtocolSet::only(Protocol::SCTP));
    let head = "-A POSTROUTING -s 192.168.101.2/32";
    let to = "-j SNAT --to-source 192.0.2.1:1024-2047";
    for (lines, protocols) in [
        (vec![format!("{head} -p tcp {to}"), format!("{head} -p udp {to}")], all),
        (vec![format!("[3:180] {head} -o wan -p tcp -m tcp {to} --random --persistent")], tcp),
        (vec![format!("{head} -p tcp -m comment --comment \"not -s 10.0.0.1 -j MASQUERADE\" {to}")], tcp),
        (vec![format!("{head} -p tcp -m comment --comment \"a \\\" -j ACCEPT\" {to}")], tcp),
        (vec![format!("{head} -p tcp -m comment --comment -s {to}")], tcp),
        (vec![format!("-A POSTROUTING -s 192.168.101.2/255.255.255.255 ! -o lo -p 132 {to}")], sctp),
        (vec![format!("-I UNMASQ-PLAN 1 --src 192.168.101.2 --proto TCP {to}")], tcp),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = read_lines(&lines);
        assert_eq!(found.plan.allocations, [client(protocols)], "{lines:?}");
        assert_eq!(found.plan.ports_per_client, 1024);
        assert_eq!(found.others, []);
    }
}

#[test]
fn a_single_port_is_a_range_of_one() {
    let found = read_lines(&["-A POSTROUTING -s 192.168.101.2/32 -p tcp -j SNAT --to-source 192.0.2.1:1024"]);
    let tcp = ProtocolSet::only(Protocol::TCP);
    assert_eq!(found.plan.allocations, [allocation([192, 168, 101, 2], [192, 0, 2, 1], "1024", tcp)]);
}

#[test]
fn a_rule_that_gives_nobody_ports_of_his_own_is_another_one() {
    for line in [
        "-A POSTROUTING -o wan -j MASQUERADE",
        "-A POSTROUTING -s 10.64.0.0/255.255.0.255 -p icmp -j NETMAP --to 10.1.0.0/16",
        "-A POSTROUTING -s 10.64.0.0/255.255.0.255 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 10.0.0.0/24 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 10.0.0.1/32 -j SNAT --to-source 192.0.2.1",
        "-A POSTROUTING -s 10.0.0.1/32 -p tcp -j SNAT --to-source 192.0.2.1-192.0.2.9:1024-2047",
        "-A POSTROUTING -s 10.0.0.1/32 -p tcp -j SNAT --to-source :1024-2047",
        "-A POSTROUTING ! -s 10.0.0.1/32 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 10.0.0.1/32 ! -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -p icmp -j SNAT --to-source 192.0.2.1-192.0.2.9",
    ] {
        let found = read_lines(&[line]);
        assert_eq!(found.others, [OtherRule { line: 3, text: line.to_owned() }]);
        assert_eq!(found.plan.allocations, []);
    }
}

#[test]
fn a_rule_that_translates_no_source_is_no_matter() {
    let found = read_lines(&[
        "-A POSTROUTING -p icmp -j SNAT --to-source 192.0.2.1",
        "-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80",
        "-A POSTROUTING ! -s 10.0.0.0/8 -j RETURN",
        "-A POSTROUTING ! -s 10.0.0.0/8 -j UNMASQ-PLAN",
        "-A POSTROUTING -s 0.0.0.0/32 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 10.0.0.1/32",
    ]);
    assert_eq!(
        found,
        RulesFile { plan: Plan { layout: Layout::Foreign, ..Plan::default() }, ..found.clone() }
    );
    assert_eq!(found.others, []);
}

#[test]
fn other_tables_are_passed_over() {
    let text = format!(
        "# Generated\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j nonsense \"\nCOMMIT\n{}*raw\nCOMMIT\n# Completed\n",
        table(&["-A POSTROUTING -o wan -j MASQUERADE"])
    );
    assert_eq!(read(text.as_bytes()).unwrap().others[0].line, 8);
}

#[test]
fn an_error_says_the_line() {
    let line = |line: &str| error(&table(&["-A POSTROUTING -o wan -j ACCEPT", line]));
    let text = "-A POSTROUTING -s 10.0.0.1/32 -p tcp -j SNAT --to-source 192.0.2.1:2047-1024";
    assert_eq!(line(text), format!("line 4: a range of ports that is none in --to-source: {text:?}"));
    for (text, reason) in [
        ("-A", "a rule without a chain"),
        ("-X POSTROUTING", "not a rule"),
        ("COMM", "not a rule"),
        ("[3:180", "a counter that does not end"),
        ("-A POSTROUTING -s", "-s without an address"),
        ("-A POSTROUTING -p", "-p without a protocol"),
        ("-A POSTROUTING -j", "-j without a target"),
        ("-A POSTROUTING -j SNAT", "SNAT without --to-source"),
        ("-A POSTROUTING -j SNAT --to-source", "--to-source without an address"),
        ("-A POSTROUTING -j SNAT --to-source 192.0.2.1.1", "an address that is none"),
        (
            "-A POSTROUTING -s ::1 -p tcp -j SNAT --to-source 192.0.2.1:1-2",
            "a source that is no IPv4 address",
        ),
        ("-A POSTROUTING -s 10.0.0.1 -p tcpp -j SNAT --to-source 192.0.2.1:1-2", "an unknown protocol"),
        ("-A POSTROUTING -s 10.0.0.1 -p tcp -j SNAT --to-source 192.0.2.1:1-65536", "a range of ports"),
    ] {
        let error = line(text);
        assert!(error.starts_with(&format!("line 4: {reason}")), "{error}");
    }
    let long = line(&format!("-X {}", "é".repeat(5000)));
    assert!(long.chars().count() < 300, "{long}");
    assert_eq!(read(b"*nat\n-A \xff\nCOMMIT\n").unwrap_err(), RulesError::NotText { offset: 8 });
    assert!(error("*filter\nCOMMIT\n").contains("no line \"*nat\""));
    assert!(error("").contains("no line \"*nat\""));
}

#[test]
fn a_file_that_is_cut_off_is_told_wherever_it_is_cut() {
    let whole = table(&[
        "-A POSTROUTING -s 192.168.101.2 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 192.168.101.2 -p udp -j SNAT --to-source 192.0.2.1:1024-2047",
    ]);
    // The last line end alone may be missing.
    for length in 0..whole.len() - 1 {
        assert!(read(&whole.as_bytes()[..length]).is_err(), "{length}: {}", &whole[..length]);
    }
    assert_eq!(
        error("*nat\n-A X -j ACCEPT\n"),
        "the table nat is not ended by COMMIT: the file is cut off after line 2"
    );
    let joined = error("*nat\n-A X -j ACCEPT\n*filter\nCOMMIT\n");
    assert!(joined.starts_with("line 3: a table begins before nat is ended by COMMIT"), "{joined}");
}

#[test]
fn a_client_with_a_block_for_each_protocol_has_both() {
    let found = read_lines(&[
        "-A POSTROUTING -s 192.168.101.2/32 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
        "-A POSTROUTING -s 192.168.101.2/32 -p udp -j SNAT --to-source 192.0.2.1:5000-5009",
    ]);
    let udp = allocation([192, 168, 101, 2], [192, 0, 2, 1], "5000-5009", ProtocolSet::only(Protocol::UDP));
    assert_eq!(found.plan.allocations, [client(ProtocolSet::only(Protocol::TCP)), udp]);
    assert_eq!(found.plan.ports_per_client, 0);
}

prop_compose! {
    fn allocations()(client in 1_u32.., address: u32, ports: (u16, u16), protocols in 1_u8..4) -> Allocation {
        let ports = PortRange::new(ports.0.min(ports.1), ports.0.max(ports.1)).unwrap();
        let block = Block { address: address.into(), ports };
        Allocation { client: client.into(), block, protocols: ProtocolSet::from_bits(protocols) }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        allocations in proptest::collection::vec(allocations(), 1..30),
        is_script: bool,
        interface in proptest::option::of("[a-z]{1,8}"),
    ) {
        let plan = Plan::foreign(allocations);
        let time = "Sat Dec 26 13:37:42 2020".to_owned();
        let header = if is_script { Header::Script(time) } else { Header::Unmasq(time) };
        let file = Iptables { plan: &plan, out_interface: interface.as_deref() }.file(&header);
        let found = read(file.as_bytes()).unwrap();
        // Two rows of one client and block, one after the other, are one.
        let mut merged: Vec<Allocation> = Vec::new();
        for allocation in &plan.allocations {
            add(&mut merged, *allocation);
        }
        prop_assert_eq!(found.plan.allocations, merged);
        prop_assert_eq!(found.others, []);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        crate::fuzz::rules(&bytes);
    }

    #[test]
    fn any_words_are_read_or_refused(
        lines in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![
                    Just("-A"), Just("POSTROUTING"), Just("-s"), Just("10.0.0.1"), Just("10.0.0.2/32"), Just("-p"),
                    Just("tcp"), Just("udp"), Just("sctp"), Just("icmp"), Just("-j"), Just("SNAT"), Just("!"),
                    Just("--to-source"), Just("192.0.2.1:5-9"), Just("192.0.2.1:5"), Just("192.0.2.1"), Just("\""),
                    Just("--comment"), Just("COMMIT"), Just("*nat"), Just("[0:0]"),
                ],
                0..14,
            ),
            0..8,
        ),
    ) {
        let lines: Vec<String> = lines.iter().map(|words| words.join(" ")).collect();
        crate::fuzz::rules(table(&lines.iter().map(String::as_str).collect::<Vec<_>>()).as_bytes());
    }

    #[test]
    fn rules_with_anything_changed_are_read_or_refused(at in 0_usize..300, byte: u8) {
        let text = table(&[
            "-A POSTROUTING -s 192.168.101.2 -p tcp -j SNAT --to-source 192.0.2.1:1024-2047",
            "-A POSTROUTING -s 192.168.101.2 -p udp -j SNAT --to-source 192.0.2.1:1024-2047",
        ]);
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        crate::fuzz::rules(&bytes);
    }
}
