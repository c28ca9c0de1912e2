//! The fields that sources are known to bring.

use unmasq_entry::journal_fields::{self, Kind};

use crate::config::{RecordFormat, SourceConfig};

/// What systemd.journal-fields(7) lists, and what python-systemd adds.
const JOURNAL: &[&str] = &[
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "ERRNO",
    "INVOCATION_ID",
    "USER_INVOCATION_ID",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_TIMESTAMP",
    "SYSLOG_RAW",
    "DOCUMENTATION",
    "TID",
    "UNIT",
    "USER_UNIT",
    "_PID",
    "_UID",
    "_GID",
    "_COMM",
    "_EXE",
    "_CMDLINE",
    "_CAP_EFFECTIVE",
    "_AUDIT_SESSION",
    "_AUDIT_LOGINUID",
    "_AUDIT_TYPE",
    "_AUDIT_TYPE_NAME",
    "_AUDIT_ID",
    "_SYSTEMD_CGROUP",
    "_SYSTEMD_SLICE",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_SYSTEMD_USER_SLICE",
    "_SYSTEMD_SESSION",
    "_SYSTEMD_OWNER_UID",
    "_SELINUX_CONTEXT",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_SOURCE_BOOTTIME_TIMESTAMP",
    "_BOOT_ID",
    "_MACHINE_ID",
    "_SYSTEMD_INVOCATION_ID",
    "_HOSTNAME",
    "_TRANSPORT",
    "_STREAM_ID",
    "_LINE_BREAK",
    "_NAMESPACE",
    "_RUNTIME_SCOPE",
    "_KERNEL_DEVICE",
    "_KERNEL_SUBSYSTEM",
    "_UDEV_SYSNAME",
    "_UDEV_DEVNODE",
    "_UDEV_DEVLINK",
    "COREDUMP",
    "COREDUMP_UNIT",
    "COREDUMP_USER_UNIT",
    "COREDUMP_PID",
    "COREDUMP_UID",
    "COREDUMP_GID",
    "COREDUMP_SESSION",
    "COREDUMP_SIGNAL",
    "COREDUMP_SIGNAL_NAME",
    "COREDUMP_TIMESTAMP",
    "COREDUMP_COMM",
    "COREDUMP_EXE",
    "COREDUMP_CMDLINE",
    "COREDUMP_FILENAME",
    "OBJECT_PID",
    "OBJECT_UID",
    "OBJECT_GID",
    "OBJECT_COMM",
    "OBJECT_EXE",
    "OBJECT_CMDLINE",
    "OBJECT_SYSTEMD_UNIT",
    "OBJECT_SYSTEMD_CGROUP",
    "OBJECT_SYSTEMD_USER_UNIT",
    "OBJECT_SYSTEMD_SESSION",
    "OBJECT_SYSTEMD_OWNER_UID",
    "OBJECT_AUDIT_SESSION",
    "OBJECT_AUDIT_LOGINUID",
    "__REALTIME_TIMESTAMP",
    "__MONOTONIC_TIMESTAMP",
    "__CURSOR",
    "__SEQNUM",
    "__SEQNUM_ID",
    "LEADER",
    "SESSION_ID",
    "USERSPACE_USEC",
    "INITRD_USEC",
    "KERNEL_USEC",
    "EXIT_STATUS",
    "EXIT_CODE",
    "COMMAND",
    "JOB_TYPE",
    "JOB_RESULT",
    "JOB_ID",
    "UNIT_RESULT",
    "SEAT_ID",
    "USER_ID",
    "NAMESPACE",
];

/// What a line of syslog becomes.
const SYSLOG: &[&str] = &[
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_TIMESTAMP",
    "SYSLOG_RAW",
    "_HOSTNAME",
    "MSGID",
    "__REALTIME_TIMESTAMP",
];

/// The fields that the configured sources can bring.
#[derive(Debug, Default)]
pub(crate) struct KnownFields {
    /// A source has names of its own: any field is possible.
    is_open: bool,
    names: Vec<&'static str>,
    /// RFC 5424's structured data makes fields of names that begin so.
    has_structured_data: bool,
}

impl KnownFields {
    /// Of these sources.
    pub(crate) fn of(sources: &[SourceConfig]) -> Self {
        let mut known = Self::default();
        for source in sources {
            let format = match source {
                SourceConfig::Journal(_) => RecordFormat::JournalExport,
                SourceConfig::Syslog(_) => RecordFormat::Syslog,
                SourceConfig::File { format, .. } | SourceConfig::Stdin { format } => *format,
                // It has the members of Suricata's events.
                SourceConfig::Sensor { .. } => RecordFormat::JsonLines,
            };
            match format {
                RecordFormat::JsonLines => known.is_open = true,
                RecordFormat::JournalExport | RecordFormat::JournalJson => known.names.extend(JOURNAL),
                RecordFormat::Plain => known.names.extend(["MESSAGE", "__REALTIME_TIMESTAMP"]),
                RecordFormat::Syslog => {
                    known.names.extend(SYSLOG);
                    known.has_structured_data = true;
                }
            }
        }
        known.names.sort_unstable();
        known.names.dedup();
        known
    }

    /// Can an entry come with that field?
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.is_open
            || self.names.binary_search(&name).is_ok()
            || self.has_structured_data && name.starts_with("SD_")
    }

    /// What the field is in every entry that has it: its type in the journal, where no source has types of its own.
    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        let is_typed = !self.is_open && self.names.binary_search(&name).is_ok();
        is_typed.then(|| journal_fields::kind(name))
    }

    /// The names that are known.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().copied()
    }
}
