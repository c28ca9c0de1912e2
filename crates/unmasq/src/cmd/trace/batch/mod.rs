//! `--batch`: each row of a table is a question; the same rows come out with the answer appended.
//!
//! Rows are taken in blocks. Within a block they are asked in the order of their times, so that each part of the ledger
//! is read once, and written in the order in which they came.

mod columns;
mod table;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use unmasq_flow::{Selector, Timestamp};
use unmasq_trace::report::{OverviewReport, Report};
use unmasq_trace::time::{self, Context};
use unmasq_trace::{Inquiry, Witness, answer, overview};

use self::columns::RowQuestion;
use self::table::{Added, Output, Row, Table, TableError};
use super::{Args, DEFAULT_WINDOW, witnesses};
use crate::config::units::parse_duration;
use crate::failure::{Failure, Outcome};

/// Rows in memory at once.
const BLOCK: usize = 10_000;
/// Threads that ask. Each reads for itself.
const MOST_THREADS: usize = 8;

/// The columns that are added, in their order.
const ADDED: [&str; 14] = [
    "client",
    "clients",
    "candidates",
    "exit_status",
    "complete",
    "ambiguous",
    "protocol",
    "target",
    "server",
    "start",
    "end",
    "evidence",
    "notes",
    "error",
];

/// Answers a table.
pub(super) fn run(args: &Args, path: &Path, now: Timestamp) -> Outcome {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::with_capacity(1 << 16, io::stdin()))
    } else {
        let file = File::open(path)
            .map_err(|error| anyhow::anyhow!("cannot read the table {}: {error}", path.display()))?;
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let mut table = Table::open(input, args.at.is_some()).map_err(failure)?;
    let width = match &table {
        Table::Csv { names, .. } => names.len(),
        Table::Json { .. } => 0,
    };
    let out = io::BufWriter::new(io::stdout().lock());
    let mut output = Output::new(out, &table, &ADDED, args.json).map_err(failure)?;
    let mut askers = Vec::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS) {
        askers.push(Asking { args, now, witnesses: witnesses::assemble(args, now)? });
    }
    let (mut rows, mut refused) = (0_u64, 0_u64);
    loop {
        let mut block: Vec<Row> = Vec::new();
        while block.len() < BLOCK
            && let Some(row) = table.next().map_err(failure)?
        {
            block.push(row);
        }
        if block.is_empty() {
            break;
        }
        let answers = answer_block(&mut askers, &block);
        refused += answers.iter().filter(|(is_refused, _)| *is_refused).count() as u64;
        rows += block.len() as u64;
        for (row, (_, added)) in block.iter().zip(&answers) {
            output.write(&row.cells, added, width).map_err(failure)?;
        }
    }
    output.flush().map_err(failure)?;
    if refused > 0 {
        // The answers are whole without it; standard error may be closed.
        let _ = writeln!(
            anstream::stderr(),
            "unmasq: {refused} of {rows} rows could not be asked; see the column \"error\""
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers the rows of a block, in their order: whether each was refused, and what is added to it.
fn answer_block(askers: &mut [Asking<'_>], block: &[Row]) -> Vec<(bool, Added)> {
    let Some(first) = askers.first() else { return Vec::new() };
    let mut questions: Vec<(usize, Result<Asked, String>)> =
        block.iter().map(|row| first.understand(row)).enumerate().collect();
    questions.sort_by_key(|(_, q)| q.as_ref().ok().and_then(|q| q.inquiry.windows.first()).map(|w| w.from));
    let share = questions.len().div_ceil(askers.len()).max(1);
    let mut answers: Vec<(usize, (bool, Added))> = Vec::with_capacity(block.len());
    std::thread::scope(|scope| {
        let mut rest = questions;
        let mut threads = Vec::new();
        for asker in askers.iter_mut() {
            let later = rest.split_off(share.min(rest.len()));
            let own = std::mem::replace(&mut rest, later);
            threads.push(scope.spawn(move || {
                own.into_iter()
                    .map(|(index, question)| (index, (question.is_err(), asker.answer(question))))
                    .collect::<Vec<_>>()
            }));
        }
        for thread in threads {
            match thread.join() {
                Ok(part) => answers.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn failure(error: TableError) -> Failure {
    match error {
        TableError::Io(error) => Failure::from(error),
        other => Failure::from(other),
    }
}

/// A row's question, understood.
struct Asked {
    inquiry: Inquiry,
    text: String,
    notes: Vec<String>,
}

struct Asking<'a> {
    args: &'a Args,
    now: Timestamp,
    witnesses: Vec<Box<dyn Witness>>,
}

impl Asking<'_> {
    fn understand(&self, row: &Row) -> Result<Asked, String> {
        let question = row.question.as_ref().map_err(Clone::clone)?;
        let zone: Option<TimeZone> = match &question.zone {
            Some(name) => Some(time::zone(name).map_err(|e| e.to_string())?),
            None => self.args.tz.clone(),
        };
        let text = question.time.as_ref().or(self.args.at.as_ref()).ok_or("the row names no time")?;
        let now =
            jiff::Timestamp::from_nanosecond(i128::from(self.now.as_nanos())).map_err(|e| e.to_string())?;
        let asked = time::parse(text, &Context { now, zone }).map_err(|e| e.to_string())?;
        let asked = asked.widened(self.window(question)?);
        let inquiry = Inquiry {
            masked: question.masked,
            protocol: question.protocol.or(self.args.proto),
            server: question.server.or(self.args.to),
            windows: asked.windows,
            now: self.now,
        };
        Ok(Asked { inquiry, text: asked.text, notes: asked.notes })
    }

    fn window(&self, question: &RowQuestion) -> Result<std::time::Duration, String> {
        match &question.window {
            Some(text) => parse_duration(text).map_err(|e| e.to_string()),
            None => Ok(self.args.window.unwrap_or(DEFAULT_WINDOW)),
        }
    }

    fn answer(&mut self, question: Result<Asked, String>) -> Added {
        let asked = match question {
            Ok(asked) => asked,
            Err(error) => {
                let value = |name: &str| match name {
                    "exit_status" => json!(2),
                    "error" => json!(error),
                    _ => Value::Null,
                };
                return ADDED.iter().map(|name| (*name, value(name))).collect();
            }
        };
        if asked.inquiry.masked.selector == Selector::None { self.overview(&asked) } else { self.one(&asked) }
    }

    fn one(&mut self, asked: &Asked) -> Added {
        let answer = answer(&asked.inquiry, &mut self.witnesses);
        let report = Report::new(&answer, Some(&asked.text), &asked.notes);
        let best = report.candidates.first().filter(|_| !report.ambiguous);
        let of_best =
            |value: fn(&unmasq_trace::report::CandidateReport) -> Value| best.map_or(Value::Null, value);
        let evidence = |candidate: &unmasq_trace::report::CandidateReport| {
            candidate.evidence.iter().map(|e| format!("{}:{}", e.witness, e.place)).collect::<Vec<_>>()
        };
        let gaps = report.gaps.iter().map(|gap| match &gap.stream {
            Some(stream) => format!("{stream}: {}", gap.reason),
            None => gap.reason.clone(),
        });
        let notes: Vec<String> =
            report.notes.iter().cloned().chain(gaps).chain(report.damage.iter().cloned()).collect();
        vec![
            ("client", of_best(|c| json!(c.flow.client))),
            ("clients", json!(report.clients)),
            ("candidates", json!(report.candidates.len())),
            ("exit_status", json!(report.exit_status)),
            ("complete", json!(report.complete)),
            ("ambiguous", json!(report.ambiguous)),
            ("protocol", of_best(|c| json!(c.flow.protocol))),
            ("target", of_best(|c| json!(c.flow.target))),
            ("server", of_best(|c| json!(c.flow.server))),
            ("start", of_best(|c| json!(c.flow.start))),
            ("end", of_best(|c| json!(c.flow.end))),
            ("evidence", json!(report.candidates.iter().flat_map(evidence).collect::<Vec<_>>())),
            ("notes", if notes.is_empty() { Value::Null } else { json!(notes.join("; ")) }),
            ("error", Value::Null),
        ]
    }

    fn overview(&mut self, asked: &Asked) -> Added {
        let overview = overview(&asked.inquiry, &mut self.witnesses);
        let report = OverviewReport::new(&overview, Some(&asked.text), &asked.notes);
        let one = report.clients.first().filter(|_| !report.ambiguous);
        let flows: u64 = report.summary.iter().map(|client| client.flows).sum();
        let notes: Vec<String> = report.notes.iter().chain(&report.damage).cloned().collect();
        let value = |name: &str| match name {
            "client" => json!(one),
            "clients" => json!(report.clients),
            "candidates" => json!(flows),
            "exit_status" => json!(report.exit_status),
            "complete" => json!(report.complete),
            "ambiguous" => json!(report.ambiguous),
            "notes" if !notes.is_empty() => json!(notes.join("; ")),
            _ => Value::Null,
        };
        ADDED.iter().map(|name| (*name, value(name))).collect()
    }
}
