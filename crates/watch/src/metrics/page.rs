//! The page: Prometheus' text exposition format, version 0.0.4.

use std::fmt::Write;

use super::{Gauge, Histogram, Labelled, Metrics, Total};

impl Metrics {
    /// The page as it is now.
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(4096));
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
        page.0
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP unmasq_watch_{name} {help}\n# TYPE unmasq_watch_{name} {kind}\n");
    }

    fn number(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "unmasq_watch_{name}{labels} {value}");
    }

    fn total(&mut self, name: &str, help: &str, value: &Total) {
        self.head(name, help, "counter");
        self.number(name, "", value.value());
    }

    fn gauge(&mut self, name: &str, help: &str, value: &Gauge) {
        self.head(name, help, "gauge");
        self.number(name, "", value.value());
    }

    fn totals<const N: usize>(&mut self, name: &str, help: &str, values: &Labelled<N>) {
        self.family(name, help, "counter", values);
    }

    fn gauges<const N: usize>(&mut self, name: &str, help: &str, values: &Labelled<N>) {
        self.family(name, help, "gauge", values);
    }

    fn family<const N: usize>(&mut self, name: &str, help: &str, kind: &str, values: &Labelled<N>) {
        self.head(name, help, kind);
        values.each(|labels, value| {
            let mut text = String::new();
            for (index, (label, value)) in values.names.iter().zip(labels).enumerate() {
                let opening = if index == 0 { '{' } else { ',' };
                let _ = write!(text, "{opening}{label}=\"{}\"", escaped(value));
            }
            text.push('}');
            self.number(name, &text, value);
        });
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let cumulated = histogram.cumulated();
        let all = cumulated.last().copied().unwrap_or_default();
        for (limit, count) in histogram.limits.iter().zip(&cumulated) {
            self.number(&format!("{name}_bucket"), &format!("{{le=\"{limit}\"}}"), count);
        }
        self.number(&format!("{name}_bucket"), "{le=\"+Inf\"}", all);
        self.number(&format!("{name}_sum"), "", histogram.seconds());
        self.number(&format!("{name}_count"), "", all);
    }
}

/// A label's value: the format knows three escapes, and any other character as itself.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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
