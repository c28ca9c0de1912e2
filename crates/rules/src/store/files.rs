//! The files of a history.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{RulesError, whole_file};

/// Puts bytes in the place of a file, in one step.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), RulesError> {
    whole_file::write(path, bytes).map_err(RulesError::io("write", path))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), RulesError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(RulesError::io("remove", path)),
    }?;
    sync_folder_of(path)
}

fn sync_folder_of(path: &Path) -> Result<(), RulesError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RulesError::io("sync", folder))
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
