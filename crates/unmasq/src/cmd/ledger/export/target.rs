//! Where an export goes: standard output, a file that appears only when it is whole, or what is no file (`/dev/null`, a FIFO).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// An output that is being written.
pub(crate) enum Target {
    /// Standard output.
    Standard(BufWriter<io::Stdout>),
    /// What is no plain file: it is written to, never put aside for one.
    Device {
        /// The open device, FIFO or the like.
        file: BufWriter<File>,
        /// Its name.
        path: PathBuf,
    },
    /// A file under an unfinished name. Removed when dropped before [`Target::finish`].
    File {
        /// The open file.
        file: BufWriter<File>,
        /// Its name until it is whole, and the one it gets.
        unfinished: Unfinished,
        /// The name asked for.
        path: PathBuf,
    },
}

/// A file that is removed unless it is kept.
pub(crate) struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It is only clean-up; the failure that led here is the one to tell.
            let _ = fs::remove_file(path);
        }
    }
}

impl Target {
    /// Opens the output: `-` or nothing for standard output.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Standard(BufWriter::new(io::stdout())));
        };
        let Some(name) = path.file_name() else { bail!("{} is not a file name", path.display()) };
        if path.is_dir() {
            bail!("{} is a directory; give a file in it", path.display());
        }
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            return Ok(Self::Device { file: BufWriter::new(file), path: path.to_owned() });
        }
        // A symbolic link goes on pointing where it did.
        let path = if existing.is_some() { path.canonicalize()? } else { path.to_owned() };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = path.with_file_name(hidden);
        let file =
            File::create(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
        let unfinished = Unfinished(Some(unfinished));
        if let Some(existing) = existing {
            // What only some could read is not opened to all by being written anew.
            file.set_permissions(existing.permissions())
                .with_context(|| format!("cannot keep the permissions of {}", path.display()))?;
        }
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Self::File { file, unfinished, path })
    }

    /// All is written: the file gets its name.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut out) => out.flush()?,
            Self::Device { mut file, path } => {
                file.flush().with_context(|| format!("cannot write {}", path.display()))?;
            }
            Self::File { file, mut unfinished, path } => {
                let written = file
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .and_then(|file| file.sync_all());
                written.with_context(|| format!("cannot write {}", path.display()))?;
                if let Some(from) = &unfinished.0 {
                    fs::rename(from, &path)
                        .with_context(|| format!("cannot rename {} to {}", from.display(), path.display()))?;
                }
                unfinished.0 = None;
            }
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::Device { file, path } | Self::File { file, path, .. } => {
                file.write(bytes).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
                })
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::Device { file, .. } | Self::File { file, .. } => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        // Opened for both, so that neither side waits for the other.
        let mut reader = File::options().read(true).write(true).open(&fifo).unwrap();
        let mut target = Target::open(Some(&fifo)).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        let mut read = [0; 5];
        io::Read::read_exact(&mut reader, &mut read).unwrap();
        assert_eq!(&read, b"whole");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_file_written_anew_keeps_its_permissions_and_the_links_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, b"old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        let mut target = Target::open(Some(&link)).unwrap();
        target.write_all(b"new").unwrap();
        target.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_appears_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let names = || fs::read_dir(folder.path()).unwrap().count();

        let mut target = Target::open(Some(&path)).unwrap();
        target.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(target);
        assert_eq!(names(), 0, "an export that fails leaves nothing");

        let mut target = Target::open(Some(&path)).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"whole".to_vec(), 1));
    }
}
