//! Why a line was not taken.

/// Why a line was refused. Plain and `Copy`, so that a million refusals cost nothing but their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The line has another shape than the format's.
    #[error("not a line of {0}")]
    Shape(&'static str),
    /// A field that every line of the format has is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field's value is not what it must be.
    #[error("{field} is not {expected}")]
    Value {
        /// The field, as the log names it.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Nothing tells when it was.
    #[error("no time; record with `conntrack -E -o timestamp`, or give the time of the dump with --seen-at")]
    NoTime,
    /// A local time, and no zone was given.
    #[error("a local time without a zone; give the recording host's zone with --tz")]
    NoZone,
    /// A date without a year, and none was given.
    #[error("a date without a year; give the year of the first line with --year")]
    NoYear,
    /// A day or a time of day that does not exist in that year and zone.
    #[error("{0} is no time that exists in that year and zone")]
    NoSuchTime(&'static str),
    /// The zone given puts the end after the moment at which the line was written.
    #[error("the end would be later than the line itself; is --tz the recording host's zone?")]
    ZoneContradicted,
    /// A packet record, such as ulogd's NFLOG stacks write.
    #[error("a packet, not a flow: it has no reply side, so it tells nothing of a translation")]
    Packet,
    /// A flow record without the reply side (natlog's --no-via).
    #[error("no translated endpoint (natlog ran with --no-via), so it tells nothing of a translation")]
    NoVia,
    /// natlog knows IPv4 only; an IPv6 flow's addresses are not in its log.
    #[error("an IPv6 flow, whose addresses natlog prints as 255.255.255.255")]
    NatlogIpv6,
    /// The program says that it lost events at this place.
    #[error("the program itself says that it lost events here")]
    LossReported,
    /// The line is no JSON object, or one of its fields has the wrong type.
    #[error("not a JSON object with the fields of a flow")]
    Json,
    /// The line is longer than [`crate::MAX_LINE`].
    #[error("longer than 64 KiB")]
    TooLong,
}
