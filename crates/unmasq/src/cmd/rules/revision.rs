//! Which ruleset and which revision of it are meant.

use unmasq_rules::store::{Kept as History, Revision};

use crate::failure::Failure;
use crate::rules::place::{Kept, PlaceArgs};

/// Which ruleset is meant.
#[derive(Debug, clap::Args)]
pub(super) struct RulesetArgs {
    /// The ruleset, by the name of its file; may be left out if there is one alone
    #[arg(short = 'r', long = "ruleset", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl RulesetArgs {
    /// Where things are kept, and the history of the ruleset.
    pub(super) fn open(&self) -> Result<(Kept, History), Failure> {
        let kept = self.place.open()?;
        let history = find(&kept, self.name.as_deref())?;
        Ok((kept, history))
    }
}

/// The history of a ruleset; of the only one without a name.
pub(super) fn find(kept: &Kept, name: Option<&str>) -> Result<History, Failure> {
    let mut all = kept.store.rulesets()?;
    let names = all.iter().map(History::name).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return Err(anyhow::anyhow!(
            "nothing was committed so far (to {})",
            kept.store.directory().display()
        )
        .into());
    }
    if let Some(name) = name {
        all.retain(|ruleset| ruleset.name() == name);
    }
    match all.len() {
        0 => Err(anyhow::anyhow!("there is no such ruleset; there are: {names}").into()),
        1 => Ok(all.remove(0)),
        _ => Err(anyhow::anyhow!("name the ruleset with --ruleset: {names}").into()),
    }
}

/// A revision by its number; the newest without one.
pub(super) fn pick(history: &History, number: Option<u32>) -> Result<Revision, Failure> {
    let newest = history.head()?.unwrap_or(0);
    Ok(history.revision(number.unwrap_or(newest))?)
}
