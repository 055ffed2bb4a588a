"""Stages that take 1 ms: what threads cost a step that computes, and give one that waits."""

from ours import ours
from workloads import pure_python, waiting


def test_pure_python_on_2_threads(compare, size):
    n = size(400, 5_000)
    compare(
        "slow_steps.python",
        lambda: (ours(pure_python(n)), ours(pure_python(n), executor="sequential")),
    )


def test_waiting_on_8_threads(compare, size):
    n = size(1_600, 10_000)
    compare(
        "slow_steps.waiting",
        lambda: (
            ours(waiting(n), executor="sequential"),
            ours(waiting(n), n_threads=8),
        ),
    )
