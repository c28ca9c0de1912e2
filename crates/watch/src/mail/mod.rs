//! Mail: composed once, kept on disk until a relay or a sendmail-like program has taken it.
//!
//! ```text
//!  Message ──compose──► Letter (envelope, MIME) ──queue──► a file ──thread──► Transport ──► taken: the file goes
//!                                                           ▲                   │
//!                                                           └── later (4xx, relay down): 1 s … 5 min, for 5 days
//!                                             failed/ ◄── refused for good (5xx, or the five days of 4xx are over)
//! ```
//!
//! What a log line brings into a subject or a text stays there: controls are made visible, and no line of a body can be
//! taken for a boundary, the end of the message, an escape of a mail program or an mbox separator. A mail is sent at
//! least once; one that is queued again after a crash is the same file, with the same Message-ID.
//!
//! ```no_run
//! use unmasq_watch::mail::{Message, Outbox, Sendmail, Transport};
//!
//! let transport = Transport::Sendmail(Sendmail::new(["/usr/bin/sendmail", "-t"]));
//! let outbox = Outbox::open("/var/lib/unmasq/watch/mail", &transport)?;
//! outbox.queue(&Message {
//!     id: "step17.3f9a".to_owned(),
//!     from: "unmasq".to_owned(),
//!     to: vec!["hostmaster".to_owned()],
//!     subject: "Pyruse Notification".to_owned(),
//!     text: "somebody is at the door".to_owned(),
//!     html: None,
//! })?;
//! # Ok::<(), unmasq_watch::mail::MailError>(())
//! ```

mod address;
mod compose;
mod configured;
mod folder;
mod letter;
mod outbox;
mod quoted;
mod sendmail;
mod smtp;
mod transport;

use std::io;
use std::path::PathBuf;

pub use address::{check_address, host_name};
pub use outbox::{News, Outbox, Queued, Tally};
pub use sendmail::Sendmail;
pub use smtp::{Login, Smtp, Tls};
pub use transport::Transport;

/// Sender where the configuration names none: completed by the host's name.
pub const DEFAULT_FROM: &str = "unmasq";
/// Recipient where the configuration names none: completed by the host's name.
pub const DEFAULT_TO: &str = "root";

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What its Message-ID and its file are made of: the same mail has the same id. Up to 128 of the letters, digits
    /// and `. - _ + =`, with or without `@domain`.
    pub id: String,
    /// Sender: `name@domain`, `Text <name@domain>`, or a bare name, completed by the host's.
    pub from: String,
    /// Recipients likewise; at least one.
    pub to: Vec<String>,
    /// Subject, as text; controls are made visible, and what is longer than 300 characters is cut.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same in HTML, as an alternative.
    pub html: Option<String>,
}

/// What went wrong with a mail or the folder of mails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// An address that is none.
    #[error("{text:?} is not a mail address: {reason}; write name@domain, or a bare name for this host")]
    Address {
        /// As given.
        text: String,
        /// Why not.
        reason: String,
    },
    /// Nobody to send it to.
    #[error("a mail without recipients; give `email.to` at least one")]
    NoRecipient,
    /// An id with other characters than those allowed.
    #[error("{0:?} cannot be a Message-ID")]
    Id(String),
    /// A mail that no relay would take.
    #[error("a mail of {size} bytes is larger than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes, encoded.
        size: usize,
        /// The most there may be.
        limit: usize,
    },
    /// There is no room; the mails that wait are kept.
    #[error("{count} mails with {bytes} bytes wait to be sent, and no more are kept; is the relay down?")]
    Full {
        /// Mails that wait.
        count: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The library that composes mails refused.
    #[error("cannot compose a mail: {0}")]
    Compose(String),
    /// A setting of the transport.
    #[error("mail transport: {0}")]
    Setting(String),
    /// A file.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
