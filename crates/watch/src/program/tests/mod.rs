//! What `check` says, and that compiled chains do what their text says.

mod checks;
mod interpreter;

use std::path::Path;

use proptest::prelude::*;

use super::{Compiled, Program};
use crate::config::{Config, Loaded, Spelling};
use crate::machine::fuzz_program;

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

proptest! {
    #[test]
    fn no_configuration_panics(text in "\\PC{0,200}") {
        fuzz_program(text.as_bytes());
    }

    #[test]
    fn no_step_panics(
        name in "filter_(equals|in|pcre|pcreAny|inNetworks|lowerOrEquals|userExists)|action_(log|nftBan|dnatReplace|dnatCapture|dailyReport|counterRaise|ipsetBan|email)",
        args in proptest::collection::vec(
            ("field|value|values|re|save|nets|message|level|IP|nftSetIPv4|nftSetIPv6|ipSetIPv4|ipSetIPv6|addr|saddr|saddrInto|counter|for|keepSeconds|waitSeconds|prefix|port",
             r#"null|true|-?[0-9]{1,3}|"[A-Za-z0-9 {}:.()|*/]{0,12}"|"ip a b"|\["(a)", "10.0.0.0/8"\]|\{"ipv6": 64\}"#), 0..8),
    ) {
        let kind = &name[..6];
        let args: Vec<String> = args.iter().map(|(key, value)| format!("{key:?}: {value}")).collect();
        let step = format!(r#"{{"{kind}": "{name}", "args": {{{}}}}}"#, args.join(", "));
        fuzz_program(format!(r#"{{"actions": {{"c": [{step}, {step}]}}}}"#).as_bytes());
    }
}
