"""A worker process, as the main process sees it: what it was told, and how far it is."""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..errors import StepError
from ..transport.indices import RouterIndex
from ..workers.worker_thread import LONGEST_DEAFNESS_S

__all__ = ["ProcessWorker"]

# How long a process may take to say where it is, seconds.
LONGEST_ANSWER_S = 1.0


class ProcessWorker:
    """What a `Worker` in its `WorkerThread` is, in a process.

    Parameters
    ----------
    fork : callable
        Takes it and starts its process.
    slot : int
        Its place among the workers.
    router_index : int
        The router's number for it.
    name : str
        The name of its step, the first of its chain.
    has_finish : bool
        Whether anything is lost if it dies when all work is done.
    """

    def __init__(
        self,
        fork: Callable[["ProcessWorker"], None],
        slot: int,
        router_index: RouterIndex,
        name: str,
        has_finish: bool,
    ) -> None:
        self.slot = slot
        self.router_index = router_index
        self.name = name
        self.has_finish = has_finish
        self.ended = threading.Event()
        # All that it was told to do, which a process that takes its place is told again.
        self.calls: list[tuple[tuple[str, int | None], threading.Event]] = []
        self.n_done = 0
        # Whether it has reported an error with which the run ends.
        self.has_failed = False
        # Why it is killed, if its job takes too long.
        self.timed_out: StepError | None = None
        # Whether it ends because it has done as many jobs as it is to do.
        self.is_retiring = False
        # How many messages were given up when it died with them.
        self.n_given_up = 0
        self.stacks: queue.SimpleQueue[str] = queue.SimpleQueue()
        # How often in a row it died before it was initialized.
        self.n_failed_starts = 0
        self.pid: int | None = None
        self.connection: Connection | None = None
        self._fork = fork
        self._lock = threading.Lock()

    def call(self, name: str, step: int | None = None) -> threading.Event:
        """Let it make a call after those before it, and return what is set when it has ended.

        The first call starts the process.
        """
        if self.connection is None:
            self._fork(self)
        event = threading.Event()
        with self._lock:
            self.calls.append(((name, step), event))
            if self.ended.is_set():
                event.set()
            else:
                self.tell(name, step)
        return event

    def end(self) -> None:
        """End the process after the calls that it was told to make."""
        self.tell("end")

    def join(self) -> None:
        """Wait for its end, if it was started."""
        while self.connection is not None and not self.ended.wait(LONGEST_DEAFNESS_S):
            pass

    def kill(self) -> None:
        """End the process now, if it runs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    @property
    def call_in_hand(self) -> str | None:
        """The name of the call that it makes, or is to make next."""
        for (name, _), event in self.calls:
            if not event.is_set():
                return name
        return None

    def stack(self) -> str:
        """Where it is in its code, as far as it can say so."""
        self.tell("stack", None)
        try:
            return self.stacks.get(timeout=LONGEST_ANSWER_S)
        except queue.Empty:
            return f"  process {self.pid} does not answer: it may be in compiled code"

    def time_out(self, error: StepError) -> None:
        """Its job takes too long: kill it, and another takes its place."""
        self.timed_out = error
        self.kill()

    def retire(self) -> None:
        """Let it finish and end, before another takes its place."""
        self.is_retiring = True
        for (name, step), _ in self.calls:
            if name == "init":
                self.tell("finish", step)
        self.end()

    @property
    def is_initialized(self) -> bool:
        """Whether it has made all calls of ``init`` that it was told to make."""
        return self.n_done >= self._n_calls("init")

    @property
    def is_finished(self) -> bool:
        """Whether it has made a call of ``finish`` for each of ``init``."""
        if self.is_retiring:
            return self.n_done == len(self.calls) + self._n_calls("init")
        done = [name for (name, _), _ in self.calls[: self.n_done]]
        return done.count("finish") == self._n_calls("init")

    @property
    def works(self) -> bool:
        """Whether it was told to work."""
        return self._n_calls("work") > 0

    def _n_calls(self, name: str) -> int:
        return sum(told == name for (told, _), _ in self.calls)

    def tell(self, *command: Any) -> None:
        """Send a command; one that has died is told again when it has been replaced."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.send(command)

    def tell_again(self) -> None:
        """Let a process that takes the place of another do what that was told."""
        with self._lock:
            self.n_done = 0
            self.is_retiring = False
            for command, _ in self.calls:
                self.tell(*command)

    def has_done(self) -> None:
        """Take note that a call has ended."""
        self.n_done += 1
        if self.is_initialized:
            self.n_failed_starts = 0
        # Of one that retires nobody waits for the end of its last calls.
        if self.n_done <= len(self.calls):
            _, event = self.calls[self.n_done - 1]
            event.set()

    def has_ended(self) -> None:
        """Take note that it makes no more calls."""
        with self._lock:
            self.ended.set()
            for _, event in self.calls:
                event.set()
