"""Port plans: rules printed and loaded, new connections of the last client, one change, look-ups, the check."""

import functools
import ipaddress
import os
import random
import shutil
import statistics
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from .events import stop
from .firing_range import FiringRange
from .machine import busy_and_total, children_cpu_seconds, output, wait_until_quiet

PUBLIC = ipaddress.IPv4Address("203.0.113.1")
LOWEST_PORT = 1024
MASQUERADE = 'table ip masq { chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }; }'
REVISIONS = 5_000
FOLDER_FILES = 20
LIVE = 100_000
# Of a look-up inside the process, which a row more of a batch comes nearest to.
ROW = "< 1 ms"


class Size(NamedTuple):
    """Clients of one network, with ports of so many public addresses."""

    network: str
    public: int

    @property
    def clients(self):
        """Without network, broadcast and gateway address."""
        return ipaddress.IPv4Network(self.network).num_addresses - 3

    @property
    def first_client(self):
        return ipaddress.IPv4Network(self.network)[2]

    @property
    def last_client(self):
        return ipaddress.IPv4Network(self.network)[-2]

    @property
    def ports(self):
        """Of each client."""
        return (65_536 - LOWEST_PORT) // -(-self.clients // self.public)

    @property
    def last_block(self):
        """Address, first and last port of the last client."""
        row, column = divmod(self.clients - 1, self.public)
        low = LOWEST_PORT + row * self.ports
        return str(PUBLIC + column), low, low + self.ports - 1

    def words(self, history):
        """The flags of such a plan."""
        public = f"{PUBLIC}-{PUBLIC + self.public - 1}"
        words = ["--network", self.network, "--public", public, "--growth", "0", "--exclude", "none"]
        return [*words, "--history", str(history)]


SMALL, MIDDLE = Size("100.64.0.0/24", 1), Size("100.64.0.0/20", 1)
LARGE, LARGEST = Size("100.64.0.0/18", 1), Size("100.65.0.0/16", 64)


def run(options, scratch):
    """All of it; about ten minutes."""
    folder = scratch / "plan"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bench = Bench(options, folder)
    before, began = busy_and_total(), time.monotonic()
    results = {}
    for part in (bench.printed, bench.loaded, bench.rates, bench.changed, bench.asked, bench.checked):
        results[part.__name__] = part()
        for figure in results[part.__name__]:
            print(figure, flush=True)
    results["seconds"], results["busy"] = time.monotonic() - began, busy_and_total()[0] - before[0]
    shutil.rmtree(folder)
    return results


def timed(command, **options):
    """Seconds, and CPU seconds, that a command takes."""
    options = {"stdout": subprocess.DEVNULL, "check": True, **options}
    cpu, began = children_cpu_seconds(), time.perf_counter()
    subprocess.run(list(map(str, command)), **options)
    return time.perf_counter() - began, children_cpu_seconds() - cpu


def spread(name, runs, **more):
    """Median and highest of runs as `timed` gives them, in milliseconds."""
    wall, cpu = zip(*runs)
    return {
        "what": name,
        "runs": len(runs),
        "median_ms": round(1000 * statistics.median(wall), 2),
        "highest_ms": round(1000 * max(wall), 2),
        # Of a clock that ticks a hundred times a second.
        "cpu_ms": round(1000 * statistics.mean(cpu), 1),
        **more,
    }


