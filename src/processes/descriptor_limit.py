"""Whether this process may open as many files as are needed."""

import contextlib
import os

from ..errors import ConfigurationError

__all__ = ["check_descriptors", "too_many_workers"]


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


def too_many_workers(n: int) -> ConfigurationError:
    """What to raise if so many workers find no room for theirs."""
    return ConfigurationError(
        [
            f"{n} workers need more file descriptors than this process may open, "
            f"about {4 * n}: lower 'nb_thread', or raise the limit with ulimit -n"
        ]
    )
