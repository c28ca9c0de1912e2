"""The firing range of crates/lab: a source, a masquerading gateway and a void, in namespaces."""

import re
import subprocess
import time

from .machine import output, pinned


class FiringRange:
    """A range that lives as long as the `with` block, also when Python is killed: its holder waits on a pipe."""

    def __init__(self, binaries, conntrack_max=None):
        self.binaries = binaries
        self.command = [binaries / "unmasq-lab-range"]
        if conntrack_max:
            self.command += ["--conntrack-max", str(conntrack_max)]

    def __enter__(self):
        self.holder = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        names = dict(self.holder.stdout.readline().split() for _ in range(4))
        self.source, self.gateway = names["source"], names["gateway"]
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.wait()

    def in_gateway(self, *command):
        """What a command prints that runs in the gateway."""
        return output("ip", "netns", "exec", self.gateway, *command)

    def flows_begun(self):
        """How many flows the gateway's kernel has seen begin: the truth."""
        text = self.in_gateway("nft", "list", "counter", "inet", "lab", "begun")
        return int(re.search(r"packets (\d+)", text)[1])

    def flows_alive(self):
        """How many flows the gateway's kernel tracks now."""
        return int(self.in_gateway("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))

    def forget_flows(self):
        """Deletes all of them."""
        subprocess.run(
            ["ip", "netns", "exec", self.gateway, "conntrack", "-F"], check=True, capture_output=True
        )

    def queued(self):
        """Bytes that wait in the gateway's netfilter netlink sockets for their readers."""
        rows = (line.split() for line in self.in_gateway("cat", "/proc/net/netlink").splitlines()[1:])
        netfilter = "12"  # NETLINK_NETFILTER, linux/netlink.h
        return sum(int(row[4]) for row in rows if row[1] == netfilter)

    def blast(self, *arguments):
        """Fires, on the first processor. Returns the generator's summary as numbers."""
        text = output(
            *pinned(0),
            self.binaries / "unmasq-lab-blast",
            *("--netns", self.source, "--seed", str(time.time_ns() % 2**32)),
            *map(str, arguments),
        )
        words = text.split()
        return {key: float(value) for key, value in zip(words[::2], words[1::2])}
