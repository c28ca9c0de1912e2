//! Numbers of the kernel's conntrack messages (include/uapi/linux/netfilter/nfnetlink_conntrack.h of Linux).

/// `enum ctattr_type`.
pub(crate) mod cta {
    pub(crate) const TUPLE_ORIG: u16 = 1;
    pub(crate) const TUPLE_REPLY: u16 = 2;
    pub(crate) const STATUS: u16 = 3;
    pub(crate) const TIMEOUT: u16 = 7;
    pub(crate) const MARK: u16 = 8;
    pub(crate) const COUNTERS_ORIG: u16 = 9;
    pub(crate) const COUNTERS_REPLY: u16 = 10;
    pub(crate) const ID: u16 = 12;
    pub(crate) const ZONE: u16 = 18;
    pub(crate) const TIMESTAMP: u16 = 20;
    /// Linux 5.8.
    pub(crate) const FILTER: u16 = 25;
    /// Linux 6.14.
    pub(crate) const TIMESTAMP_EVENT: u16 = 27;
}

/// `enum ctattr_filter`, and one of the flags that it takes (net/netfilter/nf_internals.h).
pub(crate) mod cta_filter {
    pub(crate) const ORIG_FLAGS: u16 = 1;
    pub(crate) const IP_SRC: u32 = 1 << 0;
}

/// `enum ctattr_tuple`.
pub(crate) mod cta_tuple {
    pub(crate) const IP: u16 = 1;
    pub(crate) const PROTO: u16 = 2;
    pub(crate) const ZONE: u16 = 3;
}

/// `enum ctattr_ip`.
pub(crate) mod cta_ip {
    pub(crate) const V4_SRC: u16 = 1;
    pub(crate) const V4_DST: u16 = 2;
    pub(crate) const V6_SRC: u16 = 3;
    pub(crate) const V6_DST: u16 = 4;
}

/// `enum ctattr_l4proto`. GRE keys come as ports.
pub(crate) mod cta_proto {
    pub(crate) const NUM: u16 = 1;
    pub(crate) const SRC_PORT: u16 = 2;
    pub(crate) const DST_PORT: u16 = 3;
    pub(crate) const ICMP_ID: u16 = 4;
    pub(crate) const ICMP_TYPE: u16 = 5;
    pub(crate) const ICMP_CODE: u16 = 6;
    pub(crate) const ICMPV6_ID: u16 = 7;
    pub(crate) const ICMPV6_TYPE: u16 = 8;
    pub(crate) const ICMPV6_CODE: u16 = 9;
}

/// `enum ctattr_counters`; the 32-bit ones are of kernels before 2.6.36 and of some vendors' later ones.
pub(crate) mod cta_counters {
    pub(crate) const PACKETS: u16 = 1;
    pub(crate) const BYTES: u16 = 2;
    pub(crate) const PACKETS_32: u16 = 3;
    pub(crate) const BYTES_32: u16 = 4;
}

/// `enum ctattr_tstamp`.
pub(crate) mod cta_timestamp {
    pub(crate) const START: u16 = 1;
    pub(crate) const STOP: u16 = 2;
}

/// `NFNL_SUBSYS_CTNETLINK` and `enum cntl_msg_types`, as they stand in a message's type.
pub(crate) const MESSAGE_NEW: u16 = 0x0100;
pub(crate) const MESSAGE_GET: u16 = 0x0101;
pub(crate) const MESSAGE_DELETE: u16 = 0x0102;

/// Length of `struct nfgenmsg`.
pub(crate) const NFGENMSG: usize = 4;
