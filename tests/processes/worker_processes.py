"""A pipeline that runs in worker processes, and whether one has ended."""

import os
import time

import psutil

from ctapipe.pipeline import run


class Square:
    def run(self, number):
        return number**2


def run_processes(*steps, **options):
    return run(
        {
            "Pipeline": {
                "executor": "processes",
                "producer_conf": {"name": "Producer", "class": steps[0]},
                "stagers_conf": [
                    {"name": f"Stage{i}", **(step if isinstance(step, dict) else {"class": step})}
                    for i, step in enumerate(steps[1:-1])
                ],
                "consumer_conf": {"name": "Consumer", "class": steps[-1], "ordered": True},
                **options,
            }
        }
    )


def is_alive(pid):
    # Where nobody reaps orphans, they stay as zombies.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid):
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline
        os.sched_yield()
