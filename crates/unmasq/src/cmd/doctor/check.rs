//! What one check found, and what would mend it.

use std::fmt;

use serde::Serialize;
use unmasq_netfilter::settings::Sysctl;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// The record is weaker for it, or this could not be found out.
    Warn,
    /// Flows are missing from the record, or the answers would be wrong.
    Bad,
}

/// What a check is about; the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Group {
    /// Does the kernel tell us, and when?
    Events,
    /// Is there room?
    Room,
    /// What does the firewall do?
    Firewall,
    /// Is the host ready?
    Host,
}

/// One way to mend something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Load a module. Done by `--fix`.
    Load(&'static str),
    /// Set a kernel setting: by `--fix`, or by `--fix-host` if it is host-wide.
    Set(Sysctl, u64),
    /// Write the settings down for the next boot. Done by `--fix`.
    WriteDown,
    /// A command that is left to people, because it changes what they decided.
    Command(String),
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum By {
    /// `unmasq doctor --fix`.
    #[serde(rename = "--fix")]
    Fix,
    /// `unmasq doctor --fix-host`.
    #[serde(rename = "--fix-host")]
    FixHost,
    /// Whoever reads this.
    #[serde(rename = "hand")]
    Hand,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// A short name that stays the same.
    pub(super) id: &'static str,
    pub(super) group: Group,
    pub(super) verdict: Verdict,
    /// What was read.
    pub(super) read: String,
    /// What that means for a trace; empty if all is well.
    pub(super) why: String,
    /// What would mend it; all of them together.
    pub(super) remedies: Vec<Remedy>,
}

impl Check {
    /// All is well.
    pub(super) fn ok(id: &'static str, group: Group, read: impl Into<String>) -> Self {
        Self { id, group, verdict: Verdict::Ok, read: read.into(), why: String::new(), remedies: Vec::new() }
    }

    /// Something is to be mended.
    pub(super) fn wrong(
        (id, group): (&'static str, Group),
        verdict: Verdict,
        read: impl Into<String>,
        why: impl Into<String>,
        remedies: Vec<Remedy>,
    ) -> Self {
        Self { id, group, verdict, read: read.into(), why: why.into(), remedies }
    }
}

impl Remedy {
    /// Who does it.
    pub(super) fn by(&self) -> By {
        match self {
            Self::Set(setting, _) if setting.is_host_wide() => By::FixHost,
            Self::Load(_) | Self::Set(..) | Self::WriteDown => By::Fix,
            Self::Command(_) => By::Hand,
        }
    }

    /// The command that does it in a namespace (its name; empty for the own one).
    pub(super) fn command(&self, namespace: &str) -> String {
        let inside = |command: String| match namespace {
            "" => command,
            name => format!("ip netns exec {name} {command}"),
        };
        match self {
            Self::Load(module) => format!("modprobe {module}"),
            Self::Set(setting, value) if setting.is_host_wide() => {
                format!("sysctl -w {}={value}", setting.key())
            }
            Self::Set(setting, value) => inside(format!("sysctl -w {}={value}", setting.key())),
            Self::WriteDown => "unmasq doctor --fix".to_owned(),
            Self::Command(command) => command.clone(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Events => "events",
            Self::Room => "room",
            Self::Firewall => "firewall",
            Self::Host => "host",
        })
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fix => "--fix",
            Self::FixHost => "--fix-host",
            Self::Hand => "by hand",
        })
    }
}
