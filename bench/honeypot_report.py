"""The honeypot's report over many attempts, beside jq, sort and uniq."""

import os
import subprocess
import time

from .machine import memory

ATTEMPTS = 10_000_000
# Nearly all of them are different: what takes most memory.
PASSWORDS = 8_000_000

JQ = "jq -r 'select(.password != null).password' {file} | LC_ALL=C sort -S 25% | uniq -c | sort -k1,1nr | head -20"
JQ_ALL = (
    "jq -r 'select(.password != null) | [.username, .password, .src_ip, .software_version] | @tsv' {file} > {rows} && "
    "for column in 1 2 3 4 1,2; do cut -f $column {rows} | LC_ALL=C sort -S 25% | uniq -c | sort -k1,1nr | head -20; done"
)


def run(options, scratch):
    """All of it; ten minutes, most of them jq's."""
    folder = scratch / "honeypot-report"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "attempts.json"
    with file.open("wb") as out:
        made = [options.binaries / "unmasq-lab-attempts", str(ATTEMPTS), "--passwords", str(PASSWORDS)]
        subprocess.run(made, check=True, stdout=out)
    lines = sum(block.count(b"\n") for block in blocks(file))
    size = file.stat().st_size
    unmasq = [options.binaries / "unmasq", "honeypot", "report"]
    rows = folder / "rows.tsv"
    figures = [
        measured("unmasq: all sections", [*unmasq, file]),
        measured("unmasq: all sections, one processor", ["taskset", "-c", "0", *unmasq, file]),
        measured("unmasq: passwords alone", [*unmasq, "--by", "passwords", file]),
        measured("unmasq: word list", [*unmasq, f"--wordlist={folder / 'words'}", file]),
        measured("jq, sort, uniq: passwords alone", ["bash", "-c", JQ.format(file=file)]),
        measured("jq, sort, uniq: five of the sections", ["bash", "-c", JQ_ALL.format(file=file, rows=rows)]),
    ]
    for path in folder.iterdir():
        path.unlink()
    return {"attempts": ATTEMPTS, "lines": lines, "bytes": size, "runs": figures}


def blocks(path):
    """A file in pieces."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def measured(what, command):
    """A command's time, processor time, and the most memory of itself or of any of its children."""
    before = os.times()
    begin = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    highest = 0.0
    while process.poll() is None:
        highest = max(highest, sum(at_most(pid) for pid in descendants(process.pid)))
        time.sleep(0.05)
    assert process.returncode == 0, f"{what}: exit status {process.returncode}"
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    figure = {"what": what, "seconds": round(time.monotonic() - begin, 1), "cpu_seconds": round(spent, 1)}
    print(figure | {"mib": round(highest)}, flush=True)
    return figure | {"mib": round(highest)}


def at_most(pid):
    """Resident memory of a process now, in MiB; nothing if it has just ended."""
    try:
        return memory(pid)[0]
    except (OSError, TypeError):
        return 0.0


def descendants(pid):
    """A process and all that came of it."""
    found, left = [], [pid]
    while left:
        current = left.pop()
        found.append(current)
        try:
            with open(f"/proc/{current}/task/{current}/children") as children:
                left += [int(child) for child in children.read().split()]
        except OSError:
            continue  # It has just ended.
    return found


def table(results):
    """As Markdown."""
    lines = [
        f"{results['attempts']:,} attempts, {results['lines']:,} lines, {results['bytes'] / 2**30:.1f} GiB.",
        "",
        "| | time | processor time | lines/s | memory | target |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results["runs"]:
        target = "< 256 MiB" if r["what"].startswith("unmasq") else "–"
        lines.append(
            f"| {r['what']} | {r['seconds']} s | {r['cpu_seconds']} s | {results['lines'] / r['seconds']:,.0f} "
            f"| {r['mib']} MiB | {target} |"
        )
    return "\n".join(lines)
