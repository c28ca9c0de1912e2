//! The systemd journal, read through libsystemd.
