//! The scope as a classic BPF program, so that what is out of scope never leaves the kernel.
//!
//! A socket filter sees one event as it would arrive. `SKF_AD_NLATTR` (linux/filter.h) finds a netlink
//! attribute in it, `SKF_AD_NLATTR_NEST` one inside a nest; both give 0 when there is none. In words:
//!
//! ```text
//!  not a conntrack NEW or DELETE message, or without status ───────────────────────────► pass
//!  CTA_STATUS has IPS_SRC_NAT or IPS_DST_NAT ──────────────────────────────────────────► pass
//!  scope translated ───────────────────────────────────────────────────────────────────► drop
//!  CTA_TUPLE_ORIG > CTA_TUPLE_IP > source is in a binary search over the addresses ────► pass, else drop
//! ```
//!
//! The two NAT bits are set when a packet's address or port really changes (net/netfilter/nf_nat_core.c,
//! `nf_nat_setup_info`), not for the null binding that every other flow gets.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use libc::{
    BPF_ABS, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX,
    BPF_MEM, BPF_MISC, BPF_RET, BPF_ST, BPF_TAX, BPF_W, sock_filter,
};
use unmasq_flow::{ScopeKind, Status};

use crate::addresses::LocalAddresses;
use crate::conntrack::kernel::{MESSAGE_DELETE, MESSAGE_NEW, NFGENMSG, cta, cta_ip, cta_tuple};
use crate::sockopt;
use crate::wire::HEADER;
use crate::{Error, Result};

/// linux/filter.h: `SKF_AD_OFF + SKF_AD_NLATTR`, `SKF_AD_OFF + SKF_AD_NLATTR_NEST`.
const FIND: u32 = (-0x1000_i32 + 12) as u32;
const FIND_NESTED: u32 = (-0x1000_i32 + 16) as u32;
/// `BPF_MAXINSNS`.
const LONGEST: usize = 4096;
/// Where `nlmsg_type` stands in a message.
const TYPE_OFFSET: u32 = 4;
/// Where the attributes of a conntrack message begin.
const FIRST_ATTRIBUTE: u32 = (HEADER + NFGENMSG) as u32;
/// Length of an attribute's header.
const ATTRIBUTE: u32 = 4;
/// Keys that a leaf of the search compares one by one.
const LEAF: usize = 4;

const PASS: u32 = u32::MAX;
const DROP: u32 = 0;

/// A program for one scope.
#[derive(Clone, Debug)]
pub struct Program {
    instructions: Vec<sock_filter>,
}

impl Program {
    /// The program for that scope; `None` where none is needed (`all`) or it would be longer than the kernel
    /// takes.
    pub fn build(scope: ScopeKind, local: &LocalAddresses) -> Option<Self> {
        let mut program = Self { instructions: Vec::new() };
        match scope {
            ScopeKind::All => return None,
            ScopeKind::Translated => {
                program.pass_translated();
                program.push(BPF_RET | BPF_K, DROP);
            }
            ScopeKind::TranslatedLocal => {
                program.pass_translated();
                program.pass_local(local);
            }
        }
        (program.instructions.len() <= LONGEST).then_some(program)
    }

    /// Puts it on a socket, in place of the one that was there.
    pub fn attach(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        sockopt::attach_filter(socket, &self.instructions)
    }

    fn push(&mut self, code: u32, k: u32) {
        self.instructions.push(sock_filter { code: code as u16, jt: 0, jf: 0, k });
    }

    /// Compares the accumulator and skips so many instructions.
    fn jump(&mut self, comparison: u32, k: u32, if_true: u8, if_false: u8) {
        let code = (BPF_JMP | comparison | BPF_K) as u16;
        self.instructions.push(sock_filter { code, jt: if_true, jf: if_false, k });
    }

    fn skip(&mut self, instructions: usize) {
        self.push(BPF_JMP | BPF_JA, instructions as u32);
    }

    fn pass_when(&mut self, comparison: u32, k: u32) {
        self.jump(comparison, k, 0, 1);
        self.push(BPF_RET | BPF_K, PASS);
    }

    /// The accumulator (an offset) becomes the offset of an attribute found from there.
    fn find(&mut self, how: u32, kind: u16) {
        self.push(BPF_LDX | BPF_W | BPF_IMM, kind.into());
        self.push(BPF_LD | BPF_W | BPF_ABS, how);
    }

