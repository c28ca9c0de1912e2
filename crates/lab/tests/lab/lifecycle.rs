//! Labs go as they came, also those of killed runs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use unmasq_lab::{Lab, Running};

fn namespaces_of(id: &str) -> usize {
    let prefix = format!("unmasq-lab-{id}-");
    let entries = fs::read_dir("/run/netns").expect("a lab was made, so the folder exists");
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
}

#[test]
fn a_dropped_lab_leaves_nothing() {
    let lab = Lab::new().unwrap();
    let (id, scratch) = (lab.id().to_owned(), lab.scratch().to_owned());
    let nodes = [lab.node("a").unwrap(), lab.node("b").unwrap()];
    assert!(scratch.is_dir());
    drop(lab);
    assert_eq!(namespaces_of(&id), 2, "a lab lives as long as its nodes");
    drop(nodes);
    assert_eq!(namespaces_of(&id), 0);
    assert!(!scratch.exists());
    assert!(!fs::exists(format!("/run/unmasq-lab/{id}.lock")).unwrap());
}

#[test]
fn two_labs_do_not_touch_each_other() {
    let (one, two) = (Lab::new().unwrap(), Lab::new().unwrap());
    let (_a, _b) = (one.node("same").unwrap(), two.node("same").unwrap());
    Lab::clean().unwrap();
    assert_eq!((namespaces_of(one.id()), namespaces_of(two.id())), (1, 1));
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next() {
    const CHILD: &str = "UNMASQ_LAB_TEST_CHILD";
    const NAME: &str = "lifecycle::a_killed_run_is_cleaned_up_by_the_next";
    if env::var_os(CHILD).is_some() {
        return be_killed();
    }
    // This test again, as the process that makes a lab and waits to be killed.
    let mut killed = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let id = lines.find_map(|line| line.unwrap().split_once("lab is ").map(|(_, id)| id.to_owned())).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Another test's lab may be quicker to remove it; only the result counts. A child that was just starting
    // shares the lock for the moment between leaving its parent's memory and closing its files, so one try
    // may be too early. The lock goes last, while the namespaces have gone already.
    let began = Instant::now();
    while fs::exists(format!("/run/unmasq-lab/{id}.lock")).unwrap() {
        assert!(began.elapsed() < Duration::from_secs(120), "{} namespaces are left", namespaces_of(&id));
        drop(Lab::new().unwrap());
    }
    assert_eq!(namespaces_of(&id), 0);
}

fn be_killed() {
    let lab = Lab::new().unwrap();
    let node = lab.node("left").unwrap();
    // A process inside would keep the namespace alive.
    let _inside =
        Running::start(node.command("sleep").arg("1000").stdout(Stdio::null()).stderr(Stdio::null()))
            .unwrap();
    assert_eq!(namespaces_of(lab.id()), 1);
    println!("\nlab is {}", lab.id());
    thread::sleep(Duration::from_secs(1000));
}
