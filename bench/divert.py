"""Divert and the sensor: events a second of an EVE file beside peers, time from a client's first line to the kernel's set, handshakes
replayed without loss."""

import json
import os
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from .elements import Monitor
from .machine import children_cpu_seconds, memory

EVENTS = 1_000_000
CLIENTS = 1000
OTHERS = 10_000
HANDSHAKES = 100_000
CAPTURE = Path(__file__).parent.parent / "crates/sensor/tests/data/handshakes.pcap"

# What DOM does with each line, in Python 3: DOM itself is of Python 2.
LIKE_DOM = """
import json, re, sys
seen, motif = set(), re.compile(sys.argv[2])
for line in open(sys.argv[1]):
    event = json.loads(line)
    if event["event_type"] == "ssh" and motif.match(event["ssh"]["client"]["software_version"]):
        seen.add(event["src_ip"])
print(len(seen))
"""


def run(options, scratch):
    """All of it; some minutes."""
    folder = scratch / "divert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unmasq = options.binaries / "unmasq"
    results = {
        "events": events(unmasq, folder),
        "latency": [latency(unmasq, folder, others) for others in (0, OTHERS)],
        "handshakes": handshakes(options.binaries, folder),
    }
    shutil.rmtree(folder)
    return results


def eve(path):
    """A million events as a gateway's Suricata 7 writes them: one in twenty is of SSH, one in two hundred matches."""
    random.seed(1)
    lists = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256;aes256-gcm@openssh.com,aes256-ctr;hmac-sha2-256;none"
    hassh = {"hash": "be31134219a24899a8a0c29c7797ba94", "string": lists}
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    with open(path, "w") as file:
        for nth in range(EVENTS):
            kind = random.random()
            event = {
                "timestamp": f"{now}.{nth % 1000000:06d}+0000",
                "flow_id": random.getrandbits(50),
                "in_iface": "eth0",
                "event_type": "flow",
                "src_ip": f"203.0.{random.randrange(256)}.{random.randrange(1, 255)}",
                "src_port": random.randrange(1024, 65536),
                "dest_ip": "198.51.100.9",
                "dest_port": 443,
                "proto": "TCP",
                "pkt_src": "wire/pcap",
                "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            }
            if kind < 0.05:
                version = "libssh_0.10.6" if kind < 0.005 else "OpenSSH_9.2p1"
                event |= {"event_type": "ssh", "dest_port": 22, "tx_id": 0}
                event["ssh"] = {
                    "client": {"proto_version": "2.0", "software_version": version, "hassh": hassh},
                    "server": {"proto_version": "2.0", "software_version": "OpenSSH_9.2p1", "hassh": hassh},
                }
            elif kind < 0.3:
                event |= {"event_type": "dns", "dest_port": 53, "proto": "UDP"}
                event["dns"] = {"type": "answer", "id": nth % 65536, "rrname": f"host{nth}.example.org", "rrtype": "A", "rcode": "NOERROR", "answers": [{"rrname": f"host{nth}.example.org", "rrtype": "A", "ttl": 300, "rdata": "192.0.2.1"}]}
            elif kind < 0.5:
                event["event_type"] = "tls"
                event["tls"] = {"subject": "CN=example.org", "issuerdn": "C=US, O=Example CA, CN=R3", "serial": "04:AA", "fingerprint": "aa:bb", "sni": f"www{nth}.example.org", "version": "TLS 1.3", "notbefore": "2026-01-01T00:00:00", "notafter": "2027-01-01T00:00:00"}
            else:
                event["app_proto"] = "tls"
                event["flow"] = {"pkts_toserver": 12, "pkts_toclient": 14, "bytes_toserver": 1730, "bytes_toclient": 9120, "start": event["timestamp"], "end": event["timestamp"], "age": 4, "state": "closed", "reason": "timeout", "alerted": False}
                event["tcp"] = {"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "syn": True, "fin": True, "psh": True, "ack": True, "state": "closed"}
            file.write(json.dumps(event, separators=(",", ":")) + "\n")


class Space:
    """A gateway's namespace, a client's before it and a server's behind it, with the pieces loaded."""

    def __init__(self, unmasq):
        self.unmasq = unmasq
        self.names = {role: f"unmasq-bench-{os.getpid()}-{role}" for role in ("client", "gateway", "server")}

    def __enter__(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        for near, far, net in (("gateway", "client", 1), ("gateway", "server", 2)):
            subprocess.run(
                ["ip", "link", "add", f"to{far}", "netns", self.names[near], "type", "veth", "peer", "name", "eth0", "netns", self.names[far]],
                check=True,
            )
            for role, device, last in ((near, f"to{far}", 1), (far, "eth0", 2)):
                self.ip(role, f"address add 192.168.{net}.{last}/24 dev {device}")
                # The captured frames are not cut up yet.
                self.ip(role, f"link set {device} mtu 9000 up")
            self.ip(far, f"route add default via 192.168.{net}.1")
        # Any address of 10.0.0.0/8 is the client's.
        self.ip("client", "route add local 10.0.0.0/8 dev lo")
        self.ip("gateway", "route add 10.0.0.0/8 via 192.168.1.2")
        for setting in ("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_acct=1"):
            subprocess.run(self.inside("gateway", "sysctl", "-qw", setting), check=True)
        for piece in (["log-ssh-banner"], ["divert-ssh", "--to", "2200"]):
            rules = subprocess.run([self.unmasq, "rules", "piece", *piece], check=True, capture_output=True).stdout
            subprocess.run(self.inside("gateway", "nft", "-f", "-"), check=True, input=rules)
        return self

    def __exit__(self, *_):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=True)

    def ip(self, role, words):
        """A command of ip."""
        subprocess.run(["ip", "-n", self.names[role], *words.split()], check=True)

    def inside(self, role, *command):
        """A command in a namespace."""
        return ["ip", "netns", "exec", self.names[role], *map(str, command)]


def events(unmasq, folder):
    """The same file by each; the median of three runs."""
    log = folder / "eve.json"
    eve(log)
    pattern = "libssh"
    with Space(unmasq) as space:
        ours = ["watch", "divert", "--set", "ip nat libssh", "--match", pattern, "--stderr", "--once", log]
        commands = {
            "unmasq watch divert --once": space.inside("gateway", unmasq, *ours, "--storage", folder / "state", "--control", folder / "s"),
            "Python, as DOM: json.loads of each line": ["python3", "-c", LIKE_DOM, log, pattern],
            "jq 'select(.event_type == \"ssh\")'": ["jq", "-r", 'select(.event_type == "ssh") | .ssh.client.software_version', log],
        }
        results = []
        for name, command in commands.items():
            subprocess.run(["cat", log], stdout=subprocess.DEVNULL, check=True)
            runs = []
            for _ in range(3):
                shutil.rmtree(folder / "state", ignore_errors=True)
                began, before = time.perf_counter(), children_cpu_seconds()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                runs.append((time.perf_counter() - began, children_cpu_seconds() - before))
            seconds, cpu = (statistics.median(figures) for figures in zip(*runs))
            results.append({
                "program": name,
                "events_per_second": round(EVENTS / seconds),
                "mib_per_second": round(log.stat().st_size / 2**20 / seconds),
                "cpu_seconds": round(cpu, 2),
            })
            print(results[-1], flush=True)
    log.unlink()
    return results


# In the server's namespace: takes connections, says who it is, and reads what comes.
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 22), backlog=4096)
while True:
    connection, _ = server.accept()
    connection.setblocking(False)
    try:
        connection.send(b"SSH-2.0-OpenSSH_9.2p1\\r\\n")
        connection.close()
    except OSError:
        pass
