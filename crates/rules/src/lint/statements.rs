//! Warnings about single statements: log, queue, jump, tproxy.

use std::collections::BTreeSet;

use serde_json::Value;

use super::anatomy::{Anatomy, End};
use super::loggers::{Log, Loggers};
use super::reach::cut;
use super::{Place, Warning};
use crate::ruleset::{Body, Rule};

/// Targets of iptables-extensions(8) and of xtables-addons, so that another word is a chain.
const TARGETS: [&str; 62] = [
    "ACCEPT",
    "DROP",
    "RETURN",
    "QUEUE",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNAT",
    "DNPT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "MASQUERADE",
    "MIRROR",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "SAME",
    "SECMARK",
    "SET",
    "SNAT",
    "SNPT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
    "ACCOUNT",
    "CHAOS",
    "DELUDE",
    "DHCPMAC",
    "DNETMAP",
    "ECHO",
    "IPMARK",
    "LOGMARK",
    "PROTO",
    "RAWDNAT",
    "RAWSNAT",
    "STEAL",
    "SYSRQ",
    "TARPIT",
    "NFLOG6",
    "RTPENGINE",
    "MEDIAPROXY",
    "NDPI",
];

/// All warnings about the statements of a chain.
pub(super) fn all(place: Place<'_>, loggers: Option<&Loggers>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, rule) in place.chain.rules.iter().enumerate() {
        let mut put = |code, message, remedy| warnings.push(place.warning(code, rule.line, message, remedy));
        if let (Some(loggers), Some(log)) = (loggers, log_of(rule)) {
            let missing = loggers.missing(&place.table.family, log);
            if !missing.is_empty() {
                let (families, module) = (missing.join(" and "), module(log));
                let message = format!("`{}`: the kernel has no logger for packets of {families}", cut(rule));
                put("log-without-logger", message, module);
            }
        }
        if queues_without_bypass(rule) {
            let message =
                format!("`{}` drops its packets while no program takes them from the queue", cut(rule));
            let remedy = match rule.body {
                Body::Words(_) => "add --queue-bypass, unless a packet that nobody looked at must not pass",
                _ => "write `queue flags bypass`, unless a packet that nobody looked at must not pass",
            };
            put("queue-without-bypass", message, remedy);
        }
        if let Some(name) =
            jump_of(rule).filter(|name| place.table.chain(name).is_none() && !TARGETS.contains(name))
        {
            let message = format!(
                "`{}` goes to {name:?}, which is neither a chain of this table nor a target",
                cut(rule)
            );
            put("jump-to-nothing", message, "declare it in this table with a line `:NAME - [0:0]`");
        }
        if fails_open(place, index) {
            let message = format!(
                "`{}` lets its packets pass to the real server while no proxy listens: the rest of the rule is then \
                 skipped",
                cut(rule)
            );
            put(
                "tproxy-fails-open",
                message,
                "write `meta mark set …` before `tproxy`, or add a rule behind it that drops the same packets",
            );
        }
    }
    warnings
}

const fn module(log: Log) -> &'static str {
    match log {
        Log::Kernel => "load it: modprobe nf_log_syslog (before Linux 5.13: nf_log_ipv4, nf_log_ipv6)",
        Log::Group => "load it: modprobe nfnetlink_log",
    }
}

fn log_of(rule: &Rule) -> Option<Log> {
    match &rule.body {
        Body::Words(_) => match target(rule)? {
            "LOG" => Some(Log::Kernel),
            "NFLOG" => Some(Log::Group),
            _ => None,
        },
        Body::Expressions(all) => {
            let about = all.iter().find_map(|expression| expression.get("log"))?;
            let is_audit = about["level"] == "audit";
            let log = if about.get("group").is_some() { Log::Group } else { Log::Kernel };
            (!is_audit).then_some(log)
        }
        Body::Source(words) => {
            let at = words.iter().position(|word| word == "log")?;
            let has = |sought: &str| words[at..].iter().any(|word| word == sought);
            (!has("audit")).then_some(if has("group") { Log::Group } else { Log::Kernel })
        }
    }
}

/// The word behind -j or -g.
fn target(rule: &Rule) -> Option<&str> {
    let Body::Words(words) = &rule.body else { return None };
    let at = words.iter().position(|word| word == "-j" || word == "-g")?;
    words.get(at + 1).map(String::as_str)
}

/// nft says itself when a chain is not there.
fn jump_of(rule: &Rule) -> Option<&str> {
    target(rule)
}

fn queues_without_bypass(rule: &Rule) -> bool {
    match &rule.body {
        Body::Words(words) => {
            target(rule) == Some("NFQUEUE") && !words.iter().any(|word| word == "--queue-bypass")
        }
        Body::Expressions(all) => all.iter().filter_map(|expression| expression.get("queue")).any(|about| {
            let flags = &about["flags"];
            flags != "bypass"
                && !flags.as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "bypass"))
        }),
        Body::Source(words) => {
            let at = words.iter().position(|word| word == "queue");
            at.is_some_and(|at| !words[at..].iter().any(|word| word.split(',').any(|flag| flag == "bypass")))
        }
    }
}

/// Does a rule of nft with `tproxy` let packets pass to where they were going, if no proxy is there? The kernel then goes on with
/// the next rule (`nft_tproxy_eval`). It does not where a mark has been set before, by which the packet is routed to this
/// machine, or where a later rule of the chain drops it.
fn fails_open(place: Place<'_>, index: usize) -> bool {
    let rules = &place.chain.rules;
    let behind = &rules[index + 1..];
    let is_policy_drop = place.chain.policy.as_deref() == Some("drop");
    match &rules[index].body {
        Body::Words(_) => false,
        Body::Source(words) => {
            let Some(at) = words.iter().position(|word| word == "tproxy") else { return false };
            let has_mark = words[..at].windows(2).any(|pair| pair == ["mark", "set"]);
            let drops = |rule: &Rule| matches!(&rule.body, Body::Source(words) if words.iter().any(|w| w == "drop" || w == "reject"));
            // What it drops cannot be told before nft has read it.
            !has_mark && !is_policy_drop && !behind.iter().any(drops)
        }
        Body::Expressions(all) => {
            let Some(at) = all.iter().position(|expression| expression.get("tproxy").is_some()) else {
                return false;
            };
            let sets_mark = |expression: &Value| expression["mangle"]["key"]["meta"]["key"] == "mark";
            if all[..at].iter().any(sets_mark) {
                return false;
            }
            let asked: BTreeSet<String> =
                all[..at].iter().filter(|one| one.get("match").is_some()).map(Value::to_string).collect();
            for rule in behind {
                let Some(anatomy) = Anatomy::of(rule, place.table) else { continue };
                if !anatomy.is_plain || !anatomy.matches.is_subset(&asked) {
                    continue;
                }
                match anatomy.end {
                    Some(End::Drop) => return false,
                    Some(End::Accept | End::Return | End::Goto | End::Other) => return true,
                    Some(End::Jump(_)) | None => {}
                }
            }
            !is_policy_drop
        }
    }
}
