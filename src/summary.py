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
        (``sent``, ``finished``), ``age_s`` (the median and the 99th percentile of the time
        from an event's sending to its end, seconds; None if that is not known) and ``steps``:
        per step ``name``, ``role``, ``workers``, ``received``, ``done``, ``failed``, ``sent``,
        ``queue_peak`` (messages), ``busy_s`` (time in ``run``, all its workers together,
        seconds) and ``wait_s`` (as ``age_s``, of the time that messages waited in its queue).
        ``bottleneck``: a sentence that names the step that the others have waited for, or None.
    """
    elapsed_s = executor.elapsed_s
    age, waits = executor.percentiles()
    steps = [
        {
            "name": spec.name,
            "role": spec.role,
            "workers": executor.workers(i),
            **{counter: counters[counter] for counter in STEP_COUNTERS},
            "wait_s": wait,
        }
        for i, (spec, counters, wait) in enumerate(
            zip(executor.graph.steps, executor.counters(), waits, strict=True)
        )
    ]
    return {
        "schema": SCHEMA,
        "state": executor.state,
        "executor": executor.name,
        "elapsed_s": elapsed_s,
        "events": executor.events(),
        "age_s": age,
        "steps": steps,
        "bottleneck": bottleneck_sentence(executor.graph, executor.name, steps, elapsed_s),
    }


def summary_table(summary: dict[str, Any]) -> str:
    """A summary as text, one line per step, and one on its bottleneck, if it has one."""
    table = Table(rows=summary["steps"])
    table.remove_column("wait_s")
    table["mean_ms"] = [
        1e3 * step["busy_s"] / step["done"] if step["done"] else float("nan")
        for step in summary["steps"]
    ]
    table["wait_ms"] = [_times_ms(step["wait_s"]) for step in summary["steps"]]
    for column in ("busy_s", "mean_ms"):
        table[column].info.format = ".3f"
    for column in ("name", "role"):
        table[column].info.format = "<"
    events = summary["events"]
    heading = (
        f"{summary['state']} after {summary['elapsed_s']:.2f} s on {summary['executor']}: "
        f"{events['sent']} events sent, {events['finished']} finished"
    )
    if summary["age_s"] is not None:
        heading += f", age {_times_ms(summary['age_s'])} ms"
    lines = [heading, *table.pformat(max_lines=-1, max_width=-1)]
    if summary["bottleneck"]:
        lines.append(summary["bottleneck"])
    return "\n".join(lines)


def _times_ms(times_s: tuple[float, float] | None) -> str:
    """The median and the 99th percentile, in milliseconds."""
    return "-" if times_s is None else "/".join(f"{1e3 * time:.3g}" for time in times_s)
