//! Rulesets made from a template and macros, as iptables-utils does it.
//!
//! ```text
//!  VAR ──definitions──► names, words ──resolve──► the plain words of each macro ─┐
//!                                                                               ├─► the ruleset, or all problems
//!  IN ──────────── iptables: a rule for every combination; nft: sets ───────────┘
//! ```
//!
//! A macro is a word in capitals that stands for several others. In a ruleset of iptables, the rule is copied for each of
//! them; in one of nft, the macro becomes a set and the rule stays one. What is no reference to a macro is passed through
//! byte for byte.
//!
//! ```
//! use std::path::Path;
//! use unmasq_rules::Form;
//! use unmasq_rules::macros::{MOST_LINES, Source, generate};
//!
//! let vars = Source { file: Path::new("iptables.conf.var"), text: "#define SSH_PERMITTED 1.2.3.4 1.2.3.5\n" };
//! let input = Source { file: Path::new("iptables.conf.in"), text: "-A INPUT -s SSH_PERMITTED -j ACCEPT\n" };
//! let generated = generate(Form::Iptables, input, vars, MOST_LINES)?;
//! assert_eq!(generated.text, "-A INPUT -s 1.2.3.4 -j ACCEPT\n-A INPUT -s 1.2.3.5 -j ACCEPT\n");
//! # Ok::<(), unmasq_rules::macros::Problems>(())
//! ```
//!
//! The whole language is described in docs/generate-rulesets.md.

mod budget;
mod definitions;
mod iptables;
pub(crate) mod keywords;
mod nft;
mod problems;
mod resolve;
mod template;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

pub use self::problems::{Place, Problems};

use self::budget::Budget;
use self::problems::Findings;
use self::resolve::Macros;
use crate::Form;

/// The most lines that a ruleset is made of, unless told otherwise.
pub const MOST_LINES: u64 = 1_000_000;

/// A text and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'t> {
    /// For messages.
    pub file: &'t Path,
    /// The whole of it.
    pub text: &'t str,
}

/// A ruleset that was made.
#[derive(Debug)]
pub struct Generated {
    /// The ruleset.
    pub text: String,
    /// Macros that it uses, those that are used by others included.
    pub macros: usize,
    /// What probably does not mean what its author thinks.
    pub warnings: Problems,
}

/// Makes the ruleset of a template and its macros, of at most so many lines. If anything is wrong in either file, all of it
/// is returned at once.
pub fn generate(
    form: Form,
    input: Source<'_>,
    vars: Source<'_>,
    most_lines: u64,
) -> Result<Generated, Problems> {
    let (mut in_vars, mut in_input) = (Findings::default(), Findings::default());
    let definitions = definitions::parse(vars, &mut in_vars);
    let mut macros =
        Macros::resolve(&definitions, &mut Budget::new(MOST_LINES.max(most_lines)), &mut in_vars);
    let mut budget = Budget::new(most_lines);
    let text = match form {
        Form::Iptables | Form::Ip6tables => {
            iptables::expand(input, vars.file, &mut macros, &mut budget, &mut in_input)
        }
        Form::Nft => {
            nft::definitions::check(&definitions, &mut in_vars);
            macros.without_repetitions();
            nft::expand(input, vars.file, &mut macros, &mut budget, &mut in_input)
        }
    };
    let has_errors = in_vars.has_errors() || in_input.has_errors();
    if !has_errors {
        macros.spread_use();
        macros.warn_of_unused(&mut in_vars);
    }
    let problems = Problems::new([(vars, in_vars), (input, in_input)]);
    if has_errors {
        return Err(problems);
    }
    Ok(Generated { text, macros: macros.used(), warnings: problems })
}
