//! What `check` says, and that compiled chains do what their text says.

mod checks;
mod interpreter;

use std::path::Path;

use super::{Compiled, Program};
use crate::config::{Config, Loaded, Spelling};

fn loaded(text: &str, spelling: Spelling) -> Loaded {
    let name = match spelling {
        Spelling::Json => "test.json",
        Spelling::Toml => "test.toml",
        Spelling::Yaml => "test.yaml",
    };
    Config::parse(Path::new(name), text, spelling).unwrap_or_else(|e| panic!("{e}"))
}

/// Chains in Pyruse's spelling.
fn compile(actions: &str) -> Compiled {
    let loaded = loaded(&format!("{{\"actions\": {actions}}}"), Spelling::Json);
    Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)))
}

/// All that is said of a configuration: `line:column: message`, warnings marked.
fn said(text: &str, spelling: Spelling) -> Vec<String> {
    let loaded = loaded(text, spelling);
    let problems = match Program::compile(&loaded) {
        Ok(compiled) => compiled.warnings,
        Err(problems) => problems,
    };
    let shown = loaded.show(problems);
    let lines = shown.problems().map(|(line, column, problem)| {
        let kind = if problem.is_error() { "" } else { "warning: " };
        format!("{line}:{column}: {kind}{}", problem.message)
    });
    lines.collect()
}
