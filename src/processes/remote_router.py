"""The way of a worker process to the router, which is in the main process."""

import errno
import os

import zmq

from ..transport.worker_end import WorkerEnd

__all__ = ["RemoteRouter"]

LONGEST_CONNECT_S = 60


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
        """As `Router.connect`: one socket is for both ways.

        Raises
        ------
        FileNotFoundError
            If the router's socket was removed.
        TimeoutError
            If nobody listens there.
        """
        self._socket.sndhwm = max(1, send_ahead)
        self._socket.rcvhwm = 0
        path = self._endpoint.removeprefix("ipc://")
        # Writable when connected, not before.
        self._socket.immediate = True
        self._socket.connect(self._endpoint)
        # To connect to one that is not there is no mistake for libzmq: it would try for ever.
        for _ in range(LONGEST_CONNECT_S):
            if self._socket.poll(1000, zmq.POLLOUT):
                break
            if not os.path.exists(path):
                raise FileNotFoundError(
                    errno.ENOENT, "somebody has removed the router's socket", path
                )
        else:
            raise TimeoutError(errno.ETIMEDOUT, "the router's socket does not answer", path)
        address = self._socket.underlying
        return WorkerEnd(address, address, self._counts, self._flags)

    def disconnect(self, end: WorkerEnd) -> None:
        """Close the socket once all that was sent has left."""
        self._socket.close()
        self._context.term()
