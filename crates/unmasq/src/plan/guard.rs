//! The guard: looks again and again whether the kernel still does what the plan in force says, and writes down when not.
//!
//! It also sees how full the clients' ranges are, and says so before they are.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;
use unmasq_netfilter::maps::Maps;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::settings;
use unmasq_plan::Plan;
use unmasq_plan::history::{Drift, DriftReason, History, HistoryError, HistoryWriter, Moment, Revision};

use super::check::{self, Checked};
use super::flows::{Fill, Survey};
use super::kernel::{Difference, Kernel};
use super::lingering::Lingering;
use super::moment;

/// Flows are looked at once in so many rounds: to list a million takes a second.
const FLOWS_EVERY: u32 = 6;
/// A range that is so full is told of, in percent.
pub(crate) const ALERT: u32 = 80;
/// And told of again only after it was less full than this.
const CALM: u32 = 70;
/// A worker signs to its supervisor so often.
const SIGN: Duration = Duration::from_secs(1);

/// What the last look found, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastCheck {
    /// The revision in force.
    pub(crate) revision: u64,
    /// Was all as it says?
    pub(crate) is_good: bool,
    /// What was not.
    pub(crate) differences: Vec<String>,
    wall: i64,
    boot: u64,
    boot_id: [u8; 16],
    /// When all was last seen to be as this revision says, on the same clocks.
    #[serde(default)]
    good: Option<(i64, u64, [u8; 16])>,
}

impl LastCheck {
    fn path(directory: &Path) -> PathBuf {
        directory.join("checked.json")
    }

    /// The last one in this folder, if there is one that can be read.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(directory)).ok()?).ok()
    }

    /// Since when the rules of the revision in force may have been amiss, if they are: since they were last seen to be in
    /// order, and at a new boot since then.
    pub(crate) fn lost_since(directory: &Path, newest: &Revision) -> Moment {
        let now = moment::now();
        let known = Self::read(directory).filter(|check| check.revision == newest.number);
        let seen = known.and_then(|check| check.good).map_or(newest.since(), moment_of);
        if seen.boot_id != now.boot_id {
            // What was loaded went with the boot before.
            return Moment { wall: now.wall - now.boot, boot: Duration::ZERO, boot_id: now.boot_id };
        }
        seen
    }

    /// Writes what was found by a look that began then: what the kernel did while it was being looked at is not known. It is an
    /// aid, not the record: a failure is told and does not matter. The caller holds the history.
    pub(crate) fn write(directory: &Path, revision: u64, checked: &Checked, began: Moment) {
        let at = (began.wall.as_nanos(), began.boot.as_nanos() as u64, began.boot_id);
        let is_good = checked.differences.is_empty();
        let before = || Self::read(directory).filter(|check| check.revision == revision)?.good;
        let this = Self {
            revision,
            is_good,
            differences: checked.differences.iter().map(|d| d.what.clone()).collect(),
            wall: at.0,
            boot: at.1,
            boot_id: at.2,
            good: if is_good { Some(at) } else { before() },
        };
        let path = Self::path(directory);
        let scratch = path.with_extension("new");
        let written = serde_json::to_vec(&this)
            .map_err(Into::into)
            .and_then(|bytes| fs::write(&scratch, bytes))
            .and_then(|()| fs::rename(&scratch, &path));
        if let Err(error) = written {
            eprintln!("unmasq: {}: {error}", path.display());
        }
    }
}

fn moment_of((wall, boot, boot_id): (i64, u64, [u8; 16])) -> Moment {
    Moment { wall: Timestamp::from_nanos(wall), boot: Duration::from_nanos(boot), boot_id }
}

/// What is being looked after.
struct Current {
    revision: Revision,
    plan: Plan,
    kernel: Kernel,
    lingering: Lingering,
}

