//! The chain that diverts SSH clients by their software: what `unmasq watch divert` and `unmasq compat dom` run.
//!
//! ```text
//!  ssh event ──► has a client's software? ──► does it match? ──► into the set ──► told, the first time
//! ```
//!
//! It is a configuration as a user could write it, and the engine is that of every watch.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use unmasq_netfilter::ipset;
use unmasq_netfilter::sets::{Family, SetId};
use unmasq_watch::enforce::SetName;
use unmasq_watch::journal_log::Level;

/// Lines of EVE files without this have no client's software.
pub(crate) const CONTAINING: &str = "software_version";

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// An EVE file that is followed.
    File { path: PathBuf, from_start: bool },
    /// A sensor at a group of logged packets.
    Nflog { group: u16, ports: Vec<u16> },
    /// A sensor at an interface.
    Interface { name: String, ports: Vec<u16> },
}

/// The sets that clients are put into, of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sets {
    /// Of nftables.
    Nft { ipv4: SetId, ipv6: SetId },
    /// ipsets.
    Ipset { ipv4: ipset::Name, ipv6: ipset::Name },
}

impl Sets {
    /// Of nftables. Without a set for IPv6 it is the one that `unmasq rules piece divert-ssh` has: of the table of the same name where a
    /// table has one family, else with a 6 behind its name.
    pub(crate) fn nft(ipv4: &SetId, ipv6: Option<&SetId>) -> anyhow::Result<Self> {
        let ipv6 = match (ipv6, ipv4.family()) {
            (Some(ipv6), _) => ipv6.clone(),
            (None, Family::Ip) => SetId::new(Family::Ip6, ipv4.table(), ipv4.set())?,
            (None, family) => SetId::new(family, ipv4.table(), &format!("{}6", ipv4.set()))?,
        };
        Ok(Self::Nft { ipv4: ipv4.clone(), ipv6 })
    }

    /// ipsets. Without one for IPv6 it has a 6 behind its name.
    pub(crate) fn ipset(ipv4: &ipset::Name, ipv6: Option<&ipset::Name>) -> anyhow::Result<Self> {
        let ipv6 = ipv6.map_or_else(|| format!("{ipv4}6").parse(), |ipv6| Ok(ipv6.clone()))?;
        Ok(Self::Ipset { ipv4: ipv4.clone(), ipv6 })
    }

    /// A set of either kind, and the one for IPv6 that goes with it.
    pub(crate) fn with(set: &SetName) -> anyhow::Result<Self> {
        match set {
            SetName::Nft(ipv4) => Self::nft(ipv4, None),
            SetName::Ipset(ipv4) => Self::ipset(ipv4, None),
        }
    }

    /// The one for an address.
    pub(crate) fn of(&self, address: IpAddr) -> SetName {
        match (self, address) {
            (Self::Nft { ipv4, .. }, IpAddr::V4(_)) => SetName::Nft(ipv4.clone()),
            (Self::Nft { ipv6, .. }, IpAddr::V6(_)) => SetName::Nft(ipv6.clone()),
            (Self::Ipset { ipv4, .. }, IpAddr::V4(_)) => SetName::Ipset(ipv4.clone()),
            (Self::Ipset { ipv6, .. }, IpAddr::V6(_)) => SetName::Ipset(ipv6.clone()),
        }
    }

    fn action(&self) -> (&'static str, String) {
        match self {
            Self::Nft { ipv4, ipv6 } => {
                let [ipv4, ipv6] = [ipv4, ipv6].map(|set| quoted(&set.to_string()));
                ("action_nftBan", format!("nftSetIPv4 = {ipv4}, nftSetIPv6 = {ipv6}"))
            }
            Self::Ipset { ipv4, ipv6 } => {
                let [ipv4, ipv6] = [ipv4, ipv6].map(|set| quoted(&set.to_string()));
                ("action_ipsetBan", format!("ipSetIPv4 = {ipv4}, ipSetIPv6 = {ipv6}"))
            }
        }
    }
}

