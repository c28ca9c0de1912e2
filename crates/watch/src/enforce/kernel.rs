//! Both kinds of set behind one face.

use std::io;
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;
use unmasq_netfilter::ipset::{self, Ipsets, SetType};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::sets::{self, Change, Form, KeyType, Listed, Member, SetEvents, Sets, Verdict};
use unmasq_netfilter::{Error, Result};

use super::wanted::{Key, Nesting};
use super::{Failure, SetName};

/// The verdict where a set is not of the kind that its name says.
const NOT_OF_KIND: i32 = Errno::INVAL.raw_os_error();

/// The connections to one namespace.
#[derive(Debug)]
pub(super) struct Kernel {
    namespace: Namespace,
    pub(super) nft: Sets,
    pub(super) ipset: Ipsets,
    pub(super) events: SetEvents,
}

/// What a set is like.
#[derive(Clone, Debug)]
pub(super) enum Like {
    Nft(sets::SetInfo),
    Ipset(ipset::SetInfo),
}

/// An element as a set can hold it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fitting {
    pub(super) member: Member,
    /// Only the address of what should have been a network.
    pub(super) is_narrowed: bool,
}

impl Kernel {
    pub(super) fn open(namespace: &Namespace) -> Result<Self> {
        Ok(Self {
            namespace: namespace.clone(),
            nft: Sets::open(namespace)?,
            ipset: Ipsets::open(namespace)?,
            events: SetEvents::open(namespace)?,
        })
    }

    /// New connections in place of ones that failed.
    pub(super) fn reopen(&mut self) -> Result<()> {
        *self = Self::open(&self.namespace)?;
        Ok(())
    }

    /// `None` if there is no such set.
    pub(super) fn like(&mut self, set: &SetName) -> Result<Option<Like>> {
        Ok(match set {
            SetName::Nft(id) => self.nft.info(id)?.map(Like::Nft),
            SetName::Ipset(name) => self.ipset.info(name)?.map(Like::Ipset),
        })
    }

    /// What the set holds; nothing if it is gone.
    pub(super) fn list(&mut self, set: &SetName, like: &Like) -> Result<Vec<Listed>> {
        Ok(match (set, like) {
            (SetName::Nft(id), Like::Nft(info)) => self.nft.list(id, info)?.unwrap_or_default(),
            (SetName::Ipset(name), _) => self.ipset.list(name)?.map(|(_, listed)| listed).unwrap_or_default(),
            (SetName::Nft(_), Like::Ipset(_)) => Vec::new(),
        })
    }

    /// Carries out the changes; those of nftables' sets in one transaction. [`Change::set`] counts in `of`.
    pub(super) fn apply(&mut self, of: &[(SetName, Like)], changes: &[Change]) -> Result<Vec<Verdict>> {
        let mut verdicts = vec![Verdict::Refused(NOT_OF_KIND); changes.len()];
        let mut nft_sets = Vec::new();
        let (mut nft_changes, mut nft_places) = (Vec::new(), Vec::new());
        for (number, (set, like)) in of.iter().enumerate() {
            let places = (0..changes.len()).filter(|place| changes[*place].set == number);
            match (set, like) {
                (SetName::Nft(id), Like::Nft(info)) => {
                    for place in places {
                        nft_changes.push(Change { set: nft_sets.len(), ..changes[place] });
                        nft_places.push(place);
                    }
                    nft_sets.push((id.clone(), *info));
                }
                (SetName::Ipset(name), Like::Ipset(info)) => {
                    let places: Vec<usize> = places.collect();
                    let some: Vec<Change> = places.iter().map(|place| changes[*place]).collect();
                    let results = self.ipset.apply(name, info, &some)?;
                    places.into_iter().zip(results).for_each(|(place, verdict)| verdicts[place] = verdict);
                }
                _ => {}
            }
        }
        if !nft_changes.is_empty() {
            let results = self.nft.apply(&nft_sets, &nft_changes)?;
            nft_places.into_iter().zip(results).for_each(|(place, verdict)| verdicts[place] = verdict);
        }
        Ok(verdicts)
    }
}

impl Like {
    pub(super) fn has_timeout(&self) -> bool {
        match self {
            Self::Nft(info) => info.has_timeout,
            Self::Ipset(info) => info.has_timeout,
        }
    }

