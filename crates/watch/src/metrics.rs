//! What a watch counts, for Prometheus: values that the engine renews in batches.
//!
//! The labels come from the configuration and from closed lists (reasons, outcomes), never from a log line, so that an
//! attacker cannot grow the page.

use unmasq_metrics::{Gauge, Histogram, Labelled, Page, Total};

/// All that is counted. Shared by an `Arc`; each value may be written from any thread.
#[derive(Debug)]
pub struct Metrics {
    /// Entries read. `source`.
    pub entries: Labelled<1>,
    /// Entries that no step handled.
    pub unhandled: Total,
    /// Entries cut because they were longer than the limit. `source`.
    pub oversized: Labelled<1>,
    /// Entries that could not be decoded. `source`.
    pub undecodable: Labelled<1>,
    /// Seconds between now and the entry read last. `source`.
    pub lag: Labelled<1>,
    /// Entries for which a step was passed. `chain`, `step`.
    pub step_seen: Labelled<2>,
    /// Entries that a filter let through, or that an action handled. `chain`, `step`.
    pub step_matched: Labelled<2>,
    /// Errors of a step. `chain`, `step`.
    pub step_errors: Labelled<2>,
    /// Entries that wait for their client now.
    pub waits: Gauge,
    /// Waits that have ended. `outcome`: corrected, passed, skipped, overflow.
    pub waits_ended: Labelled<1>,
    /// Keys that counters hold now. `counter`.
    pub counters: Labelled<1>,
    /// Keys that were given up to keep a counter within its memory. `counter`.
    pub counters_evicted: Labelled<1>,
    /// Elements wanted in a set now. `set`.
    pub bans: Labelled<1>,
    /// Bans ordered. `set`.
    pub bans_ordered: Labelled<1>,
    /// Elements that the kernel refused. `set`.
    pub bans_failed: Labelled<1>,
    /// Elements that somebody else had removed and that were put back. `set`.
    pub bans_mended: Labelled<1>,
    /// Bans that the guard refused. `reason`.
    pub refusals: Labelled<1>,
    /// Mails: `state` is queued, sent, failed or dropped.
    pub mails: Labelled<1>,
    /// Mails on disk that wait to be sent.
    pub mails_waiting: Gauge,
    /// Log entries that were written, or lost because the log took none. `state`: written, lost.
    pub log: Labelled<1>,
    /// Commits of the state.
    pub commits: Total,
    /// Seconds that a commit took.
    pub commit_seconds: Histogram,
    /// Seconds from an entry's own time to the kernel's word that its ban is in force.
    pub log_to_kernel: Histogram,
    /// Questions to the book. `outcome`: found, unknown, timeout, refused.
    pub book: Labelled<1>,
    /// Reloads of the configuration. `outcome`: done, refused.
    pub reloads: Labelled<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From the kernel's millisecond to the slowest that is still of use.
        let latencies = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];
        Self {
            entries: Labelled::new(["source"]),
            unhandled: Total::default(),
            oversized: Labelled::new(["source"]),
            undecodable: Labelled::new(["source"]),
            lag: Labelled::new(["source"]),
            step_seen: Labelled::new(["chain", "step"]),
            step_matched: Labelled::new(["chain", "step"]),
            step_errors: Labelled::new(["chain", "step"]),
            waits: Gauge::default(),
            waits_ended: Labelled::new(["outcome"]),
            counters: Labelled::new(["counter"]),
            counters_evicted: Labelled::new(["counter"]),
            bans: Labelled::new(["set"]),
            bans_ordered: Labelled::new(["set"]),
            bans_failed: Labelled::new(["set"]),
            bans_mended: Labelled::new(["set"]),
            refusals: Labelled::new(["reason"]),
            mails: Labelled::new(["state"]),
            mails_waiting: Gauge::default(),
            log: Labelled::new(["state"]),
            commits: Total::default(),
            commit_seconds: Histogram::new(latencies),
            log_to_kernel: Histogram::new(latencies),
            book: Labelled::new(["outcome"]),
            reloads: Labelled::new(["outcome"]),
        }
    }
}

