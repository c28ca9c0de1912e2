//! `unmasq generate`: man pages and shell completions, from the same definitions as `--help`. Run at build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use clap_complete::{Shell, generate_to};

use super::command_line;
use crate::failure::Outcome;

/// Write man pages and shell completions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the man pages
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
    /// Folder for the completions of bash, zsh, fish, elvish and PowerShell
    #[arg(long, value_name = "DIR")]
    completions: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(folder) = &args.man {
        make(folder)?;
        let mut root = command_line();
        root.build();
        write_page(folder, "unmasq", &root)?;
    }
    if let Some(folder) = &args.completions {
        make(folder)?;
        for shell in Shell::value_variants() {
            generate_to(*shell, &mut command_line(), "unmasq", folder)
                .with_context(|| format!("cannot write completions to {}", folder.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// One page a command: unmasq(1), unmasq-ledger(1), unmasq-ledger-import(1), …
fn write_page(folder: &Path, name: &str, command: &clap::Command) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.1"));
    let context = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).with_context(context)?;
    let page = clap_mangen::Man::new(command.clone()).title(name);
    page.render(&mut file).with_context(context)?;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        write_page(folder, &format!("{name}-{}", sub.get_name()), sub)?;
    }
    Ok(())
}
