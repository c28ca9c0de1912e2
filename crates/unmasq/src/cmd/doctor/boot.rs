//! What the next boot sets: modules-load.d(5) and sysctl.d(5), and our files among them.
//!
//! Settings of conntrack can be set only once its module is loaded, so both files are needed:
//! `systemd-modules-load.service` runs before `systemd-sysctl.service`. Files of later names win; the host's
//! own (`/etc`) hide shipped ones of the same name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use unmasq_netfilter::settings::Sysctl;

use super::judge::{MODULES, WANTED};

/// Our files, below the root.
const OUR_SYSCTLS: &str = "etc/sysctl.d/60-unmasq.conf";
const OUR_MODULES: &str = "etc/modules-load.d/unmasq.conf";

/// Directories of sysctl.d(5) and modules-load.d(5), the most important first.
const PLACES: [&str; 4] = ["etc", "run", "usr/local/lib", "usr/lib"];

const SYSCTL_HEAD: &str = "\
# What unmasq needs of connection tracking; see `unmasq doctor`.
# Your own lines here are kept. Files with later names override this one.
";
const MODULES_HEAD: &str = "\
# Loaded before sysctl.d is applied, so that the settings in sysctl.d/60-unmasq.conf exist.
";

/// A line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) value: String,
    /// As one would open it.
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
}

/// What the next boot sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Boot {
    /// The line that decides, by name of the setting.
    sysctls: BTreeMap<String, Setting>,
    modules: Vec<String>,
    /// What our own file sets.
    ours: BTreeMap<String, String>,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) path: PathBuf,
    /// What it holds now; `None` if it is not there.
    pub(super) before: Option<String>,
    pub(super) after: String,
}

impl Boot {
    /// Reads the directories below `root` (`/`, but for tests).
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut boot = Self::default();
        for (path, text) in drop_ins(root, "sysctl.d")? {
            for (key, value, line) in assignments(&text) {
                let setting = Setting { value, file: path.display().to_string(), line };
                boot.sysctls.insert(key, setting);
            }
        }
        for (_, text) in drop_ins(root, "modules-load.d")? {
            boot.modules.extend(module_names(&text).map(str::to_owned));
        }
        let ours = read_if_there(&root.join(OUR_SYSCTLS))?.unwrap_or_default();
        boot.ours = assignments(&ours).map(|(key, value, _)| (key, value)).collect();
        Ok(boot)
    }

    /// What should be set and will not be, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let modules = MODULES.iter().filter(|name| !self.modules.iter().any(|m| m == *name));
        let mut missing: Vec<String> = modules.map(|name| format!("module {name}")).collect();
        for (setting, wanted) in WANTED {
            match self.sysctls.get(setting.key()) {
                Some(set) if set.value == wanted.to_string() => {}
                Some(set) => {
                    missing.push(format!("{} ({} in {}:{})", short(setting), set.value, set.file, set.line));
                }
                None => missing.push(short(setting).to_owned()),
            }
        }
        missing
    }

    /// The lines of files with later names than ours that set something else than wanted.
    pub(super) fn overrides(&self) -> impl Iterator<Item = &Setting> {
        let ours = Path::new(OUR_SYSCTLS).file_name();
        let decides = |(setting, _): &(Sysctl, u64)| self.sysctls.get(setting.key());
        WANTED
            .iter()
            .filter_map(move |wanted| decides(wanted).filter(|set| set.value != wanted.1.to_string()))
            .filter(move |set| Path::new(&set.file).file_name() > ours)
    }

    /// Would writing our files change anything?
    pub(super) fn is_ours_incomplete(&self) -> bool {
        WANTED.iter().any(|(setting, wanted)| self.ours.get(setting.key()) != Some(&wanted.to_string()))
            || MODULES.iter().any(|name| !self.modules.iter().any(|m| m == name))
    }
}

/// A setting's last word, which says enough in a list.
fn short(setting: Sysctl) -> &'static str {
    setting.key().rsplit('.').next().unwrap_or(setting.key())
}

/// The edits of our files that make the next boot set these, besides what is always wanted. Empty if they do
/// already.
pub(super) fn edits(root: &Path, more: &[(String, u64)]) -> io::Result<Vec<Edit>> {
    let mut wanted: Vec<(String, u64)> =
        WANTED.iter().map(|(s, value)| (s.key().to_owned(), *value)).collect();
    wanted.extend_from_slice(more);
    let mut edits = Vec::new();
    let path = root.join(OUR_MODULES);
    let before = read_if_there(&path)?;
    let after = with_modules(before.as_deref());
    edits.push(Edit { path, before, after });
    let path = root.join(OUR_SYSCTLS);
    let before = read_if_there(&path)?;
    let after = with_sysctls(before.as_deref(), &wanted);
    edits.push(Edit { path, before, after });
    edits.retain(|edit| edit.before.as_ref() != Some(&edit.after));
    Ok(edits)
}

