//! The server files of an eduVPN 3 node: which client networks they open.
//!
//! eduVPN 3's portal writes whole server files, and its node puts them where WireGuard and OpenVPN look. They say what
//! the servers really use, so they are read rather than the portal asked. Any other server files of these programs do as
//! well.
//!
//! Which program a file is for is told by its first line that says something: WireGuard's begins with `[`.

pub mod openvpn;
pub mod wireguard;

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use unmasq_diagnostic::Invalid;

use crate::error::EduvpnError;
use crate::file;

/// A network in which a server gives addresses to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    /// The network, without host bits.
    pub network: Ipv4Net,
    /// The gateway's own address in it, which no client has.
    pub gateway: Ipv4Addr,
    /// The file that says so.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// Something that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file or the folder.
    pub file: PathBuf,
    /// What is remarkable, and what to do.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

/// What server files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNetworks {
    /// In the order of files, then of lines.
    pub networks: Vec<ClientNetwork>,
    /// Files without a network, folders without a file, networks without a client.
    pub warnings: Vec<Warning>,
}

/// Where WireGuard and OpenVPN have their server files.
pub const DEFAULT_FOLDERS: [&str; 2] = ["/etc/wireguard", "/etc/openvpn/server"];

/// Reads server files. A path is a file, or a folder of which all files named `*.conf` are read in the order of their
/// names.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<NodeNetworks, EduvpnError> {
    let mut found = NodeNetworks::default();
    for path in paths {
        let path = path.as_ref();
        let in_it = |reason| EduvpnError::Read { file: path.to_owned(), reason };
        if !fs::metadata(path).map_err(in_it)?.is_dir() {
            found.add(path)?;
            continue;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(in_it)? {
            let file = entry.map_err(in_it)?.path();
            if file.extension().is_some_and(|extension| extension == "conf") && !file.is_dir() {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() {
            found.warn(path, "there is no file named *.conf in it; name the folder of the server files");
        }
        for file in &files {
            found.add(file)?;
        }
    }
    Ok(found)
}

impl NodeNetworks {
    fn add(&mut self, file: &Path) -> Result<(), EduvpnError> {
        // What matters is ASCII; a comment may be in any encoding.
        let text = String::from_utf8_lossy(&file::read(file)?).into_owned();
        let networks = parse(file, &text)?;
        if networks.is_empty() {
            self.warn(file, "it opens no IPv4 network for clients; leave it out if it is not a server's");
        }
        for network in networks {
            if network.network.prefix_len() > 30 {
                let message = format!("line {}: {} has no room for clients", network.line, network.network);
                self.warn(file, message);
            } else {
                self.networks.push(network);
            }
        }
        Ok(())
    }

    fn warn(&mut self, file: &Path, message: impl Into<String>) {
        self.warnings.push(Warning { file: file.to_owned(), message: message.into() });
    }
}

/// Reads a server file of either program; `file` is for messages and results.
pub fn parse(file: &Path, text: &str) -> Result<Vec<ClientNetwork>, Invalid> {
    let says_something = |line: &&str| !line.is_empty() && !line.starts_with(['#', ';']);
    let first = text.lines().map(str::trim).find(says_something).unwrap_or_default();
    if first.starts_with('[') { wireguard::parse(file, text) } else { openvpn::parse(file, text) }
}

/// The lines of a text with their numbers, from 1, and their places, in bytes.
fn lines(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').enumerate().map(move |(nth, whole)| {
        let start = at;
        at += whole.len();
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        (nth + 1, start, line.strip_suffix('\r').unwrap_or(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIREGUARD: &str = "# key\n[Interface]\nAddress = 10.43.0.1/24\n";
    const OPENVPN: &str = "# OpenVPN Server Config\nserver 10.42.42.0 255.255.255.0\n";

    #[test]
    fn files_of_folders_are_read_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("b.conf", WIREGUARD);
        write("a-1.conf", OPENVPN);
        write("a-0.conf", &OPENVPN.replace("42.42", "42.41"));
        write("notes.txt", "nonsense [");
        fs::create_dir(folder.path().join("old.conf")).unwrap();
        let found = read(&[folder.path().join("b.conf"), folder.path().to_owned()]).unwrap();
        let texts: Vec<_> =
            found.networks.iter().map(|n| format!("{} {} {}", n.network, n.gateway, n.line)).collect();
        assert_eq!(
            texts,
            [
                "10.43.0.0/24 10.43.0.1 3",
                "10.42.41.0/24 10.42.41.1 2",
                "10.42.42.0/24 10.42.42.1 2",
                "10.43.0.0/24 10.43.0.1 3"
            ]
        );
        assert_eq!(found.networks[1].file, folder.path().join("a-0.conf"));
        assert!(found.warnings.is_empty());
    }

    #[test]
    fn what_gives_no_network_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&[folder.path()]).unwrap().warnings[0].to_string().contains("no file named *.conf"));
        fs::write(folder.path().join("c.conf"), b"client\n# caf\xe9\n").unwrap();
        fs::write(folder.path().join("d.conf"), "[Interface]\nAddress = 10.1.2.3\n").unwrap();
        let found = read(&[folder.path()]).unwrap();
        assert!(found.networks.is_empty());
        let messages: Vec<_> = found.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "it opens no IPv4 network for clients; leave it out if it is not a server's",
                "line 2: 10.1.2.3/32 has no room for clients"
            ]
        );
    }

    #[test]
    fn a_file_that_is_wrong_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.conf");
        fs::write(&file, "port 1194\nserver 10.8.0.0\n").unwrap();
        let error = read(&[folder.path()]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2:1: server wants", file.display())), "{error}");
        assert!(error.contains("\n2 | server 10.8.0.0\n  | ^^^^^^"), "{error}");
        let gone = read(&[folder.path().join("gone")]).unwrap_err();
        assert!(matches!(gone, EduvpnError::Read { .. }), "{gone}");
    }

    #[test]
    fn lines_know_their_places() {
        let found: Vec<_> = lines("a\r\n\nb").collect();
        assert_eq!(found, [(1, 0, "a"), (2, 3, ""), (3, 4, "b")]);
    }
}
