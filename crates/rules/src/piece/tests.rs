//! What each piece prints, and that the kernel takes it.

use unmasq_netfilter::netns::Namespace;

use super::*;
use crate::nflog::Nflog;
use crate::program::{ProgramError, run};
use crate::zones::Routing;

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn divert(to: &str) -> DivertSsh {
    DivertSsh {
        to: parsed(to),
        ports: parsed("22"),
        set: parsed("libssh"),
        table: parsed("nat"),
        inside: None,
    }
}

/// Each piece with few options and with many.
fn pieces() -> Vec<(&'static str, Piece)> {
    let log_dnat = LogDnat {
        transport: parsed("tcp"),
        ports: parsed("22"),
        to: parsed("10.0.0.2"),
        inside: None,
        prefix: parsed("DNAT/ssh: "),
        nflog: None,
        is_masqueraded: false,
    };
    let plain = Nflog { group: 5, snaplen: None, queue_threshold: None };
    let full = Nflog { group: 5, snaplen: Some(128), queue_threshold: Some(10) };
    let log_nflog = LogNflog {
        nflog: plain,
        prefix: parsed("new: "),
        hooks: vec![Hook::Input, Hook::Forward],
        inside: None,
        rate: None,
        is_of_every_packet: false,
    };
    let log_ssh_banner = LogSshBanner {
        nflog: Nflog { group: 5, snaplen: Some(2048), queue_threshold: Some(1) },
        prefix: parsed("ssh: "),
        ports: parsed("22"),
        packets: 20,
        inside: None,
    };
    let ips = Ips {
        queues: parsed("0"),
        is_fanned_out: false,
        is_bypassed: true,
        repeat_mark: None,
        hooks: vec![Hook::Forward],
    };
    let tproxy = Tproxy {
        inside: vec![parsed("lan0")],
        outside: vec![parsed("wan")],
        to: Vec::new(),
        transport: parsed("tcp"),
        ports: parsed("80"),
        listen: 50080,
        routing: Routing::default(),
    };
    let the_box = HoneypotBox {
        divert: divert("192.168.1.1:2200"),
        lan: parsed("192.168.0.0/24"),
        address: parsed("192.168.1.1"),
        lan_ports: parsed("9300,3142"),
        trusted: vec![parsed("192.168.1.0/24")],
        multicast: Some((parsed("br0"), parsed("224.2.2.4"))),
    };
    vec![
        ("log-dnat", Piece::LogDnat(log_dnat.clone())),
        (
            "log-dnat-full",
            Piece::LogDnat(LogDnat {
                to: parsed("[fd00::2]:2222"),
                inside: Some(parsed("wan")),
                nflog: Some(full),
                is_masqueraded: true,
                ..log_dnat
            }),
        ),
        ("log-nflog", Piece::LogNflog(log_nflog.clone())),
        (
            "log-nflog-full",
            Piece::LogNflog(LogNflog {
                nflog: full,
                hooks: vec![Hook::Output],
                inside: None,
                rate: Some(parsed("5/minute")),
                is_of_every_packet: true,
                ..log_nflog
            }),
        ),
        ("log-ssh-banner", Piece::LogSshBanner(log_ssh_banner.clone())),
        (
            "log-ssh-banner-full",
            Piece::LogSshBanner(LogSshBanner {
                ports: parsed("22,2222"),
                packets: 40,
                inside: Some(parsed("wan")),
                ..log_ssh_banner
            }),
        ),
        ("divert-ssh", Piece::DivertSsh(divert("192.168.1.1:2200"))),
        (
            "divert-ssh-here",
            Piece::DivertSsh(DivertSsh {
                ports: parsed("22,2222"),
                inside: Some(parsed("wan")),
                table: parsed("divert"),
                ..divert("2200")
            }),
        ),
        ("divert-ssh-v6", Piece::DivertSsh(divert("[fd00::5]:2200"))),
        ("ips", Piece::Ips(ips)),
        (
            "ips-full",
            Piece::Ips(Ips {
                queues: parsed("0-3"),
                is_fanned_out: true,
                is_bypassed: false,
                repeat_mark: Some(parsed("0x1")),
                hooks: vec![Hook::Input, Hook::Forward, Hook::Output],
            }),
        ),
        ("masquerade", Piece::Masquerade(Masquerade { out: parsed("wan"), networks: vec![] })),
        (
            "masquerade-full",
            Piece::Masquerade(Masquerade {
                out: parsed("wan"),
                networks: vec![parsed("192.168.0.0/16"), parsed("10.0.0.0/8"), parsed("fd00::/8")],
            }),
        ),
        ("tproxy", Piece::Tproxy(tproxy.clone())),
        (
            "tproxy-full",
            Piece::Tproxy(Tproxy {
                inside: vec![parsed("lan0"), parsed("lan1")],
                transport: parsed("udp"),
                ports: parsed("53,5353-5355"),
                routing: Routing { mark: parsed("0x100"), table: 7 },
                ..tproxy.clone()
            }),
        ),
        (
            "tproxy-dark",
            Piece::Tproxy(Tproxy {
                to: vec![parsed("198.18.7.0/24"), parsed("198.18.9.0/24"), parsed("2001:db8:7::/48")],
                ports: parsed("22"),
                ..tproxy
            }),
        ),
        ("box", Piece::Box(the_box.clone())),
        (
            "box-least",
            Piece::Box(HoneypotBox { divert: divert("2200"), trusted: vec![], multicast: None, ..the_box }),
        ),
    ]
}

