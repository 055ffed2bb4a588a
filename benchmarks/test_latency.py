"""How long one message is under way through three steps, when no other is."""

import statistics

import pytest
from baselines import queue_threads
from ours import ours
from workloads import one_at_a_time


def percentile(system, n, percent):
    """Of the latencies, µs."""
    workload = one_at_a_time(n)
    system(workload, n_threads=1)
    latencies = workload.consumer.latencies
    assert len(latencies) == n
    return statistics.quantiles(latencies, n=100)[percent - 1] * 1e-3


@pytest.mark.parametrize("percent", [50, 99])
def test_latency(compare, size, percent):
    n = size(3_000, 30_000)
    compare(
        f"latency.p{percent}",
        lambda: (percentile(ours, n, percent), percentile(queue_threads, n, percent)),
    )
