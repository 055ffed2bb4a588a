"""Small messages: producer, stage on 2 threads, consumer."""

import pytest
from baselines import original, queue_threads, queue_threads_pickled, thread_pool
from ours import ours
from packages import dask_cluster, is_installed, ray_actors, spdl_threads
from timing import messages_per_s
from workloads import small_messages, small_objects

# What it is compared with, and how many messages that gets: short, long.
BASELINES = {
    "queue": (queue_threads, 50_000, 500_000),
    "thread_pool": (thread_pool, 20_000, 200_000),
    "original": (original, 3_000, 10_000),
}
OBJECT_BASELINES = {
    "objects": queue_threads,
    "objects_pickled": queue_threads_pickled,
}
PACKAGES = {
    "spdl": (spdl_threads, "spdl.pipeline"),
    "ray": (ray_actors, "ray"),
    "dask": (dask_cluster, "distributed"),
}


@pytest.mark.parametrize("name", BASELINES)
def test_faster_than_without_a_package(compare, size, name):
    theirs, *sizes = BASELINES[name]
    n_ours, n_theirs = size(100_000, 1_000_000), size(*sizes)
    compare(
        f"throughput.{name}",
        lambda: (
            messages_per_s(ours, small_messages(n_ours)),
            messages_per_s(theirs, small_messages(n_theirs)),
        ),
    )


@pytest.mark.parametrize("name", OBJECT_BASELINES)
def test_faster_with_objects_that_are_pickled(compare, size, name):
    theirs = OBJECT_BASELINES[name]
    n = size(50_000, 500_000)
    compare(
        f"throughput.{name}",
        lambda: (
            messages_per_s(ours, small_objects(n)),
            messages_per_s(theirs, small_objects(n)),
        ),
    )


def test_faster_than_the_original_with_short_queues(compare, size):
    queues = {"n_threads": 4, "queue_limit": 10}
    compare(
        "throughput.original_short_queues",
        lambda: (
            messages_per_s(ours, small_messages(size(50_000, 300_000)), **queues),
            messages_per_s(original, small_messages(size(3_000, 10_000)), **queues),
        ),
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_faster_than_other_packages(compare, size, name):
    theirs, module = PACKAGES[name]
    if not is_installed(module):
        pytest.skip(f"{module} is not installed")
    n_ours, n_theirs = size(100_000, 1_000_000), size(1_000, 5_000)
    compare(
        f"throughput.{name}",
        lambda: (
            messages_per_s(ours, small_messages(n_ours)),
            messages_per_s(theirs, small_messages(n_theirs)),
        ),
    )
