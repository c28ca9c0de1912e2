//! Processes that are killed, and disks that are full.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::state::frame::Kind;
use crate::state::keeper::path;

/// Where a process that one of these tests starts has its state.
const DIRECTORY: &str = "UNMASQ_TEST_STATE";
/// How often that process was killed before.
const KILLS: &str = "UNMASQ_TEST_KILLS";
const ENTRIES: u64 = 15_000;
/// Commits by which a process that is to be killed may outrun the signal: on a busy machine, it would have finished before
/// the thread that sends it runs.
const LEAD: u64 = 300;

/// Another process of this test program, in which that test runs.
fn start(test: &str, directory: &Path, kills: u64) -> Child {
    let program = std::env::current_exe().expect("a test has a program");
    // Writing beyond the limit of a file's size is an error then, and not the end.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$@""#, "sh"]).arg(program);
    command.args(["--exact", "--ignored", "--nocapture", &format!("state::tests::crash::{test}")]);
    command
        .env(DIRECTORY, directory)
        .env(KILLS, kills.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().expect("the process starts")
}

fn directory() -> std::path::PathBuf {
    std::env::var_os(DIRECTORY).expect("started by another test").into()
}

fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).expect("somebody reads");
}

#[test]
#[ignore = "the process that the next test starts, and that is killed over and over"]
fn victim() {
    let kills: u64 = std::env::var(KILLS).expect("started by another test").parse().expect("a number");
    let mut run = Run::open(&directory());
    let committed = Arc::new(AtomicU64::new(0));
    // The signal comes some time after so many commits, whatever the other threads are doing then.
    let (seen, wanted) = (committed.clone(), scatter(kills) % 40);
    std::thread::spawn(move || {
        while seen.load(Ordering::Relaxed) < wanted {
            std::hint::spin_loop();
        }
        for _ in 0..scatter(kills + 1000) % 20_000 {
            std::hint::spin_loop();
        }
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
    });
    run.go(ENTRIES, || {
        if committed.fetch_add(1, Ordering::Relaxed) >= wanted + LEAD {
            loop {
                std::thread::park();
            }
        }
    });
    say("finished");
    // The end of the process is as sudden as a signal.
    std::process::exit(0);
}

#[test]
fn killed_at_any_moment_each_entry_takes_effect_once() {
    let unbroken = tempfile::tempdir().unwrap();
    let mut run = Run::open(unbroken.path());
    run.go(ENTRIES, || ());
    let expected = run.digest();
    assert!(expected.contains("Ban {") && expected.contains("Capture {"), "something happens");

    let directory = tempfile::tempdir().unwrap();
    let mut kills = 0;
    loop {
        let out = start("victim", directory.path(), kills).wait_with_output().unwrap();
        if String::from_utf8_lossy(&out.stdout).contains("finished") {
            break;
        }
        kills += 1;
        assert!(kills < 500, "it does not get on");
    }
    assert!(kills > 5, "{kills}");
    let found = Run::open(directory.path()).digest();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "after {kills} kills");
    }
}

/// From now on no file of this process gets longer.
fn limit(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).expect("the limit is set");
}

#[test]
#[ignore = "the process that the next tests start"]
fn full_disk() {
    let (directory, now) = (directory(), Timestamp::from_seconds(1000));
    let is_long = directory.ends_with("long");
    let (mut state, _) = State::open(&directory, Limits::default()).expect("the state opens");
    state.bind_categories(&["sshd"]);
    let mut raised = 0;
    let mut raise = |state: &mut State| {
        raised += 1;
        assert_eq!(state.raise(SSHD, &Key::text("192.0.2.7"), None, now), raised);
    };
    raise(&mut state);
    state.commit(&[("entries", 1u64)], []).expect("there is room");
    let length = fs::metadata(path(&directory, Kind::Log, 1)).expect("there is a log").len();
    limit(Some(length + 10));
    for n in 2..20u64 {
        raise(&mut state);
        if is_long {
            state.wait_added(n, &"x".repeat(2 << 20), now).expect("it is held");
        }
        let error = state.commit(&[("entries", n)], []).expect_err("there is no room");
        assert!(matches!(error, StateError::Io { .. } | StateError::Unsaved { .. }), "{error}");
        say(&error.to_string());
    }
    limit(None);
    raise(&mut state);
    // The next attempt may be some time off.
    while state.commit(&[("entries", 20u64)], []).is_err() {
        std::thread::yield_now();
    }
    raise(&mut state);
    state.commit(&[("entries", 21u64)], []).expect("there is room again");
    say("done");
    std::process::abort();
}

fn a_full_disk_loses_nothing(name: &str) -> String {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join(name);
    let out = start("full_disk", &directory, 0).wait_with_output().expect("it ends");
    let said = String::from_utf8(out.stdout).expect("text");
    assert!(said.trim_end().ends_with("done"), "{said}");
    let (mut state, recovered) = State::open(&directory, Limits::default()).expect("the state opens");
    assert_eq!(recovered.position::<u64>("entries").expect("it is read"), Some(21));
    state.bind_categories(&["sshd"]);
    assert_eq!(state.raise(SSHD, &Key::text("192.0.2.7"), None, Timestamp::from_seconds(1000)), 22);
    said
}

#[test]
fn a_full_disk_is_told_and_what_happened_meanwhile_is_saved_later() {
    let said = a_full_disk_loses_nothing("short");
    assert!(said.contains("cannot write the log: "), "{said}");
}

#[test]
fn a_disk_that_stays_full_gets_a_snapshot_instead() {
    let said = a_full_disk_loses_nothing("long");
    assert!(said.contains("cannot write the snapshot: "), "{said}");
    assert!(said.contains("will be tried again"), "{said}");
}
