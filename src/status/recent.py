"""What can be told of a pipeline's last seconds: rates, full queues, bottlenecks."""

import math
from collections import deque

from .snapshot import Snapshot

__all__ = ["Recent"]

# Over how much of the run the rates are taken, seconds.
RATE_PERIOD_S = 2.0
# How fast the mean of a queue forgets, seconds.
QUEUE_MEMORY_S = 1.0
# A queue lets its senders go on when half of it is free: on the average, a queue that stops
# them is three quarters full.
FULL = 0.45
STARVING = 0.5
# What an unlimited queue is compared with.
USUAL_LIMIT = 100


class Recent:
    """What the snapshots of one run say together.

    Parameters
    ----------
    snapshot : Snapshot
        The first one.

    Attributes
    ----------
    fills : list of float
        Per step, how full its queue is, from 0 to 1.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        # Elapsed time and messages done per step, of the last `RATE_PERIOD_S`.
        self._done: deque[tuple[float, list[int]]] = deque()
        self.fills = [0.0] * len(snapshot.steps)
        self._mean_fills = [0.0] * len(snapshot.steps)
        self.add(snapshot)

    def add(self, snapshot: Snapshot) -> None:
        """Take in the next snapshot."""
        since_s = snapshot.elapsed_s - self._snapshot.elapsed_s
        self._snapshot = snapshot
        self._done.append((snapshot.elapsed_s, [step.done for step in snapshot.steps]))
        while len(self._done) > 2 and self._done[1][0] <= snapshot.elapsed_s - RATE_PERIOD_S:
            self._done.popleft()
        forget = math.exp(-since_s / QUEUE_MEMORY_S)
        for i, step in enumerate(snapshot.steps):
            limit = step.queue_limit if step.queue_limit > 0 else USUAL_LIMIT
            fill = min(1.0, step.queue / limit)
            self._mean_fills[i] += (1 - forget) * (fill - self._mean_fills[i])
            self.fills[i] = fill

    def rates(self) -> list[float]:
        """Messages done per second, per step: lately, or of the whole run if it has ended."""
        snapshot = self._snapshot
        if snapshot.ended:
            return self.mean_rates()
        (first_s, first), (last_s, last) = self._done[0], self._done[-1]
        if last_s <= first_s:
            return [0.0] * len(snapshot.steps)
        return [(now - then) / (last_s - first_s) for now, then in zip(last, first, strict=True)]

    def mean_rates(self) -> list[float]:
        """Messages done per second, per step, of the whole run."""
        elapsed_s = self._snapshot.elapsed_s
        return [step.done / elapsed_s if elapsed_s else 0.0 for step in self._snapshot.steps]

    def bottlenecks(self) -> list[int]:
        """The steps that hold up those before them and starve those after them.

        The queue of such a step has lately been so full that its senders wait, and no queue
        after it half as full.
        """
        if self._snapshot.state != "running":
            return []
        full = [
            i
            for i, step in enumerate(self._snapshot.steps)
            if not step.chained and self._mean_fills[i] >= FULL
        ]
        if not full:
            return []
        successors = self._snapshot.successors()
        return [
            i
            for i in full
            if all(
                self._mean_fills[j] < STARVING * self._mean_fills[i]
                for j in self._queues_after(i, successors)
            )
        ]

    def _queues_after(self, index: int, successors: list[list[int]]) -> list[int]:
        """The steps with a queue that a step's messages come to, through chained ones."""
        steps = self._snapshot.steps
        found, seen = [], {index}
        to_visit = list(successors[index])
        while to_visit:
            i = to_visit.pop()
            if i in seen:
                continue
            seen.add(i)
            if steps[i].chained:
                to_visit += successors[i]
            else:
                found.append(i)
        return found
