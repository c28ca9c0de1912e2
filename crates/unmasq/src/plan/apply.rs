//! Applying a plan: checked, recorded before and after, only what changes, and nobody else disturbed.
//!
//! Whatever ends this in between leaves a history that says too little rather than too much: a revision is begun before
//! it is loaded, and applied only after the flows of those who had its ports are over. The next one that is applied makes
//! it whole.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustc_hash::FxHashSet;
use unmasq_flow::Timestamp;
use unmasq_netfilter::settings;
use unmasq_plan::history::{
    Begun, DriftReason, Format, HistoryError, HistoryWriter, Moment, NewRevision, Outcome, Revision,
};
use unmasq_plan::{Changes, Layout, Plan, Spec};

use super::check;
use super::flows::{self, Stray};
use super::guard::LastCheck;
use super::kernel::{Difference, Kernel, Loaded};
use super::lingering::possible;
use super::moment;
use super::owner::share;
use super::wanted::Wanted;

/// How long to wait for somebody else who writes the history: a guard that looks, or another who applies.
const PATIENCE: Duration = Duration::from_secs(15);

/// How to apply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// May clients get other ports than they have?
    pub(crate) renumber: bool,
    /// Are flows left alone that leave by ports which their client has no more?
    pub(crate) keep_flows: bool,
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Applied {
    /// The plan is in force already, and its rules are in the kernel.
    Unchanged {
        /// The revision.
        revision: u64,
    },
    /// The plan was in force already, but its rules were not in the kernel, and are now.
    Restored {
        /// The revision.
        revision: u64,
        /// What was wrong.
        difference: Difference,
        /// Since when at the latest it may have been so.
        since: Timestamp,
        /// What became of the flows that had begun meanwhile.
        flows: Flows,
    },
    /// A new plan is in force.
    New {
        /// The revision.
        revision: u64,
        /// What changed.
        changes: Changes,
        /// What became of the flows on ports that are not their client's any more.
        flows: Flows,
    },
    /// It was not applied: these clients would move.
    WouldMove(Changes),
}

/// What became of flows that leave by ports which are not their client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flows {
    /// So many were ended.
    pub(crate) ended: usize,
    /// So many were left alone.
    pub(crate) kept: usize,
    /// And of those, so many have ports that no plan gave their client.
    untold: usize,
}

/// Applies what is wanted.
pub(crate) fn apply(wanted: &Wanted, spec: &Spec, manner: Manner) -> anyhow::Result<Applied> {
    let kernel = wanted.kernel();
    let mut writer = open(&wanted.0.history)?;
    share(&wanted.0.history)?;
    // The kernel is asked meanwhile: of a change of one client, that and making the plan take a quarter of the time each.
    let reading = thread::spawn({
        let kernel = kernel.clone();
        move || kernel.read()
    });
    let newest = writer.history().newest_readable().cloned();
    let formers = possible(writer.history())?;
    let nothing = Plan::default();
    let former = newest.as_ref().and_then(|_| formers.last()).unwrap_or(&nothing);
    let plan = wanted.make(spec, (!manner.renumber).then_some(former))?;
    let asked = former.changes_to(&plan);
    let loaded = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let is_as_wanted = |newest: &&Revision| {
        asked.is_empty()
            && is_in_force(newest, former, &plan)
            && Kernel::of(writer.history(), newest).is_ok_and(|newest| newest == kernel)
    };
    if let Some(newest) = newest.as_ref().filter(is_as_wanted) {
        return restore(&mut writer, newest, &kernel, &loaded, &plan, manner);
    }
    if plan.layout == Layout::Even && !asked.moved.is_empty() && !manner.renumber {
        return Ok(Applied::WouldMove(asked));
    }
    // After a crash: since the plan that surely was in force.
    let before = formers.first().unwrap_or(&nothing);
    let changes = if std::ptr::eq(before, former) { asked } else { before.changes_to(&plan) };
    if let Some(newest) = newest.as_ref().filter(|newest| is_ours(newest)) {
        note_loss(&mut writer, newest, former, (&kernel, &loaded))?;
    }
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let new = NewRevision {
        plan: &plan,
        rules: &kernel.rules(&plan, &time),
        format: kernel.format,
        keeps_flows: manner.keep_flows,
        longest_timeout: settings::longest_timeout()?,
    };
    let change = kernel.change(&loaded, &plan);
    // Checking the rules and writing the revision wait for kernel and disk: for both at once.
    let (checked, begun) = thread::scope(|scope| {
        let checking = scope.spawn(|| change.check());
        let begun = writer.begin(new, moment::now());
        (checking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), begun)
    });
    let begun = begun?;
    let result = checked.and_then(|()| change.load());
    loaded_or_refused(result, &mut writer, begun, &kernel, &plan)?;
    kernel
        .remove_other(&loaded)
        .context("the plan is loaded, but rules of another form are still there; apply it again")?;
    let touched = touched(if formers.is_empty() { std::slice::from_ref(&nothing) } else { &formers }, &plan);
    let flows = look_after_flows(
        &plan,
        &formers,
        manner,
        Some(&touched),
        |stray| matches!(stray.entry.client.address, IpAddr::V4(client) if touched.contains(&client)),
    )
    .context("the plan is loaded, but its clients' flows could not be looked at; apply it again")?;
    writer.applied(begun, moment::now())?;
    close_drifts(&mut writer, &kernel, &plan)?;
    if manner.keep_flows && flows.kept == 0 {
        writer.settled(begun.number, moment::now())?;
    }
    note_untold(&mut writer, flows)?;
    Ok(Applied::New { revision: begun.number, changes, flows })
}

