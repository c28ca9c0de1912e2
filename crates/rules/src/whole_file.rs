//! Files that are whole or not there, whenever a kill comes or the power goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Are these two names of one file? Also by links.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

/// Puts bytes in place of a file. An existing one keeps its owner and permissions, a new one is for its owner only: who may
/// read a firewall's rules knows where to knock.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let existing = match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if existing.as_ref().is_some_and(|found| !found.is_file()) {
        // A pipe or a terminal cannot be replaced; a directory says so itself.
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    // Through a link, what it points to is replaced, not the link.
    let target = if existing.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
    let Some(name) = target.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = Unfinished(folder.join(hidden));
    // Of a killed process that had our number.
    let _ = fs::remove_file(&unfinished.0);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished.0)?;
    if let Some(found) = existing {
        // Only root can give files away. For others the file becomes theirs, as with any editor.
        let _ = fchown(&file, Some(found.uid()), Some(found.gid()));
        file.set_permissions(fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished.0, &target)?;
    File::open(folder)?.sync_all()
}

/// The file while it is not whole: removed when the writing of it fails.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed, it is not there any more; otherwise, the failure that led here is the one to tell.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_file_is_its_owners_and_an_existing_one_keeps_its_permissions_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.new");
        write(&path, b"one").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("one", 0o600));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(4)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("two", 0o640));
        assert_eq!(fs::metadata(&path).unwrap().gid(), 4);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn through_a_link_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        symlink("target", &link).unwrap();
        assert!(is_same(&link, &target));
        write(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), b"x").is_err(), "a directory");
        assert!(write(&folder.path().join("no/such"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!is_same(&folder.path().join("a"), &folder.path().join("a")), "neither is there");
        write(Path::new("/dev/null"), b"x").unwrap();
    }
}
