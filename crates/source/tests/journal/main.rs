//! Journals as sources, against the programs that write them: systemd-journald and systemd-journal-remote. Needs
//! root (the lab), systemd, systemd-journal-remote and python3-systemd.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod hosts;
mod live;
mod system;
mod values;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_entry::format::Encoding;
use unmasq_entry::{Entry, Fields};
use unmasq_journal::Where;
use unmasq_lab::Journald;
use unmasq_source::journal::{Journal, Options};
use unmasq_source::{Read, Source, Start};

/// Longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn open(folder: &Path, start: Start, follow: bool) -> Journal {
    let place = Where::Directory(folder.to_owned());
    Journal::open(Options { place, start, encoding: Encoding::default(), follow }).unwrap()
}

/// The fields that these tests look at.
fn fields() -> Fields {
    let mut fields = Fields::default();
    for name in ["MESSAGE", "SYSLOG_IDENTIFIER", "PRIORITY", "_HOSTNAME"] {
        fields.slot(name);
    }
    fields
}

/// Sends entries that [`messages`] finds.
fn send(journald: &Journald, messages: impl IntoIterator<Item = impl ToString>) {
    for message in messages {
        let message = message.to_string();
        journald.send(&[("MESSAGE", message.as_bytes()), ("SYSLOG_IDENTIFIER", b"test")]).unwrap();
    }
    journald.sync().unwrap();
}

/// The messages of the entries of `test` that can be read now.
fn messages(source: &mut impl Source) -> Vec<String> {
    let fields = fields();
    let mut entry = Entry::new(&fields);
    let mut messages = Vec::new();
    loop {
        entry.clear();
        if source.read(&mut entry, &fields).unwrap() != Read::Entry {
            return messages;
        }
        messages.extend(message(&entry, &fields));
    }
}

fn message(entry: &Entry, fields: &Fields) -> Option<String> {
    let text = |name| entry.text(fields.find(name).unwrap());
    (text("SYSLOG_IDENTIFIER") == Some("test")).then(|| text("MESSAGE").unwrap_or("(none)").to_owned())
}

/// Waits, as the engine does, for so many messages of entries of `test`.
fn wait_for(source: &mut impl Source, number: usize) -> Vec<String> {
    let begun = Instant::now();
    let mut found = messages(source);
    while found.len() < number {
        assert!(begun.elapsed() < PATIENCE, "{} of {number} came: {found:?}", found.len());
        let descriptors = source.descriptors();
        let mut polled: Vec<_> =
            descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let wake = source.wake().map(|wake| Timespec::try_from(wake).unwrap());
        poll(&mut polled, wake.as_ref()).unwrap();
        drop(descriptors);
        found.extend(messages(source));
    }
    found
}

/// Has systemd-journal-remote write records of its export format into a journal file.
fn remote(file: &Path, export: &[u8]) {
    use std::io::Write;
    let mut remote = Command::new("/lib/systemd/systemd-journal-remote")
        .arg("-o")
        .arg(file)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is installed");
    remote.stdin.take().unwrap().write_all(export).unwrap();
    assert!(remote.wait().unwrap().success(), "systemd-journal-remote failed");
}

/// A record of the export format that [`messages`] finds. `second`: of the host's clock.
fn record(host: &str, second: u64, message: &str) -> Vec<u8> {
    let boot = format!("{:032x}", host.bytes().map(u128::from).sum::<u128>());
    let micros = 1_795_251_448_000_000 + second * 1_000_000;
    format!(
        "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot}\n_HOSTNAME={host}\n\
         SYSLOG_IDENTIFIER=test\nMESSAGE={message}\n\n",
        (second + 1) * 1_000_000
    )
    .into_bytes()
}
