"""Changing rules under a flood: what comes through that both the old and the new rules drop, beside nft and iptables-restore; and
how late a test's rules are gone."""

import ctypes
import os
import shutil
import socket
import statistics
import subprocess
import threading
import time

NAMES = ("unmasq-bench-changes-box", "unmasq-bench-changes-far")
LOADS = 100
TESTS = 10
# CLONE_NEWNET of linux/sched.h.
NEWNET = 0x40000000

NFT = """table inet guard {{
	chain input {{
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		tcp dport 22 accept
		tcp dport {port} accept
	}}
}}
"""
IPTABLES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT
COMMIT
"""


def run(options, scratch):
    """All of it; a minute."""
    folder = scratch / "changes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    namespaces()
    try:
        unmasq = [options.binaries / "unmasq", "rules"]
        place = ["--history", folder / "history", "--run", folder / "run"]
        results = []
        for name, text, peer, before in (
            ("nft -f, with delete table", NFT, ["nft", "-f", "-"], "add table inet guard\ndelete table inet guard\n"),
            ("iptables-restore", IPTABLES, ["iptables-restore"], ""),
        ):
            file = folder / ("main.nft" if text is NFT else "iptables.conf")
            new = file.with_name(file.name + ".new")

            def commit(port, file=file, new=new, text=text):
                new.write_text(text.format(port=port))
                inside([*unmasq, "commit", file, *place, "--yes"])

            def load(port, text=text, peer=peer, before=before):
                inside(peer, before + text.format(port=port))

            commit(1)
            results.append(flooded(f"unmasq rules commit ({'nft' if text is NFT else 'iptables'})", commit))
            results.append(flooded(name, load))
            inside(["nft", "flush", "ruleset"])
        for result in results:
            print(result, flush=True)
        file = folder / "main.nft"
        file.write_text(NFT.format(port=80))
        late = [lateness([*unmasq, "test", "--for", "1s", file, *place]) for _ in range(TESTS)]
        results.append({"what": "late", "median_ms": round(statistics.median(late), 1), "highest_ms": round(max(late), 1)})
        print(results[-1], flush=True)
        return results
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(folder)


def namespaces():
    """Two, joined."""
    box, far = NAMES
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "link", "add", "w", "netns", box, "type", "veth", "peer", "name", "w", "netns", far], check=True)
    for name, address in ((box, "192.0.2.1/24"), (far, "192.0.2.2/24")):
        subprocess.run(["ip", "-n", name, "address", "add", address, "dev", "w"], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "w", "up"], check=True)


def inside(command, text=""):
    """Runs a program on the box."""
    subprocess.run(
        ["ip", "netns", "exec", NAMES[0], *map(str, command)], input=text, text=True, check=True, capture_output=True
    )


def sock(name, action):
    """A UDP socket in a namespace."""
    made = []

    def make():
        with open(f"/run/netns/{name}", "rb") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        action(made[0])

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def flooded(what, change):
    """Changes rules again and again while packets come that must be dropped."""
    receiver = sock(NAMES[0], lambda s: s.bind(("192.0.2.1", 9)))
    receiver.setblocking(False)
    sender = sock(NAMES[1], lambda s: s.connect(("192.0.2.1", 9)))
    sent, is_over = 0, False

    def flood():
        nonlocal sent
        while not is_over:
            try:
                sender.send(b"through?")
                sent += 1
            except OSError:
                pass

    change(2)
    time.sleep(0.3)
    thread = threading.Thread(target=flood)
    began = time.monotonic()
    thread.start()
    through, took = 0, []
    for n in range(LOADS):
        start = time.monotonic()
        change(3 + n)
        took.append((time.monotonic() - start) * 1000)
        through += drained(receiver)
    seconds = time.monotonic() - began
    is_over = True
    thread.join()
    through += drained(receiver)
    return {
        "what": what,
        "loads": LOADS,
        "a_second": round(sent / seconds),
        "through": through,
        "median_ms": round(statistics.median(took), 1),
    }


def drained(receiver):
    """How many have come."""
    count = 0
    try:
        while True:
            receiver.recv(16)
            count += 1
    except BlockingIOError:
        return count


def lateness(command):
    """By how many milliseconds the rules before are back too late."""
    with subprocess.Popen(
        ["ip", "netns", "exec", NAMES[0], *map(str, command)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        in_force = None
        for line in process.stdout:
            if "in force" in line:
                in_force = time.monotonic()
            if "are back" in line:
                return (time.monotonic() - in_force - 1) * 1000
    raise RuntimeError("the test did not end as it should")


def table(results):
    """As Markdown."""
    lines = [
        "| 100 loads under a flood that must be dropped | packets a second | came through | a load, median |",
        "| --- | ---: | ---: | ---: |",
    ]
    for r in results[:-1]:
        lines.append(f"| {r['what']} | {r['a_second']:,} | {r['through']} | {r['median_ms']} ms |")
    late = results[-1]
    lines += [
        "",
        "| the rules before a test are back | median | latest | target |",
        "| --- | ---: | ---: | ---: |",
        f"| after their time | {late['median_ms']} ms | {late['highest_ms']} ms | < 1,000 ms |",
    ]
    return "\n".join(lines)
