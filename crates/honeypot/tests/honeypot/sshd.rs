//! A real sshd with Debian's configuration, on a port of its own.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use unmasq_honeypot::hostkey::{HostKey, HostKeys};

/// Ended with its value.
pub(crate) struct Sshd {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// As its files are named here.
const KINDS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

impl Sshd {
    /// Needs root, as its privilege separation does.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // sshd wants the folder that its service makes.
        fs::create_dir_all("/run/sshd").unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut config = format!(
            "ListenAddress 127.0.0.1:{port}\nPidFile none\nMaxStartups 200\nKbdInteractiveAuthentication no\n\
             UsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\n\
             Subsystem sftp /usr/lib/openssh/sftp-server\n"
        );
        for kind in KINDS {
            let file = folder.path().join(kind);
            let status =
                Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status();
            assert!(status.unwrap().success());
            writeln!(config, "HostKey {}", file.display()).unwrap();
        }
        let file = folder.path().join("config");
        fs::write(&file, config).unwrap();
        assert!(Path::new("/usr/sbin/sshd").exists(), "sshd is not installed: run scripts/setup test");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let sshd = Self { address, child, folder };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return sshd;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen");
    }

    /// Its host keys.
    pub(crate) fn keys(&self) -> HostKeys {
        KINDS
            .iter()
            .map(|kind| HostKey::parse(&fs::read_to_string(self.folder.path().join(kind)).unwrap()).unwrap())
            .collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
