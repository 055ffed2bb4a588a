"""Whether the main process may open as many files as its worker processes need."""

import contextlib
import os

__all__ = ["check_descriptors"]

# What a worker process takes here when it starts: its connection to the router, and both ends of
# that to the main process.
PER_WORKER = 3


def check_descriptors(n_workers: int) -> None:
    """Open so many files for a moment: libzmq aborts where it finds no room.

    Raises
    ------
    OSError
        If that is too many.
    """
    with contextlib.ExitStack() as opened:
        for _ in range(PER_WORKER * n_workers):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
