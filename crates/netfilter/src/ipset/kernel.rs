//! Numbers of ipset's messages (include/uapi/linux/netfilter/ipset/ip_set.h and ip_set_hash.h of Linux).

const fn message(number: u16) -> u16 {
    // NFNL_SUBSYS_IPSET.
    6 << 8 | number
}

/// `enum ipset_cmd`, as they stand in a message's type.
pub(super) const LIST: u16 = message(7);
pub(super) const ADD: u16 = message(9);
pub(super) const DELETE: u16 = message(10);

/// The oldest protocol that every kernel since 2.6.39 speaks.
pub(super) const PROTOCOL: u8 = 6;

/// Length of `struct nfgenmsg`.
pub(super) const NFGENMSG: usize = 4;

/// `NLA_F_NET_BYTEORDER`, which ipset insists on with numbers in the network's byte order.
pub(super) const BIG_ENDIAN: u16 = 0x4000;

/// Attributes of a command.
pub(super) mod command {
    pub(crate) const PROTOCOL: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const TYPE: u16 = 3;
    pub(crate) const FAMILY: u16 = 5;
    pub(crate) const FLAGS: u16 = 6;
    pub(crate) const DATA: u16 = 7;
    pub(crate) const ELEMENTS: u16 = 8;
    /// In the machine's byte order, also in an element.
    pub(crate) const LINE: u16 = 9;

    /// Lists what the set is like, without its elements.
    pub(crate) const FLAG_HEADER: u32 = 1 << 2;
}

/// Attributes of a set and of an element.
pub(super) mod data {
    pub(crate) const IP: u16 = 1;
    pub(crate) const CIDR: u16 = 3;
    pub(crate) const PORT: u16 = 4;
    /// Seconds; 0 for ever.
    pub(crate) const TIMEOUT: u16 = 6;
    pub(crate) const PROTOCOL: u16 = 7;
    pub(crate) const FLAGS: u16 = 8;
    pub(crate) const LINE: u16 = 9;
    /// Linux 6.2.
    pub(crate) const BITMASK: u16 = 12;
    pub(crate) const MOST: u16 = 19;
    pub(crate) const NETMASK: u16 = 20;
    pub(crate) const COUNT: u16 = 24;

    /// In `IP`.
    pub(crate) const IPV4: u16 = 1;
    pub(crate) const IPV6: u16 = 2;

    /// The element is an exception: what it covers is not in the set.
    pub(crate) const FLAG_NO_MATCH: u32 = 1 << 2;
}

/// `IPPROTO_TCP`.
pub(super) const TCP: u8 = 6;

/// `enum ipset_errno`: those that mean something of their own here.
pub(super) mod error {
    pub(crate) const EXIST: i32 = 4103;
    pub(crate) const HASH_FULL: i32 = 4352;
}
