//! What must hold for any bytes of a foreign text. Fuzz targets and tests call these functions.

use std::path::Path;

use crate::answer;
use crate::node;
use crate::php;
use crate::range::{self, Split};

/// Any bytes as each of the texts that are read; the first byte is also a number of processes.
///
/// # Panics
///
/// If something that must always hold does not.
pub fn texts(bytes: &[u8]) {
    let processes = usize::from(bytes.first().copied().unwrap_or_default());
    if let Ok(value) = php::parse(bytes) {
        let again = php::parse(format!("<?php return {value};").as_bytes());
        assert_eq!(again, Ok(value), "a value that was printed is read as the same");
    }
    if let Ok(profiles) = answer::profiles(bytes) {
        let _ = crate::networks(&profiles, &[]);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Split::V4(networks)) = range::split(&text, processes) {
        assert_eq!(networks.len(), processes, "each process has a network");
        assert!(networks.iter().all(|network| network.net == network.net.trunc()), "host bits are clear");
    }
    for (number, found) in node::parse(Path::new("fuzz"), &text).into_iter().flatten().enumerate() {
        assert!(found.network.contains(&found.gateway), "the gateway is in network {number}");
        assert!(found.line <= text.lines().count(), "a line that is there");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_hold_for_what_is_nearly_right(
            text in "(<\\?php return |\\[|\\]|'a'|=>|,|;|\\[Interface\\]|Address|=|10\\.8\\.0\\.0|/24|\n| |server|255\\.255\\.255\\.0|1e9|-|0x){0,30}",
            bytes in proptest::collection::vec(any::<u8>(), 0..60)
        ) {
            texts(text.as_bytes());
            texts(&bytes);
        }
    }
}
