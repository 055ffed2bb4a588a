"""When each worker worked on which event, for a viewer of traces.

The format is that of Chrome (Google, Trace Event Format), which https://ui.perfetto.dev opens: a
step is shown as a process, and each of its workers as a thread of it.
"""

import json
from collections.abc import Iterator

import numpy as np

__all__ = ["RECORD", "json_of_trace"]

# As the router writes it; times in ns.
RECORD = np.dtype(
    [
        *[(name, np.uint64) for name in ("begin", "end", "event")],
        ("worker", np.uint32),
        *[(name, np.uint16) for name in ("kind", "jobs")],
    ]
)
BLOCKED = 1


def json_of_trace(workers: list[tuple[str, int]], records: bytes) -> str:
    """The text of a trace.

    Parameters
    ----------
    workers : list of tuple (step, number)
        Which step's worker each is, and which of that step's.
    records : bytes
        An array of `RECORD`.

    Returns
    -------
    str
        An object with ``traceEvents``: for each record a complete event, of the category
        ``job`` or ``blocked``, with ``event`` and ``jobs`` (how many ended together, the last of
        them with this event) as arguments; times in µs from the first.
    """
    steps = dict.fromkeys(step for step, _ in workers)
    pids = {step: pid for pid, step in enumerate(steps)}
    lines = ",\n".join(map(json.dumps, _events(workers, pids, records)))
    return f'{{"displayTimeUnit": "ms", "traceEvents": [\n{lines}\n]}}'


def _events(
    workers: list[tuple[str, int]], pids: dict[str, int], records: bytes
) -> Iterator[dict[str, object]]:
    for step, pid in pids.items():
        yield _metadata("process_name", pid, name=step)
        yield _metadata("process_sort_index", pid, sort_index=pid)
    table = np.frombuffer(records, RECORD)
    first = int(table["begin"].min()) if len(table) else 0
    for begin, end, number, worker, kind, jobs in table.tolist():
        step, thread = workers[worker]
        is_blocked = kind == BLOCKED
        yield {
            "name": "blocked" if is_blocked else f"event {number}",
            "cat": "blocked" if is_blocked else "job",
            "ph": "X",
            "ts": (begin - first) / 1000,
            "dur": (end - begin) / 1000,
            "pid": pids[step],
            "tid": thread,
            "args": {"event": number, "jobs": jobs},
        }


def _metadata(what: str, pid: int, **arguments: object) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": pid, "args": arguments}
