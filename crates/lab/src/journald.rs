//! A real systemd-journald, apart from the machine's own: in a mount namespace in which its folders, its configuration
//! and the machine's id are files of the lab.
//!
//! Its sockets and journals are seen from outside too, at [`Journald::socket`], [`Journald::syslog`] and
//! [`Journald::directory`]: a folder that is mounted elsewhere is still the same folder.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{guarded, output};
use crate::error::Doing;
use crate::{Lab, LabError, PATIENCE, Running};

const PROGRAM: &str = "/lib/systemd/systemd-journald";

/// Numbers them: each has a folder and a machine id of its own.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// What is mounted where, and then the daemon in place of the shell. `$1` is the folder of its files. Its sockets hold as
/// many datagrams as systemd(1) has them hold; with the kernel's 10, HAProxy, which does not wait, loses lines.
const SCRIPT: &str = "set -e
echo 512 >/proc/sys/net/unix/max_dgram_qlen
mkdir -p /run/systemd/journal /run/log /var/log/journal
mount --bind \"$1/run\" /run/systemd/journal
mount --bind \"$1/volatile\" /run/log
mount --bind \"$1/persistent\" /var/log/journal
mount --bind \"$1/journald.conf\" /etc/systemd/journald.conf
mount --bind \"$1/machine-id\" /etc/machine-id
exec \"$2\"";

/// A running systemd-journald that stores on disk, with no limit of rate. Dropped, it ends; its journals go with the
/// lab.
///
/// ```no_run
/// use unmasq_lab::{Journald, Lab};
///
/// let journald = Journald::start(&Lab::new()?, "")?;
/// journald.send(&[("MESSAGE", b"hello"), ("SYSLOG_IDENTIFIER", b"sshd")])?;
/// assert!(journald.read(&["-o", "cat", "-t", "sshd"])?.contains("hello"));
/// # Ok::<(), unmasq_lab::LabError>(())
/// ```
#[derive(Debug)]
pub struct Journald {
    folder: PathBuf,
    /// 32 hexadecimal digits; in `_MACHINE_ID`, and the name of the folder of the journal.
    machine: String,
    /// None after [`Journald::stop`].
    running: Option<Running>,
    /// Keeps the folder.
    lab: Lab,
}

impl Journald {
    /// Starts it and waits until it is ready. `settings` are further lines of journald.conf(5), such as
    /// `SystemMaxFileSize=512K`. A second one is another machine's, with a machine id of its own.
    ///
    /// # Errors
    ///
    /// Without root, or where systemd is not installed.
    pub fn start(lab: &Lab, settings: &str) -> Result<Self, LabError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = lab.scratch().join(format!("journald-{number}"));
        let machine = format!("{:024x}{number:08x}", u128::from_be_bytes(*b"unmasq-lab-host-") >> 32);
        for name in ["run", "volatile", "persistent"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
        }
        let configuration = format!(
            "[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\n\
             ForwardToSyslog=no\nForwardToWall=no\n{settings}\n"
        );
        for (name, text) in [
            ("journald.conf", configuration.as_str()),
            ("machine-id", &format!("{machine}\n")),
            // Tells the daemon that the disk is there, which systemd tells it otherwise: it stores in /var at once.
            ("run/flushed", ""),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
        }
        let mut journald = Self { folder, machine, running: None, lab: lab.clone() };
        journald.restart()?;
        Ok(journald)
    }

    /// Starts it again after [`Journald::stop`], on the same journals.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.running = None;
        let mut command = guarded("unshare");
        command.args(["--mount", "--net", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        command.arg(&self.folder).arg(PROGRAM);
        let running = Running::start_service(&mut command, self.lab.scratch(), PATIENCE)?;
        self.running = Some(running);
        Ok(())
    }

    /// Ends it. What is sent meanwhile is refused.
    pub fn stop(&mut self) -> Result<(), LabError> {
        match self.running.take() {
            Some(running) => running.stop(PATIENCE).map(drop),
            None => Ok(()),
        }
    }

    /// The native socket, in place of /run/systemd/journal/socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("run/socket")
    }

    /// The socket that is /dev/log elsewhere.
    pub fn syslog(&self) -> PathBuf {
        self.folder.join("run/dev-log")
    }

    /// The folder of its journal files, for `journalctl --directory` and its like. Made with the first entry.
    pub fn directory(&self) -> PathBuf {
        self.folder.join("persistent").join(&self.machine)
    }

    /// Its process, whose mount namespace a program must enter to see these journals as the machine's own
    /// (`nsenter --mount --target PID`).
    ///
    /// # Panics
    ///
    /// After [`Journald::stop`].
    pub fn id(&self) -> u32 {
        self.running.as_ref().expect("journald was stopped").id()
    }

    /// A program that sees these journals and sockets as the machine's own.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = guarded("nsenter");
        command.args(["--mount", "--target", &self.id().to_string(), "--"]).arg(program.as_ref());
        command
    }

    /// Writes an entry by the native protocol. Values may hold any bytes.
    pub fn send(&self, fields: &[(&str, &[u8])]) -> Result<(), LabError> {
        let mut datagram = Vec::new();
        for (name, value) in fields {
            datagram.extend_from_slice(name.as_bytes());
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
            datagram.extend_from_slice(value);
            datagram.push(b'\n');
        }
        let socket = UnixDatagram::unbound().doing(|| "making a socket".into())?;
        let path = self.socket();
        socket.send_to(&datagram, &path).doing(|| format!("writing to {}", path.display())).map(drop)
    }

    /// Returns when all that was sent before has been stored.
    pub fn sync(&self) -> Result<(), LabError> {
        self.journalctl(&["--sync"]).map(drop)
    }

    /// Begins new journal files.
    pub fn rotate(&self) -> Result<(), LabError> {
        self.journalctl(&["--rotate"]).map(drop)
    }

    /// What is stored, after a sync, as `journalctl` with these flags prints it.
    pub fn read(&self, flags: &[&str]) -> Result<String, LabError> {
        self.sync()?;
        self.journalctl(flags)
    }

    /// Runs `journalctl` on these journals.
    pub fn journalctl(&self, flags: &[&str]) -> Result<String, LabError> {
        output(self.command("journalctl").args(["--no-pager", "--quiet"]).args(flags), "")
    }
}