/// Every piece in every form that it can be printed in.
fn printed() -> Vec<(String, Form, String)> {
    let mut all = Vec::new();
    for (name, piece) in pieces() {
        for form in Form::ALL {
            match piece.ruleset(form) {
                Ok(text) => all.push((format!("{name}_{}", form.word()), form, text)),
                Err(PieceError::OtherFamily { .. }) => assert_ne!(form, Form::Nft, "{name}"),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    all
}

#[test]
fn each_piece_prints_as_it_did() {
    for (name, _, text) in printed() {
        insta::assert_snapshot!(name, text);
    }
}

/// Loads it; nft as often as one likes, iptables' in place of the tables that it names.
fn load(form: Form, text: &str) -> Result<String, ProgramError> {
    match form {
        Form::Nft => run("nft", &["-f", "-"], text).and_then(|_| run("nft", &["-s", "list", "ruleset"], "")),
        Form::Iptables => run("iptables-restore", &[], text).and_then(|_| run("iptables-save", &[], "")),
        Form::Ip6tables => run("ip6tables-restore", &[], text).and_then(|_| run("ip6tables-save", &[], "")),
    }
}

#[test]
fn the_kernel_takes_each_piece_twice_and_has_it_once() {
    // A table that was replaced is listed behind the others.
    let bare = |text: String| -> Vec<String> {
        let mut lines: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for (name, form, text) in printed() {
        // This kernel may be one without nft's queue.
        if form == Form::Nft && name.starts_with("ips") {
            continue;
        }
        Namespace::scratch(|| {
            for set in ["libssh", "libssh6"] {
                let family = if set.ends_with('6') { "inet6" } else { "inet" };
                run("ipset", &["create", set, "hash:ip", "family", family, "timeout", "0"], "").unwrap();
            }
            form.try_out(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            let load = || load(form, &text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            let first = bare(load());
            assert_eq!(first, bare(load()), "{name}");
        })
        .unwrap();
    }
}

/// Beside what is there already, its jumps come and no policy changes.
#[test]
fn a_piece_for_iptables_can_be_added_to_what_there_is() {
    for (name, form, text) in printed().into_iter().filter(|(_, form, _)| *form == Form::Iptables) {
        Namespace::scratch(|| {
            run("ipset", &["create", "libssh", "hash:ip", "timeout", "0"], "").unwrap();
            let foreign = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i other -j ACCEPT\nCOMMIT\n";
            run("iptables-restore", &[], foreign).unwrap();
            run(&format!("{}-restore", form.word()), &["--noflush"], &text)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let there = run("iptables-save", &["-t", "filter"], "").unwrap();
            assert!(
                there.contains(":INPUT DROP") && there.contains("-A INPUT -i other -j ACCEPT"),
                "{name}: {there}"
            );
        })
        .unwrap();
    }
}

/// What nft says of a ruleset whose only fault is that this kernel has no `queue`.
#[test]
fn nft_reads_the_queues_whether_the_kernel_has_them_or_not() {
    for (name, form, text) in printed() {
        if form != Form::Nft || !name.starts_with("ips") {
            continue;
        }
        let said = Namespace::scratch(|| form.try_out(&text)).unwrap();
        if let Err(error) = said {
            let error = error.to_string();
            let of_the_kernel = error.matches("Could not process rule").count();
            assert!(of_the_kernel > 0 && error.matches("Error:").count() == of_the_kernel, "{name}: {error}");
            assert!(error.contains("queue") && !error.contains("syntax"), "{name}: {error}");
        }
    }
}

#[test]
fn a_set_keeps_its_elements_when_its_piece_is_loaded_again() {
    let text = Piece::DivertSsh(divert("2200")).ruleset(Form::Nft).unwrap();
    let there = Namespace::scratch(|| {
        load(Form::Nft, &text)?;
        run("nft", &["add", "element", "ip", "nat", "libssh", "{ 192.0.2.7 timeout 1d }"], "")?;
        load(Form::Nft, &text)
    });
    let there = there.unwrap().unwrap();
    assert!(there.contains("192.0.2.7 timeout 1d"), "{there}");
}

#[test]
fn a_piece_of_the_other_family_says_which_form_it_has() {
    let error = Piece::DivertSsh(divert("[fd00::5]:2200")).ruleset(Form::Iptables).unwrap_err().to_string();
    assert!(error.contains("nothing is left for iptables; print it with --format ip6tables"), "{error}");
}

#[test]
fn one_queue_cannot_be_chosen_by_the_cpu() {
    let pieces = pieces();
    let (_, Piece::Ips(ips)) = pieces.iter().find(|(name, _)| *name == "ips-full").expect("it is there")
    else {
        panic!("ips-full is of ips")
    };
    let alone = Piece::Ips(Ips { queues: parsed("3"), is_fanned_out: true, ..ips.clone() });
    for form in [Form::Nft, Form::Iptables, Form::Ip6tables] {
        assert_eq!(alone.ruleset(form), Err(PieceError::LoneQueue));
    }
}

#[test]
fn the_kernels_log_has_a_shorter_prefix_with_iptables() {
    let (_, piece) = pieces().remove(0);
    let Piece::LogDnat(piece) = piece else { panic!("the first is log-dnat") };
    let long = Piece::LogDnat(LogDnat { prefix: parsed(&"x".repeat(30)), ..piece });
    assert!(matches!(long.ruleset(Form::Iptables), Err(PieceError::LongPrefix(_))));
    assert!(long.ruleset(Form::Nft).is_ok());
}
