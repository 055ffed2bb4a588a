"""An idle pipeline sleeps: its threads are not woken to look for work."""

import sys
import threading
from pathlib import Path

import pytest

from ctapipe.pipeline import run

# Several times as long as any pause of a loop that polls would be.
PAUSE_S = 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="counts wake-ups in Linux's /proc")
def test_neither_the_router_nor_a_worker_wakes_up_while_nothing_happens():
    changes = {}

    def wake_ups():
        found = {}
        for thread in threading.enumerate():
            status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            lines = dict(line.split(":\t", 1) for line in status.splitlines())
            found[thread.name] = int(lines["voluntary_ctxt_switches"])
        return found

    class Producer:
        def run(self):
            yield 1
            # What was sent has gone through when the consumer says so.
            arrived.wait()
            before = wake_ups()
            threading.Event().wait(PAUSE_S)
            after = wake_ups()
            for name in ("router", "Stage", "Consumer"):
                changes[name] = after[name] - before[name]

    class Stage:
        def run(self, message):
            return message

    arrived = threading.Event()

    class Consumer:
        def run(self, message):
            arrived.set()

    run([Producer, Stage, Consumer])
    # At the first look the last acknowledgement may still be on its way, and a thread about
    # to go to sleep, which counts as one.
    for name in ("router", "Stage", "Consumer"):
        assert changes[name] <= 1
