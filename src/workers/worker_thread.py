"""The thread that makes a worker's calls, and how the main thread waits for them."""

import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["LONGEST_DEAFNESS_S", "WorkerThread", "wait_for"]

# A signal that comes just before the main thread begins to wait for a lock is not handled
# before that wait ends.
LONGEST_DEAFNESS_S = 0.5


def wait_for(event: threading.Event) -> None:
    """Wait in the main thread, so that a signal is handled whenever it comes."""
    while not event.wait(LONGEST_DEAFNESS_S):
        pass


class WorkerThread:
    """A thread that makes the calls it is told to, one after the other.

    Parameters
    ----------
    name : str
        The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[..., None], tuple, threading.Event] | None]
        self._calls = queue.SimpleQueue()
        # A daemon, so that a second Ctrl-C can end the program while a step computes.
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def call(self, function: Callable[..., None], *arguments: Any) -> threading.Event:
        """Make a call after those before it, and return what is set when it has ended.

        The first call starts the thread.
        """
        ended = threading.Event()
        self._calls.put((function, arguments, ended))
        if self._thread.ident is None:
            self._thread.start()
        return ended

    def end(self) -> None:
        """End the thread after the calls that it was told to make."""
        self._calls.put(None)

    def join(self) -> None:
        """Wait for the thread's end, if it was started."""
        while self._thread.is_alive():
            self._thread.join(LONGEST_DEAFNESS_S)

    def _live(self) -> None:
        while (call := self._calls.get()) is not None:
            function, arguments, ended = call
            try:
                function(*arguments)
            except BaseException:
                # Shown, as if it had ended the thread, for which others wait.
                thread = threading.current_thread()
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))
            ended.set()
