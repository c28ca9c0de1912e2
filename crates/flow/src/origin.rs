//! Where a flow was seen: which stream, which namespace, which conntrack zones.

use std::fmt;
use std::sync::Arc;

/// The conntrack zones of both directions (`CTA_ZONE`; 0 is the default zone).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zones {
    /// Zone of the original direction.
    pub original: u16,
    /// Zone of the reply direction.
    pub reply: u16,
}

/// Where a flow was seen. The same addresses in another namespace or zone are another flow.
///
/// Origins are few and flows are many, so flows share them: see [`Origin::shared`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The stream: one writer of one ledger, such as `gw1` or `import-1f2e3d4c`.
    pub stream: Box<str>,
    /// The network namespace's name in /run/netns; empty for the one the recorder runs in.
    pub namespace: Box<str>,
    /// The zones.
    pub zones: Zones,
}

impl Origin {
    /// An origin in the default zone.
    pub fn new(stream: &str, namespace: &str) -> Self {
        Self { stream: stream.into(), namespace: namespace.into(), zones: Zones::default() }
    }

    /// The same place with other zones.
    #[must_use]
    pub fn with_zones(mut self, zones: Zones) -> Self {
        self.zones = zones;
        self
    }

    /// To be shared by its flows.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl fmt::Display for Origin {
    /// `gw1`, `gw1/vpn0`, `gw1/vpn0 zone 3`, `gw1 zones 3,4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stream)?;
        if !self.namespace.is_empty() {
            write!(f, "/{}", self.namespace)?;
        }
        match self.zones {
            Zones { original: 0, reply: 0 } => Ok(()),
            Zones { original, reply } if original == reply => write!(f, " zone {original}"),
            Zones { original, reply } => write!(f, " zones {original},{reply}"),
        }
    }
}
