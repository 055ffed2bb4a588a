"""Messages per second through producer, stage and consumer.

Every benchmark checks a ratio between two ways that are measured in turn, so that the
machine's speed does not matter.
"""

import time

import pytest
from original_design import OriginalPipeline

from ctapipe.pipeline import run

TRIES = 5


def best_ratio(slower, faster, at_least):
    """How much longer `slower` takes than `faster`; the best of several tries.

    Each takes no argument and returns seconds per message.
    """
    ratio = 0.0
    for _ in range(TRIES):
        ratio = max(ratio, slower() / faster())
        if ratio >= at_least:
            break
    return ratio


def seconds_per_message(n, call):
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) / n


def pipeline(n, n_threads, queue_limit):
    """Small messages through this package; returns a function that runs it."""

    class Producer:
        def run(self):
            yield from range(n)

    class Stage:
        def run(self, number):
            return number

    class Consumer:
        received = 0

        def run(self, number):
            Consumer.received += 1

    def call():
        Consumer.received = 0
        run(
            [
                Producer,
                {"class": Stage, "nb_thread": n_threads, "queue_limit": queue_limit},
                {"class": Consumer, "queue_limit": queue_limit},
            ]
        )
        assert Consumer.received == n

    return call


def original(n, n_threads, queue_limit):
    def call():
        received = []
        OriginalPipeline(
            range(n), lambda number: number, received.append, n_threads, queue_limit
        ).run()
        assert len(received) == n

    return call


@pytest.mark.benchmark(group="throughput")
def test_300_000_small_messages(benchmark):
    n = 300_000
    benchmark.pedantic(pipeline(n, n_threads=4, queue_limit=10), rounds=1)
    benchmark.extra_info["messages_per_s"] = n / benchmark.stats.stats.median


@pytest.mark.benchmark(group="throughput")
def test_at_least_5_times_the_original_design(benchmark):
    def ours():
        return seconds_per_message(50_000, pipeline(50_000, n_threads=4, queue_limit=10))

    def theirs():
        return seconds_per_message(4_000, original(4_000, n_threads=4, queue_limit=10))

    ratio = benchmark.pedantic(best_ratio, args=(theirs, ours, 5), rounds=1)
    benchmark.extra_info["ratio"] = ratio
    assert ratio >= 5
