"""What all executors have in common."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from ..configuration.graph import Graph
from ..errors import ConfigurationError, Failure, describe
from ..event_selection import ALL_EVENTS, EventSelection
from ..processes.descriptor_limit import check_descriptors
from ..processes.fork_server_client import ForkServerClient
from ..workers.step import Step
from ..workers.worker_thread import check_threads

__all__ = ["DEFAULT_RETRIES", "DEFAULT_SHARED_MEMORY_MB", "ON_ERROR", "Executor", "Percentiles"]

OnError = Literal["stop", "skip"]
# The median and the 99th percentile of times, seconds.
Percentiles = tuple[float, float]
ON_ERROR: tuple[OnError, ...] = ("stop", "skip")
DEFAULT_RETRIES = 2
DEFAULT_SHARED_MEMORY_MB = 1024
# For the smallest pipeline and its window, and something to spare.
FEWEST_DESCRIPTORS = 32
FEWEST_THREADS = 4


class Executor(ABC):
    """Runs the steps of a graph, once.

    Parameters
    ----------
    graph : Graph
        What to run.
    log : logging.Logger
        Where to say what happens; the steps log below it.
    on_error : {"stop", "skip"}
        Whether a message that fails ends the run, or only is lost.
    max_errors : int, optional
        How many messages may be lost before the run ends.
    retries : int
        How many worker processes a message may have killed before it is given up.
    shared_memory_mb : int
        How much memory worker processes share, MB.
    fork_server : ForkServerClient, optional
        What forks worker processes, if it is started already.
    only : EventSelection
        Which events of the producer are worked on.

    Raises
    ------
    ConfigurationError
        If this process may not open the files, or start the threads, that any run needs.

    Attributes
    ----------
    state : str
        ``starting``, ``running``, ``stopping`` (interrupted, what was sent runs out),
        and in the end ``finished``, ``failed`` or ``interrupted``.
    """

    name: ClassVar[str]

    def __init__(
        self,
        graph: Graph,
        log: logging.Logger,
        on_error: OnError = "stop",
        max_errors: int | None = None,
        retries: int = DEFAULT_RETRIES,
        shared_memory_mb: int = DEFAULT_SHARED_MEMORY_MB,
        fork_server: ForkServerClient | None = None,
        only: EventSelection = ALL_EVENTS,
    ) -> None:
        try:
            check_descriptors(FEWEST_DESCRIPTORS)
        except OSError as error:
            raise ConfigurationError(
                [f"no more file descriptors ({error}): raise the limit with ulimit -n"]
            ) from None
        check_threads(FEWEST_THREADS)
        self.graph = graph
        self.log = log
        self.state = "starting"
        self._errors: list[Failure] = []
        self._skips = on_error == "skip"
        self._max_errors = max_errors
        self._retries = retries
        self._shared_memory_mb = shared_memory_mb
        self._fork_server = fork_server
        self._only = only
        # Once it is made.
        self._producer: Step | None = None
        self._failed_events: set[int] = set()
        self._n_failed = 0
        self._lock = threading.Lock()
        self._interrupted = False
        self._began = self._ended = 0.0

    def run(self) -> None:
        """Create the steps and run them to the end.

        Raises
        ------
        ConfigurationError
            If a class refuses its options, or an ``init`` what it finds.
        StepError
            If a step raised an exception; all others have been stopped and finished.
        RunError
            If the run could not go on; no step is at fault.
        KeyboardInterrupt
            If the run was interrupted; what the producer had sent has run out.
        """
        self._began = time.monotonic()
        try:
            self._run()
            if self._errors:
                raise self._first_error()
            self._warn_of_failed()
            if self._interrupted:
                raise KeyboardInterrupt
            self.state = "finished"
        except BaseException as error:
            is_interrupt = isinstance(error, KeyboardInterrupt)
            self.state = "interrupted" if is_interrupt else "failed"
            raise
        finally:
            self._ended = time.monotonic()

    def close(self) -> None:
        """Let go of what it holds, if `run` was never called; else that has done it."""
        if not self._began:
            self._close()

    @property
    def elapsed_s(self) -> float:
        """How long the run has taken so far, in seconds."""
        if not self._began:
            return 0.0
        return (self._ended or time.monotonic()) - self._began

    def interrupt(self) -> None:
        """Stop the producer, and let what it has sent run out."""
        if self._ended:
            return
        self._interrupted = True
        self.state = "stopping"
        self._end_production()

    def abort(self) -> None:
        """End at once. To be called in the main thread, where `run` was called.

        Raises
        ------
        KeyboardInterrupt
            There, now or a moment later.
        """
        raise KeyboardInterrupt

    def _is_ending(self) -> bool:
        return bool(self._interrupted or self._errors)

    def _may_skip(self, error: Failure) -> bool:
        """Take note of a message that failed, and say whether the run goes on without it."""
        with self._lock:
            self._n_failed += 1
            event = getattr(error, "event", None)
            if event is not None:
                self._failed_events.add(event)
            too_many = self._max_errors is not None and self._n_failed > self._max_errors
            if self._skips and too_many:
                error.add_note(
                    f"{self._n_failed} messages have failed; Pipeline.max_errors is "
                    f"{self._max_errors}"
                )
            if not self._skips or too_many:
                self._errors.append(error)
                return False
        self.log.error("%s", describe(error, "its message is skipped"))
        return True

    def _warn_of_failed(self) -> None:
        failed = [
            f"{counters['failed']} in {spec.name!r}"
            for spec, counters in zip(self.graph.steps, self.counters(), strict=True)
            if counters["failed"]
        ]
        if failed:
            self.log.warning("messages that failed and were skipped: %s", ", ".join(failed))

    def _first_error(self) -> Failure:
        """The first error of a step, with a note of each other that happened besides."""
        first, *others = self._errors
        besides = dict.fromkeys(
            f"besides, {error}" + (f": {error.__cause__}" if error.__cause__ else "")
            for error in others
            if str(error) != str(first)
        )
        for note in besides:
            first.add_note(note)
        return first

    @abstractmethod
    def workers(self, index: int) -> int:
        """How many workers the step with this index has."""

    @abstractmethod
    def counters(self) -> list[dict[str, Any]]:
        """How much each step has done so far, in the order of the graph.

        Returns
        -------
        list of dict
            Per step: ``received``, ``done``, ``failed``, ``sent`` (messages), ``running``
            (workers), ``queue``, ``queue_peak`` (messages), ``busy_s`` (seconds).
        """

    def worker_states(self) -> list[list[str]]:
        """What the workers of each step are at, in the order of the graph.

        Returns
        -------
        list of list of str
            ``idle``; ``busy``, with a job; ``blocked``, because a message that it sends
            waits for room in a queue.
        """
        return [
            ["busy" if k < counters["running"] else "idle" for k in range(self.workers(i))]
            for i, counters in enumerate(self.counters())
        ]

    def percentiles(self) -> tuple[Percentiles | None, list[Percentiles | None]]:
        """How long events take, and how long messages wait.

        Returns
        -------
        tuple (age, waits)
            The median and the 99th percentile, in seconds, known to 1/8: of the time from an
            event's sending to its end; and per step, in the order of the graph, of the time
            that messages wait in its queue. None where there was none, or where nothing waits.
        """
        return None, [None] * len(self.graph.steps)

    def record_trace(self) -> None:
        """From the beginning, record what the workers are at.

        Raises
        ------
        ConfigurationError
            If this executor cannot.
        """
        raise ConfigurationError(
            [f"Pipeline.trace: the executor {self.name!r} has no workers to trace: use another"]
        )

    def trace(self) -> tuple[list[tuple[str, int]], bytes]:
        """What was recorded, when the run has ended.

        Returns
        -------
        workers : list of tuple (step, number)
            Which step's worker each is, and which of that step's.
        records : bytes
            See `ctapipe.pipeline.trace.RECORD`.
        """
        return [], b""

    def remaining(self) -> EventSelection:
        """The events that did not make it, when the run has ended."""
        unfinished, onwards = self._unfinished()
        return self._only.remaining(
            self._failed_events.union(unfinished), onwards if self._is_ending() else None
        )

    @abstractmethod
    def _unfinished(self) -> tuple[list[int], int]:
        """The events of which something was left, and the first that was not sent."""

    def n_expected(self) -> int | None:
        """How many messages the producer sends in all, None as long as it cannot tell."""
        if self._producer is None or self._only is not ALL_EVENTS:
            return None
        return self._producer.n_messages(self.events()["sent"])

    @abstractmethod
    def events(self) -> dict[str, int]:
        """How many messages the producer has ``sent``, and how many are ``finished`` with."""

    @abstractmethod
    def _run(self) -> None:
        """Run to the end, and close; errors of the steps go to ``_errors``."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of memory, descriptors and files."""

    @abstractmethod
    def _end_production(self) -> None:
        """Make the producer stop."""
