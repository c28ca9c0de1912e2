//! The page: Prometheus' text exposition format, version 0.0.4.

use std::fmt::Write;

use crate::{Gauge, Histogram, Labelled, Total};

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    prefix: &'static str,
    text: String,
}

impl Page {
    /// An empty one; the names of all its values begin with the prefix and `_`.
    pub fn new(prefix: &'static str) -> Self {
        Self { prefix, text: String::with_capacity(4096) }
    }

    /// Its text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let prefix = self.prefix;
        let _ = write!(self.text, "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}\n");
    }

    fn number(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{}_{name}{labels} {value}", self.prefix);
    }

    /// A number that only grows.
    pub fn total(&mut self, name: &str, help: &str, value: &Total) {
        self.head(name, help, "counter");
        self.number(name, "", value.value());
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: &Gauge) {
        self.head(name, help, "gauge");
        self.number(name, "", value.value());
    }

    /// Numbers that only grow, by their labels.
    pub fn totals<const N: usize>(&mut self, name: &str, help: &str, values: &Labelled<N>) {
        self.family(name, help, "counter", values);
    }

    /// Numbers that go up and down, by their labels.
    pub fn gauges<const N: usize>(&mut self, name: &str, help: &str, values: &Labelled<N>) {
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

    /// How long something took.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
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
