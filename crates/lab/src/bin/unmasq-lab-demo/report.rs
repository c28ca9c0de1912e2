//! The texts of the demo.

use unmasq_lab::Conversation;

/// What somebody far away might write about a conversation: whole seconds, and the only address that they
/// know.
pub(crate) fn mail(seen: &Conversation) -> String {
    // Abuse desks write whole seconds.
    let second = unmasq_flow::Timestamp::from_seconds(seen.at.as_seconds()).to_string();
    let (date, time) = second.split_once('T').unwrap_or((&second, ""));
    format!(
        "   ┌─────────────────────────────────────────────────────────
   │ From: abuse@victim.example
   │ To: noc@your-network.example
   │ Subject: attack from {address}
   │
   │ One of your users tried passwords on our server.
   │
   │   Source:       {address}, {protocol} port {port}
   │   Destination:  {server}
   │   Time:         {date} {time} UTC
   │
   │ Please tell us that it has stopped.
   └─────────────────────────────────────────────────────────\n",
        address = seen.masked.ip(),
        port = seen.masked.port(),
        protocol = seen.protocol.to_string().to_uppercase(),
        server = seen.server,
        time = time.trim_end_matches('Z'),
    )
}

/// What to do next.
pub(crate) const NEXT_STEPS: &str =
    "   make install                    # the program, its man pages and completions
   unmasq doctor                   # what this kernel must be told, and why
   unmasq doctor --fix             # shows the change, makes it, keeps it over reboots
   unmasq record                   # in the foreground; `unmasq daemon` for a service
   unmasq trace 203.0.113.1:53500 --at '2026-11-21 09:14:02' --tz Europe/Berlin";
