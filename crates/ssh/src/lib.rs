//! How an SSH connection begins, in clear text: what a passive sensor can read, and what a server and a client say before
//! they have keys.
//!
//! ```text
//!  SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n   ──► Identification   protocol and software version
//!  length │ padding │ 20 cookie lists… │ padding ──► frame ──► KexInit ──► Hassh    whose lists are these?
//!                                                               └──► Negotiated     what both will use
//! ```
//!
//! Everything here is pure: bytes in, values out.
//!
//! ```
//! use unmasq_ssh::Identification;
//!
//! let client = Identification::parse(b"SSH-2.0-libssh_0.10.6\r\n")?;
//! assert_eq!(client.software(), "libssh_0.10.6");
//! # Ok::<(), unmasq_ssh::BadIdentification>(())
//! ```

pub mod frame;
mod hassh;
mod identification;
mod kexinit;
mod negotiate;
pub mod wire;

pub use hassh::Hassh;
pub use identification::{BadIdentification, Identification};
pub use kexinit::{KexInit, List};
pub use negotiate::{Direction, Negotiated, NoCommon};

/// Message numbers of RFC 4250, 4252 and 4253 that are used in more than one place.
pub mod message {
    /// SSH_MSG_DISCONNECT.
    pub const DISCONNECT: u8 = 1;
    /// SSH_MSG_IGNORE.
    pub const IGNORE: u8 = 2;
    /// SSH_MSG_UNIMPLEMENTED.
    pub const UNIMPLEMENTED: u8 = 3;
    /// SSH_MSG_DEBUG.
    pub const DEBUG: u8 = 4;
    /// SSH_MSG_KEXINIT.
    pub const KEXINIT: u8 = 20;
    /// SSH_MSG_NEWKEYS.
    pub const NEWKEYS: u8 = 21;
}
