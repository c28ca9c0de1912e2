//! The rules for iptables, loaded by iptables-restore and read from iptables-save.

use std::net::Ipv4Addr;
use std::process::Command;

use unmasq_lab::{Lab, Node};
use unmasq_plan::rules::{Header, Iptables, read};
use unmasq_plan::{Allocation, Layout, Plan, Spec};

fn plan(layout: Layout, public: &str, network: &str) -> Plan {
    let spec = Spec {
        layout,
        public: vec![public.parse().unwrap()],
        ..Spec::of_script(vec![network.parse().unwrap()], Ipv4Addr::UNSPECIFIED)
    };
    spec.make(None).unwrap().with_protocols(unmasq_plan::ProtocolSet::TCP_UDP)
}

fn restore(lab: &Lab, node: &Node, program: &str, text: &str, is_test: bool) {
    let mut command = Command::new("ip");
    // iptables-legacy waits for its lock, which is the machine's otherwise, as long as it takes.
    command.env("XTABLES_LOCKFILE", lab.scratch().join("xtables.lock"));
    command.args(["netns", "exec", node.name(), program]);
    if is_test {
        command.arg("--test");
    }
    unmasq_lab::command::output(&mut command, text).unwrap();
}

fn sorted(plan: &Plan) -> Vec<Allocation> {
    let mut allocations = plan.allocations.clone();
    allocations.sort_unstable();
    allocations
}

#[test]
fn what_is_printed_is_loaded_and_what_is_saved_is_read() {
    let lab = Lab::new().unwrap();
    let plans = [
        (
            plan(Layout::Eduvpn, "203.0.113.1", "10.8.0.0/26"),
            Header::Script("Sat Dec 26 13:37:42 2020".into()),
        ),
        (plan(Layout::Even, "203.0.113.1-203.0.113.3", "10.8.0.0/26"), Header::Unmasq("now".into())),
    ];
    for (family, number) in [("iptables-legacy", 0), ("iptables-nft", 1)] {
        for (place, (plan, header)) in plans.iter().enumerate() {
            let node = lab.node(&format!("g{number}{place}")).unwrap();
            let file = Iptables { plan, out_interface: Some("wan") }.file(header);
            let program = format!("{family}-restore");
            restore(&lab, &node, &program, &file, true);
            restore(&lab, &node, &program, &file, false);
            for flags in [&[][..], &["-c"][..]] {
                let program = format!("{family}-save");
                let words: Vec<&str> = [program.as_str()].into_iter().chain(flags.iter().copied()).collect();
                let found = read(node.exec(&words).unwrap().as_bytes()).unwrap();
                assert_eq!(sorted(&found.plan), sorted(plan), "{family}");
                assert_eq!(found.others, []);
            }
        }
    }
}

#[test]
fn sixty_five_thousand_clients_are_taken() {
    let lab = Lab::new().unwrap();
    let node = lab.node("gateway").unwrap();
    let plan = plan(Layout::Even, "203.0.113.0/28", "10.8.0.0/16");
    assert_eq!(plan.allocations.len(), 65_533);
    let file = Iptables { plan: &plan, out_interface: None }.file(&Header::Unmasq("now".into()));
    restore(&lab, &node, "iptables-restore", &file, true);
}