    pub(super) fn nesting(&self) -> Nesting {
        match self {
            Self::Nft(info) if info.is_interval => Nesting::Never,
            Self::Nft(_) | Self::Ipset(_) => Nesting::Free,
        }
    }

    /// The longest time that it keeps an element.
    pub(super) fn longest(&self) -> Duration {
        match self {
            Self::Nft(_) => Duration::MAX,
            Self::Ipset(_) => ipset::LONGEST_TIMEOUT,
        }
    }

    /// Its number of elements, where that costs no listing.
    pub(super) fn count(&self) -> Option<u32> {
        match self {
            Self::Nft(_) => None,
            Self::Ipset(info) => info.count,
        }
    }

    /// What to say to one whose bans by network are narrowed.
    pub(super) fn network_remedy(&self) -> &'static str {
        match self {
            Self::Nft(_) => "create it with `flags interval,timeout`",
            Self::Ipset(_) => "create it as `hash:net`",
        }
    }

    /// The element that the set can hold for an order: never more than was asked for.
    pub(super) fn fit(&self, set: &SetName, key: &Key, is_timed: bool) -> Result<Fitting, Failure> {
        if let Self::Nft(info) = self
            && info.form == Form::ConstantSet
        {
            return Err(Failure::Kernel { set: set.clone(), reason: "it has `flags constant`".into() });
        }
        let is_single = key.target.prefix_len() == key.target.max_prefix_len();
        let whole = Member::network(key.target, key.port);
        let alone = Member::address(key.target.addr(), key.port);
        let fitting = if self.fits(&whole) {
            Fitting { member: whole, is_narrowed: false }
        } else if self.fits(&alone) {
            Fitting { member: alone, is_narrowed: !is_single }
        } else {
            return Err(Failure::WrongType { set: set.clone(), holds: self.holds(), wanted: wanted(key) });
        };
        if is_timed && !self.has_timeout() {
            return Err(Failure::NoTimeouts { set: set.clone() });
        }
        Ok(fitting)
    }

    fn fits(&self, member: &Member) -> bool {
        match self {
            Self::Nft(info) => info.form != Form::Map && info.fits(member),
            Self::Ipset(info) => info.fits(member),
        }
    }

    fn holds(&self) -> String {
        match self {
            Self::Nft(info) if info.form == Form::Map => "what a map holds".into(),
            Self::Nft(info) => info.key.to_string(),
            Self::Ipset(info) if info.is_masked && info.kind != SetType::Other => {
                format!("{} under a mask", info.type_name)
            }
            Self::Ipset(info) => info.type_name.clone(),
        }
    }
}

/// What an order's element is, in nft's words.
fn wanted(key: &Key) -> &'static str {
    match (key.target, key.port) {
        (IpNet::V4(_), None) => KeyType::Ipv4.as_str(),
        (IpNet::V4(_), Some(_)) => KeyType::Ipv4Port.as_str(),
        (IpNet::V6(_), None) => KeyType::Ipv6.as_str(),
        (IpNet::V6(_), Some(_)) => KeyType::Ipv6Port.as_str(),
    }
}

/// What the kernel's verdict means for an element; `None` if it is done.
pub(super) fn failure(set: &SetName, verdict: Verdict) -> Option<Failure> {
    let set = set.clone();
    Some(match verdict {
        Verdict::Done { .. } => return None,
        Verdict::Full => Failure::Full { set },
        Verdict::Refused(number) if number == Errno::NOENT.raw_os_error() => Failure::NoSuchSet { set },
        Verdict::Refused(number) => {
            let words = ipset::error_text(number).filter(|_| matches!(set, SetName::Ipset(_)));
            let reason =
                words.map_or_else(|| io::Error::from_raw_os_error(number).to_string(), str::to_owned);
            Failure::Kernel { set, reason }
        }
        Verdict::Overlaps => Failure::Overlaps { set, other: "another element".into() },
        other => Failure::Kernel { set, reason: format!("{other:?}") },
    })
}

/// What a failed conversation means for the set that it was about.
pub(super) fn trouble(set: &SetName, error: &Error) -> Failure {
    match error {
        Error::NotPermitted { .. } => Failure::NotPermitted { set: set.clone() },
        Error::Refused { source, .. } => Failure::Kernel { set: set.clone(), reason: source.to_string() },
        other => Failure::Connection { kind: set.kind(), reason: other.to_string() },
    }
}
