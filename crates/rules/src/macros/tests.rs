//! What holds of generated rulesets.

mod definitions;
mod iptables;
mod kernel;
mod nft;
mod random;

use std::path::Path;

use super::{Generated, MOST_LINES, Problems, Source, generate};
use crate::Form;

/// Generates from texts called `x.in` and `x.var`.
fn made(form: Form, vars: &str, input: &str, most_lines: u64) -> Result<Generated, Problems> {
    let vars = Source { file: Path::new("x.var"), text: vars };
    generate(form, Source { file: Path::new("x.in"), text: input }, vars, most_lines)
}

/// The ruleset, of which there is nothing to warn.
fn good(form: Form, vars: &str, input: &str) -> String {
    let generated = made(form, vars, input, MOST_LINES).unwrap();
    assert_eq!(generated.warnings.to_string(), "");
    generated.text
}

/// What is said of files with errors.
fn refused(form: Form, vars: &str, input: &str) -> String {
    made(form, vars, input, MOST_LINES).unwrap_err().to_string()
}

/// What is warned of.
fn warned(form: Form, vars: &str, input: &str) -> String {
    made(form, vars, input, MOST_LINES).unwrap().warnings.to_string()
}
