"""A workload run by this package."""

import time

from ctapipe.pipeline import run
from ctapipe.pipeline.configuration.graph import DEFAULT_QUEUE_LIMIT

__all__ = ["ours", "ours_by_reference", "run_steps"]


def run_steps(
    workload,
    n_threads=2,
    executor="threads",
    queue_limit=DEFAULT_QUEUE_LIMIT,
    serialization=None,
    gui_address=None,
):
    """Run a workload's steps and return the summary.

    Parameters
    ----------
    workload : Workload
        What to run.
    n_threads : int
        How many threads run the stage.
    executor : str
        What runs the steps.
    queue_limit : int
        How many messages may wait for the stage, and for the consumer.
    serialization : str, optional
        How messages are sent; what the package chooses, if not given.
    gui_address : str, optional
        The window's; the usual one, if not given.
    """
    sending = {} if serialization is None else {"serialization": serialization}
    queued = {"queue_limit": queue_limit}
    return run(
        [
            {"class": workload.producer, **sending},
            {"class": workload.stage, "nb_thread": n_threads, **queued, **sending},
            {"class": workload.consumer, **queued},
        ],
        executor=executor,
        gui_address=gui_address,
    )


def ours(workload, **options):
    """Seconds for a workload: the whole run, from reading the configuration to the end."""
    began = time.perf_counter()
    run_steps(workload, **options)
    return time.perf_counter() - began


def ours_by_reference(workload, **options):
    """Seconds for a workload, with messages that are handed over as they are."""
    return ours(workload, serialization="none", **options)
