"""The steps of a pipeline and who sends to whom: all that executors know of a configuration."""

import dataclasses
import functools
from typing import Literal

from traitlets.config import Config

from .suggestions import did_you_mean

__all__ = ["DEFAULT_QUEUE_LIMIT", "UNLIMITED", "Graph", "Role", "StepSpec", "WorkerKind"]

Role = Literal["producer", "stage", "consumer"]
Serialization = Literal["pickle", "none"]
WorkerKind = Literal["threads", "processes"]

WORKER_NOUNS = {"threads": ("thread", "threads"), "processes": ("process", "processes")}
DEFAULT_QUEUE_LIMIT = 100
UNLIMITED = -1


@dataclasses.dataclass(frozen=True)
class StepSpec:
    """One step, as configured.

    Parameters
    ----------
    name : str
        Unique in its pipeline.
    step_class : type
        The user's class.
    role : {"producer", "stage", "consumer"}
        Its place in the pipeline.
    next_steps : tuple of str
        The steps it sends to; the first is the default.
    workers : int
        How many run at the same time, each with an instance of its own.
    queue_limit : int
        How many messages may wait for it; -1 for no limit.
    prefetch : int, optional
        How many messages each worker may hold, the one it works on included; chosen from
        the time its jobs take, if None.
    serialization : {"pickle", "none"}
        How what it sends is handed over, where the receiver is in the same process; with
        ``none`` the receiver gets the very object.
    executor : {"threads", "processes"}, optional
        What its workers are; what the pipeline's executor makes them, if None.
    ordered : bool
        Whether it receives messages in the order in which the producer sent their events.
    chained : bool
        Whether it runs in the workers of the step before it, which hands its messages over
        within the job. It has no queue.
    job_timeout : float, optional
        How long a job may take, seconds.
    max_jobs_per_worker : int, optional
        After how many jobs another worker process takes the place of one.
    config : traitlets.config.Config
        The options of its class, and of what it creates.
    """

    name: str
    step_class: type
    role: Role
    next_steps: tuple[str, ...] = ()
    workers: int = 1
    queue_limit: int = DEFAULT_QUEUE_LIMIT
    prefetch: int | None = None
    serialization: Serialization = "pickle"
    executor: WorkerKind | None = None
    ordered: bool = False
    chained: bool = False
    job_timeout: float | None = None
    max_jobs_per_worker: int | None = None
    config: Config = dataclasses.field(default_factory=Config)

    def worker_kind(self, default: str) -> WorkerKind:
        """What its workers are; only a stage has the choice.

        Parameters
        ----------
        default : str
            The executor of the pipeline, but ``sequential``.
        """
        is_process = self.role == "stage" and (self.executor or default) == "processes"
        return "processes" if is_process else "threads"

    def describe_workers(self, default: str) -> str:
        """How many workers it has, and what they are, as in ``2 processes``.

        Parameters
        ----------
        default : str
            As for `worker_kind`.
        """
        one, several = WORKER_NOUNS[self.worker_kind(default)]
        return f"{self.workers} {one if self.workers == 1 else several}"


@dataclasses.dataclass(frozen=True)
class Graph:
    """The steps of a pipeline: the producer, the stages as listed, the consumer.

    All that an executor knows of a configuration.

    Parameters
    ----------
    steps : tuple of StepSpec
        In the order of the configuration.
    """

    steps: tuple[StepSpec, ...]

    def index(self, name: str) -> int:
        """The position of a step in `steps`.

        Raises
        ------
        ValueError
            If there is no such step, with the nearest name.
        """
        index = self._indices.get(name)
        if index is None:
            raise ValueError(f"there is no step {name!r}{did_you_mean(name, self._indices)}")
        return index

    @functools.cached_property
    def _indices(self) -> dict[str, int]:
        return {step.name: i for i, step in enumerate(self.steps)}

    @functools.cached_property
    def _first_senders(self) -> dict[str, int]:
        """By the name of a step, the first one that sends to it."""
        senders: dict[str, int] = {}
        for i, spec in enumerate(self.steps):
            for name in spec.next_steps:
                senders.setdefault(name, i)
        return senders

    def step_before(self, index: int) -> int:
        """The one step that a chained step comes after."""
        return self._first_senders[self.steps[index].name]

    def head_of(self, index: int) -> int:
        """The step in whose workers a step runs: the first of its chain, or itself."""
        while self.steps[index].chained:
            index = self.step_before(index)
        return index

    def chains(self) -> dict[int, tuple[int, ...]]:
        """The steps that run in the same workers, the head first, by their head.

        A step that nothing is chained to is the head and all of its chain.
        """
        chains: dict[int, tuple[int, ...]]
        chains = {i: (i,) for i, spec in enumerate(self.steps) if not spec.chained}
        for i, spec in enumerate(self.steps):
            if spec.chained:
                chains[self.head_of(i)] += (i,)
        return chains

    def ranks(self) -> list[int]:
        """The place of every step in the order of the graph, 0 for the producer.

        A step comes after all that send to it, but for a cycle, which starts where the
        producer's messages first meet it: the reverse of the order in which a
        depth-first search leaves the steps (Tarjan 1976,
        https://doi.org/10.1007/BF00268499).
        """
        left: list[int] = []
        seen = {0}
        # The last next step first, so that the first one ends up before it.
        path = [(0, reversed(self.steps[0].next_steps))]
        while path:
            i, rest = path[-1]
            for name in rest:
                j = self.index(name)
                if j not in seen:
                    seen.add(j)
                    path.append((j, reversed(self.steps[j].next_steps)))
                    break
            else:
                left.append(i)
                path.pop()
        ranks = [0] * len(self.steps)
        for rank, i in enumerate(reversed(left)):
            ranks[i] = rank
        return ranks

    def steps_before(self, index: int) -> set[int]:
        """The steps from which messages can come to a step, by way of `next_steps`.

        Without the producer, the step itself, and those that come after it in the order of
        the graph, which send to it against that order.
        """
        ranks = self.ranks()
        senders: dict[int, list[int]] = {i: [] for i in range(len(self.steps))}
        for i, spec in enumerate(self.steps):
            for name in spec.next_steps:
                senders[self.index(name)].append(i)
        before: set[int] = set()
        to_visit = [index]
        while to_visit:
            for i in senders[to_visit.pop()]:
                if i not in before and 0 < ranks[i] < ranks[index]:
                    before.add(i)
                    to_visit.append(i)
        return before