class Bench:
    """What all parts need."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.unmasq = options.binaries / "unmasq"
        self.empty = folder / "no-history"

    def rules(self, size, form):
        """The rules of a plan."""
        return output(self.unmasq, "plan", "rules", "--format", form, *size.words(self.empty))

    def range(self):
        """A firing range with room for all the flows of a run."""
        return FiringRange(self.options.binaries, conntrack_max=3_000_000)

    def printed(self, rounds=15):
        """The rules of the largest plan, in turn with programs that print the same text."""
        wanted = without_comment(self.rules(LARGEST, "iptables"))
        commands = {
            "unmasq plan rules --format nft": [self.unmasq, "plan", "rules", *LARGEST.words(self.empty)],
            "unmasq plan rules --format iptables": [
                *(self.unmasq, "plan", "rules", "--format", "iptables"),
                *LARGEST.words(self.empty),
            ],
        }
        for name, command in loops(LARGEST).items():
            if shutil.which(command[0]):
                assert without_comment(output(*command)) == wanted, f"{name} prints something else"
                commands[f"a loop of {name} that prints the same iptables rules"] = command
        runs = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                runs[name].append(timed(command))
        return [spread(name, figures) for name, figures in runs.items()]

    def loaded(self, rounds=5):
        """The rules of the largest plan into the kernel."""
        nft, restore = self.folder / "rules.nft", self.folder / "rules.v4"
        nft.write_text(self.rules(LARGEST, "nft"))
        restore.write_text(two_rules(self.rules(LARGEST, "iptables")))
        history = self.folder / "history"
        results = []
        with self.range() as firing_range:

            def measure(commands, reset):
                runs = {name: [] for name in commands}
                for _ in range(rounds):
                    for name, command in commands.items():
                        reset()
                        runs[name].append(timed(inside(firing_range, *command)))
                results.extend(spread(name, figures) for name, figures in runs.items())

            def reset():
                inside_run(firing_range, "nft", "flush", "ruleset")
                shutil.rmtree(history, ignore_errors=True)
                time.sleep(0.5)  # The kernel frees what was flushed later.

            measure(
                {
                    "unmasq plan apply, the first time": [self.unmasq, "plan", "apply", *LARGEST.words(history)],
                    "nft -f of the same rules": ["nft", "-f", nft],
                    "iptables-nft-restore of 2 rules a client": ["iptables-nft-restore", restore],
                },
                reset,
            )
            # Last: the table of the old framework stays in a namespace in which it was once.
            measure(
                {"iptables-legacy-restore of 2 rules a client": ["iptables-legacy-restore", restore]},
                lambda: inside_run(firing_range, "iptables-legacy", "-t", "nat", "-F"),
            )
        return results

    def rates(self, pairs=4):
        """New connections a second of the last client, each run beside one of plain masquerade."""
        results = []
        for size in (SMALL, MIDDLE, LARGE, LARGEST):
            address, low, high = size.last_block
            fixed = f"snat ip to {address}:{low}-{high}"
            restore = two_rules(self.rules(size, "iptables"))
            variants = {
                "unmasq's map": (["nft", "-f", "-"], self.rules(size, "nft"), pairs),
                "one rule, with that client's ports": (
                    ["nft", "-f", "-"],
                    MASQUERADE.replace("masquerade;", f"meta l4proto tcp counter {fixed};"),
                    pairs // 2,
                ),
                "iptables-nft, 2 rules a client": (["iptables-nft-restore"], restore, 1),
                "iptables-legacy, 2 rules a client": (["iptables-legacy-restore"], restore, 1),
            }
            with self.range() as firing_range:
                for name, (loader, text, count) in variants.items():
                    results.append(self.beside_masquerade(firing_range, size, name, loader, text, count))
                    print(results[-1], flush=True)
        return results

    def beside_masquerade(self, firing_range, size, name, loader, text, pairs):
        """One variant and masquerade, in turn."""
        plain, own = [], []
        is_quiet = wait_until_quiet(self.options.quiet)
        before, began = busy_and_total(), time.monotonic()
        for turn in range(pairs):
            replace(firing_range, ["nft", "-f", "-"], MASQUERADE)
            plain.append(new_connections(firing_range, size.last_client))
            replace(firing_range, loader, text)
            if turn == 0:
                outside = astray(firing_range, size, 20_000 if name.startswith("unmasq") else 500)
            own.append(new_connections(firing_range, size.last_client))
        # Of processor time: on a machine with others, time on the clock is theirs, too.
        ratios = [masquerade / cost for (_, cost), (_, masquerade) in zip(own, plain)]
        busy = (busy_and_total()[0] - before[0]) / (time.monotonic() - began)
        replace(firing_range, ["nft", "-f", "-"], "")
        return {
            "clients": size.clients,
            "public": size.public,
            "ports": size.ports,
            "what": name,
            "per_second": round(statistics.median(rate for rate, _ in own)),
            "masquerade_per_second": round(statistics.median(rate for rate, _ in plain)),
            "percent": round(100 * statistics.median(ratios), 1),
            "lowest_percent": round(100 * min(ratios), 1),
            "microseconds": round(statistics.median(cost for _, cost in own), 2),
            "masquerade_microseconds": round(statistics.median(cost for _, cost in plain), 2),
            "outside_of_block": outside,
            "quiet": is_quiet,
            "busy_cores": round(busy, 2),
        }

    def changed(self, runs=30):
        """`plan apply` that takes one client's ports away, or gives them back."""
        history = self.folder / "history"
        shutil.rmtree(history, ignore_errors=True)
        middle = str(LARGE.first_client + 8_000)
        words = [self.unmasq, "plan", "apply", *LARGE.words(history)]
        results = []
        with self.range() as firing_range:
            replace(firing_range, ["nft", "-f", "-"], "")
            subprocess.run(inside(firing_range, *words), check=True, stdout=subprocess.DEVNULL)
            without = inside(firing_range, *words, "--leave-out", middle)
            for live in (0, LIVE):
                if live:
                    fill(firing_range, LARGE, live)
                alive = firing_range.flows_alive()
                figures = []
                for turn in range(runs):
                    figures.append(timed(without if turn % 2 == 0 else inside(firing_range, *words)))
                name = "unmasq plan apply that changes one client"
                results.append(spread(name, figures, clients=LARGE.clients, flows=alive))
            results += self.floors(firing_range, middle, alive, runs)
            same = [timed(inside(firing_range, *words)) for _ in range(runs)]
            results.append(spread("unmasq plan apply that changes nothing", same, clients=LARGE.clients, flows=alive))
        return results

    def floors(self, firing_range, client, alive, runs):
        """What a change cannot do without: nft that changes the map, and all flows looked at."""
        elements = output(*inside(firing_range, "nft", "list", "map", "ip", "unmasq-plan", "clients"))
        element = next(word for word in elements.replace("\n", " ").split(",") if f"{client} :" in word).split("{")[-1]
        change = self.folder / "change.nft"
        map_ = "element ip unmasq-plan clients"
        change.write_text(f"delete {map_} {{ {client} }}\nadd {map_} {{ {element.strip(' }')} }}\n")
        commands = {"nft -f of such a change alone": ["nft", "-f", change], "conntrack -L": ["conntrack", "-L"]}
        return [
            spread(
                name,
                [timed(inside(firing_range, *command), stderr=subprocess.DEVNULL) for _ in range(runs)],
                clients=LARGE.clients,
                flows=alive,
            )
            for name, command in commands.items()
        ]

    def asked(self, lookups=40, rows=5_000):
        """Who had a port then? Whole commands, and row by row in one."""
        history = self.folder / "plans"
        output(self.options.binaries / "unmasq-lab-plans", history, "--revisions", str(REVISIONS))
        first, hour = 1_600_000_000, 3_600
        random.seed(42)
        questions = [
            (random.randrange(LOWEST_PORT, LARGE.last_block[2] + 1), random.randrange(first, first + REVISIONS * hour))
            for _ in range(rows)
        ]
        figures = [self.trace(history, *question) for question in questions[:lookups]]
        results = [spread(f"unmasq trace, a history of {REVISIONS:,} revisions", figures)]
        table = self.folder / "questions.csv"
        for count in (1, rows):
            lines = [f"{PUBLIC},{port},{stamp(at)},tcp" for port, at in questions[:count]]
            (table.with_suffix(f".{count}")).write_text("\n".join(["ip,port,time,protocol", *lines]) + "\n")
        batch = {
            count: statistics.median(
                timed([self.unmasq, "trace", "--batch", table.with_suffix(f".{count}"), "--plan", history])[0]
                for _ in range(3)
            )
            for count in (1, rows)
        }
        each = (batch[rows] - batch[1]) / (rows - 1)
        results.append({"what": f"a row more of trace --batch, {REVISIONS:,} revisions", "median_ms": round(1000 * each, 3)})
        bare = self.folder / "rules.d"
        bare.mkdir()
        text = two_rules(self.rules(LARGE, "iptables"))
        for nth in range(FOLDER_FILES):
            (bare / f"rules.v4.{first + nth * hour}").write_text(text)
        figures = [
            self.trace(bare, port, first + random.randrange(FOLDER_FILES * hour - 10)) for port, _ in questions[:lookups]
        ]
        size = round(len(text) / 1e6, 1)
        results.append(spread(f"unmasq trace, a folder of {FOLDER_FILES} rules.v4 of {size} MB", figures))
        shutil.rmtree(history)
        return results

    def trace(self, plans, port, at):
        """One look-up, which must name one or two clients."""
        command = [self.unmasq, "trace", f"{PUBLIC}:{port}", "--at", stamp(at), "--proto", "tcp", "--plan", plans]
        # 3: within the window of five seconds there was a change of plans.
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert result.returncode in (0, 3), (result.returncode, result.stdout, result.stderr)
        return timed(command, check=False)

    def checked(self, runs=15, rounds=30):
        """The check of a plan with live flows: the command, and the guard that does it again and again."""
        history = self.folder / "history"
        shutil.rmtree(history, ignore_errors=True)
        words = LARGE.words(history)
        results = []
        with self.range() as firing_range:
            replace(firing_range, ["nft", "-f", "-"], "")
            subprocess.run(
                inside(firing_range, self.unmasq, "plan", "apply", *words), check=True, stdout=subprocess.DEVNULL
            )
            verify = inside(firing_range, self.unmasq, "plan", "verify", "--history", history)
            for live in (0, LIVE):
                if live:
                    fill(firing_range, LARGE, live)
                alive = firing_range.flows_alive()
                figures = [timed(verify) for _ in range(runs)]
                results.append(spread("unmasq plan verify", figures, clients=LARGE.clients, flows=alive))
            results.append(self.guarded(firing_range, history, rounds, alive))
        return results

    def guarded(self, firing_range, history, rounds, alive):
        """What the guard takes of a processor, a round of each kind."""
        config = self.folder / "unmasq.toml"
        config.write_text(f'[plan]\nhistory = "{history}"\ncheck_every = "1s"\n')
        # It says which clients use all of their three ports, and that is most of them.
        guard = subprocess.Popen(
            inside(firing_range, self.unmasq, "plan", "watch", "--config", config), stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(1.5)
            cpu = [on_processor(guard.pid)]
            for _ in range(rounds):
                time.sleep(1)
                cpu.append(on_processor(guard.pid))
        finally:
            stop(guard)
        each = sorted(1000 * (after - before) for before, after in zip(cpu, cpu[1:]))
        return {
            "what": "the guard, a round",
            "clients": LARGE.clients,
            "flows": alive,
            "median_ms": round(statistics.median(each), 3),
            "highest_ms": round(each[-1], 1),
            "mean_ms": round(statistics.mean(each), 2),
        }


def inside(firing_range, *command):
    """A command in the gateway; nsenter(1) takes a millisecond less than `ip netns exec`."""
    return list(map(str, ["nsenter", f"--net=/run/netns/{firing_range.gateway}", *command]))


def inside_run(firing_range, *command, text=None):
    """Runs it."""
    subprocess.run(
        inside(firing_range, *command), check=True, capture_output=True, input=text and text.encode()
    )


def replace(firing_range, loader, text):
    """Puts one ruleset in place of whatever is there, also in the old framework."""
    inside_run(firing_range, "nft", "flush", "ruleset")
    # Asking iptables-legacy would make the table, and each flow would be asked about in it from then on.
    names = firing_range.in_gateway("sh", "-c", "cat /proc/net/ip_tables_names 2>/dev/null || true")
    if "nat" in names.split():
        inside_run(firing_range, "iptables-legacy", "-t", "nat", "-F")
    if text:
        inside_run(firing_range, *loader, text=text)


def new_connections(firing_range, client, flows=100_000, seconds=3):
    """New connections of one client: how many a second, and how many microseconds of a processor each. Each is a SYN
    toward another server, so that a few ports are enough for all. The kernel forwards in the generator's name, and what
    it puts off, in ksoftirqd's."""
    firing_range.forget_flows()
    put_off = on_processor(softirq_thread())
    sent = firing_range.blast(
        *("--first-client", client, "--clients", 1, "--in-turn", "--window", 0),
        # Whichever comes first; of the slowest rules only some hundred flows are through by then.
        *("--count", flows, "--seconds", seconds),
    )
    put_off = on_processor(softirq_thread()) - put_off
    alive = firing_range.flows_alive()
    drain(firing_range)
    return alive / sent["secs"], (sent["user"] + sent["sys"] + put_off) * 1e6 / max(1, alive)


@functools.cache
def softirq_thread():
    """The thread that does what the first processor's interrupts put off."""
    names = (entry for entry in Path("/proc").glob("[0-9]*/comm") if entry.read_text() == "ksoftirqd/0\n")
    return int(next(names).parent.name)


def drain(firing_range):
    """Waits until the packets that slow rules have queued are through."""
    last = -1
    while (now := firing_range.flows_alive()) > last:
        last = now
        time.sleep(0.1)


def astray(firing_range, size, flows):
    """How many flows of the last client leave by ports that are not its own."""
    firing_range.forget_flows()
    firing_range.blast(
        *("--first-client", size.last_client, "--clients", 1, "--in-turn", "--window", 0),
        *("--count", flows, "--rate", 20_000),
    )
    drain(firing_range)
    address, low, high = size.last_block
    lines = firing_range.in_gateway("conntrack", "-L", "-p", "tcp").splitlines()
    # The second dst and the second dport are those of the replies.
    replies = [line.split("dst=")[2] for line in lines if f"src={size.last_client} " in line]
    assert replies, "no flow was seen"
    is_own = [
        reply.split()[0] == address and low <= int(reply.split("dport=")[1].split()[0]) <= high for reply in replies
    ]
    return is_own.count(False)


def fill(firing_range, size, flows):
    """So many flows that stay, of all clients in turn."""
    firing_range.forget_flows()
    firing_range.blast(
        *("--first-client", size.first_client, "--clients", size.clients, "--in-turn"),
        *("--count", flows, "--window", 0),
    )


def on_processor(pid):
    """Seconds that a process's main thread has had a processor (sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def stamp(seconds):
    """A Unix time as RFC 3339."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_comment(rules):
    """Rules without the line that says who made them when."""
    return rules.split("\n", 1)[1]


def two_rules(rules):
    """Rules of iptables without those for ICMP: two a client are left."""
    return "\n".join(line for line in rules.splitlines() if " -p icmp " not in line) + "\n"


def loops(size):
    """Programs that print the iptables rules of a plan, each as a plain loop."""
    numbers = (int(size.first_client), size.clients, int(PUBLIC), size.public, LOWEST_PORT, size.ports)
    head = f"# NAT ports per client: {size.ports}\\n*nat\\n" + "".join(
        f":{chain} ACCEPT [0:0]\\n" for chain in ("PREROUTING", "INPUT", "POSTROUTING", "OUTPUT")
    )
    php = f"""
        [$first, $clients, $to, $public, $low, $ports] = {list(numbers)};
        $out = "# made\\n{head}";
        for ($i = 0; $i < $clients; $i++) {{
            $client = long2ip($first + $i);
            $address = long2ip($to + $i % $public);
            $from = $low + intdiv($i, $public) * $ports;
            $range = $from . '-' . ($from + $ports - 1);
            foreach (['tcp', 'udp'] as $p) {{
                $out .= "-A POSTROUTING -s $client -p $p -j SNAT --to-source $address:$range\\n";
            }}
            $out .= "-A POSTROUTING -s $client -p icmp -j SNAT --to-source $address\\n";
        }}
        echo $out . "COMMIT\\n";
    """
    python = f"""
first, clients, to, public, low, ports = {numbers}
def text(n):
    return f"{{n >> 24}}.{{n >> 16 & 255}}.{{n >> 8 & 255}}.{{n & 255}}"
out = ["# made\\n{head[:-2]}"]
for i in range(clients):
    client, address = text(first + i), text(to + i % public)
    begin = low + i // public * ports
    for p in ("tcp", "udp"):
        out.append(f"-A POSTROUTING -s {{client}} -p {{p}} -j SNAT --to-source {{address}}:{{begin}}-{{begin + ports - 1}}")
    out.append(f"-A POSTROUTING -s {{client}} -p icmp -j SNAT --to-source {{address}}")
print("\\n".join(out + ["COMMIT"]))
"""
    return {"PHP": ["php", "-n", "-r", php], "Python": ["python3", "-I", "-c", python]}


def table(results):
    """As Markdown."""
    largest, large = f"{LARGEST.clients:,} clients, {LARGEST.public} addresses", f"{LARGE.clients:,} clients"
    lines = []

    def block(head, rows, target):
        lines.extend(["", f"| {head} | median | highest | CPU | target |", "| --- | ---: | ---: | ---: | ---: |"])
        for r in rows:
            flows = f", {r['flows']:,} live flows" if "flows" in r else ""
            highest, cpu = (f"{r[key]:,} ms" if key in r else "–" for key in ("highest_ms", "cpu_ms"))
            is_ours = r["what"].startswith(("unmasq", "a row more")) and "nothing" not in r["what"]
            wanted = target if is_ours and (target != ROW or "a row more" in r["what"]) else "–"
            lines.append(f"| {r['what']}{flows} | {r['median_ms']:,} ms | {highest} | {cpu} | {wanted} |")

    block(f"rules printed: {largest}", results["printed"], "< 100 ms")
    block(f"rules loaded: {largest}", results["loaded"], "< 2,000 ms")
    block(f"one change: {large}", results["changed"], "< 50 ms")
    block(f"who had it: {large}", results["asked"], ROW)
    *verified, guard = results["checked"]
    block(f"the check: {large}", verified, "–")
    lines += [
        "",
        "| clients | public addresses | ports each | rules | last client's new connections/s | of masquerade | target "
        "| CPU per connection | outside of its ports |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results["rates"]:
        target = "≥ 90 %" if r["what"].startswith("unmasq") else "–"
        lines.append(
            f"| {r['clients']:,} | {r['public']} | {r['ports']:,} | {r['what']} | {r['per_second']:,} "
            f"| {r['percent']} % (lowest {r['lowest_percent']} %) of {r['masquerade_per_second']:,} | {target} "
            f"| {r['microseconds']} µs | {r['outside_of_block']} |"
        )
    busy = results["busy"] / results["seconds"]
    lines += [
        "",
        f"The guard takes {guard['median_ms']} ms of a processor in a round, and {guard['highest_ms']} ms in each sixth, which "
        f"looks at {guard['flows']:,} flows. While all this ran, {busy:.1f} of {os.cpu_count()} cores were busy, with it and "
        "with others.",
    ]
    return "\n".join(lines[1:])
