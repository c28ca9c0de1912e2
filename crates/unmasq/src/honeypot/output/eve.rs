//! From a note to an EVE event.

use serde::Serialize;
use unmasq_eve::{Event, Party, Ssh, Tuple};
use unmasq_honeypot::record::{EventKind, Record};
use unmasq_ssh::Identification;

use super::line::{Origin, describe};
use crate::honeypot::note::{News, Software};

/// The object `ssh_auth`: what a record has beyond the event's header.
#[derive(Serialize)]
struct Auth<'r> {
    method: EventKind,
    #[serde(flatten)]
    record: Record<'r>,
}

/// The event, if this note has one: `ssh` once both sides have said what they can (or at the end, if they did not come so far),
/// `ssh_auth` for each attempt. `server` is what we say that we are.
pub(super) fn event(origin: &Origin<'_>, server: &Identification) -> Option<String> {
    let note = origin.note;
    let tuple = Tuple { source: origin.client.endpoint, destination: note.opened.destination };
    let header = || Event::new(note.at, tuple, note.opened.at);
    match &note.news {
        News::Accepted => None,
        News::Negotiated(software) => Some(header().ssh(&both(software, server))),
        News::Ended { software, .. } => {
            // Told already once both KEXINITs were there.
            let is_untold = software.kexinit.is_none() && software.identification.is_some();
            is_untold.then(|| header().ssh(&both(software, server)))
        }
        News::Attempt { software, attempt, .. } => {
            let mut record = Record::default();
            describe(&mut record, software);
            origin.tell(&mut record, attempt);
            let common = origin.common();
            record.session = common.session;
            record.via = common.via;
            record.client_from = common.client_from;
            Some(header().ssh_auth(&auth(record)))
        }
    }
}

fn both(software: &Software, server: &Identification) -> Ssh {
    let client = Party::new(software.identification.as_ref(), software.hassh.clone());
    let server = Party::new(Some(server), software.hassh_server.as_deref().cloned());
    Ssh { client: Some(client), server: Some(server) }
}

/// Without what the header says.
fn auth(record: Record<'_>) -> serde_json::Value {
    let method = record.event;
    let mut object = serde_json::to_value(Auth { method, record }).unwrap_or_default();
    if let Some(object) = object.as_object_mut() {
        for key in ["event", "src_ip", "src_port", "dest_ip", "dest_port", "timestamp"] {
            object.remove(key);
        }
    }
    object
}
