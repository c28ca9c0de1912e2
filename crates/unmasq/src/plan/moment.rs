//! The clocks, as a history keeps them.

use std::fs;

use unmasq_plan::history::Moment;

use crate::clocks;

/// Where the kernel tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Now.
pub(crate) fn now() -> Moment {
    let (wall, boot) = clocks::together();
    let id = fs::read_to_string(BOOT_ID).ok().and_then(|text| boot_id(text.trim()));
    Moment { wall, boot, boot_id: id.unwrap_or_default() }
}

/// `1b4e28ba-2fa1-11d2-883f-0016d3cca427`.
fn boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32).map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_has_an_id_and_time_goes_on() {
        let (first, second) = (now(), now());
        assert_ne!(first.boot_id, [0; 16]);
        assert!(first.until(second).is_some());
        assert_eq!(
            boot_id("1b4e28ba-2fa1-11d2-883f-0016d3cca427").map(|id| id[..2].to_vec()),
            Some(vec![0x1b, 0x4e])
        );
        assert_eq!(boot_id("1b4e28ba"), None);
    }
}