    /// Loads four bytes of the attribute that the index register points to.
    fn load_word(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_W | BPF_IND, ATTRIBUTE + offset);
    }

    fn pass_translated(&mut self) {
        // A message's type is in the machine's order, and BPF loads in the network's.
        let as_loaded = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
        self.push(BPF_LD | BPF_H | BPF_ABS, TYPE_OFFSET);
        self.jump(BPF_JEQ, as_loaded(MESSAGE_NEW), 2, 0);
        self.jump(BPF_JEQ, as_loaded(MESSAGE_DELETE), 1, 0);
        self.push(BPF_RET | BPF_K, PASS);
        self.push(BPF_LD | BPF_W | BPF_IMM, FIRST_ATTRIBUTE);
        self.find(FIND, cta::STATUS);
        self.pass_when(BPF_JEQ, 0);
        self.push(BPF_MISC | BPF_TAX, 0);
        self.load_word(0);
        self.pass_when(BPF_JSET, Status::SRC_NAT.0 | Status::DST_NAT.0);
    }

    fn pass_local(&mut self, local: &LocalAddresses) {
        let mut v4 = Vec::new();
        let mut v6: BTreeMap<u32, Vec<[u32; 3]>> = BTreeMap::new();
        for address in local.iter() {
            match address {
                IpAddr::V4(address) => v4.push((u32::from(address), ())),
                IpAddr::V6(address) => {
                    let [first, second, third, last] = words(address);
                    v6.entry(last).or_default().push([first, second, third]);
                }
            }
        }
        self.push(BPF_LD | BPF_W | BPF_IMM, FIRST_ATTRIBUTE);
        self.find(FIND, cta::TUPLE_ORIG);
        self.pass_when(BPF_JEQ, 0);
        self.find(FIND_NESTED, cta_tuple::IP);
        self.pass_when(BPF_JEQ, 0);
        self.push(BPF_ST, 0);
        self.find(FIND_NESTED, cta_ip::V4_SRC);

        let mut for_v4 = Self { instructions: Vec::new() };
        for_v4.push(BPF_MISC | BPF_TAX, 0);
        for_v4.load_word(0);
        // 127.0.0.0/8, which is local as a whole.
        for_v4.jump(BPF_JGE, 0x8000_0000, 2, 0);
        for_v4.pass_when(BPF_JGE, 0x7f00_0000);
        for_v4.search(&v4, &mut |program, ()| {
            program.push(BPF_RET | BPF_K, PASS);
        });

        self.jump(BPF_JEQ, 0, 0, 1);
        self.skip(for_v4.instructions.len());
        self.instructions.append(&mut for_v4.instructions);

        self.push(BPF_LD | BPF_W | BPF_MEM, 0);
        self.find(FIND_NESTED, cta_ip::V6_SRC);
        self.pass_when(BPF_JEQ, 0);
        self.push(BPF_MISC | BPF_TAX, 0);
        // The last word differs most among the addresses of a host, so it is what is searched for.
        self.load_word(12);
        self.search(&v6.into_iter().collect::<Vec<_>>(), &mut Self::compare_prefixes);
    }

    /// The last word of an IPv6 address was found: are the three before it those of one of these?
    fn compare_prefixes(&mut self, prefixes: &Vec<[u32; 3]>) {
        for [first, second, third] in prefixes {
            self.load_word(0);
            self.jump(BPF_JEQ, *first, 0, 5);
            self.load_word(4);
            self.jump(BPF_JEQ, *second, 0, 3);
            self.load_word(8);
            self.pass_when(BPF_JEQ, *third);
        }
        self.push(BPF_RET | BPF_K, DROP);
    }

    /// A binary search for the accumulator among the keys, which are ascending. Each found key runs what
    /// `then` writes, which must end the program; none found drops.
    fn search<T>(&mut self, keys: &[(u32, T)], then: &mut impl FnMut(&mut Self, &T)) {
        if keys.len() <= LEAF {
            for (key, value) in keys {
                let mut found = Self { instructions: Vec::new() };
                then(&mut found, value);
                // Jumps of a comparison reach 255 instructions, this one any.
                self.jump(BPF_JEQ, *key, 1, 0);
                self.skip(found.instructions.len());
                self.instructions.append(&mut found.instructions);
            }
            self.push(BPF_RET | BPF_K, DROP);
            return;
        }
        let (low, high) = keys.split_at(keys.len() / 2);
        let mut lower = Self { instructions: Vec::new() };
        lower.search(low, then);
        self.jump(BPF_JGE, high[0].0, 0, 1);
        self.skip(lower.instructions.len());
        self.instructions.append(&mut lower.instructions);
        self.search(high, then);
    }
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

/// Gives the socket the filter for that scope. False if the kernel would not take one for so many addresses
/// (it has limits on length and, before Linux 6.7, 20 KiB of `net.core.optmem_max` for a socket): then
/// everything passes, and the reader has to choose.
pub fn attach(socket: BorrowedFd<'_>, scope: ScopeKind, local: &LocalAddresses) -> Result<bool> {
    let failed = |source| Error::System { doing: "attaching the scope filter to the event socket", source };
    if let Some(program) = Program::build(scope, local) {
        match program.attach(socket) {
            Ok(()) => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    sockopt::detach_filter(socket).map_err(failed)?;
    Ok(scope == ScopeKind::All)
}
