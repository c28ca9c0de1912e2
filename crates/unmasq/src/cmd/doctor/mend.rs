//! Plans the changes, shows them, and makes them.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::settings::Sysctl;

use super::boot::{self, Edit};
use super::check::{By, Check, Remedy};

/// What is to be changed, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) edits: Vec<Edit>,
}

/// One change of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Load(&'static str),
    Set(Sysctl, u64),
}

/// What a plan may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach<'a> {
    /// Host-wide settings, too.
    pub(super) host: bool,
    /// Where the next boot's files are; `None` for a namespace that no boot makes.
    pub(super) root: Option<&'a Path>,
}

impl Plan {
    /// What mends these checks, as far as it may.
    pub(super) fn of(checks: &[Check], reach: Reach<'_>) -> Result<Self> {
        let mut plan = Self::default();
        for remedy in checks.iter().flat_map(|check| &check.remedies) {
            match (remedy, remedy.by()) {
                (_, By::FixHost) if !reach.host => {}
                (Remedy::Load(name), _) => plan.steps.push(Step::Load(name)),
                (Remedy::Set(setting, value), _) => plan.steps.push(Step::Set(*setting, *value)),
                (Remedy::WriteDown | Remedy::Command(_), _) => {}
            }
        }
        // Modules first: the settings appear with them.
        plan.steps.sort_by_key(|step| matches!(step, Step::Set(..)));
        if let Some(root) = reach.root {
            let host_wide = plan.steps.iter().filter_map(|step| match step {
                Step::Set(setting, value) if setting.is_host_wide() => {
                    Some((setting.key().to_owned(), *value))
                }
                Step::Set(..) | Step::Load(_) => None,
            });
            let host_wide: Vec<_> = host_wide.collect();
            plan.edits = boot::edits(root, &host_wide).context("cannot read what the next boot sets")?;
        }
        Ok(plan)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.edits.is_empty()
    }

    /// Makes the changes; what is host-wide, in the own namespace. The first failure ends it.
    pub(super) fn apply(&self, namespace: &Namespace) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Load(module) => load(module)?,
                Step::Set(setting, value) => {
                    let own = Namespace::current();
                    let place = if setting.is_host_wide() { &own } else { namespace };
                    place
                        .run(|| setting.write(*value))?
                        .with_context(|| format!("cannot set {} to {value}", setting.key()))?;
                }
            }
        }
        for edit in &self.edits {
            replace(&edit.path, &edit.after)
                .with_context(|| format!("cannot write {}", edit.path.display()))?;
        }
        Ok(())
    }
}

impl Step {
    /// As it would be typed.
    pub(super) fn command(&self, namespace: &str) -> String {
        match self {
            Self::Load(module) => Remedy::Load(module).command(namespace),
            Self::Set(setting, value) => Remedy::Set(*setting, *value).command(namespace),
        }
    }
}

/// The lines that an edit takes out (`-`) and puts in (`+`), with those around them. Our edits change lines
/// where they stand and add lines at the end, so lines are compared by number.
pub(super) fn diff(edit: &Edit) -> String {
    let before: Vec<&str> = edit.before.as_deref().unwrap_or_default().lines().collect();
    let after: Vec<&str> = edit.after.lines().collect();
    let mut text = String::new();
    for nth in 0..before.len().max(after.len()) {
        // Writing to a String cannot fail.
        let _ = match (before.get(nth), after.get(nth)) {
            (Some(old), Some(new)) if old == new => writeln!(text, "  {old}"),
            (Some(old), Some(new)) => writeln!(text, "- {old}\n+ {new}"),
            (Some(old), None) => writeln!(text, "- {old}"),
            (None, Some(new)) => writeln!(text, "+ {new}"),
            (None, None) => Ok(()),
        };
    }
    text
}

fn load(module: &str) -> Result<()> {
    let mut last = None;
    for place in ["", "/usr/sbin/", "/sbin/"] {
        match Command::new(format!("{place}modprobe")).arg(module).stdin(Stdio::null()).output() {
            Err(error) => last = Some(error),
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => bail!("modprobe {module}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
        .with_context(|| format!("cannot load {module}: modprobe is not installed (apt-get install kmod)"))
}

/// Writes a file whole or not at all: a new one beside it, synced, then renamed over it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    // The name does not end in .conf, so that a boot never reads a leftover.
    let beside = path.with_extension(format!("unmasq-{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // What matters is the first failure; a leftover is only litter.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::check::{Group, Verdict};

    fn checks(remedies: &[Remedy]) -> Vec<Check> {
        let place = ("x", Group::Events);
        remedies.iter().map(|r| Check::wrong(place, Verdict::Bad, "", "", vec![r.clone()])).collect()
    }

    #[test]
    fn a_plan_loads_before_it_sets_and_leaves_the_host_alone_unless_told() {
        let checks = checks(&[
            Remedy::Set(Sysctl::Events, 1),
            Remedy::Set(Sysctl::Max, 1 << 20),
            Remedy::Load("nf_conntrack"),
            Remedy::Command("rm".to_owned()),
        ]);
        let steps = |host| {
            let plan = Plan::of(&checks, Reach { host, root: None }).unwrap();
            plan.steps.iter().map(|step| step.command("vpn0")).collect::<Vec<_>>()
        };
        let without =
            ["modprobe nf_conntrack", "ip netns exec vpn0 sysctl -w net.netfilter.nf_conntrack_events=1"];
        assert_eq!(steps(false), without);
        assert_eq!(steps(true)[..2], without);
        assert_eq!(steps(true)[2], "sysctl -w net.netfilter.nf_conntrack_max=1048576");
    }

    #[test]
    fn what_is_set_for_the_host_is_written_down_too() {
        let root = tempfile::tempdir().unwrap();
        let checks = checks(&[Remedy::Set(Sysctl::Max, 1 << 20)]);
        let plan = Plan::of(&checks, Reach { host: true, root: Some(root.path()) }).unwrap();
        assert!(diff(&plan.edits[1]).contains("+ net.netfilter.nf_conntrack_max = 1048576\n"));
    }

    #[test]
    fn a_diff_shows_what_changes() {
        let edit =
            Edit { path: "x".into(), before: Some("a\nb\n".to_owned()), after: "a\nc\nd\n".to_owned() };
        assert_eq!(diff(&edit), "  a\n- b\n+ c\n+ d\n");
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/60-unmasq.conf");
        for text in ["one\n", "two\n"] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
