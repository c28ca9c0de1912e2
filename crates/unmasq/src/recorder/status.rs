//! What a recorder says of itself: once a minute on standard error, and whenever the control socket asks.

use unmasq_control::Status;

use crate::output::Bytes;

/// The line of the minute.
pub(super) fn line(status: &Status) -> String {
    let mut line = format!(
        "{} flows alive, {} recorded, {} events/s, {} lost, {} s uncovered, {}, {} on disk",
        status.live_flows,
        status.flows_recorded,
        status.events_per_second,
        status.events_lost,
        status.uncovered_seconds,
        a_flow(status.bytes_per_row),
        Bytes(status.disk_bytes),
    );
    if let Some(trouble) = &status.trouble {
        line.push_str("; trouble: ");
        line.push_str(trouble);
    }
    line
}

/// Bytes a flow, once there are runs to tell from.
pub(crate) fn a_flow(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| "nothing sealed yet".to_owned(), |bytes| format!("{bytes:.2} B a flow"))
}
