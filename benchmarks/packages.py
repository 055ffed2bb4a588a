"""A workload run by other packages, each in the way that its own documentation shows.

Every function takes a workload and returns the seconds that it took, without the start of
the package's threads and processes. At every hop at least `IN_FLIGHT` messages may wait.
"""

import importlib.util
import logging
import os
import sys
import time

from baselines import IN_FLIGHT

__all__ = [
    "dask_cluster",
    "dask_scheduler",
    "is_installed",
    "pypeln_processes",
    "pypeln_threads",
    "ray_actors",
    "spdl_coroutines",
    "spdl_threads",
]


def is_installed(module):
    """Whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def spdl_threads(workload, n_threads=2):
    """SPDL: the stage is a plain function, which it runs in its pool of threads."""
    return _spdl(workload, workload.stage().run, n_threads)


def spdl_coroutines(workload, n_threads=2):
    """SPDL: the stage is a coroutine in its event loop, so that no two run at once."""
    run = workload.stage().run

    async def process(message):
        return run(message)

    return _spdl(workload, process, n_threads)


def _spdl(workload, process, n_threads):
    from spdl.pipeline import AsyncQueue, PipelineBuilder

    class Queue(AsyncQueue):
        """Longer than its own choice of two, and without statistics."""

        def __init__(self, info, *, buffer_size=1):
            super().__init__(info, buffer_size=max(buffer_size, IN_FLIGHT))

    consume = workload.consumer().run
    pipeline = (
        PipelineBuilder()
        .add_source(workload.producer().run())
        .pipe(process, concurrency=n_threads)
        .add_sink(IN_FLIGHT)
        .build(
            num_threads=n_threads,
            queue_class=Queue,
            task_hook_factory=lambda info: [],
            use_thread_output_queue=True,
        )
    )
    began = time.perf_counter()
    with pipeline.auto_stop():
        for message in pipeline:
            consume(message)
    return time.perf_counter() - began


def ray_actors(workload, n_actors=2):
    """Ray: actors run the stage in processes; the program itself produces and consumes.

    It fetches what is ready many at a time, because one at a time costs a call each.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    # The actors need not find the module that the stage is in.
    ray.cloudpickle.register_pickle_by_value(sys.modules[workload.stage.__module__])
    ray.init(
        num_cpus=n_actors,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        actors = [ray.remote(workload.stage).remote() for _ in range(n_actors)]
        ray.get([actor.run.remote(0) for actor in actors])
        consume = workload.consumer().run
        began = time.perf_counter()
        pending = []
        for i, message in enumerate(workload.producer().run()):
            if len(pending) == 2 * IN_FLIGHT:
                ready, pending = ray.wait(pending, num_returns=IN_FLIGHT)
                for result in ray.get(ready):
                    consume(result)
            pending.append(actors[i % n_actors].run.remote(message))
        for result in ray.get(pending):
            consume(result)
        return time.perf_counter() - began
    finally:
        ray.shutdown()


def dask_cluster(workload, n_threads=2):
    """Dask's futures on a cluster of threads in this process: all may be in flight."""
    from distributed import Client, as_completed

    process, consume = workload.stage().run, workload.consumer().run
    with Client(
        processes=False,
        n_workers=1,
        threads_per_worker=n_threads,
        dashboard_address=None,
        silence_logs=logging.ERROR,
    ) as client:
        client.submit(process, 0).result()
        began = time.perf_counter()
        futures = client.map(process, list(workload.producer().run()), pure=False)
        for batch in as_completed(futures, with_results=True).batches():
            for _, result in batch:
                consume(result)
        return time.perf_counter() - began


def dask_scheduler(workload, n_threads=2):
    """Dask's own threads: nothing is consumed before all has been processed."""
    import dask

    process, consume = dask.delayed(workload.stage().run, pure=False), workload.consumer().run
    began = time.perf_counter()
    tasks = [process(message) for message in workload.producer().run()]
    for result in dask.compute(*tasks, scheduler="threads", num_workers=n_threads):
        consume(result)
    return time.perf_counter() - began


def pypeln_threads(workload, n_threads=2):
    """pypeln with threads."""
    import pypeln

    return _pypeln(workload, pypeln.thread, n_threads)


def pypeln_processes(workload, n_processes=2):
    """pypeln with processes, whose start it does not keep apart."""
    import pypeln

    return _pypeln(workload, pypeln.process, n_processes)


def _pypeln(workload, kind, n_workers):
    consume = workload.consumer().run
    began = time.perf_counter()
    stage = kind.map(
        workload.stage().run, workload.producer().run(), workers=n_workers, maxsize=IN_FLIGHT
    )
    for message in stage:
        consume(message)
    return time.perf_counter() - began
