//! A candidate for the answer: one flow as all witnesses know it together, and the flows behind it.

use unmasq_flow::{Bound, Destination, Endpoint, Evidence, Flow, Origin, Period, Status, Timestamp, Witness};
use unmasq_plan::history::{Holder, Holding};

use crate::{Hit, ServerCheck};

/// A bound that is rounded down to the ledger's resolution can differ by this much from the same bound in memory.
const RESOLUTION: std::time::Duration = std::time::Duration::from_millis(1);
/// An event that has no time of the kernel is read up to this much later: the kernel collects dead entries once a minute.
const READ_LAG: std::time::Duration = std::time::Duration::from_secs(60);

/// One flow, as all witnesses that know it say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The flow, with the best known of each bound.
    pub flow: Flow,
    /// Who knows of it. Never empty; the most trustworthy first.
    pub evidence: Vec<Evidence>,
    /// How its server compares with the one asked for.
    pub server: ServerCheck,
    /// Who had the endpoint by a port plan, if one says that it was this client.
    pub plan: Option<Holder>,
    sources: Vec<(Witness, Box<str>)>,
}

/// A client that can be meant, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The flow on the masked endpoint, then the flows behind it: each one's masked endpoint is the client of the one before.
    /// Never empty.
    pub hops: Vec<Hop>,
    /// Was it surely alive in the window?
    pub certainty: Certainty,
    /// Which reading of the time it answers.
    pub reading: Reading,
    /// Why the flows behind it end where they do, if that is not because nobody knows of another.
    pub cut: Option<Cut>,
}

/// How sure it is that a flow was alive in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// Its bounds leave no doubt.
    Sure,
    /// It can have been: a bound is not known well enough.
    Possible,
}

/// A reading of the time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// As it was asked; which of the windows, where a local time occurred twice.
    Asked(usize),
    /// Shifted by this many nanoseconds, because the gateway's clock was set in the window.
    Shifted(i64),
}

/// Why unmasq did not look further behind a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The flows lead back to themselves.
    Loop,
    /// There are more than eight of them.
    TooDeep,
}

/// What the status bits tell about the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversation {
    /// `IPS_ASSURED`: both sides spoke, and a TCP handshake was completed.
    Assured,
    /// `IPS_SEEN_REPLY`: the far side answered at least once.
    Answered,
    /// The far side never answered. A spoofed packet looks like this.
    OneSided,
    /// No status bits were kept, or the flow is open and was last seen at its beginning.
    Unknown,
}

impl Conversation {
    /// From a flow's status, as far as it says. The kernel tells of an answer when it lists the flow and when the flow
    /// ends; of one that is open and known only by its beginning, silence is not known.
    pub fn of(flow: &Flow) -> Self {
        let status = flow.status;
        if status.has(Status::ASSURED) {
            Self::Assured
        } else if status.has(Status::SEEN_REPLY) {
            Self::Answered
        } else if status == Status::default() || !flow.end.is_closed() {
            Self::Unknown
        } else {
            Self::OneSided
        }
    }

    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Assured => "assured",
            Self::Answered => "answered",
            Self::OneSided => "one-sided",
            Self::Unknown => "unknown",
        }
    }
}

impl Candidate {
    /// The flow on the masked endpoint.
    pub fn outer(&self) -> &Flow {
        // `hops` is never empty: candidates are only made from a hop.
        &self.hops[0].flow
    }

    /// The flow of the client that is furthest behind.
    pub fn inner(&self) -> &Flow {
        &self.hops[self.hops.len() - 1].flow
    }

    /// The real client, as far behind as anyone knows.
    pub fn client(&self) -> Endpoint {
        self.inner().client
    }

    /// What that client asked for.
    pub fn target(&self) -> Destination {
        self.inner().target
    }

    /// All evidence, of every hop.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.hops.iter().flat_map(|hop| &hop.evidence)
    }

    /// Does it rest on imported logs alone, which can be forged?
    pub fn is_import_only(&self) -> bool {
        self.hops.iter().any(Hop::is_import_only)
    }
}

impl From<Hit> for Hop {
    fn from(hit: Hit) -> Self {
        let source = (hit.evidence.witness, hit.flow.origin.stream.clone());
        Self {
            flow: hit.flow,
            evidence: vec![hit.evidence],
            server: hit.server,
            plan: None,
            sources: vec![source],
        }
    }
}

impl Hop {
    /// Is an imported log the only witness?
    pub fn is_import_only(&self) -> bool {
        self.evidence.iter().all(|e| e.witness == Witness::Import)
    }

