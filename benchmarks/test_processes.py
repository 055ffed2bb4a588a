"""Worker processes, and how large arrays get to them."""

import pytest
from baselines import process_pool
from handover import SIZES, bare_copies, pickled_over_ipc, through_shared_memory
from ours import run_steps
from timing import messages_per_s
from workloads import five_ms_of_python, small_messages


def ours_without_start(workload, **options):
    """Seconds for a workload, from the first message that the stage gets."""
    run_steps(workload, executor="processes", **options)
    return workload.consumer.ended - workload.producer.began


def sequential(workload):
    """The same in one thread."""
    run_steps(workload, executor="sequential")
    return workload.consumer.ended - workload.producer.began


def test_pure_python_on_two_processes(compare, size):
    n = size(200, 1000)
    compare(
        "processes.python",
        lambda: (
            messages_per_s(ours_without_start, five_ms_of_python(n)),
            messages_per_s(sequential, five_ms_of_python(n)),
        ),
    )


def test_small_messages(compare, size):
    n_ours, n_theirs = size(50_000, 300_000), size(10_000, 100_000)
    compare(
        "processes.pool",
        lambda: (
            messages_per_s(ours_without_start, small_messages(n_ours)),
            messages_per_s(process_pool, small_messages(n_theirs)),
        ),
    )


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("other", [pickled_over_ipc, bare_copies], ids=["pickled", "bare"])
def test_arrays(compare, size, name, other):
    n_bytes = SIZES[name]
    n = size(300, 2000) if n_bytes < 1_000_000 else size(30, 200)
    bar = f"processes.{'mono' if n_bytes < 1_000_000 else 'stereo'}_{other.__name__}"
    compare(bar, lambda: (through_shared_memory(n_bytes, n), other(n_bytes, n)))
