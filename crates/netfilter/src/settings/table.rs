//! What happened to the conntrack table since boot: `/proc/net/stat/nf_conntrack`.

use std::fs;

use super::{Reading, SettingError};

/// What happened because the table was full, since the namespace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// New flows that were refused: packets of users that did not pass.
    pub refused: u64,
    /// Flows that were ended before their time to make room.
    pub ended_early: u64,
}

/// Reads it in the calling thread's namespace.
pub(super) fn pressure() -> Reading<Pressure> {
    const FILE: &str = "/proc/thread-self/net/stat/nf_conntrack";
    let text = fs::read_to_string(FILE).map_err(|error| SettingError::file(FILE, error))?;
    parse(&text).ok_or_else(|| SettingError::value(FILE, &text, "a table of counters"))
}

/// A line of names, then one line of hexadecimal numbers for each processor (`ct_cpu_seq_show`).
fn parse(text: &str) -> Option<Pressure> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let drop = names.iter().position(|name| *name == "drop")?;
    let early = names.iter().position(|name| *name == "early_drop")?;
    let mut sum = Pressure::default();
    for line in lines {
        let counter = |nth| u64::from_str_radix(line.split_whitespace().nth(nth)?, 16).ok();
        sum.refused = sum.refused.saturating_add(counter(drop)?);
        sum.ended_early = sum.ended_early.saturating_add(counter(early)?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_processors_are_added() {
        // The columns of Linux 6.1, without some in the middle.
        let text = "entries  clashres found new invalid insert_failed drop early_drop search_restart\n\
            00000002  00000000 00000000 00000000 00000000 00000000 0000000a 00000001 00000000\n\
            00000002  00000000 00000000 00000000 00000000 00000000 00000010 00000000 00000000\n";
        assert_eq!(parse(text), Some(Pressure { refused: 26, ended_early: 1 }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("entries drop early_drop\n1 x 2\n"), None);
    }
}
