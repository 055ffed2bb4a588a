"""One worker: it makes the calls of its steps, and talks to the router."""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigurationError, RunEnded, StepError
from ..transport._channel import Channel
from .step import Step

__all__ = ["Worker", "WorkerThread", "wait_for"]

# A signal that comes just before the main thread begins to wait for a lock is not handled
# before that wait ends.
LONGEST_DEAFNESS_S = 0.5


def wait_for(event: threading.Event) -> None:
    """Wait in the main thread, so that a signal is handled whenever it comes."""
    while not event.wait(LONGEST_DEAFNESS_S):
        pass


class Worker:
    """The instances of one step, or of a chain of steps, and their end of the wire.

    All is to be called in one thread.

    Parameters
    ----------
    steps : sequence of Step
        The instance that the router's messages are for, and those that are chained to it.
    channel : Channel
        Its end of the wire.
    is_producer : bool
        Whether the step is the producer.
    on_error : callable
        Takes the error of a call that failed, with which the run ends.
    may_skip : callable
        Takes the error of a message that failed, and says whether the run goes on without it.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        channel: Channel,
        is_producer: bool,
        on_error: Callable[[StepError | ConfigurationError], None],
        may_skip: Callable[[StepError | ConfigurationError], bool],
    ) -> None:
        self.steps = tuple(steps)
        self._channel = channel
        self._work = self._produce if is_producer else self._process
        self._on_error = on_error
        self._may_skip = may_skip
        self._chain_failed = False

    def init(self, step: Step) -> None:
        """Call the ``init`` of one of its steps."""
        try:
            step.init()
        except BaseException as error:
            self._on_error(step.failure("init", error))

    def work(self) -> None:
        """Work until the router stops it."""
        with contextlib.suppress(RunEnded):
            self._channel.open()
            try:
                self._work()
            finally:
                self._channel.goodbye()

    def finish(self, step: Step) -> None:
        """Call the ``finish`` of one of its steps."""
        try:
            step.finish()
        except BaseException as error:
            self._on_error(step.failure("finish", error))

    def on_chained_error(self, step: Step, error: BaseException) -> None:
        """What the ``run`` of a step that is chained to another has raised."""
        step.runner.count_failure()
        if self._may_skip(step.failure("run", error, self._channel.event)):
            self.steps[0].runner.has_lost = True
            return
        self._chain_failed = True
        # It passes through the steps before it, which must not take it for their own.
        raise RunEnded from None

    def _produce(self) -> None:
        channel = self._channel
        channel.start_producing()
        if channel.production_ended:
            return
        step = self.steps[0]
        try:
            step.runner.produce(lambda: channel.production_ended)
        except RunEnded:
            raise
        except BaseException as error:
            self._on_error(step.failure("run", error))
            channel.acknowledge(failed=True)

    def _process(self) -> None:
        channel, step = self._channel, self.steps[0]
        if channel.is_process:
            channel.ready()
        goes_on = True
        while goes_on:
            try:
                step.runner.process_all(channel)
                return
            except RunEnded:
                if self._chain_failed:
                    channel.forget_job()
                    channel.acknowledge(failed=True)
                raise
            except BaseException as error:
                step.runner.count_failure()
                goes_on = self._may_skip(step.failure(step.runner.call, error, channel.event))
            channel.forget_job()
            channel.acknowledge(failed=not goes_on, skipped=goes_on)


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
