//! The actions' arguments.

use std::time::Duration;

use super::args::{Args, cut, literal};
use super::literal::Literal;
use super::step::{Action, BanStep, CaptureStep, IfShared, OnTimeout, Prefix, ReplaceStep, SetPair, Source};
use crate::client::Subset;
use crate::config::{Node, Spanned};
use crate::counters::CategoryId;
use crate::enforce::SetKind;
use crate::journal_log::Level;
use crate::report::{self, Details};

/// All actions.
pub(crate) const ACTIONS: [&str; 10] = [
    "action_counterRaise",
    "action_counterReset",
    "action_dailyReport",
    "action_dnatCapture",
    "action_dnatReplace",
    "action_email",
    "action_ipsetBan",
    "action_log",
    "action_nftBan",
    "action_noop",
];

/// What a replace that corrected an entry says of it.
pub(crate) const EVIDENCE: &str = "UNMASQ_EVIDENCE";
/// What the entry had in place of the client.
pub(crate) const MASKED: &str = "UNMASQ_MASKED";

/// How long a translation is kept where the step does not say, in seconds: Pyruse's default.
const KEEP_SECONDS: u64 = 63;

/// What the actions need to know of the rest of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The subject of the daily report, which a mail with an empty one takes as well.
    pub(crate) subject: Box<str>,
    /// Pyruse's retention of translations, by powers of two.
    pub(crate) compat: bool,
    /// How much of an address a ban covers where the step does not say.
    pub(crate) prefix: Prefix,
    /// The names of the categories of counters.
    pub(crate) categories: Vec<Box<str>>,
}

/// An action, if its arguments are right; `None` too if there is none of that name.
pub(crate) fn action(args: &mut Args<'_, '_>, around: &mut Surroundings) -> Option<Action> {
    match args.name().value.as_str() {
        "action_noop" => Some(Action::Noop),
        "action_counterRaise" => {
            let category = category(args, around);
            let key = args.needed_field("for");
            let keep = args.seconds("keepSeconds");
            let save = args.saved_field("save");
            Some(Action::Raise { category: category?, key: key?, keep, save })
        }
        "action_counterReset" => {
            let category = category(args, around);
            let key = args.needed_field("for");
            let grace = args.seconds("graceSeconds");
            let save = args.saved_field("save");
            Some(Action::Reset { category: category?, key: key?, grace, save })
        }
        "action_dailyReport" => report(args),
        "action_dnatCapture" => capture(args, around).map(|capture| Action::Capture(Box::new(capture))),
        "action_dnatReplace" => Some(Action::Replace(Box::new(replace(args)))),
        "action_email" => {
            let message = args.template("message");
            let subject = match args.optional_text("subject") {
                None => "Pyruse Notification",
                Some("") => &around.subject,
                Some(subject) => subject,
            };
            Some(Action::Email { subject: subject.into(), message: message? })
        }
        "action_log" => {
            let message = args.template("message");
            let level = args.choice("level", &Level::NAMES).unwrap_or(Level::Info);
            Some(Action::Log { level, message: message? })
        }
        "action_nftBan" => {
            ban(args, around, SetKind::Nft, ["nftSetIPv4", "nftSetIPv6", "nftSetIPv4Port", "nftSetIPv6Port"])
        }
        "action_ipsetBan" => {
            ban(args, around, SetKind::Ipset, ["ipSetIPv4", "ipSetIPv6", "ipSetIPv4Port", "ipSetIPv6Port"])
        }
        _ => None,
    }
}

fn category(args: &mut Args<'_, '_>, around: &mut Surroundings) -> Option<CategoryId> {
    let name = args.needed_text("counter")?;
    let known = around.categories.iter().position(|category| **category == *name);
    let number = known.unwrap_or_else(|| {
        around.categories.push(name.into());
        around.categories.len() - 1
    });
    // Each needs a step of its own, and there are fewer steps than that.
    u16::try_from(number).ok().map(CategoryId)
}

fn report(args: &mut Args<'_, '_>) -> Option<Action> {
    let level = args.needed("level");
    let level = level.and_then(|node| Some((args.text_of("level", node)?, &node.span)));
    let message = args.template("message");
    let details = args.optional("details");
    let details = details.and_then(|node| Some((args.text_of("details", node)?, &node.span)));
    let (level, span) = level?;
    if !["WARN", "INFO", "OTHER"].contains(&level) {
        let meant = "WARN, INFO or OTHER; it is taken for OTHER";
        args.warn(span, format!("level {:?} is unknown: it is one of {meant}", cut(level)));
    }
    let details = details.map_or(Details::All, |(name, span)| {
        Details::parse(name).unwrap_or_else(|| {
            let known: Vec<&str> = Details::NAMES.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "details {:?} is unknown: it is one of {}; it is taken for ALL",
                cut(name),
                known.join(", ")
            );
            args.warn(span, message);
            Details::All
        })
    });
    Some(Action::Report { level: report::Level::parse(level), details, message: message? })
}

