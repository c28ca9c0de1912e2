//! The honeypot's own keys: made once, kept for good.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use unmasq_honeypot::hostkey::{HostKey, HostKeys, KeyKind};
use unmasq_honeypot::random;

/// Bytes of the key that passwords are hashed with.
const PASSWORD_KEY: usize = 32;

/// The host keys of a folder, as sshd names them; those of these kinds that are not there are made.
pub(super) fn load(folder: &Path, kinds: impl IntoIterator<Item = KeyKind>) -> anyhow::Result<HostKeys> {
    make_folder(folder)?;
    kinds
        .into_iter()
        .map(|kind| {
            let file = folder.join(format!("ssh_host_{}_key", kind.file_part()));
            match fs::read_to_string(&file) {
                Ok(text) => parse(&file, &text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let key = HostKey::generate(kind)
                        .with_context(|| format!("cannot make a host key ({kind})"))?;
                    keep(&file, key.to_openssh("")?.as_bytes())?;
                    keep(&file.with_extension("pub"), format!("{}\n", key.public_line()).as_bytes())?;
                    Ok(key)
                }
                Err(error) => {
                    Err(error).with_context(|| format!("cannot read the host key {}", file.display()))
                }
            }
        })
        .collect()
}

/// The host keys in these files.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<HostKeys> {
    files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read the host key {}", file.display()))?;
            parse(file, &text)
        })
        .collect()
}

/// The key that passwords are hashed with, of the same folder.
pub(super) fn password_key(folder: &Path) -> anyhow::Result<ring::hmac::Key> {
    make_folder(folder)?;
    let file = folder.join("password.key");
    let bytes = match fs::read(&file) {
        Ok(bytes) if bytes.len() >= PASSWORD_KEY => bytes,
        Ok(_) => anyhow::bail!("{} is too short for a key; remove it to have another made", file.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes: [u8; PASSWORD_KEY] = random::bytes()?;
            keep(&file, &bytes)?;
            bytes.to_vec()
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    Ok(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes))
}

fn parse(file: &Path, text: &str) -> anyhow::Result<HostKey> {
    HostKey::parse(text).with_context(|| format!("cannot use the host key {}", file.display()))
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {} for host keys", folder.display()))
}

/// Writes a key so that it is there whole or not at all, for its owner alone.
fn keep(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut made = file.as_os_str().to_owned();
        made.push(".new");
        // What a killed process has left. It is made anew, so that it is never somebody's link.
        match fs::remove_file(&made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&made, file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot keep the key {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("keys");
        let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256];
        std::os::unix::fs::symlink(folder.path().join("victim"), folder.path().join("link.new")).unwrap();
        keep(&folder.path().join("link"), b"key").unwrap();
        assert!(!folder.path().join("victim").exists(), "a link that was there is not followed");
        let lines = |keys: &HostKeys| keys.iter().map(HostKey::public_line).collect::<Vec<_>>();
        let first = load(&place, kinds).unwrap();
        assert_eq!(lines(&load(&place, kinds).unwrap()), lines(&first));
        assert_eq!(lines(&read(&[place.join("ssh_host_ed25519_key")]).unwrap()), lines(&first)[..1]);
        let tag = |key: ring::hmac::Key| ring::hmac::sign(&key, b"x").as_ref().to_vec();
        assert_eq!(tag(password_key(&place).unwrap()), tag(password_key(&place).unwrap()));
    }

    #[test]
    fn a_damaged_key_is_told_with_its_file_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ssh_host_ed25519_key");
        fs::write(&file, "nonsense").unwrap();
        let error = format!("{:#}", load(folder.path(), [KeyKind::Ed25519]).unwrap_err());
        assert!(error.contains("ssh_host_ed25519_key"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "nonsense");
    }
}
