//! What an answer amounts to, as an exit status. A pure rule, so that nothing but these four facts can sway it.

/// The exit status of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Exactly one client, and the record is complete.
    One = 0,
    /// No client, and the record is complete for that address and kind of flow.
    Nobody = 1,
    /// More than one client.
    Several = 3,
    /// At most one client, but the record is incomplete or leaves such flows out by setting.
    Incomplete = 4,
    /// A file that is needed for the answer is damaged or unreadable.
    Damaged = 5,
}

impl Verdict {
    /// From the number of distinct clients, whether the record is complete for the question, and whether a file that
    /// it needs could not be read.
    ///
    /// Damage comes first: what the lost rows said is not known, whatever the others say. Then several clients: more of the record
    /// could only add to them. "Nobody" needs a complete record.
    pub const fn of(clients: usize, is_complete: bool, is_damaged: bool) -> Self {
        match (is_damaged, clients, is_complete) {
            (true, ..) => Self::Damaged,
            (false, 2.., _) => Self::Several,
            (false, 0 | 1, false) => Self::Incomplete,
            (false, 0, true) => Self::Nobody,
            (false, 1, true) => Self::One,
        }
    }

    /// The exit status. 2 is kept for usage and configuration.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exactly_one_client_in_a_complete_record() {
        assert_eq!(Verdict::of(1, true, false).code(), 0);
    }

    #[test]
    fn one_is_nobody_in_a_complete_record() {
        assert_eq!(Verdict::of(0, true, false).code(), 1);
    }

    #[test]
    fn three_is_several_clients_complete_or_not() {
        assert_eq!(Verdict::of(2, true, false).code(), 3);
        assert_eq!(Verdict::of(7, false, false).code(), 3);
    }

    #[test]
    fn four_is_at_most_one_client_in_an_incomplete_record() {
        assert_eq!(Verdict::of(0, false, false).code(), 4);
        assert_eq!(Verdict::of(1, false, false).code(), 4);
    }

    #[test]
    fn five_is_damage_whatever_was_found() {
        for clients in 0..3 {
            for is_complete in [false, true] {
                assert_eq!(Verdict::of(clients, is_complete, true).code(), 5);
            }
        }
    }
}
