"""Honeypots under load: passwords a second on one processor, and memory with many silent connections."""

import json
import resource
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from .machine import cpu_seconds, memory, pinned

SILENT = 10_000
CONNECTIONS = 64
SECONDS = 15
# Longer than a honeypot needs that can take that many; how far the others come is what is shown.
PATIENCE = 180

COWRIE = """[honeypot]
log_path = {folder}/log
state_path = {folder}/state
[ssh]
listen_endpoints = tcp:{port}:interface=127.0.0.1
[telnet]
enabled = false
[output_jsonlog]
enabled = true
logfile = {folder}/log/cowrie.json
"""


@dataclass
class Honeypot:
    """A honeypot under measurement. `command` may use {folder}, {port}, {binaries} and {python}."""

    name: str
    command: list
    files: dict = field(default_factory=dict)
    connections: int = CONNECTIONS

    def start(self, options, folder, port):
        """Starts it on the first processor, and waits until it listens."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = {
            "folder": folder,
            "port": port,
            "binaries": options.binaries,
            "python": Path(sys.executable).parent,
        }
        for name, text in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**words))
        for name in ("log", "state"):
            (folder / name).mkdir()
        # Whom ours becomes must be able to write there.
        shutil.chown(folder, "nobody")
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", folder / "rsa"], check=True)
        command = [*pinned(0), *(word.format(**words) for word in self.command)]
        log = (folder / "output").open("wb")
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not listen: {(folder / 'output').read_text()[-2000:]}")


HONEYPOTS = [
    Honeypot(
        "unmasq",
        [
            *("{binaries}/unmasq", "honeypot", "--listen", "127.0.0.1:{port}", "--threads", "1", "--delay", "0s"),
            *("--connections", "20000", "--connections-by-address", "20000", "--user", "nobody"),
            *("--json", "{folder}/attempts.json", "--host-keys", "{folder}/keys"),
        ],
    ),
    Honeypot(
        "pshitt",
        ["{python}/pshitt", "-p", "{port}", "-k", "{folder}/rsa", "-o", "{folder}/attempts.json", "-t", "20000"],
    ),
    Honeypot(
        "cowrie",
        # It refuses to run as root; in a user namespace of its own it thinks that it is nobody.
        ["unshare", "--user", "{python}/twistd", "-n", "--pidfile=", "cowrie"],
        {"etc/cowrie.cfg": COWRIE, "etc/userdb.txt": "root:x:!*\n"},
        # It waits a second before each refusal: with fewer, that second would be measured.
        connections=10 * CONNECTIONS,
    ),
]


def run(options, scratch):
    """All of it; eight minutes."""
    # Each silent connection is a descriptor on both sides.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, hard), hard))
    rates, silence = [], []
    for honeypot in HONEYPOTS:
        for attempts in (1, 3):
            rates.append(under_load(options, scratch, honeypot, attempts))
            print(rates[-1], flush=True)
        silence.append(with_silent_clients(options, scratch, honeypot))
        print(silence[-1], flush=True)
    rates.append(under_hydra(options, scratch, HONEYPOTS[0]))
    print(rates[-1], flush=True)
    return {"rates": rates, "silence": silence, "silent": SILENT}


def loader(options, port, *flags):
    """The load, on the second processor."""
    return [*map(str, [*pinned(1), options.binaries / "unmasq-lab-ssh-load", f"127.0.0.1:{port}", *flags])]


def under_load(options, scratch, honeypot, attempts):
    """Passwords a second, so many of each connection."""
    folder, port = scratch / "honeypot", free_port()
    process = honeypot.start(options, folder, port)
    try:
        before = cpu_seconds(process.pid)
        flags = ["--connections", honeypot.connections, "--attempts", attempts, "--seconds", SECONDS]
        done = subprocess.run(loader(options, port, *flags), check=True, capture_output=True, text=True)
        spent = cpu_seconds(process.pid) - before
    finally:
        stop(process)
    done = json.loads(done.stdout)
    assert done["accepted"] == 0, f"{honeypot.name} let somebody in"
    return {
        "what": honeypot.name,
        "client": "unmasq-lab-ssh-load",
        "connections": honeypot.connections,
        "attempts_of_each": attempts,
        "attempts_per_second": round(done["attempts"] / done["seconds"]),
        "exchanges_per_second": round(done["exchanges"] / done["seconds"]),
        "broken": done["broken"],
        "busy_percent": round(100 * spent / done["seconds"]),
    }


def under_hydra(options, scratch, honeypot):
    """The same with hydra, which is a real client (libssh), from its start until nine in ten of its attempts are written down: for the
    rest some of its processes take half a minute. Each of its processes has passwords for one connection."""
    folder, port = scratch / "honeypot", free_port()
    process = honeypot.start(options, folder, port)
    words = scratch / "hydra-words"
    words.write_text("".join(f"password{n}\n" for n in range(5 * CONNECTIONS)))
    try:
        begin = datetime.now(timezone.utc)
        hydra = [*pinned(1), "hydra", "-I", "-l", "root", "-P", str(words), "-t", "64", "-s", str(port)]
        subprocess.run([*hydra, "ssh://127.0.0.1"], cwd=scratch, capture_output=True, stdin=subprocess.DEVNULL)
    finally:
        stop(process)
    events = [json.loads(line) for line in (folder / "attempts.json").read_text().splitlines()]
    times = sorted(event["timestamp"] for event in events if event["event"] == "password")
    # Each connection asks once which methods there are.
    exchanges = sum(event["event"] == "none" for event in events)
    most = len(times) * 9 // 10
    took = (datetime.fromisoformat(times[most - 1].replace("Z", "+00:00")) - begin).total_seconds()
    return {
        "what": honeypot.name,
        "client": "hydra",
        "connections": CONNECTIONS,
        "attempts_of_each": round(len(times) / exchanges, 1),
        "attempts_per_second": round(most / took),
        "exchanges_per_second": round(exchanges * 0.9 / took),
        "broken": 0,
        "busy_percent": None,
    }


def with_silent_clients(options, scratch, honeypot):
    """Memory while clients have exchanged keys and say nothing."""
    folder, port = scratch / "honeypot", free_port()
    process = honeypot.start(options, folder, port)
    begin = time.monotonic()
    try:
        empty = memory(process.pid)[0]
        flags = ["--silent", "--connections", SILENT, "--seconds", PATIENCE]
        with subprocess.Popen(
            loader(options, port, *flags), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load:
            done = json.loads(load.stdout.readline())
            full = memory(process.pid)[0]
            load.stdin.close()
    finally:
        stop(process)
    return {
        "what": honeypot.name,
        "there": done["exchanges"],
        "seconds": round(time.monotonic() - begin, 1),
        "mib": round(full),
        "kib_each": round((full - empty) * 1024 / max(1, done["exchanges"]), 1),
    }


def stop(process):
    """Ends it, for good if it does not want to."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    """A port of the loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def table(results):
    """As Markdown."""
    lines = [
        "| honeypot, one processor | client | at once | passwords of each | passwords/s | key exchanges/s | broken | busy "
        "| target |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results["rates"]:
        target = "≥ 1,000" if r["what"] == "unmasq" and r["client"] != "hydra" else "–"
        busy = "–" if r["busy_percent"] is None else f"{r['busy_percent']} %"
        lines.append(
            f"| {r['what']} | {r['client']} | {r['connections']} | {r['attempts_of_each']} | {r['attempts_per_second']:,} "
            f"| {r['exchanges_per_second']:,} | {r['broken']:,} | {busy} | {target} |"
        )
    lines += [
        "",
        f"| {results['silent']:,} silent connections, keys exchanged | there | memory | of each | target |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for r in results["silence"]:
        target = "< 300 MiB" if r["what"] == "unmasq" else "–"
        lines.append(f"| {r['what']} | {r['there']:,} | {r['mib']} MiB | {r['kib_each']} KiB | {target} |")
    return "\n".join(lines)
