"""A directory for the sockets of a run, that nobody else can enter and nothing leaves behind."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

import zmq

from ..errors import ConfigurationError

__all__ = ["PrivateDirectory"]

PREFIX = "ctapipe-pipeline-"
LOCK = "lock"
# What follows the directory of temporary files in the path of a socket, at most: mkdtemp makes up
# eight characters, and the router puts two numbers after them.
LONGEST_REST = f"/{PREFIX}12345678/{2**31 - 1}.{2**31 - 1}"
# How old a directory without a lock has to be: its process may be about to lock it.
SHORTEST_AGE_S = 60


class PrivateDirectory:
    """A directory that only this user can enter, until it is closed.

    It holds a file that this process has locked. A process that dies loses its locks, so the
    next one knows which directories are nobody's, and removes them. Where the path of a socket in
    the directory of temporary files would be too long, this one is in ``/tmp``.

    Raises
    ------
    ConfigurationError
        If the system refuses it.

    Attributes
    ----------
    path : str
        Where it is.
    """

    def __init__(self) -> None:
        try:
            self._make()
        except OSError as error:
            raise ConfigurationError(
                [
                    "there cannot be a directory for the sockets of worker processes "
                    f"({error.strerror}): set TMPDIR to a directory that has room"
                ]
            ) from None

    def _make(self) -> None:
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) + len(LONGEST_REST) > zmq.IPC_PATH_MAX_LEN:
            parent = "/tmp"
        for left in Path(parent).glob(f"{PREFIX}*"):
            _remove_if_left(left)
        lock = None
        # Another process may have taken it for one that is left, until it was locked.
        while lock is None:
            self.path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            lock = _lock(self.path)
        # Also of a run that never began, at the end of the program at the latest.
        self._remove = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def close(self) -> None:
        """Remove it."""
        self._remove()


def _lock(path: str) -> int | None:
    """A descriptor of the directory's lock, or None if it was removed meanwhile."""
    try:
        lock = os.open(Path(path, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return None


def _remove(path: str, lock: int, owner: int) -> None:
    # A process that a step has forked has it, too.
    if os.getpid() != owner:
        return
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_if_left(path: Path) -> None:
    with contextlib.suppress(OSError):
        status = path.lstat()
        if status.st_uid != os.getuid() or path.is_symlink():
            return
        try:
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if time.time() - status.st_mtime > SHORTEST_AGE_S:
                shutil.rmtree(path, ignore_errors=True)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)
