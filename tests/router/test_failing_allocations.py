"""Where the core gets no memory, there is an exception; nothing is lost, and all can be closed."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from failing_allocations import preloaded


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize("script", ["threads_without_memory.py", "process_without_memory.py"])
def test_every_allocation_may_fail(script, tmp_path):
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name(script)],
        env=preloaded(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # They would not be seen if the core were linked or compiled in another way.
    assert all(int(n_allocations) > 50 for n_allocations in result.stdout.split())
