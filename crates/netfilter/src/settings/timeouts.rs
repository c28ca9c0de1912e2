//! For how long conntrack remembers a flow that is silent: `net.netfilter.nf_conntrack_*timeout*`.

use std::fs;
use std::time::Duration;

use super::{Reading, SettingError};

const FOLDER: &str = "/proc/sys/net/netfilter";

/// The longest of conntrack's timeouts in the calling thread's namespace: mostly that of an established TCP connection,
/// five days. A flow that sent nothing for so long is forgotten, whatever it was.
pub fn longest_timeout() -> Reading<Duration> {
    let failed = |error| SettingError::file(FOLDER, error);
    let mut longest = None;
    for entry in fs::read_dir(FOLDER).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str().filter(|name| is_timeout(name)) else { continue };
        let file = format!("{FOLDER}/{name}");
        let text = fs::read_to_string(&file).map_err(|error| SettingError::file(&file, error))?;
        let seconds: u64 = text
            .trim()
            .parse()
            .map_err(|_| SettingError::value(&file, text.trim(), "a number of seconds"))?;
        longest = longest.max(Some(seconds));
    }
    let absent = || SettingError::Absent { file: format!("{FOLDER}/nf_conntrack_*timeout*") };
    longest.map(Duration::from_secs).ok_or_else(absent)
}

fn is_timeout(name: &str) -> bool {
    name.strip_prefix("nf_conntrack_").is_some_and(|rest| rest.contains("timeout"))
}
