"""The directory of the sockets: their paths fit into an address, wherever it is."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import zmq

from ctapipe.pipeline import ConfigurationError
from ctapipe.pipeline.processes.private_directory import PrivateDirectory

# The largest numbers that the router can put into it.
LONGEST_NAME = "2147483647.2147483647"


@pytest.fixture
def temporary_directory(monkeypatch):
    """Makes a directory whose path has a certain length that of temporary files."""
    made = []

    def make(length):
        start = tempfile.mkdtemp(dir="/tmp")
        made.append(start)
        path = Path(start, "x" * (length - len(start) - 1))
        path.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(path))
        return path

    yield make
    for path in made:
        shutil.rmtree(path)


@pytest.mark.parametrize("length", range(40, 91))
def test_a_socket_can_be_bound_in_it(temporary_directory, length):
    temporary_directory(length)
    directory = PrivateDirectory()
    try:
        with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
            socket.bind(f"ipc://{directory.path}/{LONGEST_NAME}")
    finally:
        directory.close()
    assert not Path(directory.path).exists()


@pytest.mark.parametrize(("length", "is_there"), [(50, True), (90, False)])
def test_it_is_among_the_temporary_files_where_that_is_short_enough(
    temporary_directory, length, is_there
):
    path = temporary_directory(length)
    directory = PrivateDirectory()
    try:
        assert (Path(directory.path).parent == path) == is_there
    finally:
        directory.close()


def test_another_run_that_begins_at_the_same_time_does_not_take_it(
    temporary_directory, monkeypatch
):
    temporary_directory(50)
    lock_file = fcntl.flock
    others = []

    def lock_after_another_has_looked(descriptor, operation):
        if not others:
            others.append(None)
            others.append(PrivateDirectory())
        lock_file(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_after_another_has_looked)
    directories = [PrivateDirectory(), others[1]]
    assert len({directory.path for directory in directories}) == 2
    for directory in directories:
        assert Path(directory.path).is_dir()
        directory.close()


FORKS = """
import os, sys
from ctapipe.pipeline.processes.private_directory import PrivateDirectory

directory = PrivateDirectory()
if os.fork() == 0:
    sys.exit()
os.wait()
print(os.path.exists(directory.path))
"""


def test_a_copy_of_the_process_does_not_remove_it():
    result = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True)
    assert result.stdout == "True\n", result.stderr


def test_no_room_for_it_is_a_mistake_and_leaves_nothing(temporary_directory, monkeypatch):
    path = temporary_directory(50)

    def no_room(path, *arguments, **options):
        if Path(path).name == "lock":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_file(path, *arguments, **options)

    open_file = os.open

    monkeypatch.setattr(os, "open", no_room)
    with pytest.raises(ConfigurationError, match="No space left on device.*set TMPDIR"):
        PrivateDirectory()
    monkeypatch.undo()
    assert not list(path.iterdir())
