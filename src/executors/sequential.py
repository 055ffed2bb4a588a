"""Everything in one thread, without ZeroMQ: for debugging, and as the baseline."""

import contextlib
import functools
import time
from bdb import BdbQuit
from collections import deque
from typing import Any, ClassVar

from ..errors import RunEnded
from ..workers.chains import ChainCounts, join_chain
from ..workers.step import Step, create_steps
from .executor import Executor

__all__ = ["Sequential"]


class Sequential(Executor):
    """Runs each message of the producer to its end before it takes the next.

    Every step has one instance. Messages are handed over by reference, in the order in
    which they were sent; nothing is pickled.
    """

    name: ClassVar[str] = "sequential"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._steps: list[Step] = []
        self._queue: deque[tuple[int, Any]] = deque()
        self._counters = [
            {"received": 0, "done": 0, "failed": 0, "sent": 0, "running": 0}
            | {"queue": 0, "queue_peak": 0, "busy_s": 0.0}
            for _ in self.graph.steps
        ]
        self._chain_counts = ChainCounts(self.graph, [1 for _ in self.graph.steps])
        self._events = {"sent": 0, "finished": 0}
        # The number of the event in hand, or of the last one.
        self._event = -1
        self._is_in_hand = False
        self._ending = False
        self._has_lost = False

    def workers(self, index: int) -> int:
        return 1

    def counters(self) -> list[dict[str, Any]]:
        return self._chain_counts.complete([dict(counters) for counters in self._counters])

    def events(self) -> dict[str, int]:
        return dict(self._events)

    def _unfinished(self) -> tuple[list[int], int]:
        return [self._event] * self._is_in_hand, self._event + 1

    def _end_production(self) -> None:
        self._ending = True

    def _run(self) -> None:
        sends = [
            self._produced if spec.role == "producer" else functools.partial(self._enqueue, i)
            for i, spec in enumerate(self.graph.steps)
        ]
        self._steps = create_steps(self.graph, zip(self.graph.steps, sends, strict=True), self.log)
        self._producer = self._steps[0]
        for chain in self.graph.chains().values():
            if len(chain) > 1:
                join_chain(
                    self.graph,
                    {i: self._steps[i] for i in chain},
                    {i: self._chain_counts.row(i, 0) for i in chain},
                    self._on_chained_error,
                )
        called = []
        try:
            for step in self._steps:
                called.append(step)
                try:
                    step.init()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    self._errors.append(step.failure("init", error))
                    return
            if not self._interrupted:
                self.state = "running"
                self._produce()
        finally:
            for step in called:
                try:
                    step.finish()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    self._errors.append(step.failure("finish", error))

    def _close(self) -> None:
        pass

    def _produce(self) -> None:
        counters = self._counters[0]
        counters["running"] = 1
        self._resumed = time.monotonic()
        try:
            with contextlib.suppress(RunEnded):
                self._steps[0].runner.produce(lambda: self._ending)
        except BdbQuit:
            raise KeyboardInterrupt from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            counters["failed"] += 1
            self._errors.append(self._steps[0].failure("run", error))
        finally:
            counters["running"] = 0
            counters["busy_s"] += time.monotonic() - self._resumed

    def _produced(self, target: int, message: Any) -> None:
        if self._ending:
            raise RunEnded
        if self._event + 1 not in self._only:
            self._event += 1
            return
        self._enqueue(0, target, message)
        self._event += 1
        self._is_in_hand = True
        counters = self._counters[0]
        counters["busy_s"] += time.monotonic() - self._resumed
        counters["done"] += 1
        self._events["sent"] += 1
        self._has_lost = False
        while self._queue:
            self._process(*self._queue.popleft())
        self._events["finished"] += not self._has_lost
        self._is_in_hand = False
        self._resumed = time.monotonic()

    def _enqueue(self, sender: int, target: int, message: Any) -> None:
        self._counters[sender]["sent"] += 1
        counters = self._counters[target]
        counters["queue"] += 1
        counters["queue_peak"] = max(counters["queue_peak"], counters["queue"])
        self._queue.append((target, message))

    def _process(self, index: int, message: Any) -> None:
        step, counters = self._steps[index], self._counters[index]
        counters["queue"] -= 1
        counters["received"] += 1
        counters["running"] = 1
        began = time.monotonic()
        try:
            step.runner.process(message)
            counters["done"] += 1
        except BdbQuit:
            # The user has left the debugger.
            raise KeyboardInterrupt from None
        except (KeyboardInterrupt, RunEnded):
            raise
        except BaseException as error:
            counters["failed"] += 1
            self._fail(step, error)
        finally:
            counters["busy_s"] += time.monotonic() - began
            counters["running"] = 0

    def _on_chained_error(self, step: Step, error: BaseException) -> None:
        if isinstance(error, BdbQuit | KeyboardInterrupt):
            raise error
        self._fail(step, error)

    def _fail(self, step: Step, error: BaseException) -> None:
        step.runner.count_failure()
        if self._may_skip(step.failure("run", error, self._event)):
            self._has_lost = True
            return
        self._ending = True
        self._queue.clear()
        # It passes through the steps before it, which must not take it for their own.
        raise RunEnded from None