    /// Is a port plan the only witness? Then no flow is known, only whose the port was.
    pub fn is_plan_only(&self) -> bool {
        self.evidence.iter().all(|e| e.witness == Witness::Plan)
    }

    /// A client that had the endpoint by a plan, of whom no flow is known.
    pub(crate) fn of_holder(flow: Flow, holder: Holder, evidence: Evidence) -> Self {
        Self {
            flow,
            evidence: vec![evidence],
            server: ServerCheck::NotAsked,
            plan: Some(holder),
            sources: Vec::new(),
        }
    }

    /// Does one that saw the flow in the kernel's events or a recorder's record know of it?
    pub fn is_recorded(&self) -> bool {
        self.evidence.iter().any(|e| matches!(e.witness, Witness::Book | Witness::Ledger))
    }

    /// Does another witness speak of the same flow? `now` is a moment before any witness was asked.
    pub(crate) fn is_same(&self, hit: &Hit, now: Timestamp) -> bool {
        let (a, b) = (&self.flow, &hit.flow);
        let is_import = self.is_import_only() || hit.evidence.witness == Witness::Import;
        a.protocol == b.protocol
            && a.client == b.client
            && a.masked == b.masked
            && agree(a.target, b.target)
            && agree(a.server, b.server)
            && (is_import || same_place(&a.origin, &b.origin))
            && starts(a.start).overlaps(starts(b.start))
            && ends(a.end).overlaps(ends(b.end))
            && starts(a.start).from <= ends(b.end).to
            && starts(b.start).from <= ends(a.end).to
            && !(self.is_alive() && is_over(b, now) || is_seen_alive(hit) && is_over(a, now))
            && (!self.has_source(hit) || (a.start == b.start && a.start.is_closed()))
    }

    /// Is it alive, as one says who knows the present?
    pub(crate) fn is_alive(&self) -> bool {
        self.flow.end == Bound::Open && self.evidence.iter().any(|e| knows_the_present(e.witness))
    }

    /// How far the bounds of another's word for the flow are from these, of those that can be meant.
    fn distance(&self, hit: &Hit) -> (bool, i64) {
        let (a, b) = (&self.flow, &hit.flow);
        let apart = a.start.earliest().as_nanos().saturating_sub(b.start.earliest().as_nanos());
        (a.end.is_closed() != b.end.is_closed(), apart.saturating_abs())
    }

    fn has_source(&self, hit: &Hit) -> bool {
        self.sources.iter().any(|(w, s)| *w == hit.evidence.witness && *s == hit.flow.origin.stream)
    }

    /// Adds what another witness knows of the same flow.
    fn absorb(&mut self, hit: Hit) {
        let Hit { flow: other, evidence, server } = hit;
        self.sources.push((evidence.witness, other.origin.stream.clone()));
        if !self.evidence.contains(&evidence) {
            self.evidence.push(evidence);
        }
        let mine = &mut self.flow;
        if rank(other.start) < rank(mine.start) {
            mine.start = other.start;
        }
        // Counters and status are final only at the end.
        if other.end.is_closed() && !mine.end.is_closed() {
            mine.status = other.status;
            mine.traffic = other.traffic.or(mine.traffic);
        }
        if rank(other.end) < rank(mine.end) {
            mine.end = other.end;
        }
        if mine.status == Status::default() {
            mine.status = other.status;
        }
        mine.traffic = mine.traffic.or(other.traffic);
        mine.kernel_id = mine.kernel_id.or(other.kernel_id);
        if other.origin.stream.len() > mine.origin.stream.len() && mine.origin.stream.is_empty() {
            mine.origin = other.origin;
        }
        for (mine, other) in [(&mut mine.target, other.target), (&mut mine.server, other.server)] {
            if !matches!(mine, Destination::Kept(_)) && !matches!(other, Destination::Omitted) {
                *mine = other;
            }
        }
        if certainty_of_server(server) < certainty_of_server(self.server) {
            self.server = server;
        }
    }
}

/// Puts together what several witnesses say of the same flow. The first witness in the order of trust comes first in each.
/// `now` is a moment before any of them was asked.
pub(crate) fn merge(mut hits: Vec<Hit>, now: Timestamp) -> Vec<Hop> {
    hits.sort_by_key(|hit| (hit.evidence.witness, hit.flow.start.earliest()));
    let mut hops: Vec<Hop> = Vec::new();
    for hit in hits {
        // A tuple that was used twice within a moment leaves two that can be meant.
        let same = hops.iter_mut().filter(|hop| hop.is_same(&hit, now)).min_by_key(|hop| hop.distance(&hit));
        match same {
            Some(hop) => hop.absorb(hit),
            None => hops.push(hit.into()),
        }
    }
    hops
}

