//! Is what the kernel does what the plan says? Checked, not believed.

use ipnet::Ipv4Net;
use unmasq_flow::Timestamp;
use unmasq_netfilter::settings::source_nat;
use unmasq_netfilter::settings::{Framework, SourceNat};
use unmasq_plan::Plan;
use unmasq_plan::history::DriftReason;
use unmasq_plan::rules::{CHAIN, Iptables, TABLE};

use super::flows::{Stray, Survey, survey};
use super::kernel::{Difference, Kernel};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// What is not as the plan says.
    pub(crate) differences: Vec<Difference>,
    /// What is as the plan says and can still mislead.
    pub(crate) warnings: Vec<String>,
}

impl Checked {
    fn find(&mut self, reason: DriftReason, what: impl Into<String>) {
        self.differences.push(Difference { reason, what: what.into() });
    }

    /// The kinds of what was found, each once.
    pub(crate) fn reasons(&self) -> Vec<DriftReason> {
        let mut reasons: Vec<DriftReason> = self.differences.iter().map(|d| d.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }
}

/// Are the rules there, unchanged, and asked first?
pub(crate) fn rules(kernel: &Kernel, plan: &Plan) -> Checked {
    let mut checked = Checked::default();
    match kernel.read() {
        Ok(loaded) => checked.differences.extend(kernel.difference(&loaded, plan)),
        Err(error) => checked.find(DriftReason::NotChecked, format!("{error:#}")),
    }
    if checked.differences.is_empty() {
        match source_nat::read() {
            Ok(rules) => shadows(&mut checked, &rules, plan),
            Err(error) => checked.find(DriftReason::NotChecked, error.to_string()),
        }
    }
    checked
}

/// Source NAT that the kernel asks before ours, about our clients.
fn shadows(checked: &mut Checked, rules: &[SourceNat], plan: &Plan) {
    let is_ours = |rule: &&SourceNat| {
        // A chain that somebody else made in our table is somebody else's.
        (rule.framework == Framework::Nft && rule.table == TABLE && rule.chain == CHAIN)
            || rule.chain == Iptables::CHAIN
    };
    let Some(ours) = rules.iter().find(is_ours) else { return };
    let hosts: Vec<Ipv4Net> = plan.allocations.iter().map(|a| Ipv4Net::from(a.client)).collect();
    let clients = Ipv4Net::aggregate(&hosts);
    let concerns = |rule: &SourceNat| {
        // Where ours is about any interface, so is the question; else what leaves by another is not ours to translate.
        let output = ours.outputs.first().or(rule.outputs.first()).map_or("", String::as_str);
        plan.protocols()
            .iter()
            .any(|protocol| clients.iter().any(|net| rule.concerns(*net, output, protocol)))
    };
    for rule in rules.iter().filter(|rule| !is_ours(rule)) {
        let place = format!("{} {} {}: {}", rule.family, rule.table, rule.chain, rule.text.trim());
        match rule.order(ours) {
            Some(std::cmp::Ordering::Less) if concerns(rule) => {
                checked
                    .find(DriftReason::Shadowed, format!("{place} comes first (priority {})", rule.priority));
            }
            None if concerns(rule) => checked.warnings.push(format!(
                "{place} has the same priority ({}); which of the two the kernel asks first cannot be told",
                rule.priority
            )),
            _ => {}
        }
    }
}

/// Do flows leave by the ports of their clients? `since` is when the plan came into force, `formers` what may still
/// be left of others. Gives what the table says beside.
pub(crate) fn flows(checked: &mut Checked, plan: &Plan, formers: &[Plan], since: Timestamp) -> Survey {
    match survey(plan, formers, None) {
        Ok(survey) => {
            let outside: Vec<&Stray> =
                survey.strays.iter().filter(|stray| stray.began_after(since)).collect();
            if let Some(stray) = outside.first() {
                let entry = &stray.entry;
                let has =
                    stray.block.map_or_else(|| "has no ports".to_owned(), |block| format!("has {block}"));
                checked.find(
                    DriftReason::FlowsOutside,
                    format!(
                        "{} flows leave by ports that are not their client's: {} {} as {}, and {} {has}",
                        outside.len(),
                        entry.protocol,
                        entry.client,
                        entry.masked,
                        entry.client.address
                    ),
                );
            }
            let unknown = survey.strays.iter().filter(|stray| stray.entry.start.is_none()).count();
            if unknown > 0 {
                checked.warnings.push(format!(
                    "{unknown} flows outside of their client's ports have no start (nf_conntrack_timestamp is off): they may \
                     have begun before the plan"
                ));
            }
            if survey.own > 0 {
                checked.warnings.push(format!(
                    "{} connections of the gateway itself use ports that are a client's: keep its ephemeral ports out of the plan \
                     (--exclude kernel)",
                    survey.own
                ));
            }
            survey
        }
        Err(error) => {
            checked.find(DriftReason::NotChecked, format!("{error:#}"));
            Survey::default()
        }
    }
}
