//! Whose the folder of a history is: plans are applied by root, and looked after by the account of the daemon.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context;

use crate::config::DEFAULT_HISTORY;
use crate::privileges::{Account, DEFAULT_ACCOUNT};

/// What the guard writes.
const SHARED: [&str; 5] = ["", "index", "lock", "revisions", "checked.json"];

/// Lets the daemon's account write the history in its usual place, if there is such an account and we are root. Any other
/// folder is somebody's own, and stays as it is.
pub(crate) fn share(directory: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() || directory != Path::new(DEFAULT_HISTORY) {
        return Ok(());
    }
    let Some(account) = Account::find(DEFAULT_ACCOUNT).context("cannot read /etc/passwd")? else {
        return Ok(());
    };
    for name in SHARED {
        let path = directory.join(name);
        match chown(&path, Some(account.uid), Some(account.gid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("cannot give {} to {}", path.display(), account.name))?,
        }
    }
    // Who had which port is not for everybody to read.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o750);
    fs::set_permissions(directory, mode).with_context(|| format!("cannot close {}", directory.display()))
}
