"""Import: how fast a `conntrack -E` log becomes a ledger, beside programs that only read or compress it."""

import shutil
import subprocess
import time

from . import stores
from .machine import children_cpu_seconds

PEERS = [
    ("wc -l", "reads it", ["wc", "-l"]),
    ("grep -c DESTROY", "looks for a word", ["grep", "-c", "DESTROY"]),
    ("zstd -3", "compresses it, one thread", ["zstd", "-3", "-q", "-f", "-T1", "-o", "/dev/null"]),
]


def run(options, scratch):
    """Each program over the same file, which is in the page cache."""
    folder = scratch / "imports"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, ledger = folder / "conntrack.log", folder / "ledger"
    flows = min(options.flows, 2_000_000)
    generator = [options.binaries / "unmasq-lab-flows", "--count", str(flows), "--seed", str(stores.SEED)]
    with open(log, "wb") as file:
        subprocess.run([*generator, "--format", "conntrack"], stdout=file, check=True)
    imported = [options.binaries / "unmasq", "ledger", "import", "--format", "conntrack", "--ledger", ledger]
    results = []
    for name, what, command in [*PEERS, ("unmasq ledger import", "parses, pairs, sorts, seals", imported)]:
        subprocess.run(["cat", log], stdout=subprocess.DEVNULL, check=True)
        began = time.perf_counter()
        before = children_cpu_seconds()
        # Into a pipe: grep stops at the first match if nobody can see what it prints.
        subprocess.run([*command, log], check=True, stdout=subprocess.PIPE)
        seconds, cpu = time.perf_counter() - began, children_cpu_seconds() - before
        lines = 2 * flows
        results.append(
            {
                "program": name,
                "what": what,
                "lines": lines,
                "lines_per_second": round(lines / seconds),
                "lines_per_cpu_second": round(lines / max(cpu, 0.01)),
            }
        )
        print(results[-1], flush=True)
    shutil.rmtree(folder)
    return results


def table(results):
    """As Markdown."""
    lines = ["| program | lines/s | lines per CPU second |", "| --- | ---: | ---: |"]
    for r in results:
        lines.append(
            f"| {r['program']} ({r['what']}) | {r['lines_per_second']:,} | {r['lines_per_cpu_second']:,} |"
        )
    return "\n".join(lines)
