"""The pipelines that have been heard of, and what is to be said of each."""

import dataclasses
from collections.abc import Iterator

from ...status.recent import Recent
from ...status.snapshot import Snapshot, StepSnapshot
from .history import History

__all__ = ["LOST", "ShownPipeline", "ShownPipelines", "ShownStep", "TooManyPipelines"]

LOST = "lost"
# Four times the longest pause between two snapshots, and more than a garbage collection.
LOST_AFTER_S = 5.0
MOST_PIPELINES = 128


class TooManyPipelines(Exception):
    """There is no room for another pipeline: none of those shown has ended."""


@dataclasses.dataclass(frozen=True)
class ShownStep:
    """What is shown of a step.

    Parameters
    ----------
    step : StepSnapshot
        What it says itself.
    rate : float
        Messages done per second: lately, or of the whole run if it has ended.
    fill : float
        How full its queue is, from 0 to 1.
    is_bottleneck : bool
        Whether it holds up the others.
    """

    step: StepSnapshot
    rate: float
    fill: float
    is_bottleneck: bool


class ShownPipeline:
    """One run of a pipeline, as its snapshots tell it.

    Parameters
    ----------
    snapshot : Snapshot
        The first one that arrived.
    now_s : float
        When it arrived, on a clock that only goes forward.
    """

    def __init__(self, snapshot: Snapshot, now_s: float) -> None:
        self.id = snapshot.pipeline
        self.snapshot = snapshot
        self.history = History(len(snapshot.steps))
        self.lost = False
        self._seen_s = now_s
        self._recent = Recent(snapshot)
        self._add_to_history(snapshot)

    @property
    def name(self) -> str:
        """What it is called: its configuration."""
        return self.snapshot.configuration or self.id

    @property
    def state(self) -> str:
        """As in the snapshot, or ``lost``."""
        return LOST if self.lost else self.snapshot.state

    @property
    def is_connected(self) -> bool:
        """Whether more is to be expected of it."""
        return not (self.lost or self.snapshot.ended)

    @property
    def structure(self) -> tuple[tuple[object, ...], ...]:
        """What of its steps does not change."""
        return tuple(
            (step.name, step.role, step.next_steps, step.chained, step.workers)
            for step in self.snapshot.steps
        )

    def update(self, snapshot: Snapshot, now_s: float) -> bool:
        """Take in another snapshot, unless it is out of order, and say whether it was."""
        before = self.snapshot
        if (
            len(snapshot.steps) != len(before.steps)
            or snapshot.elapsed_s < before.elapsed_s
            or (before.ended and not snapshot.ended)
        ):
            return False
        self.snapshot = snapshot
        self._seen_s = now_s
        self.lost = False
        self._recent.add(snapshot)
        self._add_to_history(snapshot)
        return True

    def lose_if_silent(self, now_s: float) -> bool:
        """Say whether it has been silent for so long that it has just become lost."""
        if not self.is_connected or now_s - self._seen_s < LOST_AFTER_S:
            return False
        self.lost = True
        return True

    def rates(self) -> list[float]:
        """Messages done per second, per step: lately, or of the whole run if it has ended."""
        return self._recent.mean_rates() if self.lost else self._recent.rates()

    def steps(self) -> list[ShownStep]:
        """All that is shown of each step."""
        bottlenecks = self.bottlenecks()
        return [
            ShownStep(step, rate, fill, i in bottlenecks)
            for i, (step, rate, fill) in enumerate(
                zip(self.snapshot.steps, self.rates(), self._recent.fills, strict=True)
            )
        ]

    def bottlenecks(self) -> list[int]:
        """The steps that hold up those before them and starve those after them."""
        return [] if self.lost else self._recent.bottlenecks()

    def _add_to_history(self, snapshot: Snapshot) -> None:
        self.history.add(
            snapshot.elapsed_s,
            [step.done for step in snapshot.steps],
            [step.queue for step in snapshot.steps],
            snapshot.ended,
        )


class ShownPipelines:
    """All that have been heard of and not cleared, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, ShownPipeline] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[ShownPipeline]:
        return iter(self._by_id.values())

    def get(self, pipeline_id: str) -> ShownPipeline | None:
        """The pipeline with this id, if there is one."""
        return self._by_id.get(pipeline_id)

    @property
    def n_connected(self) -> int:
        """How many are running."""
        return sum(pipeline.is_connected for pipeline in self)

    def update(self, snapshot: Snapshot, now_s: float) -> ShownPipeline:
        """Take in a snapshot, and return the pipeline that it is of.

        Parameters
        ----------
        snapshot : Snapshot
            What has arrived.
        now_s : float
            When, on a clock that only goes forward.

        Raises
        ------
        TooManyPipelines
            If it is of a new one and there is no room.
        """
        pipeline = self._by_id.get(snapshot.pipeline)
        if pipeline is not None:
            pipeline.update(snapshot, now_s)
            return pipeline
        if len(self) >= MOST_PIPELINES:
            ended = next((pipeline for pipeline in self if not pipeline.is_connected), None)
            if ended is None:
                raise TooManyPipelines(f"more than {MOST_PIPELINES} pipelines at once")
            del self._by_id[ended.id]
        self._by_id[snapshot.pipeline] = ShownPipeline(snapshot, now_s)
        return self._by_id[snapshot.pipeline]

    def find_lost(self, now_s: float) -> list[ShownPipeline]:
        """Those that have just become lost."""
        return [pipeline for pipeline in self if pipeline.lose_if_silent(now_s)]

    def clear_ended(self) -> None:
        """Forget those that have ended or are lost."""
        self._by_id = {pipeline.id: pipeline for pipeline in self if pipeline.is_connected}
