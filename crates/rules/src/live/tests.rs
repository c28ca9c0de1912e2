//! In empty namespaces, with the real programs.

use unmasq_netfilter::netns::Namespace;

use super::*;
use crate::program::run;

const OLD: &str = "\
table inet filter {
	set bans {
		type ipv4_addr
		flags timeout
		elements = { 192.0.2.1 timeout 1h }
	}
	set admins {
		type ipv4_addr
		elements = { 10.0.0.1, 10.0.0.2 }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ip saddr @bans counter packets 7 bytes 70 drop
		ip saddr @admins tcp dport 22 accept
	}
}
";

const NEW: &str = "\
table inet filter {
	set bans {
		type ipv4_addr
		flags timeout
	}
	set admins {
		type ipv4_addr
		elements = { 10.0.0.3 }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ip saddr @bans drop
		ip saddr @admins tcp dport { 22, 443 } accept
	}
}
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		masquerade
	}
}
";

const FOREIGN: &str = "table inet f2b-table {\n\tset addr-set-sshd {\n\t\ttype ipv4_addr\n\t\telements = { 198.51.100.9 }\n\t}\n}\n";

fn nft(text: &str) {
    run("nft", &["-f", "-"], text).unwrap();
}

/// The ruleset without times that pass.
fn listed() -> String {
    let text = run("nft", &["list", "ruleset"], "").unwrap();
    text.split(' ')
        .scan(false, |skip, word| Some((std::mem::replace(skip, word == "expires"), word)))
        .filter(|(skip, word)| !skip && *word != "expires")
        .map(|(_, word)| word)
        .collect::<Vec<_>>()
        .join(" ")
}

fn scratch(test: impl FnOnce() + Send) {
    Namespace::scratch(test).unwrap();
}

#[test]
fn tables_of_nft_come_back_as_they_were_and_others_are_left_alone() {
    scratch(|| {
        // In this order, since a table that is made anew is the last.
        nft(FOREIGN);
        nft(OLD);
        let before = listed();
        let target = Target::new(Form::Nft, NEW, false).unwrap();
        assert_eq!(target.tables(), ["inet filter", "ip nat"]);
        let saved = target.save().unwrap();
        let others = target.load(None).unwrap();
        let loaded = target.now().unwrap();
        assert_eq!(others.lost, Vec::<String>::new());
        let new = listed();
        assert!(
            new.contains("masquerade")
                && new.contains("198.51.100.9")
                && new.contains("192.0.2.1 timeout 1h"),
            "{new}"
        );
        assert!(!new.contains("10.0.0.1"), "the file says who the admins are: {new}");
        assert_eq!(saved.put_back(Some(&loaded)).unwrap(), Vec::<String>::new());
        assert_eq!(listed(), before);
    });
}

#[test]
fn what_others_do_to_sets_meanwhile_outlives_the_return() {
    scratch(|| {
        nft(OLD);
        let target = Target::new(Form::Nft, NEW, false).unwrap();
        let saved = target.save().unwrap();
        target.load(None).unwrap();
        let loaded = target.now().unwrap();
        nft(
            "add element inet filter bans { 192.0.2.2 timeout 1h }\ndelete element inet filter bans { 192.0.2.1 }\nadd element inet filter admins { 10.0.0.9 }",
        );
        saved.put_back(Some(&loaded)).unwrap();
        let back = listed();
        for (element, is_there) in [
            ("192.0.2.2 timeout 1h", true),
            ("192.0.2.1", false),
            ("10.0.0.9", true),
            ("10.0.0.1", true),
            ("10.0.0.3", false),
        ] {
            assert_eq!(back.contains(element), is_there, "{element}: {back}");
        }
        assert!(back.contains("counter packets 7 bytes 70"), "{back}");
    });
}

