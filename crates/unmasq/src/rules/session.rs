//! From which connection does a command come? A test of rules is worth something only if it is confirmed from one that was made
//! under them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// How far up a family of processes is followed.
const MOST_ANCESTORS: usize = 64;

/// The session that a process belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The kernel's session id; 0 if its leader is outside of this PID namespace (a container that was entered): such
    /// sessions cannot be told apart, and count as one.
    id: Option<i32>,
    /// `SSH_CONNECTION` of it or of an ancestor (sudo drops it): client, port, server, port.
    ssh: Option<String>,
    /// When the connection began, by the SSH server's process for it or else its oldest one, in nanoseconds of the boot clock.
    began: Option<u64>,
}

impl Session {
    /// Of a process.
    pub(crate) fn of(pid: Pid) -> Self {
        let family: Vec<Process> =
            std::iter::successors(Process::read(pid.as_raw_nonzero().get()), Process::parent)
                .take(MOST_ANCESTORS)
                .collect();
        let known = family.iter().map(|process| (process, process.ssh_connection())).collect();
        Self::of_family(known)
    }

    /// Of a process and its ancestors, each with the `SSH_CONNECTION` of its environment.
    fn of_family(family: Vec<(&Process, Option<String>)>) -> Self {
        let id = family.first().map(|(process, _)| process.session);
        let server = family.iter().find(|(process, _)| process.name.starts_with("sshd"));
        // Another server than OpenSSH's has no name to go by, nor has one that a tmux was left behind by: then the connection is at
        // least as old as the oldest process that knows of it.
        let oldest = family.iter().rfind(|(_, ssh)| ssh.is_some());
        let began = server.or(oldest).map(|(process, _)| process.began);
        Self { id, ssh: family.into_iter().find_map(|(_, ssh)| ssh), began }
    }

    /// Why a confirmation from here is worth nothing for a test that `tester` began, whose rules were loaded at `loaded`
    /// (nanoseconds of the boot clock); `None` if it is good.
    pub(crate) fn objection(&self, tester: &Self, loaded: u64) -> Option<String> {
        let is_same_connection = self.ssh.is_some() && self.ssh == tester.ssh;
        if is_same_connection || (self.id.is_some() && self.id == tester.id) {
            return Some(
                "this is the session that the test was started in, and it proves nothing: open a new connection, and confirm \
                 there"
                    .to_owned(),
            );
        }
        self.began.filter(|began| *began < loaded).map(|_| {
            "this connection is older than the rules under test, and proves nothing: open a new one, and confirm there".to_owned()
        })
    }
}

/// What /proc tells about a process.
struct Process {
    number: i32,
    name: String,
    parent: i32,
    /// The session's id, or 0: see [`Session`].
    session: i32,
    /// In nanoseconds of the boot clock.
    began: u64,
}

impl Process {
    fn read(number: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        Self::parse(number, &stat)
    }

    /// `number (name) state parent group session …`, see proc_pid_stat(5): the name can have spaces and brackets; the 22nd field
    /// is the start. (Not getsid(2): it answers 0 for a leader outside of the namespace, which rustix does not expect.)
    fn parse(number: i32, stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        let a_second = rustix::param::clock_ticks_per_second().max(1);
        Some(Self {
            number,
            name,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            began: ticks * (1_000_000_000 / a_second),
        })
    }

    fn parent(&self) -> Option<Self> {
        (self.parent > 0).then(|| Self::read(self.parent)).flatten()
    }

    fn ssh_connection(&self) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.number)).ok()?;
        let value =
            environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))?;
        Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: i32, ssh: Option<&str>, began: Option<u64>) -> Session {
        Session { id: Some(id), ssh: ssh.map(str::to_owned), began }
    }

    #[test]
    fn only_a_connection_that_is_new_can_confirm() {
        let tester = session(7, Some("192.0.2.1 5000 192.0.2.9 22"), Some(10));
        let can = |session: Session| session.objection(&tester, 100).is_none();
        assert!(!can(tester.clone()), "itself");
        assert!(!can(session(8, tester.ssh.as_deref(), Some(200))), "another session of the same connection");
        assert!(
            !can(session(8, Some("192.0.2.1 5001 192.0.2.9 22"), Some(50))),
            "a connection that was there before"
        );
        assert!(can(session(8, Some("192.0.2.1 5001 192.0.2.9 22"), Some(150))));
        assert!(can(session(8, None, None)), "a console");
        assert!(!can(session(7, None, None)), "the console that it was started at");
    }

    #[test]
    fn a_connection_of_another_server_than_openssh_and_a_tmux_are_as_old_as_their_oldest_process() {
        let process =
            |name: &str, began| Process { number: 1, name: name.to_owned(), parent: 0, session: 9, began };
        let ssh = || Some("192.0.2.1 5000 192.0.2.9 22".to_owned());
        let (unmasq, shell) = (process("unmasq", 300), process("bash", 290));
        let (tmux, init, sshd) = (process("tmux: server", 50), process("systemd", 1), process("sshd", 280));
        let detached =
            Session::of_family(vec![(&unmasq, ssh()), (&shell, ssh()), (&tmux, ssh()), (&init, None)]);
        assert_eq!((detached.began, detached.ssh.is_some()), (Some(50), true));
        let of_openssh = Session::of_family(vec![(&unmasq, None), (&shell, ssh()), (&sshd, None)]);
        assert_eq!(of_openssh.began, Some(280));
        let console = Session::of_family(vec![(&unmasq, None), (&shell, None), (&init, None)]);
        assert_eq!((console.began, console.ssh), (None, None));
    }

    #[test]
    fn a_process_can_have_any_name() {
        let process =
            Process::parse(42, "42 (a) b (c) S 7 1 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0\n").unwrap();
        assert_eq!((process.name.as_str(), process.parent, process.session), ("a) b (c", 7, 3));
        assert_eq!(process.began, 12345 * (1_000_000_000 / rustix::param::clock_ticks_per_second()));
        assert!(Process::parse(1, "1 (x) S 2").is_none());
    }

    #[test]
    fn the_own_process_began_before_now() {
        let own = Process::read(rustix::process::getpid().as_raw_nonzero().get()).unwrap();
        assert!(own.began <= unmasq_rules::live::boot_nanos());
        assert!(Session::of(rustix::process::getpid()).id.is_some());
    }
}
