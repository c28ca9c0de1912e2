//! The network interfaces of a namespace, by name: their IPv4 addresses, and the one that the default route leads to.
//!
//! ```no_run
//! use unmasq_netfilter::interfaces;
//! use unmasq_netfilter::netns::Namespace;
//!
//! let own = Namespace::current();
//! if let Some(outside) = interfaces::default_route_interface(&own)? {
//!     println!("{outside} has {:?}", interfaces::ipv4_of(&own, &outside)?);
//! }
//! # Ok::<(), unmasq_netfilter::Error>(())
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::conntrack::ParseError;
use crate::exchange::{ATTEMPTS, Dumped, Questions};
use crate::netns::Namespace;
use crate::rtnetlink::{
    self, IFADDRMSG, IFINFOMSG, Link, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWLINK,
    RTM_NEWROUTE, RTMSG,
};
use crate::wire::{self, Message, Request};
use crate::{Error, Result};

/// The addresses of an interface with the lengths of their prefixes, 0 to 32, in the kernel's order: of those in one
/// network, the first is the one that a masquerade takes. [`Error::NoSuchInterface`] if there is none of that name.
pub fn ipv4_of(namespace: &Namespace, name: &str) -> Result<Vec<(Ipv4Addr, u8)>> {
    let mut questions = Questions::open(namespace, None)?;
    let links = links(&mut questions)?;
    let index = index_of(&links, name)?;
    let addresses = dump(
        &mut questions,
        "listing the addresses of an interface",
        (RTM_GETADDR, RTM_NEWADDR),
        &family::<IFADDRMSG>(libc::AF_INET),
        rtnetlink::address,
    )?;
    let of_link = addresses.into_iter().filter(|address| address.link == index);
    let v4 = of_link.filter_map(|address| match address.ip {
        IpAddr::V4(ip) => Some((ip, address.prefix)),
        IpAddr::V6(_) => None,
    });
    Ok(v4.collect())
}

/// The interface that the IPv4 default route of the main table leads to: of several routes the one with the lowest
/// metric, of several next hops the first. `None` if there is no such route.
pub fn default_route_interface(namespace: &Namespace) -> Result<Option<String>> {
    let mut questions = Questions::open(namespace, None)?;
    let routes = dump(
        &mut questions,
        "listing routes",
        (RTM_GETROUTE, RTM_NEWROUTE),
        &family::<RTMSG>(libc::AF_INET),
        rtnetlink::default_route,
    )?;
    let Some(route) = routes.iter().min_by_key(|route| route.metric) else { return Ok(None) };
    let links = links(&mut questions)?;
    Ok(links.into_iter().find(|link| link.index == route.link).map(|link| link.name))
}

/// Its index in the namespace.
pub(crate) fn index(namespace: &Namespace, name: &str) -> Result<u32> {
    index_of(&links(&mut Questions::open(namespace, None)?)?, name)
}

fn index_of(links: &[Link], name: &str) -> Result<u32> {
    let found = links.iter().find(|link| link.name == name).map(|link| link.index);
    found.ok_or_else(|| Error::NoSuchInterface {
        name: name.to_owned(),
        there: links.iter().map(|link| link.name.clone()).collect(),
    })
}

fn links(questions: &mut Questions) -> Result<Vec<Link>> {
    let kinds = (RTM_GETLINK, RTM_NEWLINK);
    let any = family::<IFINFOMSG>(libc::AF_UNSPEC);
    dump(questions, "listing network interfaces", kinds, &any, rtnetlink::link)
}

/// The fixed part of a question: the family comes first, whatever is asked about.
fn family<const N: usize>(family: libc::c_int) -> [u8; N] {
    let mut fixed = [0; N];
    fixed[0] = family as u8;
    fixed
}

/// Everything of that kind that `read` finds something in.
fn dump<T>(
    questions: &mut Questions,
    doing: &'static str,
    (get, new): (u16, u16),
    fixed: &[u8],
    read: impl Fn(&Message<'_>) -> Result<Option<T>, ParseError>,
) -> Result<Vec<T>> {
    let mut attempt = 1;
    loop {
        let mut found = Vec::new();
        let request = |sequence| Request::new(get, wire::NLM_F_DUMP, sequence, fixed).finish();
        let dumped = questions.all(doing, new, request, |message| {
            found.extend(read(message)?);
            Ok(())
        })?;
        if dumped != Dumped::Interrupted || attempt == ATTEMPTS {
            return Ok(found);
        }
        attempt += 1;
    }
}
