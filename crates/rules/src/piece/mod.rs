//! Ready pieces: complete rulesets for one purpose each, printed from typed options.
//!
//! A piece for nft is a table of its own with a chain at a stated priority; loading it again replaces it and nothing else
//! (the sets of `divert-ssh` keep their elements). A piece for iptables has a chain of its own and a jump to it.
//!
//! ```
//! use unmasq_rules::{Form, piece::{Masquerade, Piece}};
//!
//! let piece = Piece::Masquerade(Masquerade { out: "wan".parse()?, networks: vec!["10.0.0.0/8".parse()?] });
//! assert!(piece.ruleset(Form::Nft)?.contains("oifname \"wan\" ip saddr 10.0.0.0/8 counter masquerade"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod about;
mod divert_ssh;
mod honeypot_box;
mod ips;
mod log_dnat;
mod log_nflog;
mod log_ssh_banner;
mod masquerade;
#[cfg(test)]
mod tests;
mod text;
mod tproxy;

use crate::Form;

pub use about::{ABOUT, About};
pub use divert_ssh::DivertSsh;
pub use honeypot_box::HoneypotBox;
pub use ips::Ips;
pub use log_dnat::LogDnat;
pub use log_nflog::{Hook, LogNflog};
pub use log_ssh_banner::LogSshBanner;
pub use masquerade::Masquerade;
pub use tproxy::Tproxy;

/// A piece with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what it holds")]
pub enum Piece {
    LogDnat(LogDnat),
    LogNflog(LogNflog),
    LogSshBanner(LogSshBanner),
    DivertSsh(DivertSsh),
    Ips(Ips),
    Masquerade(Masquerade),
    Tproxy(Tproxy),
    Box(HoneypotBox),
}

/// A piece that cannot be printed in a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PieceError {
    /// It would say nothing, because all that it names is of the other family.
    #[error("{what} is of the other family: nothing is left for {}; print it with --format {}", form.word(), other.word())]
    OtherFamily {
        /// What was named.
        what: String,
        /// The form that was asked for.
        form: Form,
        /// One that it can be printed in.
        other: Form,
    },
    /// iptables' target LOG takes less than nft and NFLOG do.
    #[error(
        "the prefix {0:?} is longer than 29 characters, the most that iptables' LOG takes; shorten it, or log to a --group"
    )]
    LongPrefix(String),
    /// nft and iptables refuse it.
    #[error(
        "--fanout chooses one of several queues by the CPU, and there is one alone; name more, such as --queues 0-3"
    )]
    LoneQueue,
}

impl PieceError {
    /// Something of the other family than that of the form: IPv6's if `is_v6`, else IPv4's.
    fn other_family(what: &impl ToString, is_v6: bool) -> Self {
        let (form, other) =
            if is_v6 { (Form::Ip6tables, Form::Iptables) } else { (Form::Iptables, Form::Ip6tables) };
        Self::OtherFamily { what: what.to_string(), form, other }
    }
}

impl Piece {
    /// What it is for.
    pub fn about(&self) -> &'static About {
        match self {
            Self::LogDnat(_) => &about::LOG_DNAT,
            Self::LogNflog(_) => &about::LOG_NFLOG,
            Self::LogSshBanner(_) => &about::LOG_SSH_BANNER,
            Self::DivertSsh(_) => &about::DIVERT_SSH,
            Self::Ips(_) => &about::IPS,
            Self::Masquerade(_) => &about::MASQUERADE,
            Self::Tproxy(_) => &about::TPROXY,
            Self::Box(_) => &about::BOX,
        }
    }

    /// The whole ruleset.
    pub fn ruleset(&self, form: Form) -> Result<String, PieceError> {
        if let Self::Ips(piece) = self {
            piece.check()?;
        }
        let is_v6 = form == Form::Ip6tables;
        let mut text = text::head(self.about(), &self.notes(form), form);
        text.push_str(&match (self, form) {
            (Self::LogDnat(piece), Form::Nft) => piece.nft(),
            (Self::LogDnat(piece), _) => piece.iptables(is_v6)?,
            (Self::LogNflog(piece), Form::Nft) => piece.nft(),
            (Self::LogNflog(piece), _) => piece.iptables(),
            (Self::LogSshBanner(piece), Form::Nft) => piece.nft(),
            (Self::LogSshBanner(piece), _) => piece.iptables(),
            (Self::DivertSsh(piece), Form::Nft) => piece.nft(),
            (Self::DivertSsh(piece), _) => piece.iptables(is_v6)?,
            (Self::Ips(piece), Form::Nft) => piece.nft(),
            (Self::Ips(piece), _) => piece.iptables(),
            (Self::Masquerade(piece), Form::Nft) => piece.nft(),
            (Self::Masquerade(piece), _) => piece.iptables(is_v6)?,
            (Self::Tproxy(piece), Form::Nft) => piece.nft(),
            (Self::Tproxy(piece), _) => piece.iptables(is_v6)?,
            (Self::Box(piece), Form::Nft) => piece.nft(),
            (Self::Box(piece), _) => piece.iptables(is_v6),
        });
        Ok(text)
    }

    /// Commands and settings that go with it, for the head.
    fn notes(&self, form: Form) -> Vec<String> {
        match self {
            Self::Ips(piece) => piece.notes(),
            Self::Tproxy(piece) => piece.notes(),
            Self::DivertSsh(piece) => piece.notes(form),
            Self::Box(piece) => piece.divert.notes(form),
            Self::LogSshBanner(_) => LogSshBanner::notes(),
            Self::LogDnat(_) | Self::LogNflog(_) | Self::Masquerade(_) => Vec::new(),
        }
    }
}
