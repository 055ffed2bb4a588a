"""The main process's side of the process that worker processes are forked from."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from multiprocessing.connection import Connection, Pipe
from typing import Self

from .descriptor_socket import send_descriptor
from .not_inherited import close_in_forks
from .signals import blocked_interrupts

__all__ = ["ForkServerClient"]

# How many threads libraries compute with. The processes are as many as should compute at a
# time; threads of their own only wait for one another. What the user has set is kept.
THREAD_COUNTS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
)

FORK_SERVER = "ctapipe.pipeline.processes.fork_server"


class ForkServerClient:
    """Starts the fork server at once; it imports while this process goes on.

    Parameters
    ----------
    modules : iterable of str
        What it is to import before it knows what workers are made of.

    Attributes
    ----------
    connection : multiprocessing.connection.Connection
        On which it tells of processes that have started or ended.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self.connection, theirs = Pipe()
        self._descriptors, their_descriptors = socket.socketpair()
        close_in_forks(self.connection, self._descriptors)
        # The workers' ends of connections that it has not been heard to have taken.
        self._sent: dict[int, Connection] = {}
        self._is_set_up = False
        try:
            # A terminal sends interrupts to all processes: it blocks them until it ignores them.
            with theirs, their_descriptors, blocked_interrupts():
                passed = [theirs.fileno(), their_descriptors.fileno()]
                self._process = subprocess.Popen(
                    [sys.executable, "-m", FORK_SERVER, *map(str, passed)],
                    stdin=subprocess.DEVNULL,
                    env={**dict.fromkeys(THREAD_COUNTS, "1"), **os.environ},
                    pass_fds=passed,
                )
        except BaseException:
            self.connection.close()
            self._descriptors.close()
            raise
        with contextlib.suppress(OSError):
            self.connection.send((list(sys.path), list(sys.argv), list(modules)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_up(self, setup: bytes, memory_fd: int) -> None:
        """Say what worker processes are to be made of.

        Parameters
        ----------
        setup : bytes
            A pickled `WorkerSetup`.
        memory_fd : int
            The file descriptor of the shared memory.
        """
        self._is_set_up = True
        with contextlib.suppress(OSError):
            send_descriptor(self._descriptors, memory_fd)
            self.connection.send_bytes(setup)

    def fork(self, slot: int, endpoint: str) -> Connection:
        """Let it fork a worker process.

        Parameters
        ----------
        slot : int
            Which worker it is to be.
        endpoint : str
            The router's address for it.

        Returns
        -------
        multiprocessing.connection.Connection
            To the new process.
        """
        ours, self._sent[slot] = Pipe()
        close_in_forks(ours, self._sent[slot])
        with contextlib.suppress(OSError):
            # First, so that it never waits for a descriptor that does not come.
            send_descriptor(self._descriptors, self._sent[slot].fileno())
            self.connection.send((slot, endpoint))
        return ours

    def started(self, slot: int) -> None:
        """Take note that it has forked a worker.

        Parameters
        ----------
        slot : int
            Which one.
        """
        self._sent.pop(slot).close()

    def close(self) -> None:
        """End it, and the processes that it has forked."""
        if not self._is_set_up:
            # It may be in the middle of an import.
            self._process.kill()
        self.connection.close()
        self._descriptors.close()
        for connection in self._sent.values():
            connection.close()
        self._process.wait()
