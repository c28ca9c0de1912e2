//! A record of the journal as rows of the hours that it concerns.

use unmasq_flow::{Bound, Flow, Timestamp};

use crate::run::Row;

/// How many hours a flow that was found late (by a dump) is written back into.
const HOURS_BACK: i64 = 24;
/// How many hours a whole flow is written into; beyond it only the last ones. Guards against absurd start times.
const HOURS_OF_A_FLOW: i64 = 31 * 24;

/// What was known when a record was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// The last hour into which every flow then alive was carried.
    pub(crate) carried: Option<i64>,
    /// The wall clock at the last statement about coverage.
    pub(crate) now: Option<Timestamp>,
}

fn start_hour(flow: &Flow) -> Option<i64> {
    let (earliest, latest) = (flow.start.earliest(), flow.start.latest());
    [earliest, latest].into_iter().find(|t| t.is_finite()).map(Timestamp::hour)
}

/// The hour that holds the final row which exports give: that of the latest the end can be.
pub(crate) fn end_hour(flow: &Flow) -> Option<i64> {
    if !flow.end.is_closed() {
        return None;
    }
    let (earliest, latest) = (flow.end.earliest(), flow.end.latest());
    [latest, earliest].into_iter().find(|t| t.is_finite()).map(Timestamp::hour).or_else(|| start_hour(flow))
}

/// Gives each row that the record makes, with its hour.
pub(crate) fn expand(kind: super::Kind, flow: Flow, context: Context, each: &mut dyn FnMut(i64, Row)) {
    use super::Kind;
    let fallback = || context.carried.or(context.now.map(Timestamp::hour)).unwrap_or(0);
    match (kind, end_hour(&flow)) {
        (Kind::Carried(hour), _) => each(hour, Row::carry(going_on(flow))),
        (Kind::Ended, Some(end)) => {
            let last = context.carried.unwrap_or(end).clamp(end, end + HOURS_OF_A_FLOW);
            for hour in end..last {
                each(hour, Row::new(flow.clone()));
            }
            each(last, Row::new(flow));
        }
        (Kind::Whole, Some(end)) => {
            let first = start_hour(&flow).unwrap_or(end).clamp(end - HOURS_OF_A_FLOW, end);
            for hour in first..end {
                each(hour, Row::carry(going_on(flow.clone())));
            }
            each(end, Row::new(flow));
        }
        // An end of which nothing is known leaves the flow a candidate.
        (Kind::Opened | Kind::Ended | Kind::Whole, _) => {
            let first = start_hour(&flow).unwrap_or_else(fallback);
            let last = context.carried.unwrap_or(first).max(first);
            let flow = if flow.end.is_closed() { going_on(flow) } else { flow };
            let from = first.max(last - HOURS_BACK);
            for hour in from..=last {
                each(
                    hour,
                    if hour == first { Row::new(flow.clone()) } else { Row::carry(going_on(flow.clone())) },
                );
            }
        }
    }
}

/// The flow as a row says it that does not know the end.
fn going_on(flow: Flow) -> Flow {
    Flow { end: Bound::Open, traffic: None, kernel_id: None, ..flow }
}
