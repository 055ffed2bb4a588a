"""A worker thread, as an executor sees it."""

import threading
from collections.abc import Callable

from ..errors import Failure, StepError, as_failure
from ..workers.step import Step
from ..workers.worker import Worker
from ..workers.worker_thread import WorkerThread

__all__ = ["ThreadWorker"]


class ThreadWorker:
    """What a `ProcessWorker` is, in a thread.

    Parameters
    ----------
    worker : Worker
        The worker.
    steps : dict of int to Step
        Its instances, by the index of their step.
    break_off : callable
        Takes why the run cannot go on.
    """

    def __init__(
        self, worker: Worker, steps: dict[int, Step], break_off: Callable[[Failure], None]
    ) -> None:
        self._worker = worker
        self._steps = steps
        self._break_off = break_off
        self._thread = WorkerThread(worker.steps[0].name, self._fail)
        # Whether its job does not end.
        self.is_given_up = False

    def call(self, name: str, step: int | None = None) -> threading.Event:
        """Let it make a call after those before it, and return what is set when it has ended."""
        arguments = [] if step is None else [self._steps[step]]
        ended = self._thread.call(getattr(self._worker, name), *arguments)
        if self.is_given_up:
            ended.set()
        return ended

    @property
    def call_in_hand(self) -> str | None:
        """The name of the call that it makes."""
        return self._thread.call_in_hand

    def stack(self) -> str:
        """Where it is in its code."""
        return self._thread.stack()

    def time_out(self, error: StepError) -> None:
        """Its job takes too long, and cannot be ended: the run goes to its end without it."""
        self.is_given_up = True
        self._break_off(error)

    def _fail(self, error: BaseException) -> None:
        what = f"a worker of step {self._worker.steps[0].name!r} cannot go on"
        self._break_off(as_failure(what, error))

    def end(self) -> None:
        """End it after the calls that it was told to make."""
        self._thread.end()

    def join(self) -> None:
        """Wait for its end, if it was started."""
        self._thread.join()
