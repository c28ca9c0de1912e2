//! Legal holds: periods of a stream that retention must not remove.
//!
//! A hold is a file `hold/NAME.toml`, made and removed by people; a writer reads the files each time before it prunes.
//! One that does not parse stops pruning altogether: what somebody asked to be kept is not removed over a typing error.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use unmasq_flow::{Period, Timestamp};

use crate::storage::Disk;
use crate::{LedgerError, layout};

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its name: a file name of letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Every hour that this touches is kept.
    pub period: Period,
    /// The masked address that it is about, if it is about one. Kept for people; whole hours are held.
    pub masked: Option<IpAddr>,
    /// The client address that it is about, likewise.
    pub client: Option<IpAddr>,
    /// Why: a case number, an order.
    pub reason: String,
    /// Who asked for it or entered it.
    pub who: String,
    /// When it was entered.
    pub since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldFile {
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    masked: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    reason: String,
    who: String,
    since: String,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("{text:?} is not a time such as 2026-11-21T08:57:28Z"))?;
    i64::try_from(time.as_nanosecond()).map(Timestamp::from_nanos).map_err(|error| error.to_string())
}

fn parse(name: &str, text: &str) -> Result<Hold, String> {
    let file: HoldFile = toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(Hold {
        name: name.to_owned(),
        period: Period::new(time(&file.from)?, time(&file.to)?),
        masked: file.masked,
        client: file.client,
        reason: file.reason,
        who: file.who,
        since: time(&file.since)?,
    })
}

impl Hold {
    /// Does it keep the hour?
    pub fn holds(&self, hour: i64) -> bool {
        self.period.from.hour() <= hour && hour <= self.period.to.hour()
    }

    /// Writes it into a stream; replaces one of the same name.
    pub(crate) fn write(&self, stream: &Path) -> Result<(), LedgerError> {
        layout::check_stream_name(&self.name)?;
        let directory = stream.join(layout::HOLD);
        layout::create_dirs(&Disk, &directory)?;
        let file = HoldFile {
            from: self.period.from.to_string(),
            to: self.period.to.to_string(),
            masked: self.masked,
            client: self.client,
            reason: self.reason.clone(),
            who: self.who.clone(),
            since: self.since.to_string(),
        };
        let path = directory.join(format!("{}.toml", self.name));
        let text = toml::to_string(&file)
            .map_err(|error| LedgerError::Settings { path: path.clone(), message: error.to_string() })?;
        layout::replace(&Disk, &path, text.as_bytes())
    }
}

/// Removes a hold. Says whether there was one.
pub(crate) fn remove(stream: &Path, name: &str) -> Result<bool, LedgerError> {
    layout::check_stream_name(name)?;
    let path = stream.join(layout::HOLD).join(format!("{name}.toml"));
    match fs::remove_file(&path) {
        Ok(()) => layout::sync_parent(&Disk, &path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LedgerError::io("remove", &path)(error)),
    }
}

/// The holds of a stream, by name.
pub(crate) fn read(stream: &Path) -> Result<Vec<Hold>, LedgerError> {
    let directory = stream.join(layout::HOLD);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("list", &directory)(error)),
    };
    let mut holds = Vec::new();
    for entry in entries {
        let path = entry.map_err(LedgerError::io("list", &directory))?.path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(LedgerError::io("read", &path))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let hold =
            parse(&name, &text).map_err(|message| LedgerError::Settings { path: path.clone(), message })?;
        holds.push(hold);
    }
    holds.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(name: &str) -> Hold {
        Hold {
            name: name.to_owned(),
            period: Period::new(Timestamp::from_seconds(3_599), Timestamp::from_seconds(7_200)),
            masked: Some("203.0.113.1".parse().unwrap()),
            client: None,
            reason: "case \"7\"".to_owned(),
            who: "legal".to_owned(),
            since: Timestamp::from_seconds(10_000),
        }
    }

    #[test]
    fn a_hold_reads_back_and_keeps_the_hours_it_touches() {
        let stream = tempfile::tempdir().unwrap();
        assert_eq!(read(stream.path()).unwrap(), []);
        hold("case-7").write(stream.path()).unwrap();
        assert_eq!(read(stream.path()).unwrap(), [hold("case-7")]);
        assert_eq!([-1, 0, 1, 2, 3].map(|hour| hold("x").holds(hour)), [false, true, true, true, false]);
        assert!(remove(stream.path(), "case-7").unwrap());
        assert!(!remove(stream.path(), "case-7").unwrap());
    }

    #[test]
    fn a_hold_that_does_not_parse_is_an_error_that_names_the_file() {
        let stream = tempfile::tempdir().unwrap();
        hold("ok").write(stream.path()).unwrap();
        fs::write(stream.path().join("hold/bad.toml"), "from = \"yesterday\"").unwrap();
        assert!(read(stream.path()).unwrap_err().to_string().contains("bad.toml"));
    }
}
