"""Programs that hear conntrack events: how each is started, and how what it logged is counted."""

import csv
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ULOGD = """[global]
logfile="{folder}/ulogd.log"
loglevel=5
plugin="{plugins}/ulogd_inpflow_NFCT.so"
plugin="{plugins}/ulogd_filter_IP2STR.so"
plugin="{plugins}/ulogd_filter_PRINTFLOW.so"
plugin="{plugins}/ulogd_output_LOGEMU.so"
plugin="{plugins}/ulogd_output_JSON.so"
stack=ct1:NFCT,ip2str1:IP2STR,{tail}
[ct1]
hash_enable=0
event_mask=0x00000005
# Only applied if smaller than the maximum; with equal values ulogd keeps the kernel's small default.
netlink_socket_buffer_size=16777216
netlink_socket_buffer_maxsize=67108864
[json1]
sync=0
file="{folder}/log"
[emu1]
sync=0
file="{folder}/log"
"""

NATLOG = """conntrack-command: /usr/sbin/conntrack -E -n -o timestamp -e NEW,DESTROY
protocol: udp:tcp
log: off
"""


@dataclass
class Logged:
    """What a program has kept."""

    begun: int
    ended: int
    size: int


@dataclass
class Peer:
    """A program under measurement. `command` may use {folder}, {gateway} and {binaries}."""

    name: str
    what: str
    command: list
    count: object
    inside: bool = True  # Started in the gateway's namespace.
    files: dict = field(default_factory=dict)  # Configuration written into {folder}.

    def start(self, folder, firing_range, prefix):
        """Starts it, with its output in the folder."""
        words = {
            "folder": folder,
            "gateway": firing_range.gateway,
            "binaries": firing_range.binaries,
            "plugins": next(iter(Path("/usr/lib").glob("*/ulogd")), "/usr/lib/ulogd"),
        }
        for name, text in self.files.items():
            (folder / name).write_text(text.format(**words))
        inside = ["ip", "netns", "exec", firing_range.gateway] if self.inside else []
        command = [word.format(**words) for word in self.command]
        return subprocess.Popen(
            [*inside, *prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=open(folder / "out", "wb"),
            stderr=open(folder / "err", "wb"),
        )


def lines_with(path, word):
    """How many lines of a file hold a word."""
    found = subprocess.run(["grep", "-a", "-c", "-F", word, path], capture_output=True, text=True)
    return int(found.stdout or 0)


def count_by_words(file, begun, ended):
    """Counts lines that tell of beginnings and of ends."""

    def count(folder, _binaries):
        path = folder / file
        size = path.stat().st_size if path.exists() else 0
        return Logged(lines_with(path, begun), lines_with(path, ended), size)

    return count


def count_bare(folder, _binaries):
    """The bare receiver prints its counts."""
    begun, ended = re.search(r"new (\d+) destroy (\d+)", (folder / "out").read_text()).groups()
    return Logged(int(begun), int(ended), 0)


def count_natlog(folder, _binaries):
    """natlog writes a heading, and one line a flow when it has ended."""
    path = folder / "log"
    flows = max(0, sum(1 for _ in open(path, "rb")) - 1) if path.exists() else 0
    return Logged(flows, flows, path.stat().st_size if path.exists() else 0)


def count_unmasq(folder, binaries):
    """What the ledger gives back: each flow once, with the kind of its end."""
    ledger = folder / "ledger"
    size = sum(path.stat().st_size for path in ledger.rglob("*") if path.is_file())
    export = subprocess.Popen(
        [binaries / "unmasq", "ledger", "export", "--ledger", ledger, "--format", "csv"],
        stdout=subprocess.PIPE,
        text=True,
    )
    begun = ended = 0
    for row in csv.DictReader(export.stdout):
        begun += row["start_bound"] != "unknown"
        ended += row["end_bound"] not in ("open", "unknown")
    if export.wait() != 0:
        raise RuntimeError(f"the export of {ledger} failed")
    return Logged(begun, ended, size)


BARE = Peer(
    "bare receiver",
    "recvmmsg and discard: the floor",
    ["{binaries}/bare_receiver"],
    count_bare,
)
UNMASQ = Peer(
    "unmasq record",
    "to a ledger on disk",
    [
        *("{binaries}/unmasq", "record", "--stream", "bench", "--control", "none", "--quiet"),
        *("--netns", "{gateway}", "--ledger", "{folder}/ledger"),
    ],
    count_unmasq,
    inside=False,
)
CONNTRACK = Peer(
    "conntrack -E",
    "-o timestamp,id -b 16 MiB, to a file",
    ["conntrack", "-E", "-o", "timestamp,id", "-e", "NEW,DESTROY", "-b", "16777216"],
    count_by_words("out", "[NEW]", "[DESTROY]"),
)
ULOGD_EMU = Peer(
    "ulogd2 LOGEMU",
    "hash off, 16 MiB buffer",
    ["ulogd", "-c", "{folder}/ulogd.conf"],
    count_by_words("log", "[NEW]", "[DESTROY]"),
    files={"ulogd.conf": ULOGD.replace("{tail}", "print1:PRINTFLOW,emu1:LOGEMU")},
)
ULOGD_JSON = Peer(
    "ulogd2 JSON",
    "hash off, 16 MiB buffer",
    ["ulogd", "-c", "{folder}/ulogd.conf"],
    count_by_words("log", '"ct.event": 1', '"ct.event": 4'),
    files={"ulogd.conf": ULOGD.replace("{tail}", "json1:JSON")},
)
NATLOG_PEER = Peer(
    "natlog",
    "conntrack mode",
    [
        *("natlog", "--config", "{folder}/natlog.conf", "--no-daemon", "--pid-file", "{folder}/natlog.pid"),
        *("--log-data", "{folder}/log", "conntrack"),
    ],
    count_natlog,
    files={"natlog.conf": NATLOG},
)
ALL = [BARE, UNMASQ, CONNTRACK, ULOGD_EMU, ULOGD_JSON, NATLOG_PEER]
