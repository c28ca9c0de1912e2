//! Addresses that are nobody's on a network (IANA's special-purpose registries, RFC 6890).

use ipnet::IpNet;

use super::{Refusal, RefusalKind, Shown};

/// Each with what it is.
const SPECIAL: [(&str, RefusalKind, &str); 8] = [
    ("127.0.0.0/8", RefusalKind::Loopback, "a loopback address"),
    ("::1/128", RefusalKind::Loopback, "a loopback address"),
    ("0.0.0.0/8", RefusalKind::Unspecified, "no host's address"),
    ("::/128", RefusalKind::Unspecified, "no host's address"),
    ("224.0.0.0/4", RefusalKind::Multicast, "a multicast address"),
    ("255.255.255.255/32", RefusalKind::Multicast, "the broadcast address"),
    ("ff00::/8", RefusalKind::Multicast, "a multicast address"),
    ("::ffff:0:0/96", RefusalKind::Mapped, "IPv4 in IPv6's spelling; ban the IPv4 network"),
];

/// Does the target, of canonical spelling, overlap one of them?
pub(super) fn refusal(target: &IpNet) -> Option<Refusal> {
    let (net, kind, what) = SPECIAL.iter().find_map(|(text, kind, what)| {
        let net: IpNet = text.parse().ok()?;
        (net.contains(target) || target.contains(&net)).then_some((net, *kind, *what))
    })?;
    let shown = Shown(target);
    Some(if net.contains(target) {
        Refusal::new(kind, format_args!("{shown} is {what}"))
    } else {
        Refusal::new(kind, format_args!("{shown} overlaps {} ({what})", Shown(&net)))
    })
}
