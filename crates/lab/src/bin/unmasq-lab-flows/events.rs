//! The lines that `conntrack -E -o timestamp,id -e NEW,DESTROY` would have printed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use unmasq_flow::{Flow, Protocol};

/// Writes the beginnings and ends of flows that come in the order of their beginning, in the order of time.
pub(crate) fn write(flows: impl Iterator<Item = Flow>, out: &mut impl Write) -> io::Result<()> {
    // Flows that have not ended yet: end in milliseconds, a number as the kernel's id, and the flow.
    let mut alive: BinaryHeap<Reverse<(i64, u32)>> = BinaryHeap::new();
    let mut open = std::collections::HashMap::new();
    for (id, flow) in (1_u32..).zip(flows) {
        let now = flow.start.latest().as_millis();
        while let Some(&Reverse((end, ended))) = alive.peek()
            && end <= now
        {
            alive.pop();
            if let Some(flow) = open.remove(&ended) {
                line(out, end, "[DESTROY]", ended, &flow)?;
            }
        }
        line(out, now, "    [NEW]", id, &flow)?;
        alive.push(Reverse((flow.end.latest().as_millis(), id)));
        open.insert(id, flow);
    }
    while let Some(Reverse((end, ended))) = alive.pop() {
        if let Some(flow) = open.remove(&ended) {
            line(out, end, "[DESTROY]", ended, &flow)?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, millis: i64, kind: &str, id: u32, flow: &Flow) -> io::Result<()> {
    let is_new = kind.contains("NEW");
    let state = match (flow.protocol, is_new) {
        (Protocol::TCP, true) => "120 SYN_SENT ",
        (_, true) => "30 ",
        (_, false) => "",
    };
    let (Some(target), Some(server)) = (flow.target.endpoint(), flow.server.endpoint()) else {
        return Ok(());
    };
    let port = |endpoint: unmasq_flow::Endpoint| endpoint.selector.number().unwrap_or(0);
    writeln!(
        out,
        "[{}.{:03}000]\t{kind} {:<8} {} {state}src={} dst={} sport={} dport={} {}src={} dst={} sport={} dport={}{} id={id}",
        millis / 1000,
        millis % 1000,
        flow.protocol,
        flow.protocol.0,
        flow.client.address,
        target.address,
        port(flow.client),
        port(target),
        if is_new { "[UNREPLIED] " } else { "" },
        server.address,
        flow.masked.address,
        port(server),
        port(flow.masked),
        if is_new { "" } else { " [ASSURED]" },
    )
}
