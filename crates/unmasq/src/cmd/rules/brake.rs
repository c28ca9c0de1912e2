//! The brake: most of the rules would go, which is seldom meant.

use unmasq_rules::compare::removed_share;
use unmasq_rules::ruleset::Ruleset;

use crate::rules::place::Kept;
use crate::rules::read::Source;

/// From this share of the rules on, it is asked.
const MOST: f64 = 0.5;
/// Fewer rules than this are soon overlooked, and soon written again.
const FEWEST: usize = 4;

/// What would be gone, if that is most of it: of the revision in force, or of what the kernel has before the first commit.
pub(super) fn mostly_gone(kept: &Kept, source: &Source) -> anyhow::Result<Option<String>> {
    let form = source.form;
    let ruleset = kept.store.ruleset_of(&source.becomes())?;
    let (old, new, where_from) = if let Some(revision) = ruleset.newest()? {
        let (old, new) = Ruleset::normalise_both(form, &ruleset.text(&revision)?, &source.text)?;
        (old, new, format!("revision {}", revision.number))
    } else {
        let new = Ruleset::normalise(form, &source.text)?;
        (new.loaded_now()?, new, "what the kernel has".to_owned())
    };
    let gone = removed_share(&old, &new);
    let is_most = gone.of >= FEWEST && gone.share() >= MOST;
    Ok(is_most.then(|| format!("{} of the {} rules of {where_from} would go", gone.rules, gone.of)))
}
