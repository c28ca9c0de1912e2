//! The ways out, and what can become of a letter on them.

use super::letter::Letter;
use super::smtp::Connection;
use super::{MailError, Sendmail, Smtp};

/// How mail leaves.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A sendmail-like program.
    Sendmail(Sendmail),
    /// A relay.
    Smtp(Smtp),
}

/// What became of a letter that the relay was asked to take. Who is in neither list has got it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Refused for good, with the reason.
    pub(super) refused: Vec<(String, String)>,
    /// Not now, with the reason.
    pub(super) later: Vec<(String, String)>,
}

/// The relay or the program could not be asked: that concerns every letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreachable(pub(super) String);

/// A transport in use.
#[derive(Debug)]
pub(super) enum Way {
    Sendmail(Sendmail),
    Smtp(Box<Connection>),
}

impl Transport {
    /// Checks its settings and makes it ready; nothing is connected yet.
    pub(super) fn open(&self) -> Result<Way, MailError> {
        Ok(match self {
            Self::Sendmail(sendmail) => Way::Sendmail(sendmail.checked()?),
            Self::Smtp(smtp) => Way::Smtp(Box::new(Connection::new(smtp)?)),
        })
    }
}

impl Way {
    /// Hands a letter over.
    pub(super) fn deliver(&mut self, letter: &Letter) -> Result<Delivery, Unreachable> {
        match self {
            Self::Sendmail(sendmail) => sendmail.deliver(letter),
            Self::Smtp(connection) => connection.deliver(letter),
        }
    }

    /// Nothing more is to be sent for now.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Sendmail(_) => {}
            Self::Smtp(connection) => connection.close(),
        }
    }
}
