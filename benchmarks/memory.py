"""How much memory a run takes, measured in a process of its own.

Run as a script it prints two numbers, whose ratio is the result. For Linux only.
"""

import ctypes
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ours import ours, run_steps
from workloads import Pass, Workload

__all__ = ["measure"]

QUEUE_LIMIT = 100
PR_SET_THP_DISABLE = 41


def measure(what, *arguments):
    """The two numbers of ``flat``, ``peak`` or ``copies``, from a new process."""
    command = [sys.executable, __file__, what, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def flat(n):
    """The peak after all messages, and after half of them; the consumer is slow."""

    class Producer:
        def run(self):
            yield from range(n)

    class Consumer:
        received = 0
        half = 0

        def run(self, message):
            sum(range(200))
            Consumer.received += 1
            if Consumer.received == n // 2:
                Consumer.half = _peak()

    _run_full(Workload(n, Producer, Pass, Consumer))
    return _peak(), Consumer.half


def peak(n):
    """By how much the peak grew, and the size of what waits in one queue, bytes."""
    length = 25_000

    class Producer:
        def run(self):
            for i in range(n):
                yield np.full(length, i, dtype=np.float32)

    class Consumer:
        received = 0

        def run(self, message):
            time.sleep(0.0002)
            Consumer.received += 1

    before = _peak()
    _run_full(Workload(n, Producer, Pass, Consumer))
    return _peak() - before, QUEUE_LIMIT * length * 4


def copies():
    """How often a large array was copied on its way, and over how many hops.

    Memory for so large a copy comes new from the system, which counts the pages.
    """
    # Pages of one size only.
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    array = np.ones(16_000_000)
    n = 5

    class Producer:
        def run(self):
            for _ in range(n):
                yield array

    class Consumer:
        received = 0

        def run(self, message):
            Consumer.received += 1

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ours(Workload(n, Producer, Pass, Consumer))
    n_pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return n_pages * resource.getpagesize() / array.nbytes, 2 * n


def _run_full(workload):
    """Run with the limit for every queue, and see that they filled."""
    summary = run_steps(workload, queue_limit=QUEUE_LIMIT)
    assert workload.consumer.received == workload.n
    # Some of what waits for the consumer may be with it already.
    assert max(step["queue_peak"] for step in summary["steps"]) >= QUEUE_LIMIT // 2


def _peak():
    """The most memory that this process has had, bytes.

    Not from `resource`, which takes over what the process had that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    measured = {"flat": flat, "peak": peak, "copies": copies}[what](*map(int, arguments))
    print(json.dumps(measured))