/// Looks after the plan in force.
pub(crate) struct Guard {
    directory: PathBuf,
    every: Duration,
    /// The revision that is being looked after.
    current: Option<Current>,
    maps: Maps,
    generation: Option<u32>,
    /// What the last look at the flows found to be wrong with them.
    outside: Vec<Difference>,
    /// When the rules, and when the flows, were last seen to be as they should.
    good_rules: Moment,
    good_flows: Moment,
    round: u32,
    full: HashSet<Ipv4Addr>,
    refused: u64,
}

impl Guard {
    /// Begins to look after the history in a folder.
    pub(crate) fn start(directory: &Path, every: Duration) -> anyhow::Result<Self> {
        let mut good = moment::now();
        if History::is_in(directory)
            && let Some(newest) = History::open(directory)?.newest()
        {
            // Nobody looked since then.
            good = LastCheck::lost_since(directory, newest);
        }
        Ok(Self {
            directory: directory.to_owned(),
            every,
            current: None,
            maps: Maps::open(&Namespace::current())?,
            generation: None,
            outside: Vec::new(),
            good_rules: good,
            good_flows: good,
            round: 0,
            full: HashSet::new(),
            refused: settings::refusals().map_or(0, |r| r.insert_failed),
        })
    }

    /// Looks until asked to stop; signs to a supervisor once a second.
    pub(crate) fn run(mut self, stop: &AtomicBool) {
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next {
                if let Err(error) = self.look() {
                    eprintln!("unmasq: plan: {error:#}");
                }
                next = Instant::now() + self.every;
            }
            // Without a supervisor nobody hears it.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            std::thread::sleep(SIGN.min(next.saturating_duration_since(Instant::now())));
        }
    }

    /// One round.
    fn look(&mut self) -> anyhow::Result<()> {
        if !History::is_in(&self.directory) {
            return Ok(());
        }
        // Held for as long as it takes: what is half done while a plan is being applied would look wrong.
        let mut writer = match HistoryWriter::open(&self.directory) {
            Err(HistoryError::Locked { .. }) => return Ok(()),
            other => other?,
        };
        let history = writer.history();
        let Some(newest) = history.newest_readable().cloned() else { return Ok(()) };
        let is_new = self.current.as_ref().is_none_or(|current| current.revision != newest);
        if is_new {
            self.current = Some(Current {
                plan: history.plan(newest.number)?,
                kernel: Kernel::of(history, &newest)?,
                lingering: Lingering::of(history)?,
                revision: newest,
            });
            self.generation = None;
            self.outside.clear();
        }
        // What the kernel does between an answer of it and the end of this round is not known, so the round speaks of its begin.
        let began = moment::now();
        // Before the flows: who was refused when a range was full is looked for among those that are full now.
        let refusals = settings::refusals().map(|refusals| refusals.insert_failed).ok();
        let generation = self.maps.generation().ok();
        let Some(current) = &self.current else { return Ok(()) };
        // Rules that were seen to be right, in a ruleset that nobody has changed since. The old framework has no such number.
        let is_quiet = generation.is_some() && generation == self.generation && !has_legacy_nat();
        let mut checked =
            if is_quiet { Checked::default() } else { check::rules(&current.kernel, &current.plan) };
        self.generation = generation.filter(|_| checked.differences.is_empty());
        let with_flows = is_new || self.round.is_multiple_of(FLOWS_EVERY);
        self.round = self.round.wrapping_add(1);
        let mut survey = None;
        if with_flows {
            let mut of_flows = Checked::default();
            let (formers, since) = (&current.lingering.plans, current.revision.since().wall);
            survey = Some(check::flows(&mut of_flows, &current.plan, formers, since));
            self.outside = of_flows.differences;
        }
        checked.differences.extend(self.outside.iter().cloned());
        LastCheck::write(&self.directory, current.revision.number, &checked, began);
        if survey.as_ref().is_some_and(|survey| current.lingering.is_over(survey)) {
            current.lingering.settle(&mut writer)?;
            eprintln!(
                "unmasq: plan: all flows of plans before revision {} are over",
                current.revision.number
            );
        }
        self.note(&mut writer, &checked, began, with_flows)?;
        drop(writer);
        if let Some(survey) = survey {
            self.alert(&survey, refusals);
        }
        Ok(())
    }

    /// Writes what began and what ended, by a look that began then. What is open is what the history says: others end it too.
    fn note(
        &mut self,
        writer: &mut HistoryWriter,
        checked: &Checked,
        began: Moment,
        with_flows: bool,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let reasons = checked.reasons();
        let open: Vec<Drift> =
            writer.history().drifts().iter().filter(|d| d.period.to == Timestamp::MAX).copied().collect();
        for reason in reasons.iter().filter(|reason| !open.iter().any(|drift| drift.reason == **reason)) {
            let from = if *reason == DriftReason::FlowsOutside { self.good_flows } else { self.good_rules };
            // Written down before it is told: whoever hears of it may ask the history.
            let written = writer.drifted(*reason, from, Timestamp::MAX);
            for difference in checked.differences.iter().filter(|d| d.reason == *reason) {
                eprintln!("unmasq: plan: {}", difference.what);
            }
            written?;
        }
        for drift in open.iter().filter(|drift| !reasons.contains(&drift.reason)) {
            let Drift { period, reason } = drift;
            writer.drifted(*reason, Moment::wall_only(period.from), now)?;
            eprintln!("unmasq: plan: over since {now}: {reason} (from {})", period.from);
        }
        if reasons.iter().all(|reason| *reason == DriftReason::FlowsOutside) {
            self.good_rules = began;
        }
        if with_flows && !reasons.contains(&DriftReason::FlowsOutside) {
            self.good_flows = began;
        }
        Ok(())
    }

    /// Tells of ranges that are nearly full, and of flows that were refused, of which the kernel had counted so many before the
    /// survey.
    fn alert(&mut self, survey: &Survey, refusals: Option<u64>) {
        let fullness = |fill: &Fill| fill.percent().max(fill.busiest_percent());
        let newly: Vec<&Fill> = survey
            .fills
            .iter()
            .filter(|fill| fullness(fill) >= ALERT && self.full.insert(fill.client))
            .collect();
        name(&newly, |fill, server| {
            format!(
                "client {} uses {} of its {} ports ({}), {} flows to {server} alone: {} % full",
                fill.client,
                fill.ports,
                fill.block.ports.count(),
                fill.block,
                fill.busiest,
                fullness(fill),
            )
        });
        let still: HashSet<Ipv4Addr> =
            survey.fills.iter().filter(|fill| fullness(fill) >= CALM).map(|fill| fill.client).collect();
        self.full.retain(|client| still.contains(client));
        let Some(refusals) = refusals else { return };
        let refused = refusals.saturating_sub(self.refused);
        self.refused = refusals;
        if refused == 0 {
            return;
        }
        // The kernel counts what it refused and not whom: those who have no port left are who it can have been.
        let full: Vec<&Fill> = survey.fills.iter().filter(|fill| fill.busiest_percent() >= 100).collect();
        name(&full, |fill, server| {
            format!(
                "{refused} packets were refused for want of a port; client {} has all of its {} ports in use toward {server}",
                fill.client,
                fill.block.ports.count(),
            )
        });
    }
}

/// More clients than this are counted in place of being named: with ranges that are too small, it would be all of them.
const MOST_NAMED: usize = 20;

/// Tells of clients, the fullest first.
fn name(fills: &[&Fill], say: impl Fn(&Fill, &str) -> String) {
    for fill in fills.iter().take(MOST_NAMED) {
        let server = fill.server.map(|server| server.to_string()).unwrap_or_default();
        eprintln!("unmasq: plan: {}", say(fill, &server));
    }
    if let Some(more) = fills.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        eprintln!("unmasq: plan: and {more} clients more; `unmasq plan capacity --live --all` lists them");
    }
}

/// Does anybody use the table nat of the old framework here?
fn has_legacy_nat() -> bool {
    fs::read_to_string("/proc/thread-self/net/ip_tables_names")
        .is_ok_and(|names| names.lines().any(|n| n == "nat"))
}
