//! Which program a ruleset is written for.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::program::{self, ProgramError};

/// The language of a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// What ip6tables-restore(8) reads.
    Ip6tables,
    /// What iptables-restore(8) reads.
    Iptables,
    /// What nft(8) reads with `-f`.
    Nft,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Ip6tables, Self::Nft];

    /// Tells it from a file: by its name where that says it (`ip6tables.conf`, `rules.v6`, `main.nft`), else by the text, in
    /// which iptables' tables begin with `*` and end with `COMMIT`, and rules begin with `-A`. Whether such a text is for IPv6
    /// shows in the name alone.
    pub fn of(path: &Path, text: &str) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".nft") || name.starts_with("nft") {
            return Self::Nft;
        }
        if name.contains("ip6tables") || name.contains(".v6") {
            return Self::Ip6tables;
        }
        let is_of_iptables = name.contains("iptables")
            || name.contains(".v4")
            || text
                .lines()
                .any(|line| line.starts_with('*') || line.starts_with("-A ") || line.trim_end() == "COMMIT");
        if is_of_iptables { Self::Iptables } else { Self::Nft }
    }

    /// The word for it, in flags and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ip6tables => "ip6tables",
            Self::Iptables => "iptables",
            Self::Nft => "nft",
        }
    }

    /// The one of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }

    /// Has the kernel try a ruleset in the calling thread's namespace (`nft -c -f`, `iptables-restore --test`). Nothing is
    /// changed.
    pub fn try_out(self, text: &str) -> Result<(), ProgramError> {
        match self {
            Self::Nft => program::run("nft", &["-c", "-f", "-"], text)?,
            Self::Iptables => program::run("iptables-restore", &["--test", "-w", "5"], text)?,
            Self::Ip6tables => program::run("ip6tables-restore", &["--test", "-w", "5"], text)?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_form_and_else_the_text() {
        let of = |name: &str, text: &str| Form::of(Path::new(name), text);
        assert_eq!(of("/etc/nftables.conf", "table inet filter {\n}\n"), Form::Nft);
        assert_eq!(of("/etc/main.nft.new", "# COMMIT\n"), Form::Nft);
        assert_eq!(of("/etc/iptables/rules.v4", ""), Form::Iptables);
        assert_eq!(of("/etc/iptables/rules.v6", ""), Form::Ip6tables);
        assert_eq!(of("/etc/ip6tables.conf.new", "*filter\nCOMMIT\n"), Form::Ip6tables);
        assert_eq!(of("/etc/fw", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), Form::Iptables);
        assert_eq!(of("/etc/fw", "-A INPUT -j DROP\n"), Form::Iptables);
        assert_eq!(of("/etc/fw", "table ip x {\n}\n"), Form::Nft);
    }

    #[test]
    fn the_word_is_the_same_in_flags_and_json() {
        for form in Form::ALL {
            assert_eq!(Form::named(form.word()), Some(form));
            assert_eq!(serde_json::to_value(form).unwrap(), form.word());
        }
        assert_eq!(Form::named("pf"), None);
    }
}
