from pathlib import Path

import pytest
from blocks import PAGE

from ctapipe.pipeline.transport._shared import SharedMemory

posix_shm = Path("/dev/shm")


@pytest.fixture
def nothing_left():
    """Nothing is ever in a directory that others see, or that a killed process would leave."""
    before = set(posix_shm.glob("*"))
    yield
    assert set(posix_shm.glob("*")) <= before


@pytest.fixture
def memory():
    memory = SharedMemory([64 * PAGE, 16 * PAGE])
    yield memory
    memory.close()
