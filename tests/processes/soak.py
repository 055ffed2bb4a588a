"""Kills random worker processes while a pipeline runs, and compares what arrives.

python tests/processes/soak.py --messages 200000 --pause 0.1

It ends with 0 if the consumer got every message exactly once, in order.
"""

import argparse
import contextlib
import random
import sys
import threading
import time

import psutil

from ctapipe.pipeline import run


class Pass:
    """A cheap stage."""

    def run(self, number):
        return number


def kill_workers(ended, pause_s, killed):
    """Kill a random worker process after each pause, and note which."""
    choice = random.Random(1).choice
    while not ended.wait(pause_s):
        with contextlib.suppress(psutil.NoSuchProcess):
            # The children of the process that they are forked from.
            workers = [
                worker
                for server in psutil.Process().children()
                for worker in server.children()
                if worker.status() != psutil.STATUS_ZOMBIE
            ]
            if workers:
                worker = choice(workers)
                worker.kill()
                killed.append(worker.pid)


def soak(n_messages, pause_s):
    """What the consumer received of the numbers below ``n_messages``, and who was killed."""
    received, killed = [], []
    ended = threading.Event()
    killer = threading.Thread(target=kill_workers, args=(ended, pause_s, killed))

    class Numbers:
        def run(self):
            # A worker that dies in init() ends the run.
            killer.start()
            yield from range(n_messages)

    class Collect:
        def run(self, number):
            received.append(number)

    try:
        run(
            [
                Numbers,
                {"name": "FIRST", "class": Pass, "nb_process": 2},
                {"name": "SECOND", "class": Pass, "nb_process": 2},
                {"name": "COLLECT", "class": Collect, "ordered": True},
            ],
            executor="processes",
        )
    finally:
        ended.set()
        if killer.ident is not None:
            killer.join()
    return received, killed


def main():
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--pause", type=float, default=0.1, help="between two kills, s")
    arguments = parser.parse_args()
    began = time.perf_counter()
    received, killed = soak(arguments.messages, arguments.pause)
    expected = list(range(arguments.messages))
    print(
        f"{len(received)} messages arrived, {len(set(received))} of them different, "
        f"{'in order' if received == sorted(received) else 'not in order'}; "
        f"{len(killed)} processes killed in {time.perf_counter() - began:.0f} s"
    )
    return 0 if received == expected else 1


if __name__ == "__main__":
    sys.exit(main())
