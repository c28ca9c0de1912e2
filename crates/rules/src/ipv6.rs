//! What a firewall must let in for IPv6 to work at all (RFC 4890, section 4.4.1): IPv4 has ARP for it, which no rule sees.

/// For nft: neighbour discovery, which no router lets through with this hop limit, and group membership, which comes from the
/// link's own addresses.
pub(crate) const NFT: [&str; 2] = [
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
    "ip6 saddr fe80::/10 icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
];

/// The same for ip6tables.
pub(crate) fn ip6tables() -> Vec<String> {
    let discovery =
        ["router-solicitation", "router-advertisement", "neighbour-solicitation", "neighbour-advertisement"]
            .map(|kind| format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -m hl --hl-eq 255 -j ACCEPT"));
    // By number (IANA, "ICMPv6 Parameters"): ip6tables has words for none of them.
    let membership = [130, 131, 132, 143]
        .map(|kind| format!("-s fe80::/10 -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT"));
    discovery.into_iter().chain(membership).collect()
}
