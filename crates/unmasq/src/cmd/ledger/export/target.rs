//! Where an export goes: standard output, or a file that appears only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// An output that is being written.
pub(crate) enum Target {
    /// Standard output.
    Standard(BufWriter<io::Stdout>),
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
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = path.with_file_name(hidden);
        let file =
            File::create(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Self::File { file, unfinished: Unfinished(Some(unfinished)), path: path.to_owned() })
    }

    /// All is written: the file gets its name.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut out) => out.flush()?,
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
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
