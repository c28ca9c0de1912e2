//! Which flows are wanted, as a predicate. [`crate::filter`] is the same predicate as a program for the
//! kernel.

use unmasq_flow::ScopeKind;

use crate::addresses::LocalAddresses;
use crate::conntrack::Entry;

/// Is the entry in scope?
///
/// `all`: every one. `translated`: those whose source or destination is translated. `translated+local`:
/// those, and flows whose original source is an address of the gateway itself.
pub fn matches(kind: ScopeKind, entry: &Entry, local: &LocalAddresses) -> bool {
    match kind {
        ScopeKind::All => true,
        ScopeKind::Translated => entry.is_translated(),
        ScopeKind::TranslatedLocal => entry.is_translated() || local.contains(entry.client.address),
    }
}
