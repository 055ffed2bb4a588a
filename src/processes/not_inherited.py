"""What processes that are forked from this one must not keep open.

The other end would wait for an end that does not come while they live.
"""

import contextlib
import os
import weakref
from multiprocessing.connection import Connection
from socket import socket

__all__ = ["close_in_forks"]

_open: weakref.WeakSet[Connection | socket] = weakref.WeakSet()


def close_in_forks(*ends: Connection | socket) -> None:
    """Close these ends in every process that is forked from now on."""
    _open.update(ends)


def _close_all() -> None:
    for end in list(_open):
        with contextlib.suppress(OSError):
            end.close()
    _open.clear()


os.register_at_fork(after_in_child=_close_all)
