"""A worker thread, as an executor sees it."""

import threading
from collections.abc import Callable

from ..errors import Failure, as_failure
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

    def call(self, name: str, step: int | None = None) -> threading.Event:
        """Let it make a call after those before it, and return what is set when it has ended."""
        arguments = [] if step is None else [self._steps[step]]
        return self._thread.call(getattr(self._worker, name), *arguments)

    def _fail(self, error: BaseException) -> None:
        what = f"a worker of step {self._worker.steps[0].name!r} cannot go on"
        self._break_off(as_failure(what, error))

    def end(self) -> None:
        """End it after the calls that it was told to make."""
        self._thread.end()

    def join(self) -> None:
        """Wait for its end, if it was started."""
        self._thread.join()
