//! Sets of addresses, and ipsets: in one transaction over netlink.

use std::io;
use std::time::Duration;

use anyhow::Context;
use unmasq_netfilter::ipset::{self, Ipsets};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::sets::{Action, Change, Listed, SetId, SetInfo, Sets, Verdict};

use super::element::Wanted;
use super::place::{Found, NftSet};
use super::{Doing, Fate, Held};

/// Adds or removes.
pub(super) fn change(found: &Found, wanted: &[Wanted], doing: Doing) -> anyhow::Result<Vec<Fate>> {
    let changes = |default: Option<Duration>, is_there: &dyn Fn(&Wanted) -> bool| -> Vec<Change> {
        let action = match doing {
            Doing::Add(timeout) => Action::Put(timeout.or(default)),
            Doing::Remove => Action::Remove,
        };
        let of = |one: &Wanted| {
            one.member.map(|member| Change { set: 0, member, action, is_there: is_there(one) })
        };
        wanted.iter().filter_map(of).collect()
    };
    let verdicts = match found {
        Found::Nft(set) => {
            let (mut sets, id, info) = opened(set)?;
            // A removal is asked of the kernel only for what is thought to be there.
            let changes = changes(info.default_timeout, &|_| doing == Doing::Remove);
            sets.apply(&[(id, info)], &changes)?
        }
        Found::Ipset { name, info } => {
            let mut sets = Ipsets::open(&Namespace::current())?;
            let (_, held) = sets.list(name)?.with_context(|| format!("the {found} is gone"))?;
            let is_there = |one: &Wanted| held.iter().any(|held| Some(held.member) == one.member);
            sets.apply(name, info, &changes(info.default_timeout, &is_there))?
        }
    };
    let is_ipset = matches!(found, Found::Ipset { .. });
    Ok(verdicts.into_iter().map(|verdict| fate(verdict, doing != Doing::Remove, is_ipset)).collect())
}

/// What it holds, in order.
pub(super) fn list(found: &Found) -> anyhow::Result<Vec<Held>> {
    let mut listed = match found {
        Found::Nft(set) => {
            let (mut sets, id, info) = opened(set)?;
            sets.list(&id, &info)?.with_context(|| format!("{found} is gone"))?
        }
        Found::Ipset { name, .. } => {
            let listed = Ipsets::open(&Namespace::current())?.list(name)?;
            listed.with_context(|| format!("the {found} is gone"))?.1
        }
    };
    listed.sort_by_key(|one| one.member);
    let held = |Listed { member, expires, .. }: Listed| Held {
        element: member.to_string(),
        value: None,
        expires_seconds: expires.map(|left| left.as_secs()),
    };
    Ok(listed.into_iter().map(held).collect())
}

fn opened(set: &NftSet) -> anyhow::Result<(Sets, SetId, SetInfo)> {
    let id: SetId = format!("{} {} {}", set.family, set.table, set.name).parse()?;
    let mut sets = Sets::open(&Namespace::current())?;
    let info = sets.info(&id)?.with_context(|| format!("the set {id} is gone"))?;
    Ok((sets, id, info))
}

fn fate(verdict: Verdict, is_addition: bool, is_ipset: bool) -> Fate {
    let refused = |reason: String| Fate::Refused { reason };
    match verdict {
        Verdict::Done { was_there } => match (is_addition, was_there) {
            (true, false) => Fate::Added,
            (true, true) => Fate::WasThere,
            (false, true) => Fate::Removed,
            (false, false) => Fate::WasNotThere,
        },
        Verdict::Overlaps => refused("it overlaps an interval that is there".to_owned()),
        Verdict::Full => refused("the set is full".to_owned()),
        Verdict::Refused(number) => {
            let of_ipset = ipset::error_text(number).filter(|_| is_ipset).map(str::to_owned);
            refused(of_ipset.unwrap_or_else(|| io::Error::from_raw_os_error(number).to_string()))
        }
        // What a later version of the library may say.
        other => refused(format!("{other:?}")),
    }
}
