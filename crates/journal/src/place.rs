//! Which journal is read.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A journal, or the files of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// This machine's: the kernel's and the services' entries, without those of users' own journals.
    System,
    /// A journal namespace of this machine (systemd's `LogNamespace=`).
    Namespace(String),
    /// All journal files in a folder. Files of several hosts in one folder are interleaved by the library, which
    /// passes over what arrives later than it was written.
    Directory(PathBuf),
    /// These files, and none that appears later.
    Files(Vec<PathBuf>),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("the system's journal"),
            Self::Namespace(name) => write!(f, "the journal of namespace {name:?}"),
            Self::Directory(path) => write!(f, "the journal in {}", path.display()),
            Self::Files(paths) => match paths.as_slice() {
                [] => f.write_str("a journal of no files"),
                [path] => write!(f, "the journal {}", path.display()),
                [path, rest @ ..] => {
                    write!(f, "the journal {} and {} files more", path.display(), rest.len())
                }
            },
        }
    }
}

/// A file of a journal that this process may not read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; run as root, or make the user a member of group systemd-journal", path.display())]
pub struct Unreadable {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

impl Where {
    /// Files that the library would pass over in silence, as this process may not read them.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        let mut found = Vec::new();
        match self {
            Self::System => {
                for path in machine_folders("") {
                    try_folder(&path, |name| name.starts_with("system"), &mut found);
                }
            }
            Self::Namespace(name) => {
                for path in machine_folders(&format!(".{name}")) {
                    try_folder(&path, |_| true, &mut found);
                }
            }
            Self::Directory(path) => try_folder(path, |_| true, &mut found),
            Self::Files(paths) => paths.iter().for_each(|path| try_file(path, &mut found)),
        }
        found
    }
}

/// Where journald keeps this machine's files, with what follows the machine's id in the folder's name.
fn machine_folders(suffix: &str) -> Vec<PathBuf> {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let folder: OsString = format!("{}{suffix}", machine.trim()).into();
    ["/run/log/journal", "/var/log/journal"].iter().map(|parent| Path::new(parent).join(&folder)).collect()
}

fn try_folder(path: &Path, wanted: impl Fn(&str) -> bool, found: &mut Vec<Unreadable>) {
    let files = match fs::read_dir(path) {
        Ok(files) => files,
        Err(source) => {
            note(path, source, found);
            return;
        }
    };
    for file in files.flatten() {
        if file.file_name().to_str().is_some_and(|name| name.ends_with(".journal") && wanted(name)) {
            try_file(&file.path(), found);
        }
    }
}

fn try_file(path: &Path, found: &mut Vec<Unreadable>) {
    if let Err(source) = File::open(path) {
        note(path, source, found);
    }
}

/// Missing is not unreadable: files are vacuumed, and a machine has one of the two folders.
fn note(path: &Path, source: io::Error, found: &mut Vec<Unreadable>) {
    if source.kind() != io::ErrorKind::NotFound {
        found.push(Unreadable { path: path.to_owned(), source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_are_not_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Where::Directory(folder.path().join("none")).unreadable().is_empty());
        assert!(Where::Files(vec![folder.path().join("none.journal")]).unreadable().is_empty());
        let file = folder.path().join("a.journal");
        fs::write(&file, "").unwrap();
        let unreadable = Where::Files(vec![file.join("in a file")]).unreadable();
        assert_eq!(unreadable.len(), 1, "not a directory");
        assert!(unreadable[0].to_string().contains("group systemd-journal"));
    }
}
