import os
import tempfile

import pytest


@pytest.fixture
def nothing_is_left(monkeypatch, tmp_path_factory):
    """A temporary directory, with a name that is short enough for sockets, stays empty."""
    # Made now, where it belongs.
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield
        assert not os.listdir(directory)
    # What other programs have there has other names.
    assert not [name for name in os.listdir("/dev/shm") if "ctapipe" in name]
