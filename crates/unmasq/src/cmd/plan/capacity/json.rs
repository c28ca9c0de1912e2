//! The answer as JSON.

use serde_json::{Value, json};
use unmasq_plan::capacity::{Measured, Toward};

use super::Answer;
use super::measure::Used;
use super::show::TOP;

pub(super) fn value(answer: &Answer) -> Value {
    let table = answer.table.rows.iter().flat_map(|row| {
        answer.table.public.iter().zip(&row.ports).map(
            |(public, ports)| json!({ "clients": row.clients, "public": public, "ports_per_client": ports }),
        )
    });
    let advice = answer.advice.map(|advice| {
        json!({ "ports_per_client": advice.ports, "public": advice.public, "given_ports": advice.given })
    });
    json!({
        "ports_per_address": answer.question.capacity.ports(),
        "growth_percent": answer.question.capacity.growth(),
        "clients": answer.question.clients,
        "public": answer.question.public,
        "table": table.collect::<Vec<_>>(),
        "usage": answer.used.as_ref().map(|used| usage(used, &answer.sizes())),
        "recommended": advice,
    })
}

fn usage(used: &Used, sizes: &[u32]) -> Value {
    let measured = &used.measured;
    let exceeding = sizes.iter().map(|ports| {
        json!({
            "ports_per_client": ports,
            "clients": measured.exceeding(*ports, Toward::Any),
            "clients_toward_one_server":
                (!measured.knows_no_server()).then(|| measured.exceeding(*ports, Toward::OneServer)),
        })
    });
    let top = measured.clients.iter().take(TOP).map(|client| {
        json!({
            "client": client.client,
            "place": client.origin.to_string(),
            "ports": client.any.ports,
            "protocol": client.any.protocol.to_string(),
            "at": client.any.at.to_string(),
            "ports_toward_one_server":
                (!measured.knows_no_server()).then_some(client.one_server.ports),
        })
    });
    json!({
        "ledger": used.ledger,
        "since": used.period.from.is_finite().then(|| used.period.from.to_string()),
        "until": used.period.to.to_string(),
        "flows": measured.flows,
        "flows_without_end": measured.without_end,
        "flows_without_server": measured.without_server,
        "clients": measured.clients.len(),
        "any": summary(measured, Toward::Any),
        "one_server": summary(measured, Toward::OneServer),
        "exceeding": exceeding.collect::<Vec<_>>(),
        "top": top.collect::<Vec<_>>(),
        "damaged": used.damage.len(),
    })
}

fn summary(measured: &Measured, toward: Toward) -> Option<Value> {
    if toward == Toward::OneServer && measured.knows_no_server() {
        return None;
    }
    measured
        .summary(toward)
        .map(|found| json!({ "median": found.median, "p99": found.p99, "max": found.max }))
}
