//! Logging to a netlink group, where ulogd and `unmasq` can read it.

use std::fmt::Write;

/// How a packet is logged: `nfnetlink_log`, whatever the kernel's own logger of the family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nflog {
    /// The netlink group.
    pub group: u16,
    /// So many bytes of the packet, at most; all of it if `None`.
    pub snaplen: Option<u32>,
    /// At most so many packets wait in the kernel for one another before they are handed over; as many as the reader says if
    /// `None`.
    pub queue_threshold: Option<u16>,
}

impl Nflog {
    /// The statement of nft.
    pub(crate) fn nft(&self, prefix: &str) -> String {
        let mut text = format!("log prefix \"{prefix}\" group {}", self.group);
        // Writing to a String cannot fail, here and below.
        if let Some(bytes) = self.snaplen {
            let _ = write!(text, " snaplen {bytes}");
        }
        if let Some(packets) = self.queue_threshold {
            let _ = write!(text, " queue-threshold {packets}");
        }
        text
    }

    /// The target of iptables.
    pub(crate) fn iptables(&self, prefix: &str) -> String {
        let mut text = format!("-j NFLOG --nflog-group {} --nflog-prefix \"{prefix}\"", self.group);
        if let Some(bytes) = self.snaplen {
            let _ = write!(text, " --nflog-size {bytes}");
        }
        if let Some(packets) = self.queue_threshold {
            let _ = write!(text, " --nflog-threshold {packets}");
        }
        text
    }
}
