"""The machine: what it is, how busy it is, what a process has cost."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def output(*command, **options):
    """What a command prints; an error if it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def describe():
    """Processor, memory, kernel and system, in a line each."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())[1]
    name = processor[1] if processor else platform.machine()
    return f"{os.cpu_count()} × {name}, {memory:.0f} GiB, Linux {platform.release()}, {system}"


def package_versions(*packages):
    """Versions of Debian packages."""
    found = []
    for package in packages:
        version = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True
        ).stdout
        found.append(f"{package} {version or '(missing)'}")
    return found


def cpu_seconds(pid):
    """User and system time of a process, its children that have ended, and its living descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # It has just ended.
            # proc(5): ppid is the second field after the name, utime, stime, cutime, cstime the 12th to 15th.
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            if int(entry.name) == pid:
                children.setdefault(-1, []).append(pid)
    total, left = 0.0, [pid]
    while left:
        current = left.pop()
        left += children.get(current, [])
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / TICK
    return total


def children_cpu_seconds():
    """User and system time of all commands of this program that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def memory(pid):
    """Resident memory of a process: now and at its highest, in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{key}:\s*(\d+)", text)[1]) / 1024 for key in ("VmRSS", "VmHWM"))


def busy_and_total():
    """CPU seconds of the machine since boot: spent, and passed."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / TICK, sum(fields) / TICK


def wait_until_quiet(patience):
    """Waits until others leave 85 % of the machine idle, or the patience ends. Says whether they do."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = busy_and_total()
        time.sleep(0.5)
        after = busy_and_total()
        if (after[0] - before[0]) < 0.15 * (after[1] - before[1]):
            return True
    return False


def pinned(core):
    """A command prefix that keeps a program on a processor, where there is more than one."""
    return ["taskset", "-c", str(core)] if os.cpu_count() > 1 else []


def evict(paths):
    """Takes files out of the page cache."""
    os.sync()
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size_on_disk(path):
    """Bytes that a file or folder takes."""
    path = Path(path)
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    return sum(entry.stat().st_size for entry in files)
