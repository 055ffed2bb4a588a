"""Whether this process may open as many files as are needed."""

import contextlib
import os

__all__ = ["check_descriptors"]


def check_descriptors(n_files: int) -> None:
    """Open so many files for a moment: libzmq aborts where it finds no room.

    Raises
    ------
    OSError
        If that is too many.
    """
    with contextlib.ExitStack() as opened:
        for _ in range(n_files):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
