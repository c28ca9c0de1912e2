//! Lines in a file, in the order in which Python's logging writes them: time, name, level, message.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use jiff::Zoned;

use super::{Level, Record, syslog};

/// Opens a file to be written on; makes it if it is not there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Writes a line: `2026-11-21 08:57:28,761 unmasq INFO message`, in local time.
pub(super) fn write(file: &mut File, identifier: &str, record: &Record<'_>) -> io::Result<()> {
    let now = Zoned::now();
    let mut line = Vec::with_capacity(record.message.len() + 64);
    let (stamp, millis) = (now.strftime("%Y-%m-%d %H:%M:%S"), now.subsec_nanosecond() / 1_000_000);
    write!(line, "{stamp},{millis:03} {identifier} {} ", name(record.level))?;
    syslog::encode_line(&mut line, record);
    line.push(b'\n');
    // In one call, so that lines of several writers do not mix.
    file.write_all(&line)
}

/// The level as Python names it.
fn name(level: Level) -> &'static str {
    match level {
        Level::Emerg | Level::Alert | Level::Crit => "CRITICAL",
        Level::Err => "ERROR",
        Level::Warning => "WARNING",
        Level::Notice | Level::Info => "INFO",
        Level::Debug => "DEBUG",
    }
}
