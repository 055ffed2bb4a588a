"""Which job takes too long, and what is said when nothing moves."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

from .._router import Router
from ..configuration.graph import Graph
from ..errors import StepError

__all__ = ["Watchdog"]

# How long nothing moves before it is said, seconds; but at least twice as long as it has
# already taken to move again.
PATIENCE_S = 60.0


class _Worker(Protocol):
    @property
    def call_in_hand(self) -> str | None: ...

    def stack(self) -> str: ...

    def time_out(self, error: StepError) -> None: ...


@dataclasses.dataclass
class _Job:
    begun: int
    event: int
    since: float
    is_late: bool = False


class Watchdog:
    """Looks at a run, again and again, while the main thread waits for others.

    Parameters
    ----------
    graph : Graph
        What runs.
    log : logging.Logger
        Where to say that nothing moves.
    router : Router
        What knows of the jobs.
    heads : sequence of int
        By worker, in the order of the router, the index of its step, the first of its chain.
    workers : sequence of ThreadWorker or ProcessWorker
        The workers, in the same order.
    """

    def __init__(
        self,
        graph: Graph,
        log: logging.Logger,
        router: Router,
        heads: Sequence[int],
        workers: Sequence[_Worker],
    ) -> None:
        self._log = log
        self._graph = graph
        self._router = router
        self._specs = [graph.steps[head] for head in heads]
        self._workers = workers
        self._jobs: list[_Job | None] = [None] * len(heads)
        self._seen: Any = None
        self._moved = time.monotonic()
        self._patience_s = self._longest_s = PATIENCE_S

    def look(self, waited_for: object, what: str) -> None:
        """Say what has to be said now.

        Parameters
        ----------
        waited_for : object
            What the main thread waits for; another one each time.
        what : str
            What that is, where no call of a worker is waited for.
        """
        now = time.monotonic()
        jobs = self._router.jobs_in_hand()
        for i, job in enumerate(jobs):
            self._look_at_job(i, job, now)
        seen = (id(waited_for), jobs, self._router.events())
        if seen != self._seen:
            self._longest_s = max(self._longest_s, 2 * (now - self._moved))
            self._seen, self._moved, self._patience_s = seen, now, self._longest_s
        elif now - self._moved >= self._patience_s:
            self._patience_s *= 2
            self._log.warning("%s", "\n".join(self._describe(now, what)))

    def _look_at_job(self, i: int, job: tuple[int, int] | None, now: float) -> None:
        before = self._jobs[i]
        if job is None:
            self._jobs[i] = None
        elif before is None or before.begun != job[0]:
            self._jobs[i] = _Job(*job, since=now)
        else:
            longest = self._specs[i].job_timeout
            if longest is not None and now - before.since > longest and not before.is_late:
                before.is_late = True
                what = f"has taken longer than its job_timeout of {longest:g} s"
                error = StepError(self._specs[i].name, what, before.event)
                error.add_note(f"it was here:\n{self._workers[i].stack()}")
                self._workers[i].time_out(error)

    def _describe(self, now: float, what: str) -> list[str]:
        lines = [f"nothing has moved for {now - self._moved:.0f} s"]
        if what:
            lines.append(f"the run waits for {what}")
        states = [iter(states) for states in self._router.worker_states()]
        for spec, worker, job in zip(self._specs, self._workers, self._jobs, strict=True):
            call = worker.call_in_hand
            state = next(states[self._graph.index(spec.name)], "idle")
            if call is None or (call == "work" and state == "idle"):
                continue
            if call != "work":
                where = f"is in {call}()"
            elif state == "blocked":
                where = "waits for room in the queue of a step that it sends to"
            elif job is None:
                where = "is in run()"
            else:
                where = f"is in run() on event {job.event}, for {now - job.since:.0f} s"
            lines.append(f"a worker of step {spec.name!r} {where}; it is here:\n{worker.stack()}")
        for spec, counters in zip(self._graph.steps, self._router.counters(), strict=True):
            # Some wait in a worker, behind the one that it works on.
            given = counters["received"] - counters["done"] - counters["failed"]
            waiting = counters["queue"] + given - counters["running"]
            if waiting > 0:
                lines.append(f"{waiting} messages wait for step {spec.name!r}")
        return lines