"""

# In the client's: a connection for each address, and when its first line was sent.
CLIENT = """
import random, socket, sys, threading, time
clients, others = int(sys.argv[1]), int(sys.argv[2])

def connect(address, line):
    with socket.socket() as connection:
        connection.bind((address, 0))
        connection.connect(("192.168.2.2", 22))
        now = time.monotonic()
        connection.send(line)
        return now

def noise():
    for nth in range(others):
        try:
            connect(f"10.9.{nth // 250 % 250}.{nth % 250 + 1}", b"SSH-2.0-OpenSSH_9.9\\r\\n")
        except OSError:
            pass

noisy = threading.Thread(target=noise, daemon=True)
noisy.start()
for nth in range(clients):
    address = f"10.1.{nth // 250}.{nth % 250 + 1}"
    print(address, connect(address, b"SSH-2.0-libssh_0.10.6\\r\\n"), flush=True)
    time.sleep(0.005 + random.random() * 0.01)
noisy.join()
"""


def latency(unmasq, folder, others):
    """From the moment at which the client's line is sent to the kernel's word that the address is in the set, as `nft monitor` tells it.
    `others`: other connections meanwhile."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    control = folder / "divert.sock"
    control.unlink(missing_ok=True)
    sent = {}
    with Space(unmasq) as space:
        ours = ["watch", "divert", "--sensor", "nflog:5", "--set", "ip nat libssh", "--match", "^libssh", "--stderr"]
        own = ["--storage", folder / "state", "--control", control]
        out = open(folder / "divert.out", "wb")
        watch = subprocess.Popen(space.inside("gateway", unmasq, *ours, *own), stderr=out)
        server = subprocess.Popen(space.inside("server", "python3", "-c", SERVER))
        monitor = Monitor(*space.inside("gateway"))
        deadline = time.monotonic() + 20
        while not control.exists():
            if watch.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "divert.out").read_text())
            time.sleep(0.02)
        time.sleep(1)
        client = space.inside("client", "python3", "-c", CLIENT, CLIENTS, others)
        began = time.monotonic()
        for row in subprocess.run(client, check=True, capture_output=True, text=True).stdout.splitlines():
            address, at = row.split()
            sent[address] = float(at)
        took = time.monotonic() - began
        time.sleep(2)
        resident, highest = memory(watch.pid)
        monitor.stop()
        for process in (server, watch):
            process.terminate()
            process.wait(timeout=20)
    said = (folder / "divert.out").read_text()
    result = {
        "others": others,
        "seconds": round(took, 1),
        "clients": len(sent),
        **monitor.figures(sent),
        "resident_mib": round(highest, 1),
        "lost": "packets were lost" in said,
    }
    print(result, flush=True)
    return result


