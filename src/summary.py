"""What a run has done, as JSON and as a table."""

from typing import Any

from astropy.table import Table

from .bottleneck import bottleneck_sentence
from .executors import Executor

__all__ = ["summarize", "summary_table"]

SCHEMA = 1
STEP_COUNTERS = ("received", "done", "failed", "sent", "queue_peak", "busy_s")


def summarize(executor: Executor) -> dict[str, Any]:
    """The summary of a run.

    Parameters
    ----------
    executor : Executor
        What runs, or ran.

    Returns
    -------
    dict
        ``schema``, ``state``, ``executor``, ``elapsed_s`` (seconds), ``events``
        (``sent``, ``finished``) and ``steps``: per step ``name``, ``role``, ``workers``,
        ``received``, ``done``, ``failed``, ``sent``, ``queue_peak`` (messages) and
        ``busy_s`` (time in ``run``, all its workers together, seconds). ``bottleneck``: a
        sentence that names the step that the others have waited for, or None.
    """
    elapsed_s = executor.elapsed_s
    steps = [
        {
            "name": spec.name,
            "role": spec.role,
            "workers": executor.workers(i),
            **{counter: counters[counter] for counter in STEP_COUNTERS},
        }
        for i, (spec, counters) in enumerate(
            zip(executor.graph.steps, executor.counters(), strict=True)
        )
    ]
    return {
        "schema": SCHEMA,
        "state": executor.state,
        "executor": executor.name,
        "elapsed_s": elapsed_s,
        "events": executor.events(),
        "steps": steps,
        "bottleneck": bottleneck_sentence(executor.graph, executor.name, steps, elapsed_s),
    }


def summary_table(summary: dict[str, Any]) -> str:
    """A summary as text, one line per step, and one on its bottleneck, if it has one."""
    table = Table(rows=summary["steps"])
    table["mean_ms"] = [
        1e3 * step["busy_s"] / step["done"] if step["done"] else float("nan")
        for step in summary["steps"]
    ]
    for column in ("busy_s", "mean_ms"):
        table[column].info.format = ".3f"
    for column in ("name", "role"):
        table[column].info.format = "<"
    events = summary["events"]
    heading = (
        f"{summary['state']} after {summary['elapsed_s']:.2f} s on {summary['executor']}: "
        f"{events['sent']} events sent, {events['finished']} finished"
    )
    lines = [heading, *table.pformat(max_lines=-1, max_width=-1)]
    if summary["bottleneck"]:
        lines.append(summary["bottleneck"])
    return "\n".join(lines)
