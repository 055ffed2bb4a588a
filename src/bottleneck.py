"""Which step holds up a run, and what to try."""

from collections.abc import Mapping, Sequence
from typing import Any

from .configuration.cores import usable_cores
from .configuration.graph import Graph

__all__ = ["bottleneck_sentence"]

# Of a shorter run, most is its start.
SHORTEST_RUN_S = 1.0
# A step that others wait for has something to do nearly always; the start and the end are not its.
BUSY = 0.7
# Others are told from it by so much at least.
DISTANCE = 0.1
# Of fewer jobs, each worker can have had one that took long.
FEWEST_JOBS_PER_WORKER = 3


def bottleneck_sentence(
    graph: Graph, executor: str, steps: Sequence[Mapping[str, Any]], elapsed_s: float
) -> str | None:
    """Which step the others have waited for, as far as a whole run can tell, and what to try.

    As in the window it is the step that holds up those before it and starves those after it:
    its workers have had a job nearly all the time, and those of all other steps have not.

    Parameters
    ----------
    graph : Graph
        What was run.
    executor : str
        The executor of the pipeline.
    steps : sequence of mapping
        What each step has done, as in a summary.
    elapsed_s : float
        How long the run took, seconds.

    Returns
    -------
    str or None
        One sentence; None if there is no such step, or the run was too short to tell.
    """
    if executor == "sequential" or elapsed_s < SHORTEST_RUN_S:
        return None
    chains = graph.chains()
    busy = {
        head: sum(steps[i]["busy_s"] for i in chain) / (steps[head]["workers"] * elapsed_s)
        for head, chain in chains.items()
    }
    slowest, *others = sorted(busy, key=lambda head: -busy[head])
    step = steps[slowest]
    if busy[slowest] < BUSY or busy[slowest] - busy[others[0]] < DISTANCE:
        return None
    if step["done"] + step["failed"] < FEWEST_JOBS_PER_WORKER * step["workers"]:
        return None
    chained = [i for i in chains[slowest] if i != slowest]
    name = " + ".join(steps[i]["name"] for i in chains[slowest])
    workers = "1 worker" if step["workers"] == 1 else f"{step['workers']} workers"
    waited = others[-1]
    sentence = (
        f"{name} ran {_percent(busy[slowest])} of the time on {workers} "
        f"while {steps[waited]['name']} waited {_percent(1 - busy[waited])}: "
    )
    longest = max(chains[slowest], key=lambda i: steps[i]["busy_s"])
    advice = _advice(graph, executor, slowest, step["workers"])
    if chained:
        advice += f"; most of the time is {steps[longest]['name']}'s"
    return sentence + advice


def _advice(graph: Graph, executor: str, slowest: int, workers: int) -> str:
    spec = graph.steps[slowest]
    if spec.role == "producer":
        return (
            f"more workers will not help, {spec.name} has one; let it send what it reads and a "
            "stage do the rest"
        )
    if spec.role == "consumer":
        return (
            f"more workers will not help, {spec.name} has one; let a stage before it do what can "
            "be done for each message alone"
        )
    if spec.worker_kind(executor) == "processes":
        if workers >= usable_cores():
            return (
                "it has a process for each core that this process may use; try more cores, or make "
                "its run faster"
            )
        return f"give {spec.name} more nb_process"
    return (
        f"give {spec.name} more nb_thread, or processes (executor) if it computes in Python, where "
        "threads wait for each other"
    )


def _percent(part: float) -> str:
    # A job that is under way at the end can count for more than there was.
    return f"{100 * min(max(part, 0.0), 1.0):.0f} %"
