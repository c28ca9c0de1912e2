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

/// New flows that did not come into the table, since the namespace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Flows for which there was no entry to be had (`insert_failed`): what they were to be translated into was in use
    /// already, as it is when all ports of a client are.
    pub insert_failed: u64,
    /// Packets that were dropped because no entry could be made or entered (`drop`).
    pub dropped: u64,
}

/// Reads it in the calling thread's namespace.
pub(super) fn pressure() -> Reading<Pressure> {
    let [refused, ended_early] = read(["drop", "early_drop"])?;
    Ok(Pressure { refused, ended_early })
}

/// Counts the new flows that were refused in the calling thread's namespace.
pub fn refusals() -> Reading<Refusals> {
    let [insert_failed, dropped] = read(["insert_failed", "drop"])?;
    Ok(Refusals { insert_failed, dropped })
}

fn read<const N: usize>(columns: [&str; N]) -> Reading<[u64; N]> {
    const FILE: &str = "/proc/thread-self/net/stat/nf_conntrack";
    let text = fs::read_to_string(FILE).map_err(|error| SettingError::file(FILE, error))?;
    sums(&text, columns).ok_or_else(|| SettingError::value(FILE, &text, "a table of counters"))
}

/// Sums up columns of a line of names, then one line of hexadecimal numbers for each processor (`ct_cpu_seq_show`).
fn sums<const N: usize>(text: &str, columns: [&str; N]) -> Option<[u64; N]> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let mut sums = [0_u64; N];
    for line in lines {
        let numbers: Vec<&str> = line.split_whitespace().collect();
        for (sum, column) in sums.iter_mut().zip(columns) {
            let place = names.iter().position(|name| *name == column)?;
            *sum = sum.saturating_add(u64::from_str_radix(numbers.get(place)?, 16).ok()?);
        }
    }
    columns.iter().all(|column| names.contains(column)).then_some(sums)
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
        assert_eq!(sums(text, ["drop", "early_drop", "insert_failed"]), Some([26, 1, 0]));
        assert_eq!(sums("", ["drop"]), None);
        assert_eq!(sums("entries\n", ["drop"]), None);
        assert_eq!(sums("entries drop early_drop\n1 x 2\n", ["drop"]), None);
        assert_eq!(sums("entries drop\n1\n", ["drop"]), None);
    }
}
