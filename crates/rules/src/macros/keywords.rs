//! Words that nft(8) understands itself, of version 1.0.6 and later ones: a macro of that name would replace
//! them, and a set or table of that name could not be named.

/// Sorted. Those with a dash are left out, since no macro is called so.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "abort", "accept", "ackseq", "add", "addr", "ah", "all", "and", "arp", "asconf", "avgpkt", "bridge",
    "broute", "burst", "bypass", "bytes", "cfi", "cgroup", "cgroupv2", "chain", "chains", "check", "checksum",
    "chunk", "classid", "code", "comment", "comp", "constant", "continue", "count", "counter", "counters",
    "cpi", "cpu", "create", "csumcov", "ct", "cwr", "daddr", "data", "day", "dccp", "define", "dei", "delete",
    "describe", "destroy", "device", "devices", "direction", "dnat", "doff", "dport", "drop", "dscp", "dst",
    "dup", "dynamic", "echo", "ecn", "ecne", "element", "elements", "eol", "eq", "error", "esp", "ether",
    "event", "exists", "expectation", "expiration", "expires", "export", "exthdr", "fanout", "fastopen", "fib",
    "flags", "flow", "flowlabel", "flowtable", "flowtables", "flush", "frag", "fwd", "gateway", "ge", "geneve",
    "get", "goto", "gre", "gretap", "group", "gt", "handle", "hash", "hbh", "hdrlength", "heartbeat", "helper",
    "helpers", "hlen", "hook", "hooks", "hoplimit", "hour", "htype", "ibrhwaddr", "ibriport", "ibrname",
    "ibrpvid", "ibrvproto", "icmp", "icmpv6", "icmpx", "id", "igmp", "iif", "iifgroup", "iifkind", "iifname",
    "iiftype", "import", "in", "inc", "include", "index", "inet", "init", "insert", "interval", "ip", "ip6",
    "ipsec", "jhash", "json", "jump", "l3proto", "label", "last", "le", "left", "length", "level", "limit",
    "limits", "list", "ll", "log", "lshift", "lsrr", "lt", "map", "maps", "mark", "masquerade", "maxseg",
    "md5sig", "memory", "meta", "meter", "meters", "mh", "minute", "missing", "mod", "monitor", "mptcp", "mrt",
    "mss", "mtu", "name", "ne", "netdev", "never", "nexthdr", "nexthop", "nftrace", "nh", "noop", "nop", "not",
    "notrack", "num", "numgen", "obriport", "obrname", "offload", "offset", "oif", "oifgroup", "oifkind",
    "oifname", "oiftype", "operation", "option", "options", "or", "original", "osf", "out", "over", "packets",
    "pcp", "performance", "persistent", "pkttype", "plen", "policy", "port", "position", "ppid", "prefix",
    "priority", "protocol", "ptr", "ptype", "queue", "quota", "quotas", "ra", "random", "rate", "redefine",
    "redirect", "reject", "rename", "replace", "reply", "reqid", "reserved", "reserved2", "reset", "return",
    "right", "rr", "rshift", "rt", "rt0", "rt2", "rtclassid", "rule", "rules", "ruleset", "sack", "sack0",
    "sack1", "sack2", "sack3", "saddr", "sctp", "sdif", "sdifname", "secmark", "secmarks", "second", "seed",
    "seqno", "sequence", "set", "sets", "shutdown", "sid", "size", "skgid", "skuid", "snaplen", "snat",
    "socket", "spi", "spnum", "sport", "srh", "ssn", "ssrr", "state", "status", "stream", "subtype", "symhash",
    "synproxy", "synproxys", "table", "tables", "taddr", "tag", "tcp", "th", "time", "timeout", "timestamp",
    "to", "tos", "tproxy", "trace", "transparent", "tsecr", "tsn", "tsval", "ttl", "tunnel", "tunnels", "type",
    "typeof", "udp", "udplite", "undefine", "until", "update", "urgptr", "used", "value", "version", "vlan",
    "vm", "vmap", "vni", "vtag", "vxlan", "week", "wildcard", "window", "with", "wscale", "xml", "xor", "xt",
    "zone",
];

/// Does nft understand the word itself?
pub(crate) fn is_of_nft(word: &str) -> bool {
    WORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_and_can_be_names() {
        assert!(WORDS.is_sorted());
        assert!(WORDS.iter().all(|word| super::super::words::is_name(word)));
        assert!(is_of_nft("saddr") && is_of_nft("accept") && !is_of_nft("LOintra"));
    }
}