impl Metrics {
    /// The page as it is now.
    pub fn render(&self) -> String {
        let mut page = Page::new("unmasq_watch");
        page.totals("entries_total", "Entries read", &self.entries);
        page.total("entries_unhandled_total", "Entries that no step handled", &self.unhandled);
        page.totals("entries_oversized_total", "Entries cut to the longest allowed", &self.oversized);
        page.totals("entries_undecodable_total", "Entries that could not be decoded", &self.undecodable);
        page.gauges("lag_seconds", "Time between now and the entry read last", &self.lag);
        page.totals("step_seen_total", "Entries that came to a step", &self.step_seen);
        page.totals("step_matched_total", "Entries that a step let through or handled", &self.step_matched);
        page.totals("step_errors_total", "Errors of a step", &self.step_errors);
        page.gauge("waits", "Entries that wait for their client", &self.waits);
        page.totals("waits_ended_total", "Waits that have ended", &self.waits_ended);
        page.gauges("counter_keys", "Keys that a counter holds", &self.counters);
        page.totals("counter_evicted_total", "Keys given up for lack of room", &self.counters_evicted);
        page.gauges("bans", "Elements wanted in a set", &self.bans);
        page.totals("bans_ordered_total", "Bans ordered", &self.bans_ordered);
        page.totals("bans_failed_total", "Elements that the kernel refused", &self.bans_failed);
        page.totals("bans_mended_total", "Elements put back that somebody had removed", &self.bans_mended);
        page.totals("refusals_total", "Bans that the guard refused", &self.refusals);
        page.totals("mails_total", "Mails by what became of them", &self.mails);
        page.gauge("mails_waiting", "Mails on disk that wait to be sent", &self.mails_waiting);
        page.totals("log_entries_total", "Entries written to the log, or lost", &self.log);
        page.total("commits_total", "Commits of the state", &self.commits);
        page.histogram("commit_seconds", "Time that a commit took", &self.commit_seconds);
        page.histogram("log_to_kernel_seconds", "From an entry to its ban in force", &self.log_to_kernel);
        page.totals("book_questions_total", "Questions to the book", &self.book);
        page.totals("reloads_total", "Reloads of the configuration", &self.reloads);
        page.into_text()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_has_a_line_for_each_value() {
        let metrics = Metrics::default();
        metrics.entries.add(["journal"], 3);
        metrics.entries.add(["journal"], 4);
        metrics.lag.set(["file /var/log/a"], 0.25);
        metrics.step_matched.set(["Brute force", "sshd[2]"], 9.0);
        metrics.commits.add(2);
        metrics.log_to_kernel.note(Duration::from_millis(2));
        metrics.log_to_kernel.note(Duration::from_millis(3));
        metrics.log_to_kernel.note(Duration::from_secs(60));
        let page = metrics.render();
        for line in [
            "# TYPE unmasq_watch_entries_total counter",
            "unmasq_watch_entries_total{source=\"journal\"} 7",
            "unmasq_watch_lag_seconds{source=\"file /var/log/a\"} 0.25",
            "unmasq_watch_step_matched_total{chain=\"Brute force\",step=\"sshd[2]\"} 9",
            "unmasq_watch_commits_total 2",
            "unmasq_watch_log_to_kernel_seconds_bucket{le=\"0.002\"} 1",
            "unmasq_watch_log_to_kernel_seconds_bucket{le=\"0.005\"} 2",
            "unmasq_watch_log_to_kernel_seconds_bucket{le=\"30\"} 2",
            "unmasq_watch_log_to_kernel_seconds_bucket{le=\"+Inf\"} 3",
            "unmasq_watch_log_to_kernel_seconds_sum 60.005",
            "unmasq_watch_log_to_kernel_seconds_count 3",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let metrics = Metrics::default();
        metrics.entries.add(["a\"} 1\nevil{x=\"\\"], 1);
        let page = metrics.render();
        assert!(page.contains("{source=\"a\\\"} 1\\nevil{x=\\\"\\\\\"} 1\n"), "{page}");
        assert!(!page.lines().any(|line| line.starts_with("evil")), "{page}");
    }
}
