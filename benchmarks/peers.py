"""Prints how many small messages a second go through this package and through others.

    python benchmarks/peers.py --json peers.json

Producer, one stage on two threads (or processes), consumer. Every package may have at least as
many messages in flight as this one, and is measured without its start. What is not installed
is named, not installed.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable

import baselines
import packages
from ours import ours, ours_by_reference
from timing import messages_per_s
from workloads import small_messages

from ctapipe.pipeline import ConfigurationError


@dataclasses.dataclass(frozen=True)
class System:
    """Something that runs a workload.

    Parameters
    ----------
    name : str
        For the table.
    run : callable
        Takes a workload and returns seconds.
    module : str, optional
        What has to be installed.
    distribution : str, optional
        The name that pip knows it by.
    """

    name: str
    run: Callable
    module: str | None = None
    distribution: str | None = None


SYSTEMS = [
    System("ctapipe.pipeline", ours),
    System("ctapipe.pipeline, by reference", ours_by_reference),
    System("queue.Queue, threads by hand", baselines.queue_threads),
    System("queue.Queue, threads by hand, pickled", baselines.queue_threads_pickled),
    System("ThreadPoolExecutor.map", baselines.thread_pool),
    System("multiprocessing.Pool.imap", baselines.process_pool),
    System("the router of 2016", baselines.original),
    System("pypeln, threads", packages.pypeln_threads, "pypeln", "pypeln"),
    System("pypeln, processes", packages.pypeln_processes, "pypeln", "pypeln"),
    System("SPDL, threads", packages.spdl_threads, "spdl.pipeline", "spdl_core"),
    System("SPDL, coroutines", packages.spdl_coroutines, "spdl.pipeline", "spdl_core"),
    System("Ray, actors", packages.ray_actors, "ray", "ray"),
    System("Dask, scheduler of threads", packages.dask_scheduler, "dask", "dask"),
    System("Dask, cluster of threads", packages.dask_cluster, "distributed", "distributed"),
]


def measure(systems, tries, seconds):
    """Messages per second of every system, `tries` times, all in turn.

    Parameters
    ----------
    systems : list of System
        What to measure.
    tries : int
        How often.
    seconds : float
        How long a try takes, about.
    """
    sizes = {system.name: _size(system, seconds) for system in systems}
    rates = {system.name: [] for system in systems}
    for _ in range(tries):
        for system in systems:
            rate = messages_per_s(system.run, small_messages(sizes[system.name]))
            rates[system.name].append(rate)
    return rates


def _size(system, seconds):
    """How many messages take about so long; this also warms up."""
    n = 500
    while True:
        took = n / messages_per_s(system.run, small_messages(n))
        if took >= seconds / 2:
            return n
        n = int(n * min(10, 1.2 * seconds / took))


def report(rates):
    """The results, for the table and as JSON."""
    first = next(iter(rates.values()))
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "systems": [
            {
                "name": name,
                "messages_per_s": of_system,
                "median": statistics.median(of_system),
                "ours_is_faster_by": statistics.median(
                    own / other for own, other in zip(first, of_system, strict=True)
                ),
            }
            for name, of_system in rates.items()
        ],
    }


def main():
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the numbers to a file")
    parser.add_argument("--tries", type=int, default=5, help="of which the median is shown")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a try takes")
    arguments = parser.parse_args()
    installed = [
        system
        for system in SYSTEMS
        if (system.module is None or packages.is_installed(system.module))
        and (system.run is not ours_by_reference or _takes_references())
    ]
    results = report(measure(installed, arguments.tries, arguments.seconds))
    print(f"{'':<40}{'messages/s':>12}{'ours is faster by':>20}")
    for system in results["systems"]:
        print(f"{system['name']:<40}{system['median']:>12,.0f}{system['ours_is_faster_by']:>20.2f}")
    missing = {system.distribution for system in SYSTEMS if system not in installed} - {None}
    if missing:
        print(f"\nNot installed: try  pip install {' '.join(sorted(missing))}")
    distributions = {system.distribution for system in installed} - {None}
    results["versions"] = {name: importlib.metadata.version(name) for name in sorted(distributions)}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


def _takes_references():
    try:
        ours_by_reference(small_messages(1))
    except ConfigurationError:
        return False
    return True


# Processes that are started afresh import this module.
if __name__ == "__main__":
    main()
