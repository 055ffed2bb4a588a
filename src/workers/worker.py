"""One worker: it makes the calls of its steps, and talks to the router."""

import contextlib
from collections.abc import Callable, Sequence

from ..errors import Failure, RunEnded
from ..transport._channel import Channel
from .step import Step

__all__ = ["Worker"]


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
        on_error: Callable[[Failure], None],
        may_skip: Callable[[Failure], bool],
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
            # What it has sent runs out.
            channel.acknowledge(skipped=True)

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
