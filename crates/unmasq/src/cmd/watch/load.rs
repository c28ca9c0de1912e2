//! The configuration that a command of the watch is about.

use std::path::{Path, PathBuf};

use anyhow::Context;
use unmasq_watch::config::Config;

/// The file named, or else the first one there is.
pub(super) fn file(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    match named {
        Some(file) => Ok(file.to_owned()),
        None => Config::search().context(
            "no configuration: neither /etc/unmasq/watch.toml (or .yaml, .json) nor a pyruse.json is there; name one",
        ),
    }
}
