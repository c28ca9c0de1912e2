//! From profiles to networks, in the order in which `vpn-generate-natfw` deals out ports.

use crate::answer::Profile;
use crate::error::EduvpnError;
use crate::range::{self, Network, Split};
use crate::text::cut;

/// The client networks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalNetworks {
    /// Profile after profile in the portal's order, of each profile the networks of its processes in the order of
    /// addresses. Public ones are among them.
    pub networks: Vec<Network>,
    /// Profiles whose range is of IPv6, and gives none.
    pub ipv6: Vec<String>,
    /// Profiles of `profileList` that the portal does not have. The script says nothing of them.
    pub unknown: Vec<String>,
}

/// The networks of those profiles that `deployed` (`profileList`) names; of all, if it is empty.
///
/// ```
/// use unmasq_eduvpn::{Profile, networks};
///
/// let profile = |id: &str, range: &str| Profile { id: id.to_owned(), range: range.to_owned(), processes: 2 };
/// let profiles = [profile("office", "10.9.0.0/24"), profile("internet", "10.8.0.0/23")];
/// let found = networks(&profiles, &["internet".to_owned()])?;
/// assert_eq!(found.networks.iter().map(|n| n.text.as_str()).collect::<Vec<_>>(), ["10.8.0.0/24", "10.8.1.0/24"]);
/// # Ok::<(), unmasq_eduvpn::EduvpnError>(())
/// ```
pub fn networks(profiles: &[Profile], deployed: &[String]) -> Result<PortalNetworks, EduvpnError> {
    let mut found = PortalNetworks::default();
    for profile in profiles.iter().filter(|profile| deployed.is_empty() || deployed.contains(&profile.id)) {
        match range::split(&profile.range, profile.processes) {
            Ok(Split::V4(networks)) => found.networks.extend(networks),
            Ok(Split::V6) => found.ipv6.push(profile.id.clone()),
            Err(reason) => {
                let (profile, range) = (cut(&profile.id), cut(&profile.range));
                return Err(EduvpnError::Range { profile, range, reason });
            }
        }
    }
    let is_known = |id: &String| profiles.iter().any(|profile| profile.id == *id);
    found.unknown = deployed.iter().filter(|id| !is_known(id)).cloned().collect();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: &str, range: &str, processes: usize) -> Profile {
        Profile { id: id.to_owned(), range: range.to_owned(), processes }
    }

    #[test]
    fn networks_are_in_the_portals_order_whatever_the_nodes_list_says() {
        let profiles = [
            profile("b", "10.9.0.5/24", 2),
            profile("six", "fd00::/64", 2),
            profile("a", "172.32.0.0/24", 1),
        ];
        let found = networks(&profiles, &["a".to_owned(), "gone".to_owned(), "b".to_owned()]).unwrap();
        let texts: Vec<_> = found.networks.iter().map(|network| network.text.as_str()).collect();
        assert_eq!(texts, ["10.9.0.0/25", "10.9.0.128/25", "172.32.0.0/24"]);
        assert_eq!((found.ipv6.len(), found.unknown), (0, vec!["gone".to_owned()]));
        assert_eq!(networks(&profiles, &[]).unwrap().ipv6, ["six"]);
    }

    #[test]
    fn a_range_that_cannot_be_split_names_its_profile() {
        let error = networks(&[profile("internet", "10.8.0.0/24", 3)], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the range \"10.8.0.0/24\" of the portal's profile \"internet\" cannot be used: it cannot be split among 3 \
             processes; give vpnProtoPorts 1, 2, 4, 8, 16, 32 or 64 entries"
        );
    }

    #[test]
    fn a_wrong_range_of_a_profile_that_is_not_deployed_does_not_matter() {
        let profiles = [profile("a", "10.8.0.0/24", 1), profile("b", "nonsense", 1)];
        assert_eq!(networks(&profiles, &["a".to_owned()]).unwrap().networks.len(), 1);
    }
}
