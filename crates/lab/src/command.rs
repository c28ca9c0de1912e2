//! Other programs: run to their end, or in the background until dropped.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::LabError;
use crate::error::Doing;

/// Runs a command to its end, with `input` on its standard input, and returns what it printed.
pub fn output(command: &mut Command, input: &str) -> Result<String, LabError> {
    let failed = |command: &Command, status: String, stderr: &[u8]| LabError::Command {
        command: line(command),
        status,
        stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(command, error.to_string(), b""))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that fails early may not read all of it; its own message is the better one.
        let _ = stdin.write_all(input.as_bytes());
    }
    let finished = child.wait_with_output().map_err(|error| failed(command, error.to_string(), b""))?;
    if !finished.status.success() {
        return Err(failed(command, finished.status.to_string(), &finished.stderr));
    }
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// The command as one would type it, without quoting: for messages.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A command that is killed when the thread that starts it ends, by whatever cause: a killed test leaves no
/// recorder behind.
///
/// setpriv (util-linux) sets the parent-death signal and becomes the program; setting it here would need
/// unsafe code.
pub fn guarded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A program in the background. Dropped, it is asked to end (SIGTERM), and after five seconds made to.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
}

impl Running {
    /// Starts a command, preferably one made by [`guarded`] or [`Node::command`](crate::Node::command).
    pub fn start(command: &mut Command) -> Result<Self, LabError> {
        let text = line(command);
        match command.spawn() {
            Ok(child) => Ok(Self { child, command: text }),
            Err(error) => {
                Err(LabError::Command { command: text, status: error.to_string(), stderr: String::new() })
            }
        }
    }

    /// Starts a service and waits until it says `READY=1`, as to a service manager (`sd_notify(3)`).
    ///
    /// `scratch` is a folder for the socket on which it says so; its path must be shorter than 90 bytes.
    pub fn start_service(
        command: &mut Command,
        scratch: &Path,
        patience: Duration,
    ) -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = scratch.join(format!("notify-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let socket = UnixDatagram::bind(&path).doing(|| format!("binding {}", path.display()))?;
        // As systemd's: a service may have dropped its privileges before it is ready.
        fs::set_permissions(&path, Permissions::from_mode(0o777))
            .doing(|| format!("opening {} to all", path.display()))?;
        // Short, to notice soon a service that has ended in place of becoming ready.
        socket.set_read_timeout(Some(POLL)).doing(|| "setting up a socket".into())?;
        let mut service = Self::start(command.env("NOTIFY_SOCKET", &path))?;
        let (began, mut message) = (Instant::now(), [0; 1024]);
        loop {
            if let Ok(length) = socket.recv(&mut message)
                && String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1")
            {
                return Ok(service);
            }
            if let Some(status) = service.ended()? {
                let status = format!("{status} before it was ready");
                return Err(LabError::Command {
                    command: service.command.clone(),
                    status,
                    stderr: String::new(),
                });
            }
            if began.elapsed() > patience {
                let event = format!("READY=1 of `{}`", service.command);
                return Err(LabError::Timeout { event, after: patience });
            }
        }
    }

    /// Its process id. (setpriv and `ip netns exec` become the program, so it is the program's own.)
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        kill_process(Pid::from_child(&self.child), signal)
            .doing(|| format!("sending {signal:?} to `{}`", self.command))
    }

    /// Has it ended? Returns how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child.try_wait().doing(|| format!("waiting for `{}`", self.command))
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        self.wait(patience)
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, LabError> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if began.elapsed() > patience {
                return Err(LabError::Timeout {
                    event: format!("the end of `{}`", self.command),
                    after: patience,
                });
            }
            std::thread::sleep(POLL);
        }
    }
}

/// How often a child is looked at: waiting for it with a limit has no portable call.
const POLL: Duration = Duration::from_millis(5);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Nothing better can be done about a refusal than to go on and kill it.
        let _ = self.signal(Signal::TERM);
        if self.wait(Duration::from_secs(5)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]), "").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("no such thing") && text.contains('3'), "{text}");
        assert!(output(&mut Command::new("/nonexistent/program"), "").is_err());
    }

    #[test]
    fn input_goes_in_and_output_comes_back() {
        assert_eq!(output(&mut Command::new("cat"), "as it was").unwrap(), "as it was");
    }

    #[test]
    fn a_service_that_ends_is_not_waited_for() {
        let lab = crate::Lab::new().unwrap();
        let mut command = Command::new("false");
        let error = Running::start_service(&mut command, lab.scratch(), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("before it was ready"), "{error}");
    }

    #[test]
    fn a_service_is_ready_when_it_says_so() {
        let lab = crate::Lab::new().unwrap();
        let say = "import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
s.send(b'STATUS=starting')
s.send(b'STATUS=well\\nREADY=1')
time.sleep(1000)";
        let mut command = guarded("python3");
        let service = Running::start_service(command.args(["-c", say]), lab.scratch(), PATIENCE);
        assert!(service.unwrap().ended().unwrap().is_none());
    }

    #[test]
    fn a_dropped_program_has_ended() {
        let running = Running::start(guarded("sleep").arg("1000")).unwrap();
        let id = running.id();
        drop(running);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
