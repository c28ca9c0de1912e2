//! Why a ruleset could not be read.

use unmasq_diagnostic::Problem;

use crate::program::ProgramError;

/// Why a ruleset could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesetError {
    /// The text is no ruleset.
    #[error("{}", listed(.0))]
    Text(Vec<Wrong>),
    /// What nft printed is no JSON.
    #[error("nft's JSON cannot be read: {0}")]
    Json(serde_json::Error),
    /// What nft printed is JSON, but not of a ruleset.
    #[error("nft's JSON is not of a ruleset: {what} is missing in {value}; is it of `nft -j list ruleset`?")]
    Shape {
        /// What is missing.
        what: &'static str,
        /// Where, cut.
        value: String,
    },
    /// nft or iptables did not do it.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// There is no scratch namespace to try it in.
    #[error("cannot try the ruleset in a namespace of its own: {0}; run this as root")]
    Namespace(unmasq_netfilter::Error),
}

/// Something wrong in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and where.
    pub problem: Problem,
}

fn listed(wrong: &[Wrong]) -> String {
    let one = |wrong: &Wrong| format!("line {}: {}", wrong.line, wrong.problem.message);
    wrong.iter().map(one).collect::<Vec<_>>().join("\n")
}
