//! One namespace under recording: its sockets, its reader, and what its coverage stands at.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use unmasq_flow::{ScopeKind, Timestamp};
use unmasq_netfilter::addresses::LocalAddresses;
use unmasq_netfilter::conntrack::{Dumper, Event, EventOptions, EventSocket};
use unmasq_netfilter::netns::Namespace;

use super::accept::Origins;
use super::dumps::{Dumps, Source};
use super::reader::{Message, Reader};
use super::watchdog::Guard;

/// The sockets of a namespace, opened while we still may, and not yet read.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) namespace: Namespace,
    events: EventSocket,
    dumper: Dumper,
    /// `nf_conntrack_count` of the namespace: a file belongs to the namespace in which it was opened.
    count: File,
    settings: EventSettings,
}

/// Kernel settings that decide what the events of a namespace are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EventSettings {
    /// `nf_conntrack_events`: 0 no events, 1 always, 2 only of flows that began while somebody listened.
    pub(super) events: Option<u8>,
}

impl EventSettings {
    fn read(namespace: &Namespace) -> Self {
        let read = || std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_events").ok();
        let text = namespace.run(read).ok().flatten();
        Self { events: text.and_then(|t| t.trim().parse().ok()) }
    }

    /// Can there be flows that will send no DESTROY?
    fn leaves_silent_flows(self) -> bool {
        self.events != Some(1)
    }
}

impl Sockets {
    /// Opens them.
    pub(super) fn open(namespace: Namespace, options: &EventOptions) -> anyhow::Result<Self> {
        let context = || match namespace.name() {
            "" => "cannot record this network namespace".to_owned(),
            name => format!("cannot record the network namespace {name}"),
        };
        let events = EventSocket::open(&namespace, options).with_context(context)?;
        let dumper = Dumper::open(&namespace).with_context(context)?;
        let count = namespace
            .run(|| File::open("/proc/sys/net/netfilter/nf_conntrack_count"))
            .with_context(context)?
            .context("cannot read nf_conntrack_count; is the module nf_conntrack loaded? (`unmasq doctor` tells more)")?;
        let settings = EventSettings::read(&namespace);
        Ok(Self { namespace, events, dumper, count, settings })
    }
}

/// Why a stretch of time is not covered, while it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Uncovered {
    /// The first dump is not complete yet.
    NotYet,
    /// Since when, and why; ends when a dump has reconciled what is alive.
    Since(Timestamp, unmasq_flow::GapReason),
}

/// A namespace under recording.
pub(super) struct Place {
    pub(super) namespace: Namespace,
    pub(super) origins: Origins,
    pub(super) reader: Reader,
    pub(super) settings: EventSettings,
    pub(super) uncovered: Option<Uncovered>,
    /// Covered without a break since then.
    pub(super) covered_since: Option<Timestamp>,
    /// Everything that the kernel had sent by then has been accepted.
    pub(super) drained_at: Timestamp,
    /// When the last completed dump began.
    pub(super) dumped_at: Timestamp,
    pub(super) overruns: u64,
    pub(super) is_reliable: bool,
    /// Rounds of the reader at the last sign of progress.
    pub(super) rounds: u64,
}

/// What a place needs of the recorder to start.
pub(super) struct Surroundings<'a> {
    pub(super) stream: &'a str,
    pub(super) scope: ScopeKind,
    pub(super) reliable: bool,
    pub(super) queue: &'a Sender<Message>,
    pub(super) spare: &'a Receiver<Vec<Event>>,
    pub(super) dumps: &'a Dumps,
    pub(super) guard: Option<&'a Guard>,
}

impl Place {
    /// Starts to read the sockets of place `number`.
    pub(super) fn start(number: usize, sockets: Sockets, around: &Surroundings<'_>) -> io::Result<Self> {
        let Sockets { namespace, events, dumper, count, settings } = sockets;
        if let Some(guard) = around.guard {
            guard.add(namespace.name(), events.as_fd(), &count)?;
        }
        let addresses = Arc::new(Mutex::new(LocalAddresses::default()));
        around.dumps.add(number, Source { dumper, scope: around.scope, addresses: Arc::clone(&addresses) });
        let queue = around.queue.clone();
        let reader = Reader::start(number, namespace.name(), events, queue, around.spare.clone(), addresses)?;
        Ok(Self {
            origins: Origins::new(around.stream, namespace.name()),
            namespace,
            reader,
            settings,
            uncovered: Some(Uncovered::NotYet),
            covered_since: None,
            drained_at: Timestamp::MIN,
            dumped_at: Timestamp::MIN,
            overruns: 0,
            is_reliable: around.reliable,
            rounds: 0,
        })
    }

    /// Reads the settings anew; true if flows can now be missed that could not before, or the other way round.
    pub(super) fn reread_settings(&mut self) -> bool {
        let now = EventSettings::read(&self.namespace);
        std::mem::replace(&mut self.settings, now) != now
    }

    /// Is a dump needed now and then, because flows may end without a word?
    pub(super) fn has_silent_flows(&self) -> bool {
        self.settings.leaves_silent_flows()
    }

    /// Has the reader made progress since the last call?
    pub(super) fn has_progressed(&mut self) -> bool {
        let rounds = self.reader.rounds();
        std::mem::replace(&mut self.rounds, rounds) != rounds
    }
}