/// What is diverted, where to, and how it is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Divert {
    pub(crate) events: Events,
    pub(crate) sets: Sets,
    /// A regular expression that is searched for in the client's software version.
    pub(crate) pattern: String,
    /// Those are diverted that do not match.
    pub(crate) is_inverted: bool,
    /// How long; `None`: for ever.
    pub(crate) timeout: Option<Duration>,
    /// Never diverted.
    pub(crate) allow: Vec<String>,
    /// Addresses that stand for others, likewise.
    pub(crate) masking: Vec<String>,
    /// Bits of an IPv6 address that are diverted together.
    pub(crate) prefix6: u8,
    pub(crate) storage: PathBuf,
    pub(crate) control: PathBuf,
    pub(crate) log: Told,
}

/// Where it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) identifier: &'static str,
    /// The journal or syslog, if there is no file; else standard error.
    pub(crate) is_journal: bool,
    pub(crate) file: Option<PathBuf>,
    pub(crate) level: Level,
}

impl Divert {
    /// The configuration, in TOML.
    pub(crate) fn configuration(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (source, event) = match &self.events {
            Events::File { path, from_start } => {
                let path = quoted(&path.to_string_lossy());
                let from = if *from_start { ", from_start = true" } else { "" };
                let containing = quoted(CONTAINING);
                (format!("{{ file = {path}, format = \"json\", containing = {containing}{from} }}"), "ssh")
            }
            Events::Nflog { group, ports } => {
                (format!("{{ sensor = {{ nflog = {group}{} }} }}", listed(ports)), "ssh_client")
            }
            Events::Interface { name, ports } => {
                let name = quoted(name);
                (format!("{{ sensor = {{ interface = {name}{} }} }}", listed(ports)), "ssh_client")
            }
        };
        writeln!(text, "sources = [{source}]\nstorage = {}", quoted(&self.storage.to_string_lossy()))?;
        writeln!(text, "\n[control]\nsocket = {}", quoted(&self.control.to_string_lossy()))?;
        let Told { identifier, is_journal, file, level } = &self.log;
        writeln!(text, "\n[log]\nidentifier = {}\njournal = {is_journal}", quoted(identifier))?;
        if let Some(file) = file {
            writeln!(text, "file = {}", quoted(&file.to_string_lossy()))?;
        }
        if let Some((name, _)) = Level::NAMES.iter().find(|(_, known)| known == level) {
            writeln!(text, "level = {}", quoted(name))?;
        }
        writeln!(text, "\n[guard]\nallow = {}\nmasking = {}", list(&self.allow), list(&self.masking))?;
        writeln!(text, "\n[ban.prefix]\nipv6 = {}", self.prefix6)?;

        let mut step = |kind: &str, name: &str, args: &str, way: &str| {
            writeln!(
                text,
                "\n[[actions.\"SSH clients\"]]\n{kind} = {}\nargs = {{ {args} }}{way}",
                quoted(name)
            )
        };
        step("filter", "filter_equals", &format!("field = \"event_type\", value = {}", quoted(event)), "")?;
        // A client whose software is not known matches nothing, nor does it fail to match.
        let known = "field = \"ssh.client.software_version\", re = '(?s)(.+)', save = [\"software\"]";
        step("filter", "filter_pcre", known, "")?;
        let pattern = format!("field = \"software\", re = {}", quoted(&self.pattern));
        let way = if self.is_inverted {
            "\nthen = \"Not diverted\"\nelse = \"Diverted\""
        } else {
            "\nthen = \"Diverted\""
        };
        step("filter", "filter_pcre", &pattern, way)?;
        if self.is_inverted {
            writeln!(text, "\n[[actions.\"Not diverted\"]]\naction = \"action_noop\"")?;
        }
        let mut step = |kind: &str, name: &str, args: &str| {
            writeln!(text, "\n[[actions.\"Diverted\"]]\n{kind} = {}\nargs = {{ {args} }}", quoted(name))
        };
        let (ban, sets) = self.sets.action();
        let seconds = |key: &str| match self.timeout {
            Some(timeout) => format!(", {key} = {}", timeout.as_secs()),
            None => String::new(),
        };
        step("action", ban, &format!("IP = \"src_ip\", {sets}{}", seconds("banSeconds")))?;
        // Each further connection of one that is diverted already is nothing new.
        let counter = "counter = \"diverted\", for = \"src_ip\", save = \"times\"";
        step("action", "action_counterRaise", &format!("{counter}{}", seconds("keepSeconds")))?;
        step("filter", "filter_equals", "field = \"times\", value = 1")?;
        step(
            "action",
            "action_log",
            "level = \"INFO\", message = \"{src_ip} is diverted: its SSH client is {software}\"",
        )
    }
}

