"""What a process that runs pipelines for an hour takes: memory, threads, descriptors.

python benchmarks/soak.py --minutes 60 --to docs/soak.svg

A mixed graph (branches, a chain, an ordered step, large and small messages, steps that fail, of
which some kill their worker process) is run by each executor in turn, again and again. Every few
seconds is measured what the process and its children have, while a run goes on, and after each
run what is left. It ends with 1 if an event was lost or doubled, or something has grown. For
Linux only.
"""

import argparse
import contextlib
import csv
import gc
import itertools
import logging
import os
import signal
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from process_memory import sizes_mb

from ctapipe.pipeline import run

EXECUTORS = ("threads", "processes", "sequential")
LARGE = 100_000
SAMPLES = ("time_s", "executor", "between", "pss_mb", "shared_mb", "threads", "descriptors")
# Between the second of all rounds and the last one; the first rounds fill caches.
MAY_GROW_BY = {"pss_mb": 8.0, "shared_mb": 0.0, "threads": 0, "descriptors": 0}


class Events:
    """Sends small and large messages until its time is up."""

    until = 0.0

    def run(self):
        for i in itertools.count():
            if time.monotonic() > Events.until:
                break
            yield (i, np.full(LARGE, i) if i % 10 == 0 else None)


class Branch:
    """Sends every other event to one of two steps."""

    def run(self, event):
        self.send_msg(event, self.next_steps[event[0] % 2])


class Fail:
    """Fails with some events; in a worker process, some kill it."""

    def run(self, event):
        number, array = event
        if number % 1000 == 7:
            raise ValueError(number)
        if number % 5000 == 1001 and os.getpid() != MAIN:
            os.kill(os.getpid(), signal.SIGKILL)
        return number, None if array is None else array + 1


class Pass:
    """Sends on what it gets."""

    def run(self, event):
        return event


class Check:
    """Counts the events, which come in order."""

    last = -1
    received = 0

    def run(self, event):
        number, array = event
        if number <= Check.last:
            raise RuntimeError(f"{number} came after {Check.last}")
        if array is not None and not (array[0] == array[-1] == number + number % 2):
            raise RuntimeError(f"the array of {number} is another's")
        Check.last = number
        Check.received += 1


MAIN = os.getpid()


def configuration():
    """The graph."""
    stages = [
        {"name": "BRANCH", "class": Branch, "next_steps": "EVEN,ODD"},
        {"name": "EVEN", "class": Pass, "nb_thread": 2, "executor": "threads"},
        {"name": "ODD", "class": Fail, "nb_process": 2, "next_steps": "CHAINED"},
        {"name": "CHAINED", "class": Pass, "chained": True, "next_steps": "CHECK"},
    ]
    stages[1]["next_steps"] = "CHECK"
    return {
        "Pipeline": {
            "producer_conf": {"name": "EVENTS", "class": Events},
            "stagers_conf": stages,
            "consumer_conf": {"name": "CHECK", "class": Check, "ordered": True},
            "on_error": "skip",
            "retries": 0,
            "gui_address": "",
        }
    }


def measured():
    """Of this process and its children: PSS, shared memory, threads and descriptors."""
    sums = dict.fromkeys(SAMPLES[3:], 0)
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            sizes = sizes_mb(process.pid)
            sums["pss_mb"] += sizes["Pss"]
            sums["shared_mb"] += sizes["Pss_Shmem"]
            sums["threads"] += process.num_threads()
            sums["descriptors"] += process.num_fds()
    return sums


def soak(minutes, seconds_per_run, write):
    """Run executor after executor; give each sample to ``write``, and return the last between."""
    began = time.monotonic()
    lost = 0
    between = []
    for executor in itertools.cycle(EXECUTORS):
        if time.monotonic() - began > 60 * minutes and executor == EXECUTORS[0]:
            return between, lost
        ended = threading.Event()

        def sample(executor=executor, ended=ended):
            while not ended.wait(5):
                write({"time_s": time.monotonic() - began, "executor": executor} | measured())

        sampler = threading.Thread(target=sample)
        Events.until = time.monotonic() + seconds_per_run
        Check.last, Check.received = -1, 0
        sampler.start()
        try:
            summary = run(configuration(), executor=executor)
        finally:
            ended.set()
            sampler.join()
        failed = sum(step["failed"] for step in summary["steps"])
        lost += abs(summary["events"]["sent"] - failed - Check.received)
        print(executor, summary["events"]["sent"], "events,", failed, "failed", flush=True)
        gc.collect()
        row = {"time_s": time.monotonic() - began, "executor": executor, "between": 1}
        between.append(row | measured())
        write(between[-1])


def growth(between):
    """By how much the median of the last third of the runs exceeds that of the second third."""
    third = len(between) // 3
    early, late = between[third : 2 * third], between[2 * third :]
    return {
        name: statistics.median(row[name] for row in late)
        - statistics.median(row[name] for row in early)
        for name in MAY_GROW_BY
    }


def draw(samples, path):
    """Each quantity over time, a colour per executor, and what is left between runs."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "ctapipe.pipeline", "svg.fonttype": "none"}
    figure, rows = plt.subplots(4, 1, figsize=(9, 9), sharex=True, layout="constrained")
    for axes, name in zip(rows, MAY_GROW_BY, strict=True):
        for executor in EXECUTORS:
            during = [s for s in samples if s["executor"] == executor and not s.get("between")]
            axes.plot(
                [s["time_s"] / 60 for s in during],
                [s[name] for s in during],
                ".",
                markersize=3,
                label=executor,
            )
        left = [s for s in samples if s.get("between")]
        axes.plot([s["time_s"] / 60 for s in left], [s[name] for s in left], "k_", label="between")
        axes.set_ylabel(name.replace("_mb", " (MB)").replace("pss", "PSS"))
        axes.set_ylim(bottom=0)
    rows[0].legend(ncols=4, loc="lower right")
    rows[-1].set_xlabel("minutes")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seconds-per-run", type=float, default=30)
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"), help="every sample")
    parser.add_argument("--to", type=Path, help="the plot")
    arguments = parser.parse_args()
    # What fails here does so by intent, a thousand times a minute.
    logging.getLogger("ctapipe.pipeline").setLevel(logging.CRITICAL + 1)
    samples = []
    with arguments.csv.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, SAMPLES)
        writer.writeheader()

        def write(sample):
            samples.append(sample)
            writer.writerow(sample)
            file.flush()

        between, lost = soak(arguments.minutes, arguments.seconds_per_run, write)
    if arguments.to:
        draw(samples, arguments.to)
    grown = growth(between)
    print("lost or doubled:", lost)
    for name, by in grown.items():
        print(f"{name}: {by:+.1f} (last third of the runs, less the second third)")
    sys.exit(lost > 0 or any(by > MAY_GROW_BY[name] for name, by in grown.items()))


if __name__ == "__main__":
    main()