/// What the kernel or a book has as open is alive when it is asked; what a ledger has as open was when that was written.
fn knows_the_present(witness: Witness) -> bool {
    matches!(witness, Witness::Kernel | Witness::Book)
}

fn is_seen_alive(hit: &Hit) -> bool {
    hit.flow.end == Bound::Open && knows_the_present(hit.evidence.witness)
}

/// Had it surely ended by then?
fn is_over(flow: &Flow, now: Timestamp) -> bool {
    flow.end.is_closed() && ends(flow.end).to < now
}

/// Does a plan give a port to one client while a flow of another began on it?
pub(crate) fn contradicts_plan(a: &Hop, b: &Hop) -> bool {
    let (plan, flow) = match (&a.plan, &b.plan) {
        (Some(_), None) => (a, b),
        (None, Some(_)) => (b, a),
        (Some(_), Some(_)) | (None, None) => return false,
    };
    plan.plan.as_ref().is_some_and(|holder| {
        let start = flow.flow.start.range();
        // A flow that had begun before keeps its port.
        holder.holding == Holding::InForce
            && plan.flow.client.address != flow.flow.client.address
            && holder.period.from <= start.to
            && start.from <= holder.period.to
            && start.from.is_finite()
    })
}

/// Do two candidates say that the same reply tuple had different clients at the same time? The kernel never allows that.
pub(crate) fn contradict(a: &Hop, b: &Hop) -> bool {
    let is_import = a.is_import_only() || b.is_import_only();
    let (x, y) = (&a.flow, &b.flow);
    let servers = x.server.endpoint().zip(y.server.endpoint());
    let is_place_same = is_import
        || (x.origin.namespace == y.origin.namespace && x.origin.zones.reply == y.origin.zones.reply);
    x.protocol == y.protocol
        && x.masked == y.masked
        && servers.is_some_and(|(s, t)| s == t)
        && is_place_same
        && x.client != y.client
        && claim(x).zip(claim(y)).is_some_and(|(p, q)| {
            let (from, to) = (p.from.max(q.from), p.to.min(q.to));
            // A port that is used again at once shares an instant with its predecessor.
            from + RESOLUTION < to
        })
}

/// The time for which a flow claims its reply tuple for itself.
fn claim(flow: &Flow) -> Option<Period> {
    let from = flow.start.latest();
    let to = match flow.end {
        Bound::Open => Timestamp::MAX,
        Bound::Unknown => return None,
        Bound::Read(t) => t - READ_LAG,
        Bound::Exact(t) | Bound::Between(t, _) => t,
    };
    (from.is_finite() && from <= to).then_some(Period { from, to })
}

fn same_place(a: &Origin, b: &Origin) -> bool {
    a.namespace == b.namespace && a.zones == b.zones
}

fn agree(a: Destination, b: Destination) -> bool {
    match (a, b) {
        (Destination::Kept(x), Destination::Kept(y)) => x == y,
        (Destination::Hashed(x), Destination::Hashed(y)) => x == y,
        _ => true,
    }
}

/// When a flow can have begun, as another witness may have it.
fn starts(bound: Bound) -> Period {
    let range = bound.range();
    match bound {
        Bound::Read(t) => Period { from: t - READ_LAG, to: t + RESOLUTION },
        _ => Period { from: range.from - RESOLUTION, to: range.to + RESOLUTION },
    }
}

/// When it can have ended. One that was open when it was written can end at any time after.
fn ends(bound: Bound) -> Period {
    starts(bound)
}

/// The better known, the smaller.
fn rank(bound: Bound) -> u8 {
    match bound {
        Bound::Exact(_) => 0,
        Bound::Between(a, b) if a.is_finite() && b.is_finite() => 1,
        Bound::Read(_) => 2,
        Bound::Between(..) => 3,
        Bound::Open => 4,
        Bound::Unknown => 5,
    }
}

fn certainty_of_server(check: ServerCheck) -> u8 {
    match check {
        ServerCheck::Same => 0,
        ServerCheck::Differs => 1,
        ServerCheck::SameHash => 2,
        ServerCheck::Undecided => 3,
        ServerCheck::NotAsked => 4,
    }
}
