//! journald's native protocol: fields in one datagram, or in a sealed memory file where they are too many for one.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::Record;

/// The fields of a record.
pub(super) fn encode(out: &mut Vec<u8>, identifier: &str, record: &Record<'_>) {
    field(out, "PRIORITY", (record.level as u8).to_string().as_bytes());
    field(out, "SYSLOG_IDENTIFIER", identifier.as_bytes());
    if let Some(chain) = record.chain {
        field(out, "UNMASQ_CHAIN", chain.as_bytes());
    }
    if let Some(step) = record.step {
        field(out, "UNMASQ_STEP", step.as_bytes());
    }
    if record.again {
        field(out, super::AGAIN, b"1");
    }
    field(out, "MESSAGE", record.message);
}

/// `NAME=value`, or for a value with a newline the form with its length, which cannot be broken out of.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Sends one datagram. What is larger than the socket takes goes as a descriptor of a memory file, sealed so that
/// journald may map it.
pub(super) fn send(socket: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    match socket.send(datagram) {
        Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(()),
    }
    let file = memfd_create(c"unmasq-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(file);
    file.write_all(datagram)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // The space above is for exactly this one.
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(&[])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
