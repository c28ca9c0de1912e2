//! What takes the log messages of the kernel's rules.

use std::fs;
use std::io;

/// For each protocol family, the loggers that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loggers(Vec<(u8, Vec<String>)>);

/// Numbers of `NFPROTO_*` in linux/netfilter.h.
const FAMILIES: [(&str, &[(u8, &str)]); 6] = [
    ("ip", &[(2, "ip")]),
    ("ip6", &[(10, "ip6")]),
    ("inet", &[(2, "ip"), (10, "ip6")]),
    ("arp", &[(3, "arp")]),
    ("bridge", &[(7, "bridge")]),
    ("netdev", &[(5, "netdev")]),
];

/// To where a rule logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// The kernel's own log.
    Kernel,
    /// A group of nfnetlink_log.
    Group,
}

impl Loggers {
    /// Those of the calling thread's network namespace; `None` if the kernel does not tell. To be read after the rules were
    /// tried, because that loads what they need.
    pub fn here() -> io::Result<Option<Self>> {
        match fs::read_to_string("/proc/thread-self/net/netfilter/nf_log") {
            Ok(text) => Ok(Some(Self::of(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the lines of /proc/net/netfilter/nf_log: ` 2 nf_log_ipv4 (nf_log_ipv4,nfnetlink_log)`. What stands in the
    /// parentheses is there; the word before is what is used where a rule does not say.
    pub fn of(text: &str) -> Self {
        let line = |line: &str| {
            let (head, rest) = line.split_once('(')?;
            let family = head.split_whitespace().next()?.parse().ok()?;
            let names = rest.trim_end().trim_end_matches(')').split(',').filter(|name| !name.is_empty());
            Some((family, names.map(str::to_owned).collect()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The families of a table whose messages nobody takes.
    pub(super) fn missing(&self, family: &str, log: Log) -> Vec<&'static str> {
        let is_it = |name: &String| match log {
            Log::Kernel => name.starts_with("nf_log_"),
            Log::Group => name == "nfnetlink_log",
        };
        let has = |number: u8| {
            // A family that the kernel does not list it does not know; the rule will not load.
            self.0.iter().find(|(known, _)| *known == number).is_none_or(|(_, names)| names.iter().any(is_it))
        };
        let of_table =
            FAMILIES.iter().find(|(name, _)| *name == family).map_or(&[][..], |(_, numbers)| numbers);
        of_table.iter().filter(|(number, _)| !has(*number)).map(|(_, name)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = " 0 NONE (nfnetlink_log)\n 2 nf_log_ipv4 (nf_log_ipv4,nfnetlink_log)\n 5 NONE ()\n\
        10 NONE (nfnetlink_log)\n";

    #[test]
    fn a_family_without_a_logger_is_named() {
        let loggers = Loggers::of(LISTED);
        assert_eq!(loggers.missing("inet", Log::Kernel), ["ip6"]);
        assert_eq!(loggers.missing("inet", Log::Group), [""; 0]);
        assert_eq!(loggers.missing("ip", Log::Kernel), [""; 0]);
        assert_eq!(loggers.missing("netdev", Log::Group), ["netdev"]);
    }

    #[test]
    fn this_kernel_tells() {
        assert!(Loggers::here().unwrap().is_some_and(|loggers| !loggers.0.is_empty()));
    }
}
