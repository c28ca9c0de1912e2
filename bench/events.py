"""Events: what each program keeps of the flows that the kernel makes, and what an event costs it."""

import shutil
import signal
import subprocess
import time

from . import peers
from .firing_range import FiringRange
from .machine import busy_and_total, cpu_seconds, pinned, wait_until_quiet

# Flows a second; 0 is as fast as the generator goes. natlog is also shown where it can keep up.
RATES = [0, 20_000, 40_000, 60_000]
LOW_RATES = [500, 2_000]


def measure(firing_range, peer, rate, seconds, folder, quiet):
    """One run: start, fire, let it drain, stop, count."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    firing_range.forget_flows()
    is_quiet = wait_until_quiet(quiet)
    begun_before = firing_range.flows_begun()
    process = peer.start(folder, firing_range, ["nice", "-n", "-10", *pinned(1)])
    time.sleep(2)  # No peer says when it listens.
    if process.poll() is not None:
        raise RuntimeError(f"{peer.name} ended: {(folder / 'err').read_text()}")
    try:
        cpu_before, machine_before, started = cpu_seconds(process.pid), busy_and_total(), time.monotonic()
        window = max(64, min(100_000, rate or 50_000))
        sent = firing_range.blast("--rate", rate, "--seconds", seconds, "--window", window)
        took = time.monotonic() - started
        machine_after, cpu_during = busy_and_total(), cpu_seconds(process.pid) - cpu_before
        drain(firing_range, process.pid, patience=60)
        firing_range.forget_flows()
        drain(firing_range, process.pid, patience=30)
        cpu = cpu_seconds(process.pid) - cpu_before
    finally:
        stop(process)
    flows = firing_range.flows_begun() - begun_before
    logged = peer.count(folder, firing_range.binaries)
    events = logged.begun + logged.ended
    foreign = machine_after[0] - machine_before[0] - cpu_during - sent["user"] - sent["sys"]
    return {
        "peer": peer.name,
        "what": peer.what,
        "rate": rate,
        "seconds": seconds,
        "flows": flows,
        "events_per_second": round(2 * flows / took),
        "begun": logged.begun,
        "ended": logged.ended,
        "lost_percent": round(100 * (1 - events / (2 * flows)), 3),
        "microseconds_per_event": round(cpu * 1e6 / max(1, events), 2),
        "bytes_per_flow": round(logged.size / max(1, min(logged.begun, logged.ended)), 1),
        "foreign_cores": round(max(0.0, foreign) / took, 2),
        "quiet": is_quiet,
    }


def drain(firing_range, pid, patience):
    """Waits until nothing is queued for the program and it does nothing any more."""
    end, last, idle = time.monotonic() + patience, None, 0
    while time.monotonic() < end and idle < 3:
        now = cpu_seconds(pid)
        settled = last is not None and now - last < 0.02
        idle = idle + 1 if firing_range.queued() == 0 and settled else 0
        last = now
        time.sleep(0.4)


def stop(process):
    """SIGTERM, and SIGKILL if that is not heard."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(options, scratch):
    """All programs at all rates."""
    source = options.sources / "bare_receiver.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", options.binaries / "bare_receiver", source], check=True)
    results = []
    with FiringRange(options.binaries) as firing_range:
        for rate in RATES:
            for peer in peers.ALL:
                # Long where the claim is zero loss; the floor beside it, under the same conditions.
                long = rate == 0 and peer in (peers.BARE, peers.UNMASQ)
                seconds = options.seconds if long else min(8, options.seconds)
                results.append(
                    measure(firing_range, peer, rate, seconds, scratch / "events", options.quiet)
                )
                print(results[-1], flush=True)
        for rate in LOW_RATES:
            peer = peers.NATLOG_PEER
            results.append(measure(firing_range, peer, rate, 8, scratch / "events", options.quiet))
            print(results[-1], flush=True)
    shutil.rmtree(scratch / "events", ignore_errors=True)
    return results


def table(results):
    """As Markdown."""
    lines = [
        "| program | flows/s asked | events/s made | flows | lost | CPU per event | bytes/flow | others' CPU |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results:
        rate = f"{r['rate']:,}" if r["rate"] else f"max, {r['seconds']:.0f} s"
        # A handful more than the generator's is the range's own traffic (neighbour discovery).
        lost = f"{max(0.0, r['lost_percent']):.3g} %"
        size = f"{r['bytes_per_flow']:,}" if r["bytes_per_flow"] else "–"
        lines.append(
            f"| {r['peer']} ({r['what']}) | {rate} | {r['events_per_second']:,} | {r['flows']:,} "
            f"| {lost} | {r['microseconds_per_event']} µs | {size} | {r['foreign_cores']} cores |"
        )
    return "\n".join(lines)
