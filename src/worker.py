"""One worker: a thread that makes a step's calls and talks to the router."""

import contextlib
import threading
from collections.abc import Callable

from ._channel import Channel
from .errors import ConfigurationError, RunEnded, StepError
from .step import Step

__all__ = ["Worker", "wait_for"]

# A signal that comes just before the main thread begins to wait for a lock is not handled
# before that wait ends.
LONGEST_DEAFNESS_S = 0.5


def wait_for(event: threading.Event) -> None:
    """Wait in the main thread, so that a signal is handled whenever it comes."""
    while not event.wait(LONGEST_DEAFNESS_S):
        pass


class Worker:
    """A thread with a step instance of its own.

    It calls ``init``, waits until all workers may start, works until the router stops
    it, waits until it is its step's turn, and calls ``finish``.

    Parameters
    ----------
    step : Step
        The instance; no other thread may use it.
    channel : Channel
        Its end of the wire.
    is_producer : bool
        Whether the step is the producer.
    on_error : callable
        Takes the error of a call that failed, in the worker's thread.
    """

    def __init__(
        self,
        step: Step,
        channel: Channel,
        is_producer: bool,
        on_error: Callable[[StepError | ConfigurationError], None],
    ) -> None:
        self.initialized = threading.Event()
        self._may_work = threading.Event()
        self._may_finish = threading.Event()
        self._step = step
        self._channel = channel
        self._work = self._produce if is_producer else self._process
        self._on_error = on_error
        # A daemon, so that a second Ctrl-C can end the program while a step computes.
        self._thread = threading.Thread(target=self._live, name=step.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def work(self) -> None:
        """Let it work, or go on to wait for `finish`."""
        self._may_work.set()

    def finish(self) -> None:
        """Let it call ``finish`` and end."""
        self._may_finish.set()

    def join(self) -> None:
        """Wait for the thread's end, if it was started."""
        while self._thread.is_alive():
            self._thread.join(LONGEST_DEAFNESS_S)

    def _live(self) -> None:
        self._channel.open()
        ready = False
        try:
            self._step.init()
            ready = True
        except BaseException as error:
            self._on_error(self._step.failure("init", error))
        self.initialized.set()
        self._may_work.wait()
        try:
            with contextlib.suppress(RunEnded):
                if ready:
                    self._work()
        finally:
            with contextlib.suppress(RunEnded):
                self._channel.goodbye()
            self._may_finish.wait()
            try:
                self._step.finish()
            except BaseException as error:
                self._on_error(self._step.failure("finish", error))

    def _produce(self) -> None:
        channel = self._channel
        channel.start_producing()
        if channel.production_ended:
            return
        try:
            self._step.runner.produce(lambda: channel.production_ended)
        except RunEnded:
            raise
        except BaseException as error:
            self._on_error(self._step.failure("run", error))
            channel.acknowledge(failed=True)

    def _process(self) -> None:
        channel, runner = self._channel, self._step.runner
        if channel.is_process:
            channel.ready()
        try:
            runner.process_all(channel)
        except RunEnded:
            raise
        except BaseException as error:
            self._on_error(self._step.failure(runner.call, error, channel.event))
            channel.acknowledge(failed=True)
