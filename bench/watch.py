"""The watch: lines a second of whole commands beside their peers, time from a line to the kernel's set, memory."""

import datetime
import os
import random
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path

from .elements import Monitor
from .machine import children_cpu_seconds, memory

PATTERN = r"Failed password for (.*) from ([^ ]+) port ([^ ]+)"
SSHD_LINES = 1_000_000
ENTRIES = 1_000_000
BANS = 20_000
COUNTERS = 100_000
LATENCY_BANS = 1000


def run(options, scratch):
    """All of it; some minutes."""
    folder = scratch / "watch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unmasq = options.binaries / "unmasq"
    results = {
        "sshd": sshd_log(unmasq, folder),
        "latency": [latency(unmasq, folder, rate) for rate in (0, 10_000)],
        "memory": loaded(unmasq, folder),
    }
    shutil.rmtree(folder)
    return results


def stamp():
    """Now, as rsyslog writes it into files."""
    return datetime.datetime.now().astimezone().isoformat(timespec="microseconds")


def config(folder, steps, source=None):
    """A configuration with these steps of one chain; nothing outside the folder is touched."""
    lines = [
        f'storage = "{folder}/state"',
        f'sources = [{{ file = "{source or folder / "log"}", format = "syslog" }}]',
        "[log]\njournal = false",
        f'[control]\nsocket = "{folder}/watch.sock"',
        "[guard]\nbans_per_minute = 0",
        '[book]\nconntrack = false',
    ]
    for step in steps:
        lines += ["[[actions.sshd]]", *step]
    path = folder / "watch.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def found(name):
    """The filter that finds a failed login."""
    return [f"filter = \"{name}\"", f"args = {{ field = \"MESSAGE\", re = '{PATTERN}', save = [\"user\", \"ip\", \"port\"] }}"]


def sshd_log(unmasq, folder):
    """A plain sshd log, of which five lines in a hundred match: the groups of each match are taken out."""
    log = folder / "auth.log"
    random.seed(1)
    users = ["root", "admin", "oracle", "test", "ubuntu", "git", "deploy"]
    with open(log, "w") as file:
        for nth in range(SSHD_LINES):
            kind = random.random()
            user, port = random.choice(users), random.randrange(1024, 65536)
            address = f"203.0.{random.randrange(256)}.{random.randrange(1, 255)}"
            if kind < 0.05:
                invalid = "invalid user " if kind < 0.03 else ""
                message = f"Failed password for {invalid}{user} from {address} port {port} ssh2"
            elif kind < 0.4:
                message = f"Connection closed by authenticating user {user} {address} port {port} [preauth]"
            elif kind < 0.7:
                message = f"pam_unix(sshd:session): session opened for user {user}(uid={port}) by (uid=0)"
            else:
                key = f"{random.getrandbits(256):064x}"[:43]
                message = f"Accepted publickey for {user} from {address} port {port} ssh2: ED25519 SHA256:{key}"
            clock = f"{nth // 360000 % 24:02d}:{nth // 6000 % 60:02d}:{nth // 100 % 60:02d}"
            file.write(f"Nov 21 {clock} gw sshd[{1000 + nth % 30000}]: {message}\n")
    once = config(folder, [found("filter_pcre"), ['action = "action_noop"']])
    commands = {
        "unmasq watch --once, as plain lines": [unmasq, "watch", "--config", once, "--once", log, "--format", "plain"],
        "unmasq watch --once, as syslog lines": [unmasq, "watch", "--config", once, "--once", log, "--format", "syslog"],
        "ripgrep -o -r '$1 $2 $3'": ["rg", "-o", "-r", "$1 $2 $3", PATTERN, log],
    }
    results = []
    for name, command in commands.items():
        subprocess.run(["cat", log], stdout=subprocess.DEVNULL, check=True)
        runs = []
        for _ in range(5):
            began, before = time.perf_counter(), children_cpu_seconds()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs.append((time.perf_counter() - began, children_cpu_seconds() - before))
        seconds, cpu = (statistics.median(figures) for figures in zip(*runs))
        results.append(
            {"program": name, "lines_per_second": round(SSHD_LINES / seconds), "cpu_seconds": round(cpu, 2)}
        )
        print(results[-1], flush=True)
    return results


class Space:
    """A network namespace with the sets."""

    def __init__(self):
        self.name = f"unmasq-bench-{os.getpid()}"

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        for rule in (
            "add table inet filter",
            "add set inet filter bans4 { type ipv4_addr; flags timeout; size 200000; }",
            "add set inet filter bans6 { type ipv6_addr; flags interval,timeout; }",
        ):
            subprocess.run([*self.inside("nft"), rule], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def inside(self, *command):
        """A command in the namespace."""
        return ["ip", "netns", "exec", self.name, *command]


BAN = [
    'action = "action_nftBan"',
    'args = { IP = "ip", banSeconds = 3600, nftSetIPv4 = "inet filter bans4", nftSetIPv6 = "inet filter bans6" }',
]


def start(unmasq, space, path, folder):
    """A running watch."""
    out = open(folder / "watch.out", "ab")
    process = subprocess.Popen(space.inside(unmasq, "watch", "--config", path), stderr=out, stdout=out)
    deadline = time.monotonic() + 20
    while not (folder / "watch.sock").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "watch.out").read_text())
        time.sleep(0.02)
    time.sleep(0.3)
    return process