#[test]
fn after_a_load_that_is_known_what_came_since_is_others() {
    scratch(|| {
        let first = Target::new(Form::Nft, OLD, false).unwrap();
        first.load(None).unwrap();
        nft("add element inet filter admins { 10.0.0.9 }");
        let others = Target::new(Form::Nft, NEW, false).unwrap().load(Some(&first.own())).unwrap();
        assert_eq!(
            (others.lost, others.kept),
            (vec![], vec!["1 elements of set admins of table inet filter".to_owned()])
        );
        // And stays others' also when the new one was loaded with it.
        let second = Target::new(Form::Nft, NEW, false).unwrap();
        second.load(Some(&second.own())).unwrap();
        let now = listed();
        assert!(now.contains("10.0.0.9") && now.contains("10.0.0.3") && !now.contains("10.0.0.1"), "{now}");
    });
}

#[test]
fn tables_that_the_next_ruleset_has_not_go_and_come_back() {
    scratch(|| {
        nft(FOREIGN);
        let first = Target::new(Form::Nft, NEW, false).unwrap();
        first.load(None).unwrap();
        let before = listed();
        let second = Target::new(Form::Nft, OLD, false).unwrap().instead_of(Some(&first.own()));
        let saved = second.save().unwrap();
        second.load(Some(&first.own())).unwrap();
        let loaded = second.now().unwrap();
        let now = listed();
        assert!(!now.contains("table ip nat") && now.contains("f2b-table"), "{now}");
        saved.put_back(Some(&loaded)).unwrap();
        let back = listed();
        assert!(before.contains("masquerade") && back.contains("masquerade"), "{back}");
        // Also one that the text deletes by name.
        for delete in ["table ip nat {}\ndelete table ip nat\n", "add table ip nat; delete table ip nat\n"] {
            nft("table ip nat {}");
            Target::new(Form::Nft, &format!("{delete}{OLD}"), false).unwrap().load(None).unwrap();
            assert!(!listed().contains("table ip nat"), "{delete}");
        }
    });
    scratch(|| {
        let first = Target::new(Form::Iptables, NEW_V4, false).unwrap();
        first.load(None).unwrap();
        let second = Target::new(Form::Iptables, OLD_V4, false).unwrap().instead_of(Some(&first.own()));
        let saved = second.save().unwrap();
        second.load(Some(&first.own())).unwrap();
        let loaded = second.now().unwrap();
        assert!(!saved_v4(Form::Iptables).contains("xmark"));
        saved.put_back(Some(&loaded)).unwrap();
        assert!(saved_v4(Form::Iptables).contains("xmark"));
    });
}

#[test]
fn elements_that_fit_nowhere_are_named() {
    scratch(|| {
        nft(OLD);
        let other = NEW
            .replace("type ipv4_addr\n\t\tflags timeout", "type ipv6_addr\n\t\tflags timeout")
            .replace("ip saddr @bans", "ip6 saddr @bans");
        let others = Target::new(Form::Nft, &other, false).unwrap().load(None).unwrap();
        assert_eq!(
            others.lost,
            ["1 elements of set bans of table inet filter, which is not in the new ruleset with this type"]
        );
    });
}

#[test]
fn a_flush_of_all_is_refused_with_the_names_of_what_would_die_and_returns_everything() {
    scratch(|| {
        nft(FOREIGN);
        let _ = run(
            "iptables",
            &["-t", "nat", "-A", "POSTROUTING", "-m", "comment", "--comment", "docker", "-j", "MASQUERADE"],
            "",
        )
        .unwrap();
        let text = format!("flush ruleset\n{OLD}");
        let refused = Target::new(Form::Nft, &text, false).unwrap_err().to_string();
        assert!(
            refused.contains("line 1") && refused.contains("inet f2b-table") && refused.contains("ip nat"),
            "{refused}"
        );
        // iptables makes the chains that it did not need before, too.
        let nat = || saved("iptables-save", &["-t", "nat"]);
        let before = (run("nft", &["list", "table", "inet", "f2b-table"], "").unwrap(), nat());
        let target = Target::new(Form::Nft, &text, true).unwrap();
        let saved = target.save().unwrap();
        target.load(None).unwrap();
        let loaded = target.now().unwrap();
        assert!(!listed().contains("f2b"));
        saved.put_back(Some(&loaded)).unwrap();
        let after = (run("nft", &["list", "table", "inet", "f2b-table"], "").unwrap(), nat());
        assert_eq!(after, before);
    });
}

