"""What Ctrl-C, SIGTERM and SIGHUP do to a run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .executors import Executor
from .processes.signals import INTERRUPTS, handlers_of_forks

__all__ = ["interruptible"]


@contextmanager
def interruptible(executor: Executor) -> Iterator[None]:
    """While entered, the first signal interrupts the run and a second one aborts it.

    Only the main thread can handle signals; in any other this does nothing.

    Parameters
    ----------
    executor : Executor
        What runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    n_signals = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal n_signals
        n_signals += 1
        if n_signals > 1:
            executor.abort()
            return
        executor.interrupt()
        executor.log.warning(
            "%s: no more events are read, those in the pipeline run out; "
            "a second one aborts at once",
            signal.Signals(number).name,
        )

    # A shell makes the jobs that it starts in the background ignore SIGINT.
    handled = [number for number in INTERRUPTS if signal.getsignal(number) != signal.SIG_IGN]
    handlers_of_forks.update({number: signal.signal(number, handle) for number in handled})
    try:
        yield
    finally:
        for number, handler in handlers_of_forks.items():
            signal.signal(number, handler)
        handlers_of_forks.clear()
