//! The few operations by which a ledger changes a disk, as a trait.
//!
//! Everything that must survive a power cut goes through here, so that a test can record the operations in order and
//! build every state that a disk can be in when the power goes: writes that were never synced lost or torn, renames
//! and new names missing as long as their directory was not synced. Reading needs no such care and uses files directly.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

/// A file being written at its end.
pub trait Appender: Send + Sync + Debug {
    /// Hands some of the bytes to the operating system and says how many.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when all that was written is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// All of the bytes.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a ledger asks of a file system.
pub trait Storage: Send + Sync + Debug {
    /// A new, empty file; what was there is gone.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>>;

    /// An existing file, to be continued at its end.
    fn append(&self, path: &Path) -> io::Result<Arc<dyn Appender>>;

    /// Cuts a file to a length.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes one directory; one that exists is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in the directory (not the files) are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Appender for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        Write::write(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        // Every write goes to the end, also after the file was cut back to a shorter length.
        let append = OFlags::APPEND.bits() as i32;
        Ok(Arc::new(
            OpenOptions::new().write(true).create(true).truncate(true).custom_flags(append).open(path)?,
        ))
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        Ok(Arc::new(OpenOptions::new().append(true).open(path)?))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
