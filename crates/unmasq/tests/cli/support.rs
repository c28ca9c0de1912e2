//! Ledgers to ask, and the program to ask them with.

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use unmasq_flow::{
    Bound, ClockReading, DestinationPolicy, Endpoint, Flow, Origin, Protocol, Scope, ScopeKind, Status,
    Timestamp,
};
use unmasq_ledger::{CoverageEvent, Writer, WriterOptions};

/// 2020-12-26T12:37:42Z: in the past wherever these tests run.
pub(crate) const T0: i64 = 1_608_986_262;

/// So many seconds after [`T0`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

/// The clocks then.
pub(crate) fn clock(seconds: i64) -> ClockReading {
    let boot = Duration::from_secs(u64::try_from(1_000_000 + seconds).unwrap());
    ClockReading { wall: at(seconds), boot, is_synchronised: true }
}

/// A TCP conversation, in seconds after [`T0`].
pub(crate) fn flow(client: &str, server: &str, masked: &str, from: i64, to: i64) -> Flow {
    let server: Endpoint = server.parse().unwrap();
    let ends = (client.parse().unwrap(), server);
    let origin = Origin::new("gw1", "").shared();
    let mut flow = Flow::new(origin, Protocol::TCP, ends, (server, masked.parse().unwrap()));
    flow.start = Bound::Exact(at(from));
    flow.end = Bound::Exact(at(to));
    flow.status = Status(0x19e);
    flow
}

/// A scope that keeps what most recorders keep.
pub(crate) fn scope(namespace: &str) -> Scope {
    Scope {
        namespace: namespace.into(),
        kind: ScopeKind::TranslatedLocal,
        destinations: DestinationPolicy::Keep,
    }
}

/// A stream `gw1` that is covered from an hour before [`T0`] to three hours after, with these flows in it.
pub(crate) fn record(ledger: &Path, flows: &[Flow]) {
    record_as(ledger, &[scope("")], WriterOptions::default(), flows);
}

/// The same with other scopes and options.
pub(crate) fn record_as(ledger: &Path, scopes: &[Scope], options: WriterOptions, flows: &[Flow]) {
    let (mut writer, _) = Writer::open(ledger, "gw1", options).unwrap();
    for scope in scopes {
        writer.cover(CoverageEvent::Started { scope: scope.clone(), clock: clock(-3_600) });
    }
    for flow in flows {
        if flow.end.is_closed() {
            writer.ended(flow, false);
        } else {
            writer.opened(flow);
        }
    }
    writer.cover(CoverageEvent::Alive { clock: clock(10_800) });
    writer.finish_sealed().unwrap();
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Its output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Runs `unmasq trace --ledger LEDGER` with more arguments, and this on its standard input.
pub(crate) fn trace_with(ledger: &Path, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    // A recorder may run on the machine that the tests run on.
    command.args(["trace", "--control", "/nonexistent/control.sock", "--ledger"]).arg(ledger).args(arguments);
    said(command.write_stdin(input))
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.env("NO_COLOR", "1").output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `unmasq` with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Said {
    said(Command::new(assert_cmd::cargo::cargo_bin!("unmasq")).args(arguments))
}

/// Runs `unmasq trace --ledger LEDGER` with more arguments.
pub(crate) fn trace(ledger: &Path, arguments: &[&str]) -> Said {
    trace_with(ledger, arguments, "")
}
