"""Small pickled messages: producer, stage on 2 threads, consumer."""

import pytest
from baselines import original, queue_threads, queue_threads_pickled, thread_pool
from ours import ours
from packages import dask_cluster, is_installed, ray_actors, spdl_threads
from timing import messages_per_s
from workloads import small_messages


@pytest.mark.parametrize(
    ("name", "theirs", "short", "long"),
    [
        ("queue", queue_threads, 50_000, 500_000),
        ("queue_pickled", queue_threads_pickled, 50_000, 500_000),
        ("thread_pool", thread_pool, 20_000, 200_000),
        ("original", original, 3_000, 10_000),
    ],
)
def test_faster_than_without_a_package(compare, size, name, theirs, short, long):
    n_ours, n_theirs = size(100_000, 1_000_000), size(short, long)
    compare(
        f"throughput.{name}",
        lambda: (
            messages_per_s(ours, small_messages(n_ours)),
            messages_per_s(theirs, small_messages(n_theirs)),
        ),
    )


@pytest.mark.parametrize(
    ("name", "module", "theirs"),
    [
        ("spdl", "spdl.pipeline", spdl_threads),
        ("ray", "ray", ray_actors),
        ("dask", "distributed", dask_cluster),
    ],
)
def test_faster_than_other_packages(compare, size, name, module, theirs):
    if not is_installed(module):
        pytest.skip(f"{module} is not installed")
    n_ours, n_theirs = size(100_000, 1_000_000), size(1_000, 10_000)
    compare(
        f"throughput.{name}",
        lambda: (
            messages_per_s(ours, small_messages(n_ours)),
            messages_per_s(theirs, small_messages(n_theirs)),
        ),
    )
