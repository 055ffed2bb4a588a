"""What the tests share."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CTAPIPE_PIPELINE_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def data_path():
    """The directory with telescope files."""
    if not (DATA / "stereo_100.simtel.zst").exists():
        pytest.skip(f"no telescope files in {DATA}; set CTAPIPE_PIPELINE_TEST_DATA")
    return DATA.resolve()


@pytest.fixture
def examples():
    """The directory with the example configurations."""
    return ROOT / "examples"


@pytest.fixture(autouse=True)
def no_thread_left():
    """No test leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def command(tmp_path):
    """Runs ``ctapipe-pipeline`` in an empty directory; returns the finished process."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "ctapipe.pipeline", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    return run
