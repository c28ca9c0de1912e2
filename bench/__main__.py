"""`make bench`: runs the parts that are asked for, keeps their figures, and writes RESULTS.md from all that are kept."""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from . import changes, divert, events, honeypot, honeypot_report, imports, memory, plan, rules, stores, watch
from .machine import describe, output, package_versions

HERE = Path(__file__).parent
PARTS = {
    "events": ("Events", events, ["conntrack", "ulogd2", "natlog", "nftables"]),
    "stores": ("Storage", stores, []),
    "imports": ("Import", imports, ["zstd", "grep"]),
    "memory": ("Memory at a million live flows", memory, []),
    "watch": ("Watch", watch, ["ripgrep", "nftables"]),
    "divert": ("Divert and sensor", divert, ["nftables", "jq", "python3"]),
    "plan": ("Port plans", plan, ["nftables", "iptables", "conntrack", "php-cli"]),
    "changes": ("Rules changed under a flood", changes, ["nftables", "iptables"]),
    "honeypot": ("Honeypots", honeypot, ["hydra", "openssh-client"]),
    "honeypot-report": ("What attackers try", honeypot_report, ["jq", "coreutils"]),
    "rules": ("Rulesets from macros", rules, ["m4", "mawk"]),
}


def main():
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--binaries", type=Path, required=True, help="folder of the release binaries")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; can be repeated")
    parser.add_argument("--seconds", type=float, default=30, help="length of a run of ours at the highest rate")
    parser.add_argument("--flows", type=int, default=10_000_000, help="flows to store")
    parser.add_argument("--queries", type=int, default=1000, help="look-ups")
    parser.add_argument("--quiet", type=float, default=15, help="seconds to wait for a quiet machine before a run")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md alone")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root")
    options.binaries = options.binaries.resolve()
    options.sources = HERE
    scratch = options.binaries.parent / "bench"
    scratch.mkdir(exist_ok=True)
    kept = scratch / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for part in options.only or PARTS:
        _, module, packages = PARTS[part]
        results[part] = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
            "machine": describe(),
            "versions": [ours(options), *package_versions(*packages), *python_versions(part)],
            "command": f"make bench BENCH={shlex.quote(' '.join(arguments(options, part)))}",
            "figures": module.run(options, scratch),
        }
        kept.write_text(json.dumps(results, indent=1))
    if not options.no_write:
        (HERE / "RESULTS.md").write_text(page(results))


def arguments(options, part):
    """The command line that repeats a part."""
    words = ["--only", part]
    if part == "events":
        words += ["--seconds", f"{options.seconds:g}"]
    if part in ("stores", "imports"):
        words += ["--flows", str(options.flows)]
    return words


def ours(options):
    """Version and commit of unmasq."""
    version = output(options.binaries / "unmasq", "--version").strip()
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"{version} ({commit.stdout.strip() or 'no commit'})"


def python_versions(part):
    """Versions of the stores and honeypots that come as Python packages."""
    if part == "honeypot":
        import importlib.metadata

        return [f"{name} {importlib.metadata.version(name)}" for name in ("pshitt", "paramiko", "cowrie")]
    if part != "stores":
        return []
    import chdb
    import duckdb
    import pyarrow
    import sqlite3

    return [
        f"chdb {chdb.__version__}",
        f"duckdb {duckdb.__version__}",
        f"pyarrow {pyarrow.__version__}",
        f"SQLite {sqlite3.sqlite_version}",
    ]


def page(results):
    """RESULTS.md."""
    lines = [
        "# Measured",
        "",
        "Written by `make bench`; how each figure comes about is in [README.md](README.md). Repeat it on your machine:",
        "figures of other machines, and of busy ones, differ.",
    ]
    for part, (title, module, _) in PARTS.items():
        if part not in results:
            continue
        r = results[part]
        lines += ["", f"## {title}", "", module.table(r["figures"]), ""]
        lines += [f"{r['date']}, {r['machine']}. {'; '.join(r['versions'])}.", "", f"    {r['command']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
