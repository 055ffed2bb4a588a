"""Every fault of faults.py with every executor, once, has the outcome that stands there.

Many more trials: ``python tests/faults/run.py --trials 10000 --jobs 2``.
"""

import sys
from types import SimpleNamespace

import pytest
from run import failure_text, run_trials
from trials import COMBINATIONS, EXECUTORS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc"),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_faults_have_their_outcome(executor, tmp_path):
    numbers = [number for number, (_, other) in enumerate(COMBINATIONS) if other == executor]
    arguments = SimpleNamespace(seed=1, bound=60, jobs=2, keep=tmp_path, fresh=False)
    results = run_trials(numbers, arguments, report=lambda text: None)
    assert len(results) == len(numbers)
    failed = [failure_text(result, arguments) for result in results if result.get("failures")]
    assert not failed, "\n".join(failed)
