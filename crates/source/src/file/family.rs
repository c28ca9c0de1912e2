//! A log file and its older selves: which files of a directory are what rotation made of it, in the order of writing.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells a file from all others that exist at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Nanoseconds since the Unix epoch of a file's last change.
pub(crate) fn written(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// What rotation has added to the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// A date or the like: read in the order of writing.
    Dated(Vec<u8>),
    /// A number, the larger the older.
    Generation(std::cmp::Reverse<u32>),
    /// Nothing: it is the one that is followed.
    Current,
}

/// A file of the family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) size: u64,
    pub(crate) written: i64,
    age: Age,
}

impl Member {
    pub(crate) fn is_current(&self) -> bool {
        self.age == Age::Current
    }

    /// Opens it; `None`: another file has its name by now.
    pub(crate) fn open(&self) -> io::Result<Option<File>> {
        let file = match File::open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let is_same = Identity::from(&file.metadata()?) == self.identity;
        Ok(is_same.then_some(file))
    }
}

/// What rotation added to make `name` of `current`: `app.log.1`, `app.log-20261121`, `app-20261121.log`, `app.log.old`.
fn age(name: &[u8], current: &[u8]) -> Option<Age> {
    if name == current {
        return Some(Age::Current);
    }
    let added = name.strip_prefix(current).or_else(|| {
        let dot = current.iter().rposition(|byte| *byte == b'.')?;
        let (stem, extension) = current.split_at(dot);
        name.strip_prefix(stem)?.strip_suffix(extension)
    })?;
    let added =
        added.strip_prefix(b".").or_else(|| added.strip_prefix(b"-")).or_else(|| added.strip_prefix(b"_"))?;
    if added == b"old" {
        return Some(Age::Dated(added.to_vec()));
    }
    let is_dated = |byte: &u8| byte.is_ascii_digit() || b"-_.:TZ+".contains(byte);
    if !added.iter().all(is_dated) || !added.iter().any(u8::is_ascii_digit) {
        return None;
    }
    let generation =
        str::from_utf8(added).ok().filter(|digits| digits.len() < 6).and_then(|d| d.parse().ok());
    Some(match generation {
        Some(generation) => Age::Generation(std::cmp::Reverse(generation)),
        None => Age::Dated(added.to_vec()),
    })
}

/// The family of a file, the oldest first. A directory that is not there has none.
pub(crate) fn members(current: &Path) -> io::Result<Vec<Member>> {
    let mut last = scan(current)?;
    // A rotation renames one file after the other: what two scans agree on was not under way.
    for _ in 0..100 {
        let again = scan(current)?;
        let is_same = |(a, b): (&Member, &Member)| a.path == b.path && a.identity == b.identity;
        if again.len() == last.len() && again.iter().zip(&last).all(is_same) {
            return Ok(again);
        }
        last = again;
    }
    Ok(last)
}

fn scan(current: &Path) -> io::Result<Vec<Member>> {
    let name = current.file_name().unwrap_or_default().as_bytes();
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory(current)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        result => result?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(age) = age(entry.file_name().as_bytes(), name) else { continue };
        let path = directory(current).join(entry.file_name());
        // Gone between the two calls: the next scan will tell.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            let (identity, size, written) = (Identity::from(&metadata), metadata.len(), written(&metadata));
            found.push(Member { path, identity, size, written, age });
        }
    }
    let is_numbered = found.iter().all(|member| !matches!(member.age, Age::Dated(_)));
    if is_numbered {
        found.sort_by(|a, b| a.age.cmp(&b.age));
    } else {
        found.sort_by(|a, b| {
            let order = |m: &Member| (m.is_current(), m.written);
            order(a).cmp(&order(b)).then_with(|| a.age.cmp(&b.age))
        });
    }
    Ok(found)
}

pub(crate) fn directory(current: &Path) -> &Path {
    let parent = current.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(OsStr::new(".")))
}

/// The file that was written after the one with this identity. If that is gone: the oldest that was written to after
/// `written`, or the current one. An older file that is empty is none: it may be a copy that is only being made.
pub(crate) fn next_after(members: &[Member], identity: Identity, written: i64) -> Option<&Member> {
    let place = members.iter().position(|member| member.identity == identity);
    let newer = &members[place.map_or(0, |place| place + 1)..];
    newer.iter().find(|member| {
        member.is_current() || member.size > 0 && (place.is_some() || member.written > written)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_told_from_other_files() {
        for name in
            ["a.log.1", "a.log.12", "a.log-20261121", "a-20261121.log", "a.log.old", "a.log.1.2026-11-21"]
        {
            assert!(age(name.as_bytes(), b"a.log").is_some(), "{name}");
        }
        for name in
            ["a.log.1.gz", "a.logs", "a.log.bak", "a-error.log", "b.log", "a.log.", "a.log-", "a.log-x1"]
        {
            assert_eq!(age(name.as_bytes(), b"a.log"), None, "{name}");
        }
    }

    #[test]
    fn the_order_is_that_of_writing() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("a.log");
        for name in ["a.log.10", "a.log.9", "a.log.1", "a.log", "b.log"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let found = members(&current).unwrap();
        let names: Vec<_> = found.iter().map(|m| m.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.log.10", "a.log.9", "a.log.1", "a.log"]);
        assert_eq!(next_after(&found, found[1].identity, 0), Some(&found[2]));
        assert_eq!(next_after(&found, found[3].identity, 0), None);
        let gone = Identity { device: 0, inode: 1 };
        assert_eq!(next_after(&found, gone, i64::MAX), Some(&found[3]));
        assert_eq!(next_after(&found, gone, 0), Some(&found[0]));
    }
}
