"""Memory of `unmasq record` while a million flows are alive."""

import shutil
import time

from . import peers
from .events import drain, stop
from .firing_range import FiringRange
from .machine import memory

LIVE = 1_000_000


def run(options, scratch):
    """Fills the gateway's table and looks at the recorder. Raises the host's nf_conntrack_max meanwhile."""
    folder = scratch / "memory"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with FiringRange(options.binaries, conntrack_max=LIVE + 200_000) as firing_range:
        process = peers.UNMASQ.start(folder, firing_range, [])
        try:
            time.sleep(2)
            empty, _ = memory(process.pid)
            firing_range.blast("--count", LIVE, "--window", 0, "--in-turn")
            drain(firing_range, process.pid, patience=30)
            alive = firing_range.flows_alive()
            now, highest = memory(process.pid)
            firing_range.forget_flows()
            drain(firing_range, process.pid, patience=60)
            _, after = memory(process.pid)
        finally:
            stop(process)
    shutil.rmtree(folder)
    result = {"alive": alive, "empty": empty, "now": now, "highest": highest, "highest_with_ends": after}
    print(result, flush=True)
    return [result]


def table(results):
    """As Markdown."""
    (r,) = results
    return (
        "| flows alive | resident, empty | resident, full | highest | highest, all ended at once |\n"
        "| ---: | ---: | ---: | ---: | ---: |\n"
        f"| {r['alive']:,} | {r['empty']:.0f} MiB | {r['now']:.0f} MiB | {r['highest']:.0f} MiB "
        f"| {r['highest_with_ends']:.0f} MiB |"
    )
