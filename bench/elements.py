"""When addresses come into a set of the kernel's, as `nft monitor` tells it."""

import statistics
import subprocess
import threading
import time


class Monitor:
    """Hears of new elements from 10.0.0.0/8, by `time.monotonic()`. `inside` is the command that runs another in the namespace."""

    def __init__(self, *inside):
        self.heard = {}
        command = [*inside, "stdbuf", "-oL", "nft", "monitor", "new", "elements"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for told in self.process.stdout:
            now = time.monotonic()
            for word in told.replace("{", " ").split():
                if word.startswith("10."):
                    self.heard.setdefault(word, now)

    def stop(self):
        """Hears no more."""
        self.process.terminate()
        self.process.wait(timeout=20)

    def figures(self, sent):
        """How long it took from when each address was sent."""
        times = sorted(1000 * (self.heard[address] - at) for address, at in sent.items() if address in self.heard)
        return {
            "heard": len(times),
            "median_ms": round(statistics.median(times), 2),
            "p99_ms": round(times[int(len(times) * 0.99)], 2),
            "highest_ms": round(times[-1], 2),
        }
