//! The programs of the demo, by their command lines: sshd, ssh, hydra, and unmasq.

use std::error::Error;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use unmasq_lab::{Node, PATIENCE, Running};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A real sshd on a server. Nothing of ours is there.
pub(crate) struct Sshd {
    log: PathBuf,
    _process: Running,
}

impl Sshd {
    /// Starts it with a host key of its own; who has the user's key may log in.
    pub(crate) fn start(server: &Node, name: &str, user_key: &Path) -> Result<Self> {
        let scratch = server.lab().scratch();
        let (key, config, log) =
            (scratch.join(name), scratch.join(format!("{name}.conf")), scratch.join(format!("{name}.log")));
        keygen(&key)?;
        let authorized = user_key.with_extension("pub");
        fs::write(
            &config,
            format!(
                "ListenAddress 0.0.0.0:22\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
                 PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM no\n\
                 UseDNS no\nLogLevel VERBOSE\nMaxStartups 100\n",
                key.display(),
                authorized.display()
            ),
        )?;
        // sshd wants the folder that its service makes.
        fs::create_dir_all("/run/sshd")?;
        let output = File::create(&log)?;
        let mut command = server.command("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stderr(output);
        let process = Running::start(&mut command)?;
        let sshd = Self { log, _process: process };
        wait("sshd to listen", || Ok(sshd.lines()?.iter().any(|line| line.contains("Server listening"))))?;
        Ok(sshd)
    }

    /// What it has logged.
    fn lines(&self) -> Result<Vec<String>> {
        Ok(fs::read_to_string(&self.log)?.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Lines that begin so.
    pub(crate) fn told(&self, beginning: &str) -> Result<Vec<String>> {
        Ok(self.lines()?.into_iter().filter(|line| line.starts_with(beginning)).collect())
    }
}

/// Makes a key pair.
pub(crate) fn keygen(path: &Path) -> Result<()> {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("ssh-keygen ends with {status}").into()) }
}

/// Logs in with OpenSSH and a key, and says what the other side answers.
pub(crate) fn log_in(from: &Node, key: &Path, server: Ipv4Addr) -> Result<String> {
    let mut command = from.command("ssh");
    // Whatever this machine's own configuration of ssh says.
    command.args(["-F", "none", "-i"]).arg(key).args([
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oLogLevel=ERROR",
        "-oIdentitiesOnly=yes",
        "-oConnectTimeout=60",
    ]);
    let output = command.arg(format!("root@{server}")).arg("echo I am the real one").output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("ssh to {server} ends with {}: {told}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Tries each user name with each password. hydra is a libssh client, as most brute-forcers are.
pub(crate) fn hydra(from: &Node, users: &Path, passwords: &Path, server: Ipv4Addr) -> Result<()> {
    let mut command = from.command("hydra");
    command.args(["-I", "-t", "4", "-L"]).arg(users).arg("-P").arg(passwords).arg(format!("ssh://{server}"));
    // It leaves a file to resume from where it stands.
    let output = command.current_dir(from.lab().scratch()).stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if told.contains("0 valid password") {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("hydra ends with {}:\n{told}{complaint}", output.status).into())
}

/// `unmasq` on the gateway.
pub(crate) struct Unmasq<'a> {
    pub(crate) program: &'a Path,
    pub(crate) gateway: &'a Node,
}

impl Unmasq<'_> {
    /// Prints a ready ruleset and loads it.
    pub(crate) fn load_piece(&self, words: &[&str]) -> Result<()> {
        let output = Command::new(self.program).args(["rules", "piece"]).args(words).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(self.gateway.nft(&String::from_utf8_lossy(&output.stdout))?)
    }

    /// Starts it in the background.
    pub(crate) fn start(&self, name: &str, words: &[&str]) -> Result<Running> {
        Ok(Running::start(&mut self.command(name, words)?)?)
    }

    /// The same, and waits until it says that it is ready.
    pub(crate) fn start_service(&self, name: &str, words: &[&str]) -> Result<Running> {
        let mut command = self.command(name, words)?;
        let started = Running::start_service(&mut command, self.gateway.lab().scratch(), PATIENCE);
        Ok(started.map_err(|error| {
            format!("{error}\n{}", fs::read_to_string(self.log(name)).unwrap_or_default())
        })?)
    }

    fn command(&self, name: &str, words: &[&str]) -> Result<Command> {
        let output = File::create(self.log(name))?;
        let mut command = self.gateway.command(&self.program.to_string_lossy());
        command.args(words).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.gateway.lab().scratch().join(format!("{name}.log"))
    }

    /// Runs it to its end, and says what it printed.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = self.gateway.command(&self.program.to_string_lossy());
        let output = command.args(words).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("unmasq {} ends with {}: {told}", words.join(" "), output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Attempts in the honeypot's file: whole lines of passwords.
pub(crate) fn attempts(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines: Vec<Value> = whole.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line["event"] == "password").collect())
}

/// Waits until something is so.
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} for {what}, in vain").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
