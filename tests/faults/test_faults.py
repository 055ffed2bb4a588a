"""Every fault of faults.py, with one executor each, has the outcome that stands there.

With ``--full`` with every executor. Many more: ``python tests/faults/run.py --trials 10000``.
"""

import sys
from types import SimpleNamespace

import pytest
from fault import EXECUTORS
from faults import FAULTS
from run import failure_text, run_trials
from trials import COMBINATIONS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc"),
    pytest.mark.timeout(600),
]


# The numbers of the first trial of each fault with each executor.
NUMBERS = {(fault.name, executor): n for n, (fault, executor) in enumerate(COMBINATIONS)}


def check(numbers, directory):
    arguments = SimpleNamespace(seed=1, bound=60, jobs=2, keep=directory, fresh=False)
    results = run_trials(numbers, arguments, report=lambda text: None)
    assert len(results) == len(numbers)
    failed = [failure_text(result, arguments) for result in results if result.get("failures")]
    assert not failed, "\n".join(failed)


def test_every_fault_with_one_executor(tmp_path):
    # The executors in turn, and each fault with another one than its neighbours, which are similar.
    check(
        [
            NUMBERS[fault.name, fault.executors[i % len(fault.executors)]]
            for i, fault in enumerate(FAULTS)
        ],
        tmp_path,
    )


@pytest.mark.full
@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_fault_with_every_executor(executor, tmp_path):
    check([number for (_, other), number in NUMBERS.items() if other == executor], tmp_path)