/// The text with these settings: changed in place where it has them, added at the end where not.
fn with_sysctls(before: Option<&str>, wanted: &[(String, u64)]) -> String {
    let mut lines: Vec<String> = before.unwrap_or(SYSCTL_HEAD).lines().map(str::to_owned).collect();
    let mut missing: Vec<_> = wanted.iter().collect();
    for line in &mut lines {
        let Some((key, value, _)) = assignments(line).next() else { continue };
        let Some((_, number)) = wanted.iter().find(|(name, _)| *name == key) else { continue };
        missing.retain(|(name, _)| *name != key);
        if value != number.to_string() {
            *line = format!("{key} = {number}");
        }
    }
    lines.extend(missing.iter().map(|(key, value)| format!("{key} = {value}")));
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn with_modules(before: Option<&str>) -> String {
    let mut text: String = before.unwrap_or(MODULES_HEAD).lines().flat_map(|line| [line, "\n"]).collect();
    for name in MODULES {
        if !module_names(before.unwrap_or_default()).any(|there| there == name) {
            text.push_str(name);
            text.push('\n');
        }
    }
    text
}

/// The `*.conf` files of a kind in the order in which they are applied, with their texts.
fn drop_ins(root: &Path, kind: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut by_name = BTreeMap::new();
    for place in PLACES {
        let directory = root.join(place).join(kind);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                let name = path.file_name().map(ToOwned::to_owned);
                by_name.entry(name).or_insert(path);
            }
        }
    }
    let mut files = Vec::with_capacity(by_name.len());
    for path in by_name.into_values() {
        // A link that leads nowhere, or to /dev/null, sets nothing.
        if let Some(text) = read_if_there(&path)? {
            files.push((path, text));
        }
    }
    Ok(files)
}

fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The settings of a sysctl.d file: name with dots, value, line from 1.
fn assignments(text: &str) -> impl Iterator<Item = (String, String, usize)> {
    text.lines().enumerate().filter_map(|(nth, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim().trim_start_matches('-').trim();
        // Slashes separate if one comes first (sysctl.d(5)); then a dot is part of an interface's name.
        let is_slashed = key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('/'));
        let swapped = |c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        let key = if is_slashed { key.chars().map(swapped).collect() } else { key.to_owned() };
        Some((key, value.trim().to_owned(), nth + 1))
    })
}

/// The modules of a modules-load.d file.
fn module_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn write(edits: &[Edit]) {
        for edit in edits {
            fs::create_dir_all(edit.path.parent().unwrap()).unwrap();
            fs::write(&edit.path, &edit.after).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_what_the_next_boot_sets_and_nothing_is_left_to_write() {
        let root = root(&[]);
        assert_eq!(Boot::read(root.path()).unwrap().missing().len(), 5);
        let first = edits(root.path(), &[("net.netfilter.nf_conntrack_max".to_owned(), 1 << 20)]).unwrap();
        write(&first);
        let boot = Boot::read(root.path()).unwrap();
        assert!(boot.missing().is_empty() && !boot.is_ours_incomplete(), "{boot:?}");
        assert_eq!(boot.sysctls["net.netfilter.nf_conntrack_max"].value, "1048576");
        assert_eq!(edits(root.path(), &[]).unwrap(), []);
    }

    #[test]
    fn the_administrators_lines_are_kept() {
        let root = root(&[
            (OUR_SYSCTLS, "# mine\nnet.ipv4.ip_forward = 1\nnet/netfilter/nf_conntrack_events=2"),
            (OUR_MODULES, "8021q\nnf_conntrack"),
        ]);
        let edits = edits(root.path(), &[]).unwrap();
        assert_eq!(edits[0].after, "8021q\nnf_conntrack\nnf_conntrack_netlink\n");
        assert_eq!(
            edits[1].after,
            "# mine\nnet.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_events = 1\n\
             net.netfilter.nf_conntrack_timestamp = 1\nnet.netfilter.nf_conntrack_acct = 1\n"
        );
    }

    #[test]
    fn a_later_file_overrides_ours_and_is_named() {
        let root = root(&[
            ("etc/sysctl.d/99-local.conf", "\n-net.netfilter.nf_conntrack_events = 0\n"),
            ("usr/lib/sysctl.d/10-early.conf", "net.netfilter.nf_conntrack_acct = 0\n"),
            // Hidden by the file of the same name in /etc.
            ("usr/lib/sysctl.d/99-local.conf", "net.netfilter.nf_conntrack_timestamp = 0\n"),
        ]);
        write(&edits(root.path(), &[]).unwrap());
        let boot = Boot::read(root.path()).unwrap();
        let file = root.path().join("etc/sysctl.d/99-local.conf").display().to_string();
        assert_eq!(boot.missing(), [format!("nf_conntrack_events (0 in {file}:2)")]);
        assert_eq!(
            boot.overrides().map(|s| (s.file.as_str(), s.line)).collect::<Vec<_>>(),
            [(file.as_str(), 2)]
        );
        assert!(!boot.is_ours_incomplete());
    }

    #[test]
    fn names_are_read_in_both_spellings() {
        let text = "net/ipv4/conf/eth0.7/forwarding = 1\nnet.ipv4.ip_forward=0\n; x\nno sign\n";
        let read: Vec<_> =
            assignments(text).map(|(key, value, line)| format!("{key} {value} {line}")).collect();
        assert_eq!(read, ["net.ipv4.conf.eth0/7.forwarding 1 1", "net.ipv4.ip_forward 0 2"]);
    }
}
