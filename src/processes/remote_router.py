"""The way of a worker process to the router, which is in the main process."""

import errno
import os

import zmq

from ..transport.worker_end import WorkerEnd

__all__ = ["RemoteRouter"]


class RemoteRouter:
    """What `Channel` connects to in a worker process.

    Parameters
    ----------
    endpoint : str
        The address of the worker's socket.
    counts : memoryview
        The worker's counts, in the shared memory.
    flags : memoryview
        The run's flags, in the shared memory.
    """

    def __init__(self, endpoint: str, counts: memoryview, flags: memoryview) -> None:
        self._endpoint = endpoint
        self._counts = counts
        self._flags = flags
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)

    def connect(self, step: int, send_ahead: int = 16) -> WorkerEnd:
        """As `Router.connect`: one socket is for both ways."""
        self._socket.sndhwm = max(1, send_ahead)
        self._socket.rcvhwm = 0
        path = self._endpoint.removeprefix("ipc://")
        # To connect to one that is not there is no mistake for libzmq: it would wait.
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, "somebody has removed the router's socket", path)
        self._socket.connect(self._endpoint)
        address = self._socket.underlying
        return WorkerEnd(address, address, self._counts, self._flags)

    def disconnect(self, end: WorkerEnd) -> None:
        """Close the socket once all that was sent has left."""
        self._socket.close()
        self._context.term()