#[test]
fn what_a_state_is_kept_as_reads_back() {
    scratch(|| {
        nft(OLD);
        let saved = Target::new(Form::Nft, NEW, false).unwrap().save().unwrap();
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), saved);
    });
}

#[test]
fn a_ruleset_must_be_whole() {
    scratch(|| {
        nft(OLD);
        let part = Target::new(Form::Nft, "add rule inet filter input accept\n", false);
        assert!(matches!(part, Err(RulesError::NotWhole { .. })), "{part:?}");
        let include = Target::new(Form::Nft, "# all\n include \"/etc/other.nft\"\n", false);
        assert!(matches!(include, Err(RulesError::Includes { line: 2 })), "{include:?}");
        assert!(matches!(Target::new(Form::Nft, "# nothing\n", false), Err(RulesError::Empty)));
    });
}

const OLD_V4: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";
const NEW_V4: &str = "*mangle\n-A PREROUTING -p tcp -j MARK --set-mark 1\nCOMMIT\n*filter\n:INPUT DROP\n:LO -\n-A INPUT -i lo -j LO\n-A LO -j ACCEPT\nCOMMIT\n";

/// Without comments and counters.
fn saved(program: &str, words: &[&str]) -> String {
    let text = run(program, words, "").unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| [line.split(" [").next().unwrap(), "\n"]).collect()
}

fn saved_v4(form: Form) -> String {
    saved(if form == Form::Ip6tables { "ip6tables-save" } else { "iptables-save" }, &[])
}

#[test]
fn tables_of_iptables_come_back_with_what_fail2ban_did_meanwhile() {
    for form in [Form::Iptables, Form::Ip6tables] {
        scratch(|| {
            let program = if form == Form::Ip6tables { "ip6tables" } else { "iptables" };
            let address = |n: u8| {
                if form == Form::Ip6tables { format!("2001:db8::{n}/128") } else { format!("192.0.2.{n}/32") }
            };
            let does = |line: &str| run(program, &line.split(' ').collect::<Vec<_>>(), "").unwrap();
            run(&format!("{program}-restore"), &[], OLD_V4).unwrap();
            does("-N f2b-sshd");
            does("-A f2b-sshd -j RETURN");
            does("-I INPUT -p tcp -m multiport --dports 22 -j f2b-sshd");
            does(&format!("-I f2b-sshd 1 -s {} -j REJECT", address(1)));
            let target = Target::new(form, NEW_V4, false).unwrap();
            let saved = target.save().unwrap();
            let others = target.load(None).unwrap();
            assert_eq!((others.lost, others.kept), (vec![], vec!["3 rules of table filter".to_owned()]));
            let new = saved_v4(form);
            assert!(new.contains("--set-xmark") && new.contains("-j LO"), "{new}");
            let jump = new.find("-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd").unwrap();
            assert!(jump < new.find("-A INPUT -i lo -j LO").unwrap(), "{new}");
            assert!(new.contains(&format!("-A f2b-sshd -s {}", address(1))), "{new}");
            // A kill before anyone knew: nothing is taken for others' doing.
            assert_eq!(saved.put_back(None).unwrap(), Vec::<String>::new());
            let back = saved_v4(form);
            assert!(
                !back.contains("-j LO") && !back.contains("xmark") && back.contains("--dport 22 -j ACCEPT"),
                "{back}"
            );
            assert!(back.contains(&format!("-A f2b-sshd -s {}", address(1))), "{back}");
            target.load(None).unwrap();
            let loaded = target.now().unwrap();
            // One is banned and another let go, while the new ruleset is tried.
            does(&format!("-I f2b-sshd 1 -s {} -j REJECT", address(2)));
            does(&format!("-D f2b-sshd -s {} -j REJECT", address(1)));
            assert_eq!(saved.put_back(Some(&loaded)).unwrap(), Vec::<String>::new());
            let back = saved_v4(form);
            assert!(back.contains(&address(2)) && !back.contains(&address(1)), "{back}");
            assert!(
                back.contains("--dport 22 -j ACCEPT") && !back.contains("-j LO") && !back.contains("xmark"),
                "{back}"
            );
            assert!(back.contains("multiport --dports 22 -j f2b-sshd"), "{back}");
        });
    }
}
