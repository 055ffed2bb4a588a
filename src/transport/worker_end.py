"""A worker's end of the way to the router."""

from typing import NamedTuple

__all__ = ["WorkerEnd"]


class WorkerEnd(NamedTuple):
    """What a router gives a worker, for its `Channel`.

    Parameters
    ----------
    jobs, sent : int
        The addresses of its sockets for jobs and for what it sends, as `zmq.Socket.underlying`.
        They can be one.
    counts : memoryview
        How much has been sent on both, a ``wire_counts``.
    flags : memoryview
        Those of the run, a ``wire_flags``.
    """

    jobs: int
    sent: int
    counts: memoryview
    flags: memoryview
