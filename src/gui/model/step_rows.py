"""The table of a pipeline's steps, as text, and what it is sorted by."""

import dataclasses
from typing import Any

from ...status import wording
from .shown_pipelines import ShownPipeline

__all__ = ["COLUMNS", "Cell", "rows_of"]

# The title of a column, and what it says.
COLUMNS = (
    ("Step", "The step's name"),
    ("Role", "Producer, stage or consumer"),
    ("Workers", "Workers that have a job, of all"),
    ("Queue", "Messages that wait for the step, and how many may"),
    ("Received", "Messages that its workers were given"),
    ("Done", "Messages that it is done with"),
    ("Failed", "Messages that it has failed with"),
    ("Events/s", "Messages done per second: lately, or in the whole run when it has ended"),
    ("Mean time", "Time in run() per message done"),
    ("Wait", "How long messages have waited for it: the median, and what 99 % are not above"),
)
BOTTLENECK = "▲"


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a cell shows, and what it is sorted by."""

    text: str
    value: Any
    fill: float | None = None


def rows_of(pipeline: ShownPipeline) -> list[list[Cell]]:
    """The cells of each step, in the order of `COLUMNS`."""
    rows = []
    for shown in pipeline.steps():
        step = shown.step
        n_jobs = step.done + step.failed
        mean_s = step.busy_s / n_jobs if n_jobs else float("nan")
        if not step.has_queue:
            queue = Cell("-", -1)
        elif step.queue_limit < 0:
            queue = Cell(wording.count(step.queue), step.queue, shown.fill)
        else:
            text = f"{wording.count(step.queue)} / {wording.count(step.queue_limit)}"
            queue = Cell(text, step.queue, shown.fill)
        role = f"{step.role}, chained" if step.chained else step.role
        name = f"{BOTTLENECK} {step.name}" if shown.is_bottleneck else step.name
        rows.append(
            [
                Cell(name, step.name.casefold()),
                Cell(role, (step.role, step.chained)),
                Cell(f"{step.running} / {step.workers}", step.running),
                queue,
                Cell(wording.count(step.received), step.received),
                Cell(wording.count(step.done), step.done),
                Cell(f"✗ {wording.count(step.failed)}" if step.failed else "0", step.failed),
                Cell(wording.rate(shown.rate), shown.rate),
                Cell(wording.duration(mean_s), mean_s if n_jobs else -1.0),
                Cell(wording.percentiles(step.wait), step.wait.p50_s if step.wait else -1.0),
            ]
        )
    return rows
