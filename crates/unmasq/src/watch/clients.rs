//! Who is behind what a service saw: the kernel's translations, the captured lines and another gateway's book.
//!
//! The kernel outranks a log line, which can be forged, where its flow was alive at the entry's time. Whoever is found
//! can be masked himself (a proxy behind a NAT), so the question is asked again about him, at most [`STEPS`] times.

use std::time::Duration;

use unmasq_entry::Value;
use unmasq_flow::{Ask, Destination, Endpoint, Flow, Period, Selector, Timestamp};
use unmasq_watch::client::{Captures, Client, Masked, Subset, Word};

use super::feed::Feed;

/// How often a client that is found may turn out to be masked himself.
const STEPS: usize = 8;
/// How far the clocks of the kernel's events and of the entries may lie apart.
const SLACK: Duration = Duration::from_secs(2);

/// The client behind `masked` at `time`, as it is known at `now`.
pub(crate) fn find(
    feed: Option<&Feed>,
    captures: &Captures,
    masked: &Masked,
    subset: Subset,
    time: Timestamp,
    now: Timestamp,
) -> Option<Client> {
    let (mut found, mut is_kernels) = one(feed, captures, masked, subset, time, now)?;
    for _ in 1..STEPS {
        let Some(port) = found.port.clone() else { break };
        let behind = Masked::new([Some(Value::Text(&found.address)), Some(Value::Text(&port)), None, None]);
        let endpoint = Subset::new([true, true, false, false]);
        let Some((next, is_kernel)) = one(feed, captures, &behind, endpoint, time, now) else { break };
        if next.address == found.address && next.port == found.port {
            break;
        }
        is_kernels &= is_kernel;
        found = Client { evidence: format!("{}; {}", found.evidence, next.evidence), ..next };
    }
    // A proxy's own connection, whose port the kernel changed: whose it is, the proxy has yet to say.
    let is_itself = masked.words[0].is_some() && masked.words[0] == Some(Word::parse(&found.address));
    (!(is_kernels && is_itself)).then_some(found)
}

/// Who is known to be behind that, one step; does the kernel say so?
fn one(
    feed: Option<&Feed>,
    captures: &Captures,
    masked: &Masked,
    subset: Subset,
    time: Timestamp,
    now: Timestamp,
) -> Option<(Client, bool)> {
    feed.and_then(|feed| kernel(feed, masked, subset, time, now))
        .map(|client| (client, true))
        .or_else(|| captures.find(masked, subset, time, now).map(|client| (client, false)))
}

/// The question to a book, if it is one that a book can answer: a masked address and port are compared.
pub(crate) fn ask(masked: &Masked, subset: Subset, time: Timestamp) -> Option<Ask> {
    let endpoint = masked.endpoint().filter(|e| e.selector != Selector::None)?;
    if !(subset.has(0) && subset.has(1)) {
        return None;
    }
    let server = masked.server().filter(|_| subset.has(2));
    Some(Ask { masked: endpoint, protocol: None, server, period: Period::around(time, SLACK) })
}

fn kernel(feed: &Feed, masked: &Masked, subset: Subset, time: Timestamp, now: Timestamp) -> Option<Client> {
    let ask = ask(masked, subset, time)?;
    let flows = feed.book().find(&ask, now);
    let others = flows.into_iter().filter(|flow| flow.client != ask.masked);
    others.max_by_key(|flow| flow.start.earliest()).map(|flow| client(&flow, "conntrack"))
}

/// The newest of the flows that translate the source, at that masked endpoint.
pub(crate) fn newest(flows: Vec<Flow>, masked: Endpoint) -> Option<Flow> {
    flows
        .into_iter()
        .filter(|flow| flow.client.address != masked.address)
        .max_by_key(|flow| flow.start.earliest())
}

/// The client of a flow; `witness` says who knows of it.
pub(crate) fn client(flow: &Flow, witness: &str) -> Client {
    let target = match flow.target {
        Destination::Kept(endpoint) => endpoint.to_string(),
        Destination::Hashed(_) | Destination::Omitted => "a target that is not kept".to_owned(),
    };
    Client {
        address: flow.client.address.to_string(),
        port: flow.client.selector.number().map(|number| number.to_string()),
        evidence: format!(
            "{witness}: {} {} to {target} was {} since {}",
            flow.protocol,
            flow.client,
            flow.masked,
            flow.start.earliest()
        ),
    }
}
