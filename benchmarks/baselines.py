"""A workload run by what one would write with the standard library alone.

Every function takes a workload and returns the seconds that it took. What would be started
once and kept, as a pool, is started before the clock.
"""

import multiprocessing
import pickle
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from original_design import OriginalPipeline

__all__ = [
    "IN_FLIGHT",
    "original",
    "original_pickling_twice",
    "process_pool",
    "queue_threads",
    "queue_threads_pickled",
    "thread_pool",
]

# How many messages may wait at each hop. As with ours: half of the queue_limit of 100 on the way
# to the router, 100 in the queue, 100 at each of 2 workers (see test_in_flight.py).
IN_FLIGHT = 350
PROTOCOL = 5


def queue_threads(workload, n_threads=2):
    """Threads written by hand, with a `queue.Queue` before the stage and the consumer."""
    to_stage = queue.Queue(IN_FLIGHT)
    to_consumer = queue.Queue(IN_FLIGHT)
    end = object()

    def produce():
        for message in workload.producer().run():
            to_stage.put(message)
        for _ in range(n_threads):
            to_stage.put(end)

    def process():
        run = workload.stage().run
        while (message := to_stage.get()) is not end:
            to_consumer.put(run(message))
        to_consumer.put(end)

    def consume():
        run = workload.consumer().run
        n_running = n_threads
        while n_running:
            message = to_consumer.get()
            if message is end:
                n_running -= 1
            else:
                run(message)

    return _run_together(produce, *[process] * n_threads, consume)


def queue_threads_pickled(workload, n_threads=2):
    """The same, but pickled at every hop, so that nothing is shared with the sender."""
    to_stage = queue.Queue(IN_FLIGHT)
    to_consumer = queue.Queue(IN_FLIGHT)
    end = b""

    def produce():
        for message in workload.producer().run():
            to_stage.put(pickle.dumps(message, PROTOCOL))
        for _ in range(n_threads):
            to_stage.put(end)

    def process():
        run = workload.stage().run
        while pickled := to_stage.get():
            to_consumer.put(pickle.dumps(run(pickle.loads(pickled)), PROTOCOL))
        to_consumer.put(end)

    def consume():
        run = workload.consumer().run
        n_running = n_threads
        while n_running:
            pickled = to_consumer.get()
            if pickled:
                run(pickle.loads(pickled))
            else:
                n_running -= 1

    return _run_together(produce, *[process] * n_threads, consume)


def thread_pool(workload, n_threads=2):
    """`ThreadPoolExecutor.map`: all messages may be in flight."""
    process, consume = workload.stage().run, workload.consumer().run
    with ThreadPoolExecutor(n_threads) as pool:
        began = time.perf_counter()
        for message in pool.map(process, workload.producer().run()):
            consume(message)
        return time.perf_counter() - began


def process_pool(workload, n_processes=2):
    """`multiprocessing.Pool.imap`, a message at a time: all may be in flight."""
    process, consume = workload.stage().run, workload.consumer().run
    # Not forked, because threads of the program may hold locks.
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        pool.map(process, range(100), chunksize=1)
        began = time.perf_counter()
        for message in pool.imap(process, workload.producer().run()):
            consume(message)
        return time.perf_counter() - began


def original(workload, n_threads=2, queue_limit=IN_FLIGHT, **options):
    """The router of 2016."""
    pipeline = OriginalPipeline(
        workload.producer().run(),
        workload.stage().run,
        workload.consumer().run,
        n_threads,
        queue_limit=queue_limit,
        **options,
    )
    began = time.perf_counter()
    pipeline.run()
    return time.perf_counter() - began


def original_pickling_twice(workload, n_threads=2):
    """The router of 2016, which unpickled and pickled all that went through it."""
    return original(workload, n_threads, router_pickles=True)


def _run_together(*targets):
    threads = [threading.Thread(target=target) for target in targets]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