fn capture(args: &mut Args<'_, '_>, around: &Surroundings) -> Option<CaptureStep> {
    let saddr = args.needed_field("saddr");
    let sport = args.optional_field("sport");
    let masked = [
        source(args, "addr", "addrValue"),
        source(args, "port", "portValue"),
        source(args, "daddr", "daddrValue"),
        source(args, "dport", "dportValue"),
    ];
    if masked[0].field.is_none() && masked[0].constant.is_none() {
        let message = "action_dnatCapture needs \"addr\" or \"addrValue\": the address that hides the client";
        args.error(&args.name().span, message);
    }
    let keep = match args.optional("keepSeconds") {
        Some(node) => args.seconds_of("keepSeconds", node),
        None => Some(Duration::from_secs(KEEP_SECONDS)),
    };
    let lasted = args.optional_field("lasted");
    Some(CaptureStep { saddr: saddr?, sport, masked, keep: keep?, compat: around.compat, lasted })
}

fn source(args: &mut Args<'_, '_>, field: &'static str, constant: &'static str) -> Source {
    let field = args.optional_field(field);
    let node = args.optional(constant);
    if let Some(node) = node
        && !matches!(node.value, Node::Text(_) | Node::Integer(_))
    {
        args.mistyped(constant, node, "an address, a port or another word");
    }
    Source { field, constant: node.map(|node| literal(&node.value)).filter(|l| *l != Literal::Null) }
}

fn replace(args: &mut Args<'_, '_>) -> ReplaceStep {
    let saddr_into = args.saved_field("saddrInto");
    let sport_into = args.saved_field("sportInto");
    if saddr_into.is_none() && sport_into.is_none() {
        let message = "action_dnatReplace needs \"saddrInto\", \"sportInto\" or both: where the client goes";
        args.error(&args.name().span, message);
    }
    let asked = Subset::NAMES.map(|name| args.optional_field(name));
    let subset = Subset::new(asked.map(|field| field.is_some()));
    if subset.is_empty() {
        let message =
            "action_dnatReplace needs at least one of \"addr\", \"port\", \"daddr\", \"dport\" to compare";
        args.error(&args.name().span, message);
    }
    let wait = args.seconds("waitSeconds");
    let on_timeout = args.choice("onTimeout", &[("pass", OnTimeout::Pass), ("skip", OnTimeout::Skip)]);
    // Where the step does not say and a ban follows, compiling makes it `Skip`.
    let on_timeout = on_timeout.unwrap_or(OnTimeout::Pass);
    if wait.is_none()
        && let Some(node) = args.optional("onTimeout")
    {
        args.warn(&node.span, "onTimeout says nothing without \"waitSeconds\"");
    }
    for name in [EVIDENCE, MASKED] {
        args.set(name);
    }
    ReplaceStep { asked, subset, saddr_into, sport_into, wait, on_timeout }
}

fn ban(
    args: &mut Args<'_, '_>,
    around: &Surroundings,
    kind: SetKind,
    [ipv4, ipv6, ipv4_port, ipv6_port]: [&'static str; 4],
) -> Option<Action> {
    let field = args.needed_field("IP");
    let ipv4 = args.set_name(ipv4, kind, true);
    let ipv6 = args.set_name(ipv6, kind, true);
    let duration = args.seconds("banSeconds");
    let port = args.optional_field("port");
    let port_sets = match (args.set_name(ipv4_port, kind, false), args.set_name(ipv6_port, kind, false)) {
        (None, None) => None,
        (Some(ipv4), Some(ipv6)) => Some(SetPair { ipv4, ipv6 }),
        _ => {
            args.error(&args.name().span, format!("{ipv4_port} and {ipv6_port} are needed together"));
            None
        }
    };
    let words = [("refuse", IfShared::Refuse), ("port", IfShared::Port), ("client", IfShared::Client)];
    let if_shared = args.choice("ifShared", &words).unwrap_or_default();
    if if_shared == IfShared::Port && (port.is_none() || port_sets.is_none()) {
        let message = format!("ifShared = \"port\" needs \"port\", {ipv4_port:?} and {ipv6_port:?}");
        args.error(&args.name().span, message);
    }
    let escalate = args.flag("escalate");
    let prefix = prefix(args, around.prefix);
    Some(Action::Ban(Box::new(BanStep {
        field: field?,
        sets: SetPair { ipv4: ipv4?, ipv6: ipv6? },
        port_sets,
        port,
        duration,
        if_shared,
        escalate,
        prefix,
    })))
}

/// `prefix: 56` is of IPv6; `prefix: {ipv4: 24, ipv6: 48}` says both.
fn prefix(args: &mut Args<'_, '_>, mut prefix: Prefix) -> Prefix {
    let Some(node) = args.optional("prefix") else { return prefix };
    match &node.value {
        Node::Map(entries) => {
            for (key, bits) in entries {
                match key.value.as_str() {
                    "ipv4" => prefix.ipv4 = prefix_bits(args, bits, 32).unwrap_or(prefix.ipv4),
                    "ipv6" => prefix.ipv6 = prefix_bits(args, bits, 128).unwrap_or(prefix.ipv6),
                    other => args.error(&key.span, format!("prefix has ipv4 and ipv6, not {:?}", cut(other))),
                }
            }
        }
        _ => prefix.ipv6 = prefix_bits(args, node, 128).unwrap_or(prefix.ipv6),
    }
    prefix
}

fn prefix_bits(args: &mut Args<'_, '_>, bits: &Spanned<Node>, most: u8) -> Option<u8> {
    match bits.value {
        Node::Integer(number) if (0..=i64::from(most)).contains(&number) => Some(number as u8),
        _ => {
            args.mistyped("a prefix", bits, &format!("a number of bits from 0 to {most}"));
            None
        }
    }
}
