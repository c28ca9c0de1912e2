//! `[rules]`: where rulesets are kept, and in whose name.

use std::path::PathBuf;

use super::form;
use super::section::Section;

/// `[rules]`: rulesets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Folder of the history.
    pub(crate) history: PathBuf,
    /// Who commits; who is logged in if `None`.
    pub(crate) author: Option<String>,
    /// A git repository that keeps every revision, too.
    pub(crate) git: Option<PathBuf>,
}

impl Rules {
    pub(super) fn read(keys: &mut Section<'_, '_>) -> Self {
        Self {
            history: keys.value(
                "history",
                r#""/var/lib/unmasq/rules""#,
                "Folder in which every ruleset that was committed is kept. It is made if it is not there.",
                form::path,
            ),
            author: keys.optional(
                "author",
                r#""Ada <ada@example.net>""#,
                "In whose name `unmasq rules commit` commits. Without it: who is logged in.",
                form::text,
            ),
            git: keys.optional(
                "git",
                r#""/var/lib/unmasq/rules.git""#,
                "A git repository that keeps every committed ruleset, too. It is made if it is not there.",
                form::path,
            ),
        }
    }
}
