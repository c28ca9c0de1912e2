//! The brake: most of the rules would go, or what somebody wrote into the file, which is seldom meant.

use std::fs;

use unmasq_rules::compare::removed_share;
use unmasq_rules::ruleset::Ruleset;

use crate::rules::place::Kept;
use crate::rules::read::Source;

/// From this share of the rules on, it is asked.
const MOST: f64 = 0.5;
/// Fewer rules than this are soon overlooked, and soon written again.
const FEWEST: usize = 4;

/// That the file has what was never committed, and is not what is committed now: a `.new` that was forgotten, or a rollback.
pub(super) fn written_over(kept: &Kept, source: &Source) -> anyhow::Result<Option<String>> {
    let file = source.becomes();
    let ruleset = kept.store.ruleset_of(&file)?;
    let Some(newest) = ruleset.newest()? else { return Ok(None) };
    // One that is not there, or cannot be read, has nothing to lose; if it cannot be written either, the commit says so.
    let Ok(there) = fs::read(&file) else { return Ok(None) };
    let is_known = there == source.text.as_bytes() || there == ruleset.text(&newest)?.as_bytes();
    let what = || {
        format!("{} was edited since revision {}, and would be written over", file.display(), newest.number)
    };
    Ok((!is_known).then(what))
}

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
