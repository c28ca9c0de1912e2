//! What an import did, for people and as JSON.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use unmasq_flow::{Bound, Flow, Period, Timestamp};
use unmasq_import::Refusal;

use crate::output::Bytes;

/// How many line numbers are told of each reason.
const EXAMPLES: usize = 3;

/// What an import did.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The stream that it went into.
    stream: String,
    /// `new`, `grown` (only the rest was added) or `same` (nothing was added).
    log: &'static str,
    /// Lines read, those of an earlier import included.
    lines: u64,
    /// Decompressed bytes read.
    bytes: u64,
    /// Flows added.
    flows: u64,
    /// Those of them whose end was not seen.
    flows_without_end: u64,
    /// Earliest known start of a flow added.
    first: Option<String>,
    /// Latest known time of a flow added.
    last: Option<String>,
    /// Lines that were refused, by reason, the most frequent first.
    refused: Vec<Refused>,
    seconds: f64,
    /// Bytes of the stream's runs.
    stored_bytes: Option<u64>,
    /// What was inferred, for the user to check.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    reason: String,
    lines: u64,
    /// Numbers of the first of them.
    examples: Vec<u64>,
}

/// Counts while the import goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) flows: u64,
    flows_without_end: u64,
    pub(super) stored: Option<u64>,
    period: Option<Period>,
    /// Reasons are few: they are looked for one by one.
    refused: Vec<(Refusal, u64, Vec<u64>)>,
}

impl Tally {
    /// Counts a refusal of the line that was read last.
    pub(super) fn refuse(&mut self, reason: Refusal) {
        let at = self.refused.iter().position(|(known, ..)| *known == reason).unwrap_or_else(|| {
            self.refused.push((reason, 0, Vec::new()));
            self.refused.len() - 1
        });
        let (_, count, examples) = &mut self.refused[at];
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(self.lines);
        }
    }

    pub(super) fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        self.flows_without_end += u64::from(matches!(flow.end, Bound::Unknown | Bound::Open));
        let finite = [flow.start.earliest(), flow.start.latest(), flow.end.earliest(), flow.end.latest()];
        for time in finite.into_iter().filter(|t| t.is_finite()) {
            let period = self.period.get_or_insert(Period::at(time));
            *period = Period { from: period.from.min(time), to: period.to.max(time) };
        }
    }

    pub(super) fn summary(
        self,
        stream: &str,
        log: &'static str,
        bytes: u64,
        took: Duration,
        notes: Vec<String>,
    ) -> Summary {
        let mut refused: Vec<Refused> = self
            .refused
            .into_iter()
            .map(|(reason, lines, examples)| Refused { reason: reason.to_string(), lines, examples })
            .collect();
        refused.sort_by_key(|r| std::cmp::Reverse(r.lines));
        let text = |time: Timestamp| time.to_string();
        Summary {
            stream: stream.to_owned(),
            log,
            lines: self.lines,
            bytes,
            flows: self.flows,
            flows_without_end: self.flows_without_end,
            first: self.period.map(|p| text(p.from)),
            last: self.period.map(|p| text(p.to)),
            refused,
            seconds: took.as_secs_f64(),
            stored_bytes: self.stored,
            notes,
        }
    }
}

impl Summary {
    /// Lines refused, whatever the reason.
    pub(super) fn refused_lines(&self) -> u64 {
        self.refused.iter().map(|r| r.lines).sum()
    }

    /// Prints it to standard output.
    pub(super) fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        if as_json {
            serde_json::to_writer(&mut out, self)?;
            return writeln!(out);
        }
        for note in &self.notes {
            writeln!(out, "note      {note}")?;
        }
        writeln!(out, "stream    {}", self.stream)?;
        match self.log {
            "same" => {
                return writeln!(
                    out,
                    "flows     none added: the log was imported before, and nothing has changed"
                );
            }
            "grown" => writeln!(out, "flows     {} added from what the log has grown by", self.flows)?,
            _ => writeln!(out, "flows     {}", self.flows)?,
        }
        if self.flows_without_end > 0 {
            writeln!(
                out,
                "          {} of them with no end seen: candidates until their addresses and ports are seen again",
                self.flows_without_end
            )?;
        }
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            writeln!(out, "period    {first} to {last}")?;
        }
        let rate = self.lines as f64 / self.seconds.max(0.001);
        writeln!(
            out,
            "lines     {} ({}) in {:.1} s, {rate:.0} a second",
            self.lines,
            Bytes(self.bytes),
            self.seconds
        )?;
        if let Some(bytes) = self.stored_bytes {
            writeln!(out, "size      {} on disk", Bytes(bytes))?;
        }
        for Refused { reason, lines, examples } in &self.refused {
            let places: Vec<String> = examples.iter().map(u64::to_string).collect();
            let more = if *lines > examples.len() as u64 { ", …" } else { "" };
            writeln!(out, "refused   {lines} (line {}{more}): {reason}", places.join(", "))?;
        }
        Ok(())
    }
}
