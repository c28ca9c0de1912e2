//! Packets of one place, as a sensor takes them.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unmasq_flow::Timestamp;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::nflog::{self, Group};
use unmasq_netfilter::tap::{Head, MOST_PORTS, Tap};
use unmasq_sensor::Captured;
use unmasq_sensor::packet::{Link, Vlan};

use crate::SourceError;

/// Bytes asked for the kernel's buffer.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Names of interfaces are asked for again after this long: they can change.
const FORGET: Duration = Duration::from_secs(10);

/// Where packets are captured, in the network namespace of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// What rules log to this group.
    Group(u16),
    /// What passes this interface.
    Interface(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "sensor at log group {group}"),
            Self::Interface(name) => write!(f, "sensor at interface {name}"),
        }
    }
}

/// An open capture.
pub struct Packets {
    name: String,
    input: Input,
}

enum Input {
    Group { group: Group, names: HashMap<u32, Option<Arc<str>>>, named: Instant },
    Tap { tap: Tap, name: Arc<str> },
}

impl Packets {
    /// Opens the place. Of an interface, the kernel gives TCP of these ports only, or all of it if there are none or more than 32.
    pub fn open(place: &Place, ports: &[u16]) -> Result<Self, SourceError> {
        let name = place.to_string();
        let own = Namespace::current();
        let filtered = if ports.len() > MOST_PORTS { &[] } else { ports };
        let input = match place {
            Place::Group(number) => {
                let options = nflog::Options { receive_buffer: RECEIVE_BUFFER, ..nflog::Options::default() };
                Group::open(&own, *number, &options).map(|group| Input::Group {
                    group,
                    names: HashMap::new(),
                    named: Instant::now(),
                })
            }
            Place::Interface(interface) => Tap::open(&own, interface, filtered, RECEIVE_BUFFER)
                .map(|tap| Input::Tap { tap, name: interface.as_str().into() }),
        };
        match input {
            Ok(input) => Ok(Self { name, input }),
            Err(source) => Err(SourceError::Capture { name, source }),
        }
    }

    /// What it is, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives what is waiting, without waiting for more; true if that was all. All of it bears the time of this call: packets are
    /// read as they come. Hot; guarded by `bench/divert`.
    pub fn read(&mut self, mut each: impl FnMut(&Captured<'_>)) -> Result<bool, SourceError> {
        let at = Timestamp::now();
        let read = match &mut self.input {
            Input::Group { group, names, named } => {
                if named.elapsed() > FORGET {
                    names.clear();
                    *named = Instant::now();
                }
                group.receive(|logged, interfaces| {
                    let interface = logged.inside.or(logged.outside).and_then(|index| {
                        let name =
                            names.entry(index).or_insert_with(|| interfaces.name(index).map(Into::into));
                        name.as_ref()
                    });
                    let mut tags = Vlan::default();
                    if let Some(control) = logged.vlan_control {
                        tags.push(control);
                    }
                    each(&Captured { at, link: Link::Ip, tags, interface, bytes: logged.packet });
                })
            }
            Input::Tap { tap, name } => {
                let link = match tap.head() {
                    Head::Ethernet => Link::Ethernet,
                    Head::Ip => Link::Ip,
                };
                tap.receive(|bytes, control| {
                    let mut tags = Vlan::default();
                    if let Some(control) = control {
                        tags.push(control);
                    }
                    each(&Captured { at, link, tags, interface: Some(name), bytes });
                })
            }
        };
        read.map_err(|source| SourceError::Capture { name: self.name.clone(), source })
    }

    /// Packets that the kernel had no room for.
    pub fn lost(&self) -> u64 {
        match &self.input {
            Input::Group { group, .. } => group.lost(),
            Input::Tap { tap, .. } => tap.lost(),
        }
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.input {
            Input::Group { group, .. } => group.as_fd(),
            Input::Tap { tap, .. } => tap.as_fd(),
        }
    }
}