/// Opens the history. Somebody who looks or applies holds it for a moment only.
fn open(directory: &Path) -> Result<HistoryWriter, HistoryError> {
    let began = Instant::now();
    loop {
        match HistoryWriter::open(directory) {
            Err(HistoryError::Locked { .. }) if began.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Was it surely loaded by us?
fn is_ours(revision: &Revision) -> bool {
    matches!(revision.outcome, Outcome::Applied(_)) && !revision.is_adopted
}

/// Is the plan, which changes nobody, that of the newest revision, by which the kernel surely got it?
fn is_in_force(newest: &Revision, former: &Plan, plan: &Plan) -> bool {
    is_ours(newest) && former.overflow == plan.overflow && former.protocols() == plan.protocols()
}

/// Loads the rules of the plan in force again, if they are not as it says.
fn restore(
    writer: &mut HistoryWriter,
    newest: &Revision,
    kernel: &Kernel,
    loaded: &Loaded,
    plan: &Plan,
    manner: Manner,
) -> anyhow::Result<Applied> {
    let Some(difference) = kernel.difference(loaded, plan).or_else(|| behind(kernel, plan)) else {
        close_drifts(writer, kernel, plan)?;
        return Ok(Applied::Unchanged { revision: newest.number });
    };
    let since = note_drift(writer, newest, difference.reason)?;
    let change = kernel.change(loaded, plan);
    change.check()?;
    change.load()?;
    kernel.remove_other(loaded)?;
    // What began meanwhile has whatever port it got.
    let flows = look_after_flows(plan, &[], manner, None, |stray| stray.began_after(since))
        .context("the rules are loaded again, but flows that began meanwhile could not be looked at")?;
    close_drifts(writer, kernel, plan)?;
    note_untold(writer, flows)?;
    Ok(Applied::Restored { revision: newest.number, difference, since, flows })
}

/// Does another rule of iptables' own chain come before ours? Loading them again puts them first.
fn behind(kernel: &Kernel, plan: &Plan) -> Option<Difference> {
    let found = || check::rules(kernel, plan).differences.into_iter();
    (kernel.format == Format::Iptables).then(|| found().find(|d| d.reason == DriftReason::Shadowed)).flatten()
}

/// Writes it if the kernel refused a revision that was begun.
fn loaded_or_refused(
    result: anyhow::Result<()>,
    writer: &mut HistoryWriter,
    begun: Begun,
    kernel: &Kernel,
    plan: &Plan,
) -> anyhow::Result<()> {
    let Err(error) = result else { return Ok(()) };
    // A program can fail after the kernel has taken what it gave: then both plans are named until one is applied.
    let is_there = kernel.read().is_ok_and(|now| kernel.difference(&now, plan).is_none());
    if is_there {
        return Err(error.context("the plan is loaded all the same; apply it again"));
    }
    writer.refused(begun, moment::now())?;
    Err(error.context("the plan before is still in force"))
}

/// Were the rules of the plan in force until now still loaded? If not, that is written.
fn note_loss(
    writer: &mut HistoryWriter,
    newest: &Revision,
    former: &Plan,
    (wanted, loaded): (&Kernel, &Loaded),
) -> anyhow::Result<()> {
    // Rules that nobody knows cannot be missed.
    let Ok(kernel) = Kernel::of(writer.history(), newest) else { return Ok(()) };
    let difference = if kernel.format == wanted.format {
        kernel.difference(loaded, former)
    } else {
        // A form whose program is gone cannot be looked at, and the guard says so.
        kernel.read().ok().and_then(|loaded| kernel.difference(&loaded, former))
    };
    match difference {
        Some(difference) => note_drift(writer, newest, difference.reason).map(drop),
        None => Ok(()),
    }
}

/// Writes that the rules are amiss, if nobody has, and gives since when they may be. It is open until they are loaded: so
/// it stands also if this is where it ends.
fn note_drift(
    writer: &mut HistoryWriter,
    newest: &Revision,
    reason: DriftReason,
) -> anyhow::Result<Timestamp> {
    let open = writer.history().drifts().iter().find(|d| d.period.to == Timestamp::MAX && d.reason == reason);
    if let Some(open) = open {
        return Ok(open.period.from);
    }
    let since = LastCheck::lost_since(writer.history().directory(), newest);
    writer.drifted(reason, since, Timestamp::MAX)?;
    Ok(since.wall)
}

/// Our rules are there now. What flows do, the guard looks at.
fn close_drifts(writer: &mut HistoryWriter, kernel: &Kernel, plan: &Plan) -> anyhow::Result<()> {
    let is_of_rules = |reason| match reason {
        DriftReason::RulesMissing | DriftReason::RulesChanged | DriftReason::NotChecked => true,
        // Whether others come first is a matter of their rules.
        DriftReason::Shadowed => check::rules(kernel, plan).differences.is_empty(),
        DriftReason::FlowsOutside => false,
    };
    let drifts = writer.history().drifts().iter().copied();
    let open: Vec<_> = drifts.filter(|drift| drift.period.to == Timestamp::MAX).collect();
    for drift in open.into_iter().filter(|drift| is_of_rules(drift.reason)) {
        writer.drifted(drift.reason, Moment::wall_only(drift.period.from), Timestamp::now())?;
    }
    Ok(())
}

/// Clients who have not what they had by each of these plans, one of which was in force.
fn touched(formers: &[Plan], plan: &Plan) -> FxHashSet<Ipv4Addr> {
    let mut touched = FxHashSet::default();
    for former in formers {
        let changes = former.changes_to(plan);
        touched.extend(changes.disturbed().chain(changes.added.iter().map(|a| a.client)));
        if former.protocols() != plan.protocols() {
            // Nobody moves, but flows of the other protocols had any port.
            touched.extend(plan.allocations.iter().map(|a| a.client));
        }
    }
    touched
}

/// Ends the flows on ports that are not their client's, or leaves them alone.
fn look_after_flows(
    plan: &Plan,
    formers: &[Plan],
    manner: Manner,
    of: Option<&FxHashSet<Ipv4Addr>>,
    is_meant: impl Fn(&Stray) -> bool,
) -> anyhow::Result<Flows> {
    let survey = flows::survey(plan, formers, of)?;
    let strays = || survey.strays.iter().filter(|stray| is_meant(stray));
    Ok(if manner.keep_flows {
        // Whose such a port is no plan tells until the flow is over.
        Flows { ended: 0, kept: strays().count(), untold: strays().filter(|s| !s.is_of_former).count() }
    } else {
        Flows { ended: flows::end(strays())?, kept: 0, untold: 0 }
    })
}

fn note_untold(writer: &mut HistoryWriter, flows: Flows) -> anyhow::Result<()> {
    if flows.untold > 0 {
        let now = moment::now();
        let longest = settings::longest_timeout()?;
        writer.drifted(DriftReason::FlowsOutside, now, now.wall + longest)?;
    }
    Ok(())
}
