//! Numbers of nftables' messages (include/uapi/linux/netfilter/nf_tables.h and nfnetlink.h of Linux).

/// `NFNL_SUBSYS_NFTABLES`.
pub(crate) const SUBSYSTEM: u16 = 10;
/// `NFNLGRP_NFTABLES`.
pub(crate) const GROUP: libc::c_int = 7;

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`: what is between them takes effect as one or not at all.
pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;

const fn message(number: u16) -> u16 {
    SUBSYSTEM << 8 | number
}

/// `enum nf_tables_msg_types`, as they stand in a message's type.
pub(crate) const NEW_TABLE: u16 = message(0);
pub(crate) const DELETE_TABLE: u16 = message(2);
pub(crate) const NEW_SET: u16 = message(9);
pub(crate) const GET_SET: u16 = message(10);
pub(crate) const DELETE_SET: u16 = message(11);
pub(crate) const NEW_ELEMENTS: u16 = message(12);
pub(crate) const GET_ELEMENTS: u16 = message(13);
pub(crate) const DELETE_ELEMENTS: u16 = message(14);
pub(crate) const NEW_GENERATION: u16 = message(15);
pub(crate) const GET_GENERATION: u16 = message(16);

/// Length of `struct nfgenmsg`.
pub(crate) const NFGENMSG: usize = 4;

/// `enum nft_gen_attributes`.
pub(crate) const GENERATION_ID: u16 = 1;

/// `enum nft_table_attributes`.
pub(crate) const TABLE_NAME: u16 = 1;

/// `enum nft_set_attributes` and `enum nft_set_flags`.
pub(crate) mod set {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LENGTH: u16 = 5;
    /// Of what a map gives for a key.
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LENGTH: u16 = 7;
    pub(crate) const DESCRIPTION: u16 = 9;
    /// Milliseconds, 64 bits.
    pub(crate) const TIMEOUT: u16 = 11;
    /// In the description.
    pub(crate) const DESCRIPTION_SIZE: u16 = 1;

    pub(crate) const FLAG_CONSTANT: u32 = 0x2;
    pub(crate) const FLAG_INTERVAL: u32 = 0x4;
    pub(crate) const FLAG_MAP: u32 = 0x8;
    pub(crate) const FLAG_TIMEOUT: u32 = 0x10;
    pub(crate) const FLAG_OBJECT: u32 = 0x40;
}

/// `enum nft_set_elem_list_attributes`.
pub(crate) mod list {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const SET: u16 = 2;
    pub(crate) const ELEMENTS: u16 = 3;
    /// `NFTA_LIST_ELEM`: one of a list.
    pub(crate) const ONE: u16 = 1;
}

/// `enum nft_set_elem_attributes` and `enum nft_set_elem_flags`.
pub(crate) mod element {
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    /// Milliseconds, 64 bits, as is the next.
    pub(crate) const TIMEOUT: u16 = 4;
    pub(crate) const EXPIRATION: u16 = 5;
    pub(crate) const KEY_END: u16 = 10;
    /// `NFTA_DATA_VALUE`, in a key or in data.
    pub(crate) const VALUE: u16 = 1;

    /// The key is the first after an interval, not an element.
    pub(crate) const FLAG_INTERVAL_END: u32 = 0x1;
    /// Stands for all keys that are not in the set.
    pub(crate) const FLAG_CATCHALL: u32 = 0x2;
}

/// Numbers that nft gives to types of keys (include/datatype.h of nftables); the kernel only keeps them. A
/// concatenation has six bits for each part.
pub(crate) mod key_type {
    pub(crate) const IPV4_ADDR: u32 = 7;
    pub(crate) const IPV6_ADDR: u32 = 8;
    pub(crate) const INET_SERVICE: u32 = 13;
    pub(crate) const BITS: u32 = 6;
}
