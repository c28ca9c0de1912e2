//! A reader of a netlink log group, in place of ulogd.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::error::Doing;
use crate::{LabError, Node};

/// `NFNL_SUBSYS_ULOG` of linux/netfilter/nfnetlink.h, in the high byte of a message's type.
const SUBSYSTEM: u16 = 4 << 8;
/// linux/netfilter/nfnetlink_log.h.
const NFULNL_MSG_PACKET: u16 = 0;
const NFULNL_MSG_CONFIG: u16 = 1;
const NFULA_CFG_CMD: u16 = 1;
const NFULA_CFG_MODE: u16 = 2;
const NFULA_CFG_TIMEOUT: u16 = 4;
const NFULNL_CFG_CMD_BIND: u8 = 1;
const NFULNL_COPY_PACKET: u8 = 2;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
/// linux/netlink.h: a request that is answered.
const NLM_F_REQUEST_ACK: u16 = 5;
/// A message's header and that of netfilter in it.
const HEADERS: usize = 16 + 4;

/// A packet that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// What the rule says that the entry begins with.
    pub prefix: String,
    /// As much of the packet as the rule gives, from its IP header on.
    pub packet: Vec<u8>,
}

/// Reads what the rules of a node log to a group.
#[derive(Debug)]
pub struct LogGroup {
    socket: OwnedFd,
    group: u16,
    /// Those of a message that are still to be given.
    waiting: Vec<Logged>,
}

impl LogGroup {
    /// Begins to read the group. The kernel keeps packets for so long, to hand them over together, unless the rule's threshold is
    /// reached before.
    pub fn open(node: &Node, group: u16, kept: Duration) -> Result<Self, LabError> {
        let open = || {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
            rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
            sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(10)))?;
            send(&socket, &binding(group, kept), SendFlags::empty())?;
            let mut answer = [0; 1024];
            let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
            // An acknowledgement is an error of 0, else a negated errno, behind the header.
            let code = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok());
            match code.map_or(0, i32::from_ne_bytes) {
                0 => {}
                code => return Err(rustix::io::Errno::from_raw_os_error(-code)),
            }
            Ok(socket)
        };
        let socket = node.run(open)?.doing(|| format!("reading the log group {group}"))?;
        Ok(Self { socket, group, waiting: Vec::new() })
    }

    /// The next packet that is logged.
    pub fn next(&mut self, patience: Duration) -> Result<Logged, LabError> {
        let deadline = Instant::now() + patience;
        let mut buffer = vec![0; 1 << 17];
        while self.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let event = format!("a packet in the log group {}", self.group);
                return Err(LabError::Timeout { event, after: patience });
            }
            let mut hear = || {
                sockopt::set_socket_timeout(&self.socket, Timeout::Recv, Some(left))?;
                recv(&self.socket, &mut buffer, RecvFlags::empty()).map(|(_, length)| length)
            };
            match hear() {
                Ok(length) => self.waiting = packets(&buffer[..length]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).doing(|| format!("reading the log group {}", self.group)),
            }
        }
        Ok(self.waiting.remove(0))
    }
}

/// The message that asks for a group's packets, whole.
fn binding(group: u16, kept: Duration) -> Vec<u8> {
    const LENGTH: u32 = HEADERS as u32 + 8 + 12 + 8;
    let hundredths = u32::try_from(kept.as_millis() / 10).unwrap_or(u32::MAX).max(1);
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend((SUBSYSTEM | NFULNL_MSG_CONFIG).to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // Family and version of nfgenmsg, then the group as its resource.
    message.extend([0, 0]);
    message.extend(group.to_be_bytes());
    message.extend(5_u16.to_ne_bytes());
    message.extend(NFULA_CFG_CMD.to_ne_bytes());
    message.extend([NFULNL_CFG_CMD_BIND, 0, 0, 0]);
    message.extend(10_u16.to_ne_bytes());
    message.extend(NFULA_CFG_MODE.to_ne_bytes());
    // So many bytes of each packet, the mode, a byte of nothing, and padding.
    message.extend([0, 0, 0xff, 0xff, NFULNL_COPY_PACKET, 0, 0, 0]);
    message.extend(8_u16.to_ne_bytes());
    message.extend(NFULA_CFG_TIMEOUT.to_ne_bytes());
    message.extend(hundredths.to_be_bytes());
    message
}

/// The packets that a datagram of the kernel has.
fn packets(mut datagram: &[u8]) -> Vec<Logged> {
    let mut all = Vec::new();
    while let [a, b, c, d, kind, subsystem, ..] = *datagram {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(message) = datagram.get(..length).filter(|message| message.len() >= HEADERS) else { break };
        if u16::from_ne_bytes([kind, subsystem]) == SUBSYSTEM | NFULNL_MSG_PACKET {
            all.push(logged(&message[HEADERS..]));
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn logged(mut attributes: &[u8]) -> Logged {
    let mut logged = Logged { prefix: String::new(), packet: Vec::new() };
    while let [a, b, c, d, ..] = *attributes {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let Some(value) = attributes.get(4..length) else { break };
        match kind {
            NFULA_PREFIX => {
                String::from_utf8_lossy(value).trim_end_matches('\0').clone_into(&mut logged.prefix);
            }
            NFULA_PAYLOAD => logged.packet = value.to_vec(),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    logged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;
    use crate::{Lab, client};

    #[test]
    fn what_a_rule_logs_is_read_with_its_prefix() {
        let lab = Lab::new().unwrap();
        let node = lab.node("logging").unwrap();
        node.nft(
            "table inet t {\nchain output {\ntype filter hook output priority 0\n\
             udp dport 9 log prefix \"to nowhere\" group 7 snaplen 30\n}\n}\n",
        )
        .unwrap();
        let mut group = LogGroup::open(&node, 7, Duration::ZERO).unwrap();
        let socket = client::udp(&node, ([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 9).into()).unwrap();
        socket.send(b"lost").unwrap();
        let logged = group.next(PATIENCE).unwrap();
        assert_eq!(logged.prefix, "to nowhere");
        assert_eq!((logged.packet.len(), logged.packet[9]), (30, 17), "{logged:?}");
        assert!(group.next(Duration::from_millis(1)).is_err());
    }
}
