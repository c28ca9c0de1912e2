//! Numbers and addresses into a text, without the formatting machinery: a plan of 65,000 clients has half a million of them.

use std::net::Ipv4Addr;

use crate::plan::Block;

pub(super) fn push_number(out: &mut String, number: u32) {
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

pub(super) fn push_address(out: &mut String, address: Ipv4Addr) {
    let [a, b, c, d] = address.octets();
    push_number(out, a.into());
    for octet in [b, c, d] {
        out.push('.');
        push_number(out, octet.into());
    }
}

/// `203.0.113.1:1024-2047`, or with ` . ` in place of the colon.
pub(super) fn push_block(out: &mut String, block: Block, separator: &str) {
    push_address(out, block.address);
    out.push_str(separator);
    push_number(out, block.ports.first().into());
    out.push('-');
    push_number(out, block.ports.last().into());
}
