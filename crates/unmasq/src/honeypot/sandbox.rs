//! What the honeypot forbids itself once everything is open.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use landlock::{ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Whose thread it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Serves clients: reads what strangers send.
    Server,
    /// Writes files and talks to the system's log.
    Writer,
}

/// Forbids the calling thread, and those that it starts, the file system but for these folders (Landlock, since Linux 5.13). A
/// kernel without it is told of, and no reason not to serve: the user and seccomp(2) remain.
pub(super) fn forbid_files(folders: &[PathBuf]) -> anyhow::Result<()> {
    const NEWEST: ABI = ABI::V5;
    let forbid = || -> anyhow::Result<landlock::RestrictionStatus> {
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.create()?;
        for folder in folders {
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(folder)?, AccessFs::from_all(NEWEST)))?;
        }
        Ok(ruleset.restrict_self()?)
    };
    let status = forbid().context("cannot forbid the file system")?;
    if status.ruleset == landlock::RulesetStatus::NotEnforced {
        eprintln!("unmasq: this kernel has no Landlock: the honeypot can see the files that its user can");
    }
    Ok(())
}

/// Calls of every thread: memory, locks, time, its end.
const COMMON: [i64; 24] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
];

/// Calls of threads that serve.
const SERVER: [i64; 15] = [
    libc::SYS_accept4,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ioctl,
    libc::SYS_recvfrom,
    libc::SYS_sched_getaffinity,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_writev,
];

/// Calls of the thread that writes.
const WRITER: [i64; 19] = [
    libc::SYS_connect,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_getsockopt,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_statx,
    libc::SYS_unlinkat,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD: [(Role, &[i64]); 2] = [
    (Role::Server, &[libc::SYS_epoll_wait]),
    (Role::Writer, &[libc::SYS_poll, libc::SYS_rename, libc::SYS_unlink, libc::SYS_stat]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: [(Role, &[i64]); 0] = [];

/// Allows the calling thread these system calls and no others, which are answered with EPERM. None of them starts a program; a
/// thread that serves cannot make a socket, and the one that writes only one of this machine (`AF_UNIX`).
pub(super) fn forbid_calls(role: Role) -> anyhow::Result<()> {
    let of_role: &[i64] = match role {
        Role::Server => &SERVER,
        Role::Writer => &WRITER,
    };
    let old = OLD.iter().filter(|(whose, _)| *whose == role).flat_map(|(_, calls)| *calls);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        COMMON.iter().chain(of_role).chain(old).map(|call| (*call, Vec::new())).collect();
    if role == Role::Writer {
        let is_unix =
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?;
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![is_unix])?]);
    }
    let architecture =
        std::env::consts::ARCH.try_into().context("no seccomp filter for this architecture")?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter: BpfProgram =
        SeccompFilter::new(rules, refuse, SeccompAction::Allow, architecture)?.try_into()?;
    seccompiler::apply_filter(&filter).context("cannot forbid system calls")
}