/// Ports of a sensor, with a comma before.
fn listed(ports: &[u16]) -> String {
    if ports.is_empty() { String::new() } else { format!(", ports = {ports:?}") }
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A text as TOML has it: as it is in single quotes, where it can be.
fn quoted(text: &str) -> String {
    let is_literal = text.contains(['\\', '"']) && !text.contains('\'') && !text.contains(char::is_control);
    if is_literal {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::build::{Origin, Plan};

    fn divert() -> Divert {
        Divert {
            events: Events::File { path: "/var/log/suricata/eve.json".into(), from_start: true },
            sets: Sets::nft(&"inet filter honeypot".parse().unwrap(), None).unwrap(),
            pattern: "libssh".into(),
            is_inverted: false,
            timeout: Some(Duration::from_secs(86_400)),
            allow: vec!["192.0.2.0/24".into(), "admin.example.org".into()],
            masking: vec!["198.51.100.1".into()],
            prefix6: 128,
            storage: "/var/lib/unmasq/divert".into(),
            control: "/run/unmasq/divert.sock".into(),
            log: Told { identifier: "unmasq", is_journal: true, file: None, level: Level::Info },
        }
    }

    fn compiles(divert: &Divert) {
        let text = divert.configuration();
        let plan = Plan::of(&Origin::Made { name: "divert.toml".into(), text: text.clone() });
        let plan = plan.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(plan.warnings.is_empty(), "{}\n{text}", plan.loaded.show(plan.warnings.clone()));
    }

    #[test]
    fn each_form_is_a_configuration_without_a_warning() {
        compiles(&divert());
        compiles(&Divert { is_inverted: true, timeout: None, allow: Vec::new(), ..divert() });
        let sets = Sets::ipset(&"honeypot".parse().unwrap(), None).unwrap();
        compiles(&Divert { sets, ..divert() });
        let file = Some("/var/log/it's \"here\"\\.log".into());
        compiles(&Divert {
            log: Told { identifier: "DOM", is_journal: false, file, level: Level::Err },
            ..divert()
        });
        for events in [
            Events::Nflog { group: 5, ports: Vec::new() },
            Events::Nflog { group: 5, ports: vec![22, 2222] },
            Events::Interface { name: "eth0".into(), ports: vec![22] },
        ] {
            compiles(&Divert { events, ..divert() });
        }
    }

    #[test]
    fn any_pattern_is_written_so_that_it_is_read_as_it_was() {
        for pattern in [r"^lib\.ssh", r#"a"b"#, r#"a'b\"c"#, "a'b", "tab\there", "é\u{7f}"] {
            let text = format!("a = {}", quoted(pattern));
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(pattern), "{text}");
        }
    }

    #[test]
    fn the_set_beside_is_of_the_other_family() {
        for (ipv4, ipv6) in [
            ("filter Sofitel", "ip6 filter Sofitel"),
            ("ip nat libssh", "ip6 nat libssh"),
            ("inet filter honeypot", "inet filter honeypot6"),
        ] {
            let sets = Sets::nft(&ipv4.parse().unwrap(), None).unwrap();
            let (ipv4, ipv6) = (ipv4.parse().unwrap(), ipv6.parse().unwrap());
            assert_eq!(sets, Sets::Nft { ipv4, ipv6 });
        }
    }
}