def handshakes(binaries, folder):
    """A captured handshake, replayed through a veth from a hundred thousand clients in under a minute."""
    unmasq = binaries / "unmasq"
    output = folder / "sensed.json"
    with Space(unmasq) as space:
        told = open(folder / "sense.out", "wb")
        sense = subprocess.Popen(
            space.inside("gateway", unmasq, "watch", "sense", "--interface", "toclient", "--output", output), stderr=told
        )
        time.sleep(1)
        replay = [binaries / "unmasq-lab-handshakes", "--netns", space.names["client"], "--interface", "eth0"]
        more = ["--capture", CAPTURE, "--count", HANDSHAKES, "--seconds", 50]
        sent = subprocess.run([*map(str, replay), *map(str, more)], check=True, capture_output=True, text=True).stdout.split()
        time.sleep(2)
        _, highest = memory(sense.pid)
        sense.terminate()
        sense.wait(timeout=20)
    whole = 0
    with open(output) as lines:
        for line in lines:
            ssh = json.loads(line)["ssh"]
            whole += "hassh" in ssh.get("client", {}) and "hassh" in ssh.get("server", {})
    result = {
        "handshakes": HANDSHAKES,
        "frames": int(sent[3]),
        "seconds": round(float(sent[5]), 1),
        "events": whole,
        "highest_mib": round(highest, 1),
        "said": (folder / "sense.out").read_text().strip(),
    }
    print(result, flush=True)
    return result


def table(results):
    """As Markdown."""
    lines = ["| 1 million EVE events, 5 % of SSH | events/s | MiB/s | CPU seconds |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {r['program']} | {r['events_per_second']:,} | {r['mib_per_second']} | {r['cpu_seconds']} |" for r in results["events"]
    ]
    lines += [
        "",
        "| from the client's line to the kernel's set (NFLOG), other connections meanwhile | clients | median | 99 % | highest | memory |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['others']:,} in {r['seconds']} s | {r['heard']} of {r['clients']} | {r['median_ms']} ms | {r['p99_ms']} ms | {r['highest_ms']} ms | {r['resident_mib']} MiB |"
        for r in results["latency"]
    ]
    h = results["handshakes"]
    lines += [
        "",
        "| handshakes replayed | frames | seconds | whole events | highest memory |",
        "| ---: | ---: | ---: | ---: | ---: |",
        f"| {h['handshakes']:,} | {h['frames']:,} | {h['seconds']} | {h['events']:,} | {h['highest_mib']} MiB |",
    ]
    return "\n".join(lines)
