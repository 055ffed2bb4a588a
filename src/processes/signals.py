"""What the signals that interrupt a run do in worker processes, and in what steps fork.

The main process decides what an interrupt means, and ends the workers, which do nothing by
themselves. But what steps start, programs and processes, ends by signals as anywhere else.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["INTERRUPTS", "blocked_interrupts", "handlers_of_forks", "ignore_interrupts"]

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What signals do in processes that this one forks, as far as it is not what they do here.
handlers_of_forks: dict[int, Any] = {}

_blocked = threading.local()


def ignore_interrupts() -> None:
    """Do nothing on a signal from now on, but in processes that are forked from this one."""
    # Not SIG_IGN, which programs that are started inherit.
    for number in INTERRUPTS:
        signal.signal(number, _do_nothing)
        signal.siginterrupt(number, False)
    handlers_of_forks.update(dict.fromkeys(INTERRUPTS, signal.SIG_DFL))
    handlers_of_forks[signal.SIGINT] = signal.default_int_handler


@contextlib.contextmanager
def blocked_interrupts() -> Iterator[None]:
    """While entered, and in processes that are started, signals wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


# A signal that comes just after a fork waits until it is known what it does.


def _before_fork() -> None:
    _blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, handlers_of_forks)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked.before)


def _in_fork() -> None:
    for number, handler in handlers_of_forks.items():
        signal.signal(number, handler)
    handlers_of_forks.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_fork)
