"""The router alone, and one hop of libzmq alone: between compiled threads, without Python.

Run as a script it sends a number of messages through the router, and sees that they arrive:

    python benchmarks/routing.py 2200000000
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from endpoints import load_endpoints

from ctapipe.pipeline._router import Router
from ctapipe.pipeline.configuration.graph import DEFAULT_QUEUE_LIMIT
from ctapipe.pipeline.executors.parallel import MOST_SEND_AHEAD

__all__ = ["raw_hop", "routed"]


def routed(n, n_workers, queue_limit=DEFAULT_QUEUE_LIMIT):
    """Messages per second from one producer through the router to workers.

    Parameters
    ----------
    n : int
        How many messages.
    n_workers : int
        How many workers receive and acknowledge them.
    queue_limit : int
        How many messages may wait for them.
    """
    endpoints = load_endpoints()
    # As the executor for threads sets it up.
    send_ahead = min(MOST_SEND_AHEAD, queue_limit // 2)
    router = Router([(-1, 0, 0, None, 0), (queue_limit, 1, 0, None, 0)])
    producer = router.connect(0, send_ahead)
    workers = [router.connect(1, send_ahead) for _ in range(n_workers)]
    try:
        with ThreadPoolExecutor(1 + n_workers) as pool:
            received = [pool.submit(endpoints.work, end) for end in workers]
            began = time.perf_counter()
            pool.submit(endpoints.produce, producer, n)
            router.run()
            seconds = time.perf_counter() - began
        _check(n, *zip(*(worker.result() for worker in received), strict=True))
    finally:
        for end in [producer, *workers]:
            router.disconnect(end)
        router.close()
    return n / seconds


def raw_hop(n):
    """Messages per second from one PAIR socket to another."""
    hop = load_endpoints().RawHop()
    sender = threading.Thread(target=hop.send, args=(n,))
    began = time.perf_counter()
    sender.start()
    total = hop.receive(n)
    seconds = time.perf_counter() - began
    sender.join()
    _check(n, [n], [total])
    return n / seconds


def _check(n, counts, totals):
    assert sum(counts) == n
    assert sum(totals) == n * (n - 1) // 2


if __name__ == "__main__":
    n = int(sys.argv[1])
    print(f"{n} messages, each once, {routed(n, n_workers=1) / 1e6:.2f} million/s")
