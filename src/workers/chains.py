"""What the steps of chains do, within their workers: hand-over, and counts."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..configuration.graph import Graph
from ._runner import COUNTS
from .step import Step

__all__ = ["ChainCounts", "join_chain"]

# A cache line for what one worker writes.
ROW = 8
BYTES = 8


class ChainCounts:
    """What each step of a chain has done in each worker.

    The router knows the first step of a chain only. So the workers count themselves, each
    in a row of its own, which others read while it works.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    n_workers : sequence of int
        How many workers each step has.
    memory : buffer, optional
        `size` bytes, all zero, where to count; for workers of several processes.
    """

    def __init__(
        self, graph: Graph, n_workers: Sequence[int], memory: memoryview | None = None
    ) -> None:
        self._graph = graph
        self._rows: dict[int, list[memoryview]] = {}
        members = [i for chain in graph.chains().values() if len(chain) > 1 for i in chain]
        self.size = BYTES * ROW * sum(n_workers[i] for i in members)
        counts = memoryview(bytearray(self.size) if memory is None else memory).cast("B").cast("Q")
        rows = (counts[first : first + ROW] for first in range(0, len(counts), ROW))
        for i in members:
            self._rows[i] = [next(rows) for _ in range(n_workers[i])]

    def close(self) -> None:
        """Let go of the memory."""
        self._rows.clear()

    def row(self, index: int, worker: int) -> memoryview:
        """Where one worker, counted from 0, counts what it does for a step."""
        return self._rows[index][worker]

    def complete(self, counters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Counters of which those of chains lack what happened within their workers.

        Parameters
        ----------
        counters : list of dict
            Per step, as `Executor.counters` returns them; they are changed.
        """
        for i, rows in self._rows.items():
            counted = {name: sum(row[k] for row in rows) for k, name in enumerate(COUNTS)}
            counters[i].update({name: counted[name] for name in ("done", "failed", "sent")})
            if self._graph.steps[i].chained:
                counters[i].update(received=counted["received"], running=counted["running"])
                counters[i]["busy_s"] = 1e-9 * counted["busy_ns"]
        for head, chain in self._graph.chains().items():
            # The jobs of the first step are as long as all that is done in them.
            of_others = sum(counters[i]["busy_s"] for i in chain if i != head)
            counters[head]["busy_s"] = max(0.0, counters[head]["busy_s"] - of_others)
        return counters

    def complete_states(self, states: list[list[str]]) -> list[list[str]]:
        """States of workers of which those of chained steps lack.

        Parameters
        ----------
        states : list of list of str
            Per step, as `Executor.worker_states` returns them; they are changed.
        """
        running = COUNTS.index("running")
        for i, rows in self._rows.items():
            if self._graph.steps[i].chained:
                states[i] = ["busy" if row[running] else "idle" for row in rows]
        return states


def join_chain(
    graph: Graph,
    steps: Mapping[int, Step],
    counts: Mapping[int, memoryview],
    on_error: Callable[[Step, BaseException], None],
    channel: Any = None,
) -> None:
    """Let the steps of a chain hand over their messages within a worker.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    steps : mapping of int to Step
        The worker's instances, by the index of their step.
    counts : mapping of int to memoryview
        Where each counts what it does.
    on_error : callable
        Takes a chained step and the exception that its ``run`` has raised; returns if only
        its message is lost, or else raises `RunEnded`.
    channel : Channel, optional
        The worker's end of the wire, if it has one.
    """
    for i, step in steps.items():
        followers = {
            j: other.runner
            for j, other in steps.items()
            if graph.steps[j].chained and graph.step_before(j) == i
        }
        step.runner.join_chain(counts[i], followers, functools.partial(on_error, step), channel)
