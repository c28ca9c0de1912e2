//! What the running watch counts, for its metrics.

use super::Watch;

impl Watch {
    /// Brings what is counted up to date.
    pub(super) fn count(&self) {
        let metrics = &self.metrics;
        let world = &self.engine.world;
        for (source, entries) in world.sources.iter().zip(&self.entries) {
            let counts = source.counts();
            metrics.entries.set([source.name()], *entries as f64);
            metrics.oversized.set([source.name()], counts.cut as f64);
            metrics.undecodable.set([source.name()], counts.undecodable as f64);
            if let Some(unmasq_source::Behind::Time(behind)) = source.behind() {
                metrics.lag.set([source.name()], behind.as_secs_f64());
            }
        }
        for ((_, info), stats) in world.program.steps().zip(self.engine.machine.stats()) {
            let step = info.index.to_string();
            let labels = [&*info.chain, step.as_str()];
            metrics.step_seen.set(labels, stats.seen as f64);
            metrics.step_matched.set(labels, stats.matched as f64);
            metrics.step_errors.set(labels, stats.errors as f64);
        }
        metrics.unhandled.set(self.engine.unhandled);
        metrics.waits.set(world.waits.len() as u64);
        let ended = self.engine.waits_ended;
        for (outcome, count) in [
            ("corrected", ended.corrected),
            ("passed", ended.passed),
            ("skipped", ended.skipped),
            ("overflow", ended.crowded),
        ] {
            metrics.waits_ended.set([outcome], count as f64);
        }
        for (counter, usage) in world.state.counters() {
            metrics.counters.set([counter], usage.keys as f64);
            metrics.counters_evicted.set([counter], usage.evicted as f64);
        }
        let mails = world.hands.outbox.tally();
        for (state, count) in [
            ("queued", mails.queued),
            ("sent", mails.sent),
            ("failed", mails.failed),
            ("dropped", mails.dropped),
        ] {
            metrics.mails.set([state], count as f64);
        }
        metrics.mails_waiting.set(mails.waiting);
        let log = world.hands.log.tally();
        metrics.log.set(["written"], log.written as f64);
        metrics.log.set(["lost"], log.lost as f64);
        metrics.bans.clear();
        let mut sets = std::collections::BTreeMap::<Box<str>, u64>::new();
        for ban in world.state.bans().list(world.clock) {
            *sets.entry(ban.set).or_default() += 1;
        }
        for (set, count) in sets {
            metrics.bans.set([&set], count as f64);
        }
    }
}
