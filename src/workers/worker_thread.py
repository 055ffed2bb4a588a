"""The thread that makes a worker's calls."""

import queue
import threading
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from .stacks import stack_of

__all__ = ["LONGEST_DEAFNESS_S", "WorkerThread", "check_threads", "start_thread"]

# A signal that comes just before the main thread begins to wait for a lock is not handled
# before that wait ends.
LONGEST_DEAFNESS_S = 0.5


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises
    ------
    ConfigurationError
        If the system refuses it.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise ConfigurationError(
            [f"{error}: lower 'nb_thread', or raise the limit with ulimit -u"]
        ) from None


def check_threads(n_threads: int) -> None:
    """Start so many threads for a moment: libzmq aborts where it cannot start its own.

    Raises
    ------
    ConfigurationError
        If the system refuses one.
    """
    ended = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(n_threads):
            thread = threading.Thread(target=ended.wait, daemon=True)
            start_thread(thread)
            started.append(thread)
    finally:
        ended.set()
        for thread in started:
            thread.join()


class WorkerThread:
    """A thread that makes the calls it is told to, one after the other.

    Parameters
    ----------
    name : str
        The name of the thread.
    on_failure : callable
        Takes the exception of a call that raised one, before others hear that it has ended.
    """

    def __init__(self, name: str, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        # The name of the call that it makes.
        self.call_in_hand: str | None = None
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
            start_thread(self._thread)
        return ended

    def stack(self) -> str:
        """Where it is in its code."""
        return stack_of(self._thread)

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
            self.call_in_hand = function.__name__
            try:
                function(*arguments)
            except BaseException as error:
                self._on_failure(error)
            self.call_in_hand = None
            ended.set()
