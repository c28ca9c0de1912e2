//! A file of lines that is put aside when it is full.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::privileges::{Account, hand_over};

/// A file of lines. `-` is standard output, which is never put aside.
#[derive(Debug)]
pub(in crate::honeypot) struct File {
    path: PathBuf,
    out: Out,
    size: u64,
    most: u64,
    kept: u32,
    buffer: Vec<u8>,
    lines: u64,
    /// It could not be written to lately; told once.
    is_broken: bool,
}

#[derive(Debug)]
enum Out {
    Stdout(io::Stdout),
    File(fs::File),
}

impl File {
    pub(super) fn open(path: &Path, most: u64, kept: u32, account: Option<&Account>) -> io::Result<Self> {
        let is_stdout = path.as_os_str() == "-";
        let path = if is_stdout { path.to_owned() } else { std::path::absolute(path)? };
        let (out, size) = if is_stdout {
            (Out::Stdout(io::stdout()), 0)
        } else {
            if let Some(folder) = path.parent() {
                let is_new = !folder.exists();
                fs::create_dir_all(folder)?;
                match account {
                    Some(account) if is_new => hand_over(folder, account)?,
                    // It may be shared, as /var/log is, and is not ours to give away.
                    Some(account) if !can_write(folder, account)? => {
                        return Err(io::Error::other(format!(
                            "{} could not put a full file aside in {}: give a folder of its own (it is made), run \
                             `chown {0} {1}`, or serve as another user (--user)",
                            account.name,
                            folder.display()
                        )));
                    }
                    Some(_) | None => {}
                }
            }
            let (file, size) = open(&path)?;
            if let Some(account) = account {
                give(&file, &path, account)?;
            }
            (Out::File(file), size)
        };
        Ok(Self { path, out, size, most, kept, buffer: Vec::new(), lines: 0, is_broken: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        matches!(self.out, Out::File(_)).then(|| self.path.parent().map(Path::to_owned)).flatten()
    }

    /// Adds a line without its end.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        self.lines += 1;
    }

    /// Writes what was added: how many lines, and what is wrong, told once until it works again.
    pub(super) fn flush(&mut self) -> (u64, Result<(), Option<String>>) {
        let lines = std::mem::take(&mut self.lines);
        if self.buffer.is_empty() {
            return (0, Ok(()));
        }
        let written = self.rotate().and_then(|()| self.write());
        self.buffer.clear();
        match written {
            Ok(()) => {
                self.is_broken = false;
                (lines, Ok(()))
            }
            Err(error) => {
                let is_known = std::mem::replace(&mut self.is_broken, true);
                let path = self.path.display();
                let told = format!(
                    "cannot write to {path}: {error}; lines are lost until it can be written to again"
                );
                (lines, Err((!is_known).then_some(told)))
            }
        }
    }

    /// Opens it anew by its name.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Out::File(file) = &mut self.out {
            let (new, size) = open(&self.path)?;
            *file = new;
            self.size = size;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Stdout(out) => out.write_all(&self.buffer).and_then(|()| out.flush()),
            Out::File(file) => {
                if let Err(error) = file.write_all(&self.buffer) {
                    // What was written in part is cut off, so that no half line stays in the middle.
                    return file
                        .set_len(self.size)
                        .and_then(|()| file.seek(SeekFrom::End(0)))
                        .and(Err(error));
                }
                self.size += self.buffer.len() as u64;
                Ok(())
            }
        }
    }

    /// Puts a full file aside: it becomes `.1`, what was `.1` becomes `.2`, and so on; the last one goes.
    fn rotate(&mut self) -> io::Result<()> {
        if !matches!(self.out, Out::File(_))
            || self.size == 0
            || self.size + (self.buffer.len() as u64) <= self.most
        {
            return Ok(());
        }
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.kept == 0 {
            fs::remove_file(&self.path)?;
        } else {
            for number in (1..self.kept).rev() {
                match fs::rename(numbered(number), numbered(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&self.path, numbered(1))?;
        }
        self.reopen()
    }
}

/// Gives the file to the account, which can write in its folder, and therefore may have put a link to another's file there.
fn give(file: &fs::File, path: &Path, account: &Account) -> io::Result<()> {
    let there = fs::symlink_metadata(path)?;
    let opened = file.metadata()?;
    let is_it = (there.dev(), there.ino()) == (opened.dev(), opened.ino());
    if !is_it || !opened.is_file() || opened.nlink() != 1 {
        return Err(io::Error::other(format!(
            "it is a link or no plain file, and would be given to {}: remove it, or name the file itself",
            account.name
        )));
    }
    std::os::unix::fs::fchown(file, Some(account.uid), Some(account.gid))
}

/// May the account make and rename files in a folder? By its mode alone.
fn can_write(folder: &Path, account: &Account) -> io::Result<bool> {
    let metadata = fs::metadata(folder)?;
    let bits = if metadata.uid() == account.uid {
        0o300
    } else if metadata.gid() == account.gid {
        0o030
    } else {
        0o003
    };
    Ok(account.uid == 0 || metadata.mode() & bits == bits)
}

/// Opens a file to add lines to. One that a killed process left with half a line gets the end of it.
fn open(path: &Path) -> io::Result<(fs::File, u64)> {
    // Passwords are in it.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/attempts.json");
        let mut file = File::open(&path, 20, 2, None).unwrap();
        for number in 0..10 {
            file.add(format!("line {number:04}").as_bytes());
            assert_eq!(file.flush(), (1, Ok(())));
        }
        assert_eq!(lines(&path), ["line 0008", "line 0009"]);
        assert_eq!(lines(&folder.path().join("new/attempts.json.1")), ["line 0006", "line 0007"]);
        assert_eq!(lines(&folder.path().join("new/attempts.json.2")), ["line 0004", "line 0005"]);
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_that_the_account_cannot_write_in_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = Account { name: "nobody".to_owned(), uid: 65534, gid: 65534 };
        let open = || File::open(&folder.path().join("attempts.json"), 1000, 2, Some(&nobody));
        let error = open().unwrap_err().to_string();
        assert!(error.contains("chown nobody") && error.contains("--user"), "{error}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // Only root can give the file away.
        assert!(open().is_ok() || !rustix::process::geteuid().is_root());
    }

    #[test]
    fn a_link_to_another_file_gives_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let nobody = Account { name: "nobody".to_owned(), uid: 65534, gid: 65534 };
        let [victim, soft, hard] = ["victim", "soft", "hard"].map(|name| folder.path().join(name));
        fs::write(&victim, "not theirs\n").unwrap();
        let owner = fs::metadata(&victim).unwrap().uid();
        std::os::unix::fs::symlink(&victim, &soft).unwrap();
        fs::hard_link(&victim, &hard).unwrap();
        for link in [&soft, &hard] {
            let error = File::open(link, 1000, 2, Some(&nobody)).unwrap_err().to_string();
            assert!(error.contains("it is a link"), "{error}");
        }
        assert_eq!(fs::metadata(&victim).unwrap().uid(), owner);
    }

    #[test]
    fn half_a_line_of_a_killed_process_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts.json");
        fs::write(&path, "whole\nhal").unwrap();
        let mut file = File::open(&path, 1000, 2, None).unwrap();
        file.add(b"next");
        file.flush().1.unwrap();
        assert_eq!(lines(&path), ["whole", "hal", "next"]);
    }

    #[test]
    fn who_moved_the_file_away_has_it_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts.json");
        let mut file = File::open(&path, 1000, 2, None).unwrap();
        file.add(b"first");
        file.flush().1.unwrap();
        fs::rename(&path, folder.path().join("old")).unwrap();
        file.reopen().unwrap();
        file.add(b"second");
        file.flush().1.unwrap();
        assert_eq!(lines(&path), ["second"]);
    }

    #[test]
    fn a_full_disk_is_told_once_and_leaves_no_half_line() {
        let mut file = File::open(Path::new("/dev/full"), u64::MAX, 0, None).unwrap();
        file.add(b"lost");
        let (lines, told) = file.flush();
        assert!(lines == 1 && told.unwrap_err().is_some_and(|told| told.contains("/dev/full")));
        file.add(b"lost too");
        assert_eq!(file.flush(), (1, Err(None)));
    }
}
