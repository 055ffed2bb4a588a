"""What the window costs: a pipeline that it shows, and the machine that it is on."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import zmq
from ours import ours
from workloads import pure_python, small_objects

TESTS = Path(__file__).parent.parent / "tests" / "gui"
SNAPSHOTS_PER_S = 25
N_STEPS = 40


@contextlib.contextmanager
def window():
    """Opens the window in another process: the process, and where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ctapipe.pipeline.gui", "--port=0", "--log-level=INFO"],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if "listening on" in line:
                yield process, line.split()[-1]
                break
        else:
            pytest.fail("the window did not open")
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize(
    ("name", "workload", "sizes"),
    [
        ("window.slow_steps", pure_python, (1_500, 5_000)),
        ("window.small_messages", small_objects, (150_000, 500_000)),
    ],
)
def test_throughput_with_the_window_open(compare, size, name, workload, sizes):
    n = size(*sizes)
    # Nobody listens at port 9, where what is sent is discarded.
    nobody = "localhost:9"
    with window() as (_, address):
        in_turn = itertools.cycle([(nobody, address), (address, nobody)])

        def measure():
            # A machine that becomes slower does not favour one of them.
            seconds = {where: ours(workload(n), gui_address=where) for where in next(in_turn)}
            return seconds[nobody], seconds[address]

        compare(name, measure)


def test_time_of_the_window(compare, size):
    """A core's time that it uses, while a pipeline of many steps says all that it may."""
    sys.path.insert(0, str(TESTS))
    from window_snapshots import frames, snapshot

    seconds = size(4, 10)
    with (
        window() as (process, address),
        zmq.Context() as context,
        context.socket(zmq.XPUB) as pipeline,
    ):
        pipeline.linger = 0
        pipeline.connect(f"tcp://{address}")
        pipeline.recv()
        used = psutil.Process(process.pid).cpu_times
        n_sent = 0

        def send(seconds):
            nonlocal n_sent
            for _ in range(SNAPSHOTS_PER_S * seconds):
                n_sent += 1
                content = snapshot("p", 37 * n_sent, N_STEPS, n_sent / SNAPSHOTS_PER_S)
                for i, step in enumerate(content["steps"]):
                    step["queue"] = (n_sent + i) % 10
                pipeline.send_multipart(frames(content))
                time.sleep(1 / SNAPSHOTS_PER_S)

        def measure():
            began, before = time.perf_counter(), used()
            send(seconds)
            after, ended = used(), time.perf_counter()
            spent = after.user + after.system - before.user - before.system
            return spent, ended - began

        # Until it has opened all that it has to.
        send(2)
        compare("window.time", measure)
