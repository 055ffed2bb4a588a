"""What is measured: the steps of a pipeline, and how many messages go through it.

A workload says nothing of who runs it: this package and everything that it is compared with
call the same methods of the same classes.
"""

import dataclasses
import functools
import itertools
import threading
import time
from typing import ClassVar

import numpy as np

__all__ = [
    "ARRAY",
    "Pass",
    "Workload",
    "arrays",
    "arrays_in_objects",
    "five_ms_of_python",
    "one_at_a_time",
    "pure_python",
    "small_messages",
    "small_objects",
    "waiting",
]

# 630 kB: as the signals of one LST.
ARRAY = np.ones(157_500, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Workload:
    """The steps to run.

    Parameters
    ----------
    n : int
        How many messages the producer sends.
    producer, stage, consumer : type
        Classes as in a pipeline; the consumer counts what it gets in ``received``.
    """

    n: int
    producer: type
    stage: type
    consumer: type


class Pass:
    """A stage that does nothing. Not local, so that processes can import it."""

    def run(self, message):
        return message


class Loop:
    """A stage that computes, in Python, as long as the message says. Not local either."""

    def run(self, n_loops):
        _loop(n_loops)
        return n_loops


def _workload(n, messages, stage):
    class Producer:
        began = 0.0

        def run(self):
            Producer.began = time.perf_counter()
            yield from messages

    class Consumer:
        received = 0
        ended = 0.0

        def run(self, message):
            Consumer.received += 1
            if Consumer.received == n:
                Consumer.ended = time.perf_counter()

    return Workload(n, Producer, stage, Consumer)


@dataclasses.dataclass
class Found:
    """What a step may have found in an event: it has to be pickled."""

    event_id: int
    energy_tev: float


@dataclasses.dataclass
class Image:
    """What a step may have read of an event: it has to be pickled, but for its pixels."""

    event_id: int
    pixels: np.ndarray


def small_messages(n):
    """Whole numbers through steps that do nothing: they need no pickle."""
    return _workload(n, range(n), Pass)


def small_objects(n):
    """Small objects through steps that do nothing: they need a pickle."""
    return _workload(n, (Found(i, 0.5) for i in range(n)), Pass)


def arrays(n):
    """The same array again and again through steps that do nothing: it needs no pickle."""
    return _workload(n, itertools.repeat(ARRAY, n), Pass)


def arrays_in_objects(n):
    """The same in an object, which needs a pickle."""
    return _workload(n, (Image(i, ARRAY) for i in range(n)), Pass)


def waiting(n):
    """A stage that waits for 1 ms, without the GIL."""

    class Wait:
        def run(self, message):
            time.sleep(0.001)
            return message

    return _workload(n, range(n), Wait)


def pure_python(n):
    """A stage that computes for 1 ms, in Python."""
    n_loops = _loops_per_ms()

    class Compute:
        def run(self, message):
            _loop(n_loops)
            return message

    return _workload(n, range(n), Compute)


def five_ms_of_python(n):
    """A stage that computes for 5 ms, in Python."""
    return _workload(n, itertools.repeat(5 * _loops_per_ms(), n), Loop)


def one_at_a_time(n):
    """A producer that waits until its message has arrived before it sends the next.

    The consumer collects how long each was under way in ``latencies``, ns.
    """
    # Held while a message is under way.
    under_way = _acquired_lock()

    class Producer:
        def run(self):
            for _ in range(n):
                yield time.perf_counter_ns()
                under_way.acquire()

    class Consumer:
        received = 0
        latencies: ClassVar[list[int]] = []

        def run(self, sent_at):
            Consumer.latencies.append(time.perf_counter_ns() - sent_at)
            Consumer.received += 1
            under_way.release()

    return Workload(n, Producer, Pass, Consumer)


def _acquired_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock


def _loop(n):
    while n:
        n -= 1


@functools.cache
def _loops_per_ms():
    n_loops = 100_000
    times = []
    for _ in range(5):
        began = time.perf_counter()
        _loop(n_loops)
        times.append(time.perf_counter() - began)
    return int(n_loops * 0.001 / min(times))
