//! A real sshd with Debian's configuration, on a port of its own.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use unmasq_honeypot::hostkey::{HostKey, HostKeys};

/// Ended with its value.
pub(crate) struct Sshd {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// Starting takes some milliseconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// As its files are named here.
const KINDS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

impl Sshd {
    /// Needs root, as its privilege separation does.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // sshd wants the folder that its service makes.
        fs::create_dir_all("/run/sshd").unwrap();
        assert!(Path::new("/usr/sbin/sshd").exists(), "sshd is not installed: run scripts/setup test");
        // Nobody who is slow is sent away: a busy machine is no probe.
        let mut config = "PidFile none\nMaxStartups 200\nLoginGraceTime 0\nKbdInteractiveAuthentication no\n\
             UsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\n\
             Subsystem sftp /usr/lib/openssh/sftp-server\n"
            .to_owned();
        for kind in KINDS {
            let file = folder.path().join(kind);
            let status =
                Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status();
            assert!(status.unwrap().success());
            writeln!(config, "HostKey {}", file.display()).unwrap();
        }
        loop {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let said = folder.path().join("said");
            let mut child = listening(&folder.path().join("config"), &config, address, &said);
            let began = Instant::now();
            loop {
                if fs::read_to_string(&said).unwrap().contains("Server listening on 127.0.0.1") {
                    return Self { address, child, folder };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "sshd does not listen");
                std::thread::sleep(Duration::from_millis(20));
            }
            // Another process has taken the port in the meantime; whatever else is wrong will not be mended by another one.
            let said = fs::read_to_string(&said).unwrap();
            assert!(said.contains("Address already in use"), "{said}");
        }
    }

    /// Its host keys.
    pub(crate) fn keys(&self) -> HostKeys {
        KINDS
            .iter()
            .map(|kind| HostKey::parse(&fs::read_to_string(self.folder.path().join(kind)).unwrap()).unwrap())
            .collect()
    }
}

/// Starts it. What it says goes into a file: only that tells its port from one that another process has.
fn listening(file: &Path, config: &str, address: SocketAddr, said: &Path) -> Child {
    fs::write(file, format!("ListenAddress {address}\n{config}")).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stderr(fs::File::create(said).unwrap())
        .spawn()
        .unwrap()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