def line(address):
    """A failed login, written now."""
    return f"{stamp()} gw sshd[7]: Failed password for root from {address} port 4711 ssh2\n"


def latency(unmasq, folder, rate):
    """From the write of a line to the kernel's word that the element is in the set, as `nft monitor` hears it. `rate`:
    other lines a second, of which one in twenty is counted."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    log = folder / "log"
    log.write_text("")
    path = config(folder, [found("filter_pcre"), BAN])
    written = {}
    with Space() as space:
        process = start(unmasq, space, path, folder)
        monitor = Monitor(*space.inside())
        time.sleep(0.5)
        stop = threading.Event()

        def load():
            filler = f"{stamp()} gw sshd[8]: Connection closed by authenticating user root 192.0.2.9 port 4 [preauth]\n"
            with open(log, "a") as file:
                while not stop.is_set():
                    file.write(filler * (rate // 100))
                    file.flush()
                    time.sleep(0.01)

        if rate:
            threading.Thread(target=load, daemon=True).start()
        with open(log, "ab", buffering=0) as file:
            for nth in range(LATENCY_BANS):
                address = f"10.{nth // 65536}.{nth // 256 % 256}.{nth % 256}"
                text = line(address).encode()
                written[address] = time.monotonic()
                file.write(text)
                time.sleep(0.005 + random.random() * 0.01)
        time.sleep(2)
        stop.set()
        monitor.stop()
        process.terminate()
        process.wait(timeout=20)
    result = {
        "other_lines_per_second": rate,
        "bans": len(written),
        **monitor.figures(written),
    }
    print(result, flush=True)
    return result


def loaded(unmasq, folder):
    """Memory with many counters and bans; and how long a start takes until all bans are in the kernel again."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    log = folder / "log"
    log.write_text("")
    steps = [
        found("filter_pcre"),
        [
            'action = "action_counterRaise"',
            'args = { counter = "ssh", for = "ip", keepSeconds = 86400, save = "n" }',
        ],
        ['filter = "filter_greaterOrEquals"', 'args = { field = "n", value = 2 }'],
        BAN,
    ]
    path = config(folder, steps)
    with Space() as space:
        process = start(unmasq, space, path, folder)
        empty, _ = memory(child(process))
        addresses = [f"10.{nth // 65536}.{nth // 256 % 256}.{nth % 256}" for nth in range(COUNTERS)]
        with open(log, "a") as file:
            file.writelines(line(address) for address in addresses)
            file.writelines(line(address) for address in addresses[:BANS])
        wait_for(space, BANS)
        time.sleep(2)
        now, highest = memory(child(process))
        process.terminate()
        process.wait(timeout=20)
        subprocess.run(space.inside("nft", "flush set inet filter bans4"), check=True)
        (folder / "watch.sock").unlink(missing_ok=True)
        began = time.perf_counter()
        process = start(unmasq, space, path, folder)
        wait_for(space, BANS)
        restored = time.perf_counter() - began
        process.terminate()
        process.wait(timeout=20)
    told = [row for row in (folder / "watch.out").read_text().splitlines() if "restored in" in row]
    result = {
        "counters": COUNTERS,
        "bans": BANS,
        "empty_mib": round(empty, 1),
        "resident_mib": round(now, 1),
        "highest_mib": round(highest, 1),
        "restored_by_then_s": round(restored, 2),
        "told": told[-1] if told else "",
    }
    print(result, flush=True)
    return result


def child(process):
    """The watch itself, behind `ip netns exec`, which replaces itself by it."""
    return process.pid


def wait_for(space, count):
    """Until the set has so many elements."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = subprocess.run(
            space.inside("nft", "list", "set", "inet", "filter", "bans4"), check=True, capture_output=True, text=True
        ).stdout
        if listed.count("expires") >= count:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{listed.count('expires')} of {count} elements")


def table(results):
    """As Markdown."""
    lines = ["| 1 million lines of sshd, 5 % match | lines/s | CPU seconds |", "| --- | ---: | ---: |"]
    lines += [f"| {r['program']} | {r['lines_per_second']:,} | {r['cpu_seconds']} |" for r in results["sshd"]]
    lines += [
        "",
        "| from a line to the kernel's set, other lines a second | bans | median | 99 % | highest |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['other_lines_per_second']:,} | {r['heard']} | {r['median_ms']} ms | {r['p99_ms']} ms | {r['highest_ms']} ms |"
        for r in results["latency"]
    ]
    m = results["memory"]
    lines += [
        "",
        "| counters | bans | resident, empty | resident | highest | a start until all bans are in the kernel |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {m['counters']:,} | {m['bans']:,} | {m['empty_mib']} MiB | {m['resident_mib']} MiB | {m['highest_mib']} MiB "
        f"| {m['restored_by_then_s']} s |",
    ]
    return "\n".join(lines)
