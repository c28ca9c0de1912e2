//! How a ruleset is printed: in which form, and where to.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use unmasq_rules::{Form, whole_file};

/// In which form, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    /// Whose language it is in; iptables is for IPv4, ip6tables for IPv6, nft for both
    #[arg(long, value_enum, default_value_t)]
    format: FormatArg,
    /// Into this file, in place of standard output; it is complete or not there
    #[arg(short, long, value_name = "NEW")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    #[default]
    Nft,
    Iptables,
    Ip6tables,
}

impl PrintArgs {
    pub(super) fn form(&self) -> Form {
        match self.format {
            FormatArg::Nft => Form::Nft,
            FormatArg::Iptables => Form::Iptables,
            FormatArg::Ip6tables => Form::Ip6tables,
        }
    }

    /// Prints it there.
    pub(super) fn print(&self, text: &str) -> anyhow::Result<()> {
        match &self.output {
            None => Ok(io::stdout().write_all(text.as_bytes())?),
            Some(file) => whole_file::write(file, text.as_bytes())
                .with_context(|| format!("cannot write {}", file.display())),
        }
    }
}
