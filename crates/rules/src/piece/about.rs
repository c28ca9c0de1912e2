//! What each piece is for, what it needs, and how to see that it works: said once, for the head of the ruleset and the help.

/// What is said about a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// What must be there for it to work.
    pub needs: &'static str,
    /// How to see whether it works.
    pub look: &'static str,
}

/// All of them, in the order in which they are listed.
pub const ABOUT: [&About; 9] =
    [&LOG_DNAT, &LOG_NFLOG, &LOG_SSH_BANNER, &DIVERT_SSH, &IPS, &MASQUERADE, &TRACEABLE, &TPROXY, &BOX];

pub(super) const LOG_DNAT: About = About {
    name: "log-dnat",
    sentence: "Log each connection that is sent to an inner host, so that the inner host's log can be corrected",
    needs: "a logger: in the first namespace the kernel's own, in others net.netfilter.nf_log_all_netns=1, or --group and ulogd; \
            net.ipv4.ip_forward=1 where the host is another one",
    look: "connect from outside, then `journalctl -k --grep DNAT/` has a line with SRC= and SPT= of the client",
};

pub(super) const LOG_NFLOG: About = About {
    name: "log-nflog",
    sentence: "Log new connections to a netlink group, before any firewall rule decides on them",
    needs: "a reader of the group, such as ulogd with `group=` in its NFLOG input; what nobody reads is lost",
    look: "/proc/net/netfilter/nfnetlink_log has a line that begins with the group once a reader is there; the rule's counter grows",
};

pub(super) const LOG_SSH_BANNER: About = About {
    name: "log-ssh-banner",
    sentence: "Log the first packets of SSH connections, in both directions, to a netlink group, for `unmasq watch divert` and `sense`",
    needs: "a reader: `unmasq watch divert --sensor nflog:5` or `unmasq watch sense --nflog 5`; net.netfilter.nf_conntrack_acct=1; \
            connections that no flowtable takes past the chains",
    look: "`unmasq watch sense --nflog 5` prints an event when you connect by SSH; the rules' counters grow by some packets a connection",
};

pub(super) const DIVERT_SSH: About = About {
    name: "divert-ssh",
    sentence: "Send the SSH connections of addresses in a set to a honeypot; all others reach the real server",
    needs: "something that adds addresses (DOM, fail2ban, a watch), and a honeypot that listens; a firewall that lets its port in",
    look: "add your own address to the set, connect, and the honeypot answers; the rule's counter grows by one a connection",
};

pub(super) const IPS: About = About {
    name: "ips",
    sentence: "Hand what the firewall has let through to an intrusion prevention system such as Suricata, on a chain of its own",
    needs: "a program that reads the queues; with bypass (the default) packets pass while there is none, without they are dropped",
    look: "/proc/net/netfilter/nfnetlink_queue has a line for each queue that is read; its third column is what waits now",
};

pub(super) const MASQUERADE: About = About {
    name: "masquerade",
    sentence: "Give connections that leave by an interface the interface's address",
    needs: "net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1), and a firewall that forwards them",
    look: "`conntrack -L --src-nat` lists them; `unmasq record` keeps who was behind each port",
};

pub(super) const TRACEABLE: About = About {
    name: "traceable",
    sentence: "Give every client ports of its own, so that a port names its client without a log (what `unmasq plan rules` prints)",
    needs: "networks of clients and a public address; `unmasq plan apply` loads it and keeps what a trace asks",
    look: "`unmasq plan verify`",
};

pub(super) const TPROXY: About = About {
    name: "tproxy",
    sentence: "Take connections from their way to a transparent proxy on this host, and none past it while it is down",
    needs: "a proxy that listens at 127.0.0.1 and ::1 with IP_TRANSPARENT, never at all addresses; and the policy routing that the text begins with",
    look: "connect to any server, and the proxy's getsockname() is that server; stop the proxy, and nothing gets through",
};

pub(super) const BOX: About = About {
    name: "box",
    sentence: "The complete box of the blog: a firewall that logs, SSH attackers diverted to a honeypot, source NAT for the network",
    needs: "ulogd on groups 1 and 2, a honeypot that listens, something that adds attackers to the set; net.ipv4.ip_forward=1",
    look: "log in by SSH from elsewhere before this session ends; the counters of `nft list table inet unmasq_box` grow",
};
